"""A part of a disk as a disk of its own: a partition, a disk inside a larger file.

    Window(node, 1 << 20)             all but the first mebibyte
    Window(node, 1 << 20, 512)        one sector of it

Nothing outside the window can be reached through it.
"""

from __future__ import annotations

from imgtools.block.node import Filter, Node
from imgtools.errors import OutOfBounds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgtools.block.extent import Extent
    from imgtools.block.node import Buffer


class Window(Filter):
    """`size` bytes of `child` from `offset` on; all the rest of it where `size` is None."""

    driver = "window"
    size = 0  # its own, and not that of what is below
    read = Node.read

    def __init__(self, child: Node, offset: int, size: int | None = None) -> None:
        super().__init__(child)
        length = child.size - offset if size is None else size
        if offset < 0 or length < 0 or offset + length > child.size:
            raise OutOfBounds(
                f"the window {offset}+{length} is not inside the disk of {child.size} bytes",
                path=child.filename,
                offset=offset,
            )
        self.start = offset
        self.size = length

    @property
    def unfiltered(self) -> Node:
        return self  # what is below is another disk

    def readinto(self, offset: int, buffer: memoryview) -> None:
        self.check_range(offset, len(buffer))
        self.child.readinto(self.start + offset, buffer)

    def readv(self, offset: int, length: int, pieces: list[memoryview]) -> None:
        self.check_range(offset, length)
        self.child.readv(self.start + offset, length, pieces)

    def write(self, offset: int, data: Buffer) -> None:
        self.check_range(offset, len(data))
        self.child.write(self.start + offset, data)

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        self.check_range(offset, length)
        self.child.zero(self.start + offset, length, unmap=unmap)

    def discard(self, offset: int, length: int) -> None:
        self.check_range(offset, length)
        self.child.discard(self.start + offset, length)

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        self.check_range(offset, length)
        for extent in self.child.extents(self.start + offset, length):
            yield extent._replace(start=extent.start - self.start)

    def prefetch(self, offset: int, length: int) -> None:
        self.check_range(offset, length)
        self.child.prefetch(self.start + offset, length)
