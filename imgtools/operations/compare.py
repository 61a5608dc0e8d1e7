"""Do two disks hold the same?

Both are walked by their extents: what both say is zero is never read, what only one says is zero is read
from the other alone.
"""

from __future__ import annotations

from imgtools.block.extent import COMPRESSED, DATA, HOLE, ZERO
from imgtools.errors import ImageError, InputOutput
from imgtools.operations.buffers import SIZE, PageBuffer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgtools.block.extent import Extent
    from imgtools.block.node import Node

EMPTY = (ZERO, HOLE)


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


class MapFailure(ImageError):
    """It could not be found out what lies where."""


def compare(
    first: Node, second: Node, *, strict: bool = False, progress: Callable[[int, int], None] | None = None
) -> Comparison:
    """Compare two disks; `strict` also demands the same size, and the same parts allocated."""
    return _Run(first, second, strict, progress or (lambda done, total: None)).run()


class _Run:
    def __init__(self, first: Node, second: Node, strict: bool, progress: Callable[[int, int], None]) -> None:
        self.first, self.second = first, second
        self.strict = strict
        self.progress = progress
        self.total = max(first.size, second.size)
        self.result = Comparison()
        self.buffers = PageBuffer(), PageBuffer()

    def run(self) -> Comparison:
        result, shared = self.result, min(self.first.size, self.second.size)
        self.progress(0, self.total)
        if self.strict and self.first.size != self.second.size:
            result.difference = "size"
            return result
        for start, end, mine, theirs in pairs(self.first, self.second, shared):
            kind, other = mine.kind, theirs.kind
            if self.strict and status(mine) != status(theirs):
                result.difference, result.offset = "status", start
            elif kind not in EMPTY and other not in EMPTY:
                self._compare_data(start, end)
            elif kind not in EMPTY or other not in EMPTY:
                self._expect_zeroes(self.second if kind in EMPTY else self.first, start, end)
            if result.difference:
                return result
            self.progress(end, self.total)
        if shared != self.total:
            result.sizes_differ = True
            self._compare_rest(self.first if self.first.size > shared else self.second, shared)
        return result

    def _compare_rest(self, longer: Node, shared: int) -> None:
        for extent in extents_of(longer, shared, longer.size):
            end = extent.start + extent.length
            if extent.kind not in EMPTY:
                self._expect_zeroes(longer, extent.start, end)
                if self.result.difference:
                    return
            self.progress(end, self.total)

    def _compare_data(self, start: int, end: int) -> None:
        mine, other = self.buffers
        for offset in range(start, end, SIZE):
            length = min(SIZE, end - offset)
            read(self.first, offset, mine.view[:length])
            theirs = other.view[:length]
            read(self.second, offset, theirs)
            if not mine.starts_with(theirs):
                self._differ(offset + mine.first_difference(theirs))
                return
            self.progress(offset + length, self.total)

    def _expect_zeroes(self, node: Node, start: int, end: int) -> None:
        buffer = self.buffers[0]
        for offset in range(start, end, SIZE):
            length = min(SIZE, end - offset)
            read(node, offset, buffer.view[:length])
            if not buffer.is_zero(length):
                self._differ(offset + buffer.first_nonzero(length))
                return

    def _differ(self, offset: int) -> None:
        self.result.difference, self.result.offset = "content", offset


def status(extent: Extent) -> tuple[str, bool]:
    """What `strict` compares: the kind, and whether the bytes have a place of their own in a file."""
    return DATA if extent.kind == COMPRESSED else extent.kind, extent.offset is not None


def pairs(first: Node, second: Node, size: int) -> Iterator[tuple[int, int, Extent, Extent]]:
    """The runs (start, end, one's extent, the other's) in which neither changes."""
    position = end = other_end = 0
    extents, others = extents_of(first, 0, size), extents_of(second, 0, size)
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
        raise InputOutput(
            f"Error while reading offset {offset} of {node.filename}: {error.message}",
            path=node.filename,
            offset=offset,
            hint=error.hint,
        ) from error
