"""VDI's block map: for each block of the disk, the number of the block of the file that holds it.

The map of a terabyte is 4 MiB, but that of the largest disk 2 GiB, so it is read and kept in pages. Changes go
to the file at once: a page never holds what the file does not, and may be dropped at any time.
Not safe for several threads by itself: the node calls it under its lock.
"""

from __future__ import annotations

import sys
from array import array

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgtools.block.node import Storage

UNALLOCATED = 0xFFFFFFFF
DISCARDED = 0xFFFFFFFE
"""Both read as zeroes."""

PAGE = 1 << 14
"""Entries in a page: 64 KiB, a disk of 16 GiB."""
MAX_PAGES = 512
"""Pages kept: 32 MiB, a disk of 8 TiB."""


class BlockMap:
    """The map of `count` entries at `offset` of `storage`."""

    def __init__(self, storage: Storage, offset: int, count: int) -> None:
        self.storage = storage
        self.offset = offset
        self.count = count
        self._pages: dict[int, array[int]] = {}

    def runs(self, first: int, end: int) -> Iterator[tuple[int, int, int | None]]:
        """The blocks from `first` to `end` in runs: (block, count, where the first lies; None where nowhere).

        The blocks of a run that lies somewhere lie one behind the other.
        """
        while first < end:
            page = self._page(first // PAGE)
            start = first % PAGE
            stop = min(len(page), start + end - first)
            entry = page[start]
            at = start + 1
            if entry >= DISCARDED:
                while at < stop and page[at] >= DISCARDED:
                    at += 1
                yield first, at - start, None
            else:
                while at < stop and page[at] - at == entry - start:
                    at += 1
                yield first, at - start, entry
            first += at - start

    def store(self, block: int, entries: array[int]) -> None:
        """Set the entries from `block` on, in the file and then here."""
        self.storage.write(self.offset + 4 * block, to_bytes(entries))
        for index, entry in enumerate(entries, block):
            if index // PAGE in self._pages:
                self._pages[index // PAGE][index % PAGE] = entry

    def _page(self, number: int) -> array[int]:
        page = self._pages.get(number)
        if page is None:
            first = number * PAGE
            page = array("I", bytes(4 * min(PAGE, self.count - first)))
            self.storage.readinto(self.offset + 4 * first, memoryview(page).cast("B"))
            if sys.byteorder == "big":
                page.byteswap()
            if len(self._pages) >= MAX_PAGES:
                self._pages.clear()
            self._pages[number] = page
        return page


def to_bytes(entries: array[int]) -> bytes:
    """Entries as they stand in the file."""
    if sys.byteorder == "big":
        entries = entries[:]
        entries.byteswap()
    return entries.tobytes()
