"""A disk image as a disk chip has it: whole sectors, and one way for all that goes wrong.

A size that is no multiple of the sector is rounded up where the image is only read, and what is not there reads as
zeroes; it is rounded down where it can be written, so that nothing the guest writes gets lost.
"""

from __future__ import annotations

from collections.abc import Callable

from imgtools import ImageError, Node
from imgtools.block.node import cut, fill_zero

Buffer = bytes | bytearray | memoryview
OnError = Callable[[ImageError], bool]
Move = Callable[[int, int, list[memoryview]], None]


def report(_: ImageError) -> bool:
    """What is done about an error if nobody else decides: the guest gets it."""
    return False


class BadSector(Exception):
    """The image could not be read or written at a sector."""

    def __init__(self, sector: int, cause: ImageError, *, writing: bool) -> None:
        super().__init__(f"sector {sector}: {cause}")
        self.sector = sector
        self.cause = cause
        self.writing = writing


class Medium:
    """The sectors of a node. `on_error` is asked about each failure, and True tries again: it may have waited."""

    def __init__(
        self, node: Node, sector_size: int = 512, *, read_only: bool | None = None, on_error: OnError = report
    ) -> None:
        self.node = node
        self.sector_size = sector_size
        self.read_only = node.read_only if read_only is None else read_only
        self.on_error = on_error
        self.sectors = node.size // sector_size
        if self.read_only:
            self.sectors = -(-node.size // sector_size)

    def readinto(self, offset: int, view: memoryview) -> None:
        """Fill a view with what is at a byte; behind a BadSector, what lies before it is in the view."""
        self.readv(offset, len(view), [view])

    def readv(self, offset: int, length: int, views: list[memoryview]) -> None:
        """The same with several views, of `length` bytes together."""
        self._transfer(self._read, offset, length, views, writing=False)

    def read(self, offset: int, length: int) -> bytearray:
        data = bytearray(length)
        self.readinto(offset, memoryview(data))
        return data

    def write(self, offset: int, data: Buffer) -> None:
        """What lies before a BadSector is written."""
        self._transfer(self._write, offset, len(data), [memoryview(data)], writing=True)

    def discard(self, offset: int, length: int) -> None:
        self._insist(offset, lambda: self.node.discard(offset, length))

    def zero(self, offset: int, length: int, *, unmap: bool) -> None:
        self._insist(offset, lambda: self.node.zero(offset, length, unmap=unmap))

    def flush(self) -> None:
        self._insist(0, self.node.flush)

    def _read(self, offset: int, length: int, views: list[memoryview]) -> None:
        there = max(0, self.node.size - offset)
        if length > there:
            views, beyond = cut(views, there)
            length = there
            for view in beyond:
                fill_zero(view)
        self.node.readv(offset, length, views)

    def _write(self, offset: int, _: int, views: list[memoryview]) -> None:
        for view in views:  # one
            self.node.write(offset, view)

    def _transfer(self, move: Move, offset: int, length: int, views: list[memoryview], *, writing: bool) -> None:
        try:
            self._insist(offset, lambda: move(offset, length, views), writing=writing)
        except BadSector:
            self._search(move, offset, length, views, writing=writing)

    def _search(self, move: Move, offset: int, length: int, views: list[memoryview], *, writing: bool) -> None:
        """Move sector by sector up to the one that is bad."""
        end = offset + length
        while offset < end:
            size = min(self.sector_size - offset % self.sector_size, end - offset)
            sector, views = cut(views, size)
            try:
                move(offset, size, sector)
            except ImageError as error:
                raise BadSector(offset // self.sector_size, error, writing=writing) from error
            offset += size

    def _insist(self, offset: int, action: Callable[[], None], *, writing: bool = True) -> None:
        """Do it, as often as `on_error` wants."""
        while True:
            try:
                return action()
            except ImageError as error:
                if not self.on_error(error):
                    raise BadSector(offset // self.sector_size, error, writing=writing) from error
