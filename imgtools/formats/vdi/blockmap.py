"""VDI's block map: for each block of the disk, the number of the block of the file that holds it.

The map of a terabyte is 4 MiB, but that of the largest disk 2 GiB, so it is read and kept in pages. One that was
changed is kept until the change is in the file; the others may be dropped at any time.
Not safe for several threads by itself: the node calls it under its lock.
"""

from __future__ import annotations

from array import array

from imgtools.formats.tables import to_disk, to_native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgtools.block.node import Storage

UNALLOCATED = 0xFFFFFFFF
DISCARDED = 0xFFFFFFFE
"""Both read as zeroes."""

PAGE = 1 << 14
"""Entries in a page: 64 KiB, a disk of 16 GiB."""
EMPTY_PAGE = array("I", (UNALLOCATED,)) * PAGE
LONG = 16
"""Entries after which a run is taken to be a long one; most are either short or very long."""
MAX_PAGES = 512
"""Pages kept: 32 MiB, a disk of 8 TiB."""


class BlockMap:
    """The map of `count` entries at `offset` of `storage`."""

    def __init__(self, storage: Storage, offset: int, count: int) -> None:
        self.storage = storage
        self.offset = offset
        self.count = count
        self._pages: dict[int, array[int]] = {}
        self.changed: set[int] = set()
        """Pages with entries that the file lacks."""

    def __getitem__(self, block: int) -> int:
        return self._page(block // PAGE)[block % PAGE]

    def pages(self) -> Iterator[tuple[int, array[int]]]:
        """The whole map: (first block, entries). Pages in which nothing is allocated are left out."""
        for number in range(-(-self.count // PAGE)):
            page = self._page(number)
            if page != EMPTY_PAGE:
                yield number * PAGE, page

    def runs(self, first: int, end: int) -> Iterator[tuple[int, int, int | None]]:
        """The blocks from `first` to `end` in runs: (block, count, where the first lies; None where nowhere).

        The blocks of a run that lies somewhere lie one behind the other.
        """
        while first < end:
            page = self._page(first // PAGE)
            start = first % PAGE
            stop = min(len(page), start + end - first)
            entry = page[start]
            if entry >= DISCARDED:
                at = _end_of_holes(page, start, stop)
                yield first, at - start, None
            else:
                at = _end_of_row(page, start, stop)
                yield first, at - start, entry
            first += at - start

    def set(self, block: int, entries: array[int]) -> None:
        """Set the entries from `block` on; `write` takes them to the file."""
        done = 0
        for number, start, stop in _pages_of(block, len(entries)):
            self.changed.add(number)
            self._page(number)[start:stop] = entries[done : done + stop - start]
            done += stop - start

    def write(self, block: int, count: int) -> None:
        """Write the entries of `count` blocks to the file."""
        for number, start, stop in _pages_of(block, count):
            entries = to_disk(self._page(number)[start:stop], big=False)
            self.storage.write(self.offset + 4 * (number * PAGE + start), entries)

    def _page(self, number: int) -> array[int]:
        page = self._pages.get(number)
        if page is None:
            first = number * PAGE
            data = self.storage.read(self.offset + 4 * first, 4 * min(PAGE, self.count - first))
            page = to_native(data, "I", big=False)
            if len(self._pages) >= MAX_PAGES:
                self._pages = {kept: self._pages[kept] for kept in self.changed if kept in self._pages}
            self._pages[number] = page
        return page


def _pages_of(block: int, count: int) -> Iterator[tuple[int, int, int]]:
    """The pages that have the entries of `count` blocks, and from where to where: (page, start, stop)."""
    end = block + count
    while block < end:
        number, start = divmod(block, PAGE)
        stop = min(PAGE, start + end - block)
        yield number, start, stop
        block += stop - start


def _end_of_holes(page: array[int], start: int, stop: int) -> int:
    """Where the entries from `start` on stop to be unallocated."""
    at = start + 1
    while at < stop and page[at] >= DISCARDED:
        at += 1
        if at - start == LONG:
            return _end_of_likeness(page, at, stop, lambda first, count: EMPTY_PAGE[:count])
    return at


def _end_of_row(page: array[int], start: int, stop: int) -> int:
    """Where the entries from `start` on stop to count up by one."""
    at, shift = start + 1, page[start] - start
    while at < stop and page[at] - at == shift:
        at += 1
        if at - start == LONG:
            return _end_of_likeness(
                page, at, stop, lambda first, count: array("I", range(first + shift, first + shift + count))
            )
    return at


def _end_of_likeness(page: array[int], at: int, stop: int, expected: Callable[[int, int], array[int]]) -> int:
    """Where `page` stops to be as `expected` says: found by comparing ever larger pieces, and then smaller ones."""
    step, growing = LONG, True
    while at < stop and step:
        count = min(step, stop - at)
        if page[at : at + count] == expected(at, count):
            at += count
            step = 2 * step if growing else step // 2
        else:
            step, growing = count // 2, False
    return at
