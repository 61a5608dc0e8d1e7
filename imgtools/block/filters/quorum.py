"""quorum: several copies of a disk, which vote on what it holds.

    driver=quorum,vote-threshold=2,children.0.file.filename=a.qcow2,children.1.file.filename=b.qcow2,...

Writes go to all copies, and succeed when `vote-threshold` of them took it. What at least so many copies agree on is
read; `rewrite-corrupted` then mends the others. With `read-pattern=fifo` the first copy that can be read is believed.
"""

from __future__ import annotations

from imgtools.block.driver import Child, Driver, Option
from imgtools.block.node import Node
from imgtools.errors import BadOption, CorruptImage, ImageError, InputOutput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from imgtools.block.graph import Context
    from imgtools.block.node import Buffer


class Quorum(Node):
    """The disk that `copies` (of one size) agree on."""

    driver = "quorum"

    def __init__(self, copies: list[Node], threshold: int, *, fifo: bool = False, mend: bool = False) -> None:
        sizes = {copy.size for copy in copies}
        if len(sizes) > 1:
            raise BadOption(f"the children of a quorum are not of one size: {', '.join(map(str, sorted(sizes)))} bytes")
        read_only = any(copy.read_only for copy in copies)
        super().__init__(copies[0].filename, copies[0].size, read_only=read_only)
        self.children = {f"children.{number}": copy for number, copy in enumerate(copies)}
        self.copies = copies
        self.threshold = threshold
        self.fifo = fifo
        self.mend = mend

    def readinto(self, offset: int, buffer: memoryview) -> None:
        self.check_range(offset, len(buffer))
        buffer[:] = (self._first if self.fifo else self._vote)(offset, len(buffer))

    def write(self, offset: int, data: Buffer) -> None:
        self._all(lambda copy: copy.write(offset, data), offset)

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        self._all(lambda copy: copy.zero(offset, length, unmap=unmap), offset)

    def discard(self, offset: int, length: int) -> None:
        self._all(lambda copy: copy.discard(offset, length), offset)

    def flush(self) -> None:
        self._all(lambda copy: copy.flush(), None)

    def _first(self, offset: int, length: int) -> bytes:
        failure: ImageError | None = None
        for copy in self.copies:
            try:
                return copy.read(offset, length)
            except ImageError as error:
                failure = failure or error
        assert failure is not None
        raise failure

    def _vote(self, offset: int, length: int) -> bytes:
        ballots: dict[bytes, list[Node]] = {}
        for copy in self.copies:
            try:
                ballots.setdefault(copy.read(offset, length), []).append(copy)
            except ImageError:
                continue  # who cannot read does not vote
        if not ballots:
            raise InputOutput("no copy of the quorum can be read", path=self.filename, offset=offset)
        winner = max(ballots, key=lambda content: len(ballots[content]))
        if len(ballots[winner]) < self.threshold:
            raise CorruptImage(
                f"the copies disagree at offset {offset} (length {length}): "
                f"{len(ballots[winner])} are the same, {self.threshold} must be",
                path=self.filename,
                offset=offset,
            )
        if self.mend and not self.read_only:
            for content, copies in ballots.items():
                for copy in copies if content != winner else ():
                    copy.write(offset, winner)
        return winner

    def _all(self, request: Callable[[Node], None], offset: int | None) -> None:
        """Do the same to every copy; enough of them must succeed."""
        failures = []
        for copy in self.copies:
            try:
                request(copy)
            except ImageError as error:
                failures.append(error)
        if len(self.copies) - len(failures) < self.threshold:
            raise failures[0]


class QuorumDriver(Driver):
    name = "quorum"
    children = (Child("children", disk=True, many=True),)
    open_options = (
        Option("vote-threshold", "int", "how many copies must agree", identity=True),
        Option("blkverify", "bool", "two copies must be the same at every read (with a threshold of 2)", identity=True),
        Option("rewrite-corrupted", "bool", "write what was agreed on to the copies that differ", identity=True),
        Option("read-pattern", "text", "quorum: compare all copies; fifo: take the first that can be read"),
    )

    def open_node(self, children: dict[str, Node], context: Context) -> Node:
        options, copies = context.options, list(children.values())
        pattern, threshold = options.get("read-pattern", "quorum"), options.get("vote-threshold", 0)
        fifo, mend = pattern == "fifo", options.get("rewrite-corrupted", False)
        if not copies:
            raise BadOption("Number of provided children must be 1 or more")
        if pattern not in ("quorum", "fifo"):
            raise BadOption("Please set read-pattern as fifo or quorum")
        if threshold < 1:
            raise BadOption("Parameter 'vote-threshold' expects a value >= 1")
        if threshold > len(copies):
            raise BadOption("threshold may not exceed children count")
        if options.get("blkverify") and (len(copies) != 2 or threshold != 2):
            raise BadOption("blkverify=on can only be set if there are exactly two files and vote-threshold is 2")
        if options.get("blkverify") and mend:
            raise BadOption("rewrite-corrupted=on cannot be used with blkverify=on")
        return Quorum(copies, threshold, fifo=fifo, mend=mend)


DRIVERS = (QuorumDriver(),)
