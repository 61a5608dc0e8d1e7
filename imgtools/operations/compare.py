"""Do two disks hold the same?

Both are walked by their extents: what both say is zero is never read, what only one says is zero is read
from the other alone.
"""

from __future__ import annotations

from threading import Lock, Thread

from imgtools.block.extent import COMPRESSED, DATA, READS_ZERO
from imgtools.errors import ImageError, InputOutput
from imgtools.operations.buffers import SIZE, ZEROES, PageBuffer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgtools.block.extent import Extent
    from imgtools.block.node import Node


class Comparison:
    """The outcome: `difference` is None, "size", "status" or "content", found at `offset`.

    `sizes_differ` tells of disks that are equal as far as the shorter one goes; the rest of the longer one
    must read as zeroes for them to count as equal.
    """

    def __init__(self) -> None:
        self.difference: str | None = None
        self.offset = 0
        self.sizes_differ = False

    def __bool__(self) -> bool:
        return self.difference is None


class ReadFailure(InputOutput):
    """A disk could not be read."""


class MapFailure(ImageError):
    """It could not be found out what lies where."""


def compare(
    first: Node, second: Node, *, strict: bool = False, progress: Callable[[int, int], None] | None = None
) -> Comparison:
    """Compare two disks; `strict` also demands the same size, and the same parts allocated."""
    return _Run(first, second, strict, progress or (lambda done, total: None)).run()


class _Piece:
    """A part of the disks to be read and compared; None stands for a side that reads as zeroes."""

    def __init__(self, offset: int, length: int, first: Node | None, second: Node | None) -> None:
        self.offset = offset
        self.length = length
        self.first = first
        self.second = second

    def compare(self, buffers: tuple[PageBuffer, PageBuffer]) -> int | None:
        """Where the sides first differ, or None."""
        one, other = self.first or self.second, self.second if self.first else None
        assert one is not None
        read(one, self.offset, buffers[0].view[: self.length])
        expected = buffers[1].view[: self.length] if other else ZEROES[: self.length]
        if other:
            read(other, self.offset, expected)
        if buffers[0].starts_with(expected):
            return None
        return self.offset + buffers[0].first_difference(expected)


class _Run:
    """One comparison. Two threads take pieces in turn; what is found lowest on the disk counts."""

    def __init__(self, first: Node, second: Node, strict: bool, progress: Callable[[int, int], None]) -> None:
        self.first, self.second = first, second
        self.strict = strict
        self.progress = progress
        self.shared, self.total = sorted((first.size, second.size))
        self.lock = Lock()
        self.pieces = self._pieces()
        self.compared = 0
        """How far the progress has been told."""
        self.found: tuple[int, str] | None = None
        self.failure: tuple[int, BaseException] | None = None

    def run(self) -> Comparison:
        result = Comparison()
        if self.strict and self.shared != self.total:
            result.difference = "size"
            return result
        helper = Thread(target=self._work, daemon=True)
        helper.start()
        self._work()
        helper.join()
        if self.failure and (self.found is None or self.failure[0] < self.found[0]):
            raise self.failure[1]
        if self.found is None:
            self._advance(self.total)
        else:
            result.offset, result.difference = self.found
        result.sizes_differ = self.shared != self.total and (self.found is None or self.found[0] >= self.shared)
        return result

    def _work(self) -> None:
        buffers = PageBuffer(), PageBuffer()
        position = 0
        try:
            while True:
                with self.lock:
                    piece = next(self.pieces, None) if not (self.found or self.failure) else None
                if piece is None:
                    return
                position = piece.offset
                difference = piece.compare(buffers)
                with self.lock:
                    if difference is None:
                        self._advance(position + piece.length)
                    elif self.found is None or difference < self.found[0]:
                        self.found = difference, "content"
        except BaseException as error:  # Ctrl-C among them, which arrives in the main thread
            with self.lock:
                if self.failure is None or position < self.failure[0]:
                    self.failure = position, error

    def _advance(self, position: int) -> None:
        if position > self.compared:
            self.compared = position
            self.progress(position, self.total)

    def _pieces(self) -> Iterator[_Piece]:
        """What has to be read, in order. Stops where the maps alone show a difference."""
        for start, end, mine, theirs in pairs(self.first, self.second, self.shared):
            if self.strict and status(mine) != status(theirs):
                self.found = start, "status"
                return
            first = None if mine.kind in READS_ZERO else self.first
            second = None if theirs.kind in READS_ZERO else self.second
            yield from self._cut(start, end, first, second)
        longer = self.first if self.first.size > self.shared else self.second
        for extent in extents_of(longer, self.shared, self.total):
            data = None if extent.kind in READS_ZERO else longer
            yield from self._cut(extent.start, extent.start + extent.length, data, None)

    def _cut(self, start: int, end: int, first: Node | None, second: Node | None) -> Iterator[_Piece]:
        if first or second:
            for offset in range(start, end, SIZE):
                yield _Piece(offset, min(SIZE, end - offset), first, second)


def status(extent: Extent) -> tuple[str, bool]:
    """What `strict` compares: the kind, and whether the bytes have a place of their own in a file."""
    return DATA if extent.kind == COMPRESSED else extent.kind, extent.offset is not None


def pairs(first: Node, second: Node, size: int, start: int = 0) -> Iterator[tuple[int, int, Extent, Extent]]:
    """The runs (start, end, one's extent, the other's) of [start, size) in which neither changes."""
    position = end = other_end = start
    extents, others = extents_of(first, start, size), extents_of(second, start, size)
    while position < size:
        if end == position:
            mine = next(extents)
            end = mine.start + mine.length
        if other_end == position:
            theirs = next(others)
            other_end = theirs.start + theirs.length
        stop = min(end, other_end)
        yield position, stop, mine, theirs
        position = stop


def extents_of(node: Node, start: int, end: int) -> Iterator[Extent]:
    """The extents of a range, a failure saying that it was these that could not be had."""
    try:
        yield from node.extents(start, end - start)
    except ImageError as error:
        raise MapFailure(f"Sector allocation test failed for {node.filename}", hint=error.message) from error


def read(node: Node, offset: int, buffer: memoryview) -> None:
    """Read, a failure saying where it happened."""
    try:
        node.readinto(offset, buffer)
    except ImageError as error:
        raise ReadFailure(
            f"Error while reading offset {offset} of {node.filename}: {error.message}",
            path=node.filename,
            offset=offset,
            hint=error.hint,
        ) from error
