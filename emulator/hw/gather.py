"""A gather list: pieces of guest memory that a bus master transfers as one, in order.

What a disk reads goes straight into guest memory where the list is one piece or its pieces are large, and by way of
one buffer where they are many and small: then one larger read costs less than many.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from emulator.softmmu.space import AddressSpace

LARGE = 64 << 10  # bytes of a piece, on average, that are worth a call of the disk's own


class Disk(Protocol):
    """What gather lists are filled from and stored on: a node, or a drive."""

    def readinto(self, offset: int, buffer: memoryview, /) -> None: ...
    def write(self, offset: int, data: bytes | memoryview, /) -> None: ...


class WildAddress(Exception):
    """A piece that is not all in RAM."""


class Gather:
    """`size` bytes of guest memory in pieces of (address, length)."""

    __slots__ = ("pieces", "size", "space")

    def __init__(self, space: AddressSpace, pieces: list[tuple[int, int]], size: int | None = None) -> None:
        self.space = space
        self.pieces = pieces
        self.size = sum(length for _, length in pieces) if size is None else size

    def split(self, place: int) -> tuple[Gather, Gather]:
        """The first `place` bytes, and the rest."""
        place = min(place, self.size)
        left = place
        for number, (address, length) in enumerate(self.pieces):
            if left < length:
                head = [*self.pieces[:number], (address, left)] if left else self.pieces[:number]
                tail = [(address + left, length - left), *self.pieces[number + 1 :]]
                return Gather(self.space, head, place), Gather(self.space, tail, self.size - place)
            left -= length
        return self, Gather(self.space, [], 0)

    def views(self, *, writable: bool = False) -> list[memoryview]:
        """The memory itself. WildAddress if there is none."""
        views = self.space.windows(self.pieces, writable=writable)
        if views is None:
            raise WildAddress(f"{self.size:#x} bytes in {len(self.pieces)} pieces are not all in RAM")
        return views

    def written(self) -> None:
        """What `views` gave has been changed."""
        self.space.all_written(self.pieces)

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
            if self._in_large_pieces():
                for view in views:
                    disk.readinto(offset, view)
                    offset += len(view)
            else:
                buffer = self.space.bounce(self.size)
                try:
                    disk.readinto(offset, buffer)
                finally:  # a disk that fails in the middle has given what lies before
                    place = 0
                    for view in views:
                        following = place + len(view)
                        view[:] = buffer[place:following]
                        place = following
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
        return len(self.pieces) == 1 or self.size >= LARGE * len(self.pieces)


def join(pieces: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same with pieces made one where they follow each other, and without empty ones."""
    joined: list[tuple[int, int]] = []
    end = -1
    for address, length in pieces:
        if not length:
            continue
        if address == end:
            joined[-1] = (joined[-1][0], joined[-1][1] + length)
        else:
            joined.append((address, length))
        end = address + length
    return joined
