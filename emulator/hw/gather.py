"""A gather list: pieces of guest memory that a bus master transfers as one, in order.

What a disk reads goes straight into guest memory, in one call of the disk. What is written to it does so where the
list is one piece or its pieces are large, and is joined in one buffer where they are many and small: one larger write
costs less than many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from imgtools.block.node import LARGE_PIECE

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.softmmu.space import AddressSpace

KEPT = 16  # lists of a chip, or of a queue


class Disk(Protocol):
    """What gather lists are filled from and stored on: a node, or a drive."""

    def readv(self, offset: int, length: int, pieces: list[memoryview], /) -> None: ...
    def write(self, offset: int, data: bytes | memoryview, /) -> None: ...


class WildAddress(Exception):
    """A piece that is not all in RAM."""


class Gather:
    """`size` bytes of guest memory in pieces of (address, length).

    Drivers name the same pages again and again, since programs read into the same buffers: a chip that keeps its last
    `KEPT` lists by the tables that they are made of finds them with their memory.
    """

    __slots__ = ("_is_dirty", "_parts", "_views", "_was_written", "pieces", "size", "space")

    def __init__(self, space: AddressSpace, pieces: list[tuple[int, int]], size: int | None = None) -> None:
        self.space = space
        self.pieces = pieces
        self.size = sum([length for _, length in pieces]) if size is None else size
        self._parts: tuple[int, Gather, Gather] | None = None  # of the last `split`
        self._views: tuple[int, bool, list[memoryview]] | None = None  # for a layout of memory
        self._is_dirty: tuple[int, Callable[[], bool]] | None = None  # the same
        self._was_written = False

    def split(self, place: int) -> tuple[Gather, Gather]:
        """The first `place` bytes, and the rest."""
        if self._parts is None or self._parts[0] != place:
            self._parts = (place, *self._split(max(0, min(place, self.size))))
        return self._parts[1:]

    def followed_by(self, other: Gather) -> Gather:
        """Both as one, whose `split` finds them again."""
        whole = Gather(self.space, self.pieces + other.pieces, self.size + other.size)
        whole._parts = (self.size, self, other)
        return whole

    def _split(self, place: int) -> tuple[Gather, Gather]:
        pieces, number, start = self.pieces, 0, 0
        if 2 * place > self.size:  # the end is nearer
            number, start = len(pieces), self.size
            while start > place:
                number -= 1
                start -= pieces[number][1]
        while start < place and start + pieces[number][1] <= place:
            start += pieces[number][1]
            number += 1
        head, tail = pieces[:number], pieces[number:]
        if start < place:
            address, length = tail[0]
            head.append((address, place - start))
            tail[0] = (address + place - start, length - (place - start))
        return Gather(self.space, head, place), Gather(self.space, tail, self.size - place)

    def views(self, *, writable: bool = False) -> list[memoryview]:
        """The memory itself. WildAddress if there is none."""
        if self._views is None or self._views[:2] != (self.space.layout, writable):
            views = self.space.windows(self.pieces, writable=writable)
            if views is None:
                raise WildAddress(f"{self.size:#x} bytes in {len(self.pieces)} pieces are not all in RAM")
            self._views = (self.space.layout, writable, views)
        return self._views[2]

    def written(self) -> None:
        """What `views` gave has been changed. Lists that come once only are not worth a check of their own."""
        if self._is_dirty is not None and self._is_dirty[0] == self.space.layout and self._is_dirty[1]():
            return
        self.space.all_written(self.pieces)
        if self._was_written and (self._is_dirty is None or self._is_dirty[0] != self.space.layout):
            self._is_dirty = (self.space.layout, self.space.dirty_check(self.pieces))
        self._was_written = True

    # -- small amounts --------------------------------------------------------------------------------------

    def read(self) -> bytes:
        return b"".join(self.views())

    def write(self, data: bytes | memoryview) -> int:
        """As much of `data` as there is room for: how much that was."""
        done = 0
        for (address, length), view in zip(self.pieces, self.views(writable=True), strict=True):
            count = min(length, len(data) - done)
            if not count:
                break
            view[:count] = data[done : done + count]
            self.space.written(address, count)
            done += count
        return done

    # -- disks ----------------------------------------------------------------------------------------------

    def read_from(self, disk: Disk, offset: int) -> None:
        """Fill the list from a disk."""
        views = self.views(writable=True)
        try:
            disk.readv(offset, self.size, views)
        finally:
            self.written()

    def write_to(self, disk: Disk, offset: int) -> None:
        """Store the list on a disk."""
        views = self.views()
        if not self._in_large_pieces():
            disk.write(offset, b"".join(views))
            return
        for view in views:
            disk.write(offset, view)
            offset += len(view)

    def _in_large_pieces(self) -> bool:
        return len(self.pieces) == 1 or self.size >= LARGE_PIECE * len(self.pieces)
