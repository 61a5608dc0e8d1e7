"""A disk in the place of a file: what lies above may read past its end, and make it larger where it can be resized."""

from __future__ import annotations

from imgtools.block.extent import ZERO, Extent
from imgtools.block.format import Resizable
from imgtools.block.node import Filter, fill_zero

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgtools.block.node import Buffer, Node


class AsFile(Filter):
    """`child`, a disk, with the manners of a file."""

    def __init__(self, child: Node) -> None:
        super().__init__(child)
        self.driver = child.driver
        self.described = child.described

    def readinto(self, offset: int, buffer: memoryview) -> None:
        stored = max(0, min(len(buffer), self.size - offset))
        if stored:
            self.child.readinto(offset, buffer[:stored])
        fill_zero(buffer[stored:])

    def write(self, offset: int, data: Buffer) -> None:
        self.allocate(offset, len(data))
        self.child.write(offset, data)

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        self.allocate(offset, length)
        self.child.zero(offset, length, unmap=unmap)

    def discard(self, offset: int, length: int) -> None:
        stored = max(0, min(length, self.size - offset))
        if stored:
            self.child.discard(offset, stored)

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        stored = max(0, min(length, self.size - offset))
        if stored:
            yield from self.child.extents(offset, stored)
        if stored < length:
            yield Extent(offset + stored, length - stored, ZERO, 0, self, offset + stored)

    def prefetch(self, offset: int, length: int) -> None:
        self.child.prefetch(offset, max(0, min(length, self.size - offset)))

    def truncate(self, size: int) -> None:
        if not isinstance(self.child, Resizable):
            self._storage.truncate(size)
            return
        self.child.resize(size)

    def allocate(self, offset: int, length: int) -> None:
        """Make sure that the range is inside the disk."""
        if offset + length > self.size:
            self.truncate(offset + length)
