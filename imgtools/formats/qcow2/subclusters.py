"""Extended L2 entries: clusters of 32 subclusters, each written, zeroed or left to the backing file on its own.

Specification: qcow2, "Extended L2 Entries". An entry has 128 bits: the usual 64, without the zero flag, and a bitmap.
Its low half says which subclusters hold data (in a cluster that has a place), its high half which read as zeroes; a
subcluster with neither is read from the backing file. Both at once, or data without a place, is damage. A
compressed cluster has no subclusters.

In memory a table is an array of the usual halves, so that all code for places, counts and flags serves both kinds of
image, with the bitmaps in an array beside it.
"""

from __future__ import annotations

from array import array

from imgtools.block.extent import COMPRESSED as COMPRESSED_KIND
from imgtools.block.extent import DATA, HOLE, ZERO
from imgtools.formats.qcow2.mapping import COMPRESSED, COPIED, NOWHERE, OFFSET_MASK, Mapping, read_table, to_disk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import RLock
    from collections.abc import Iterator

    from imgtools.block.node import Storage
    from imgtools.formats.qcow2.header import Header

    Entries = array[int]
else:
    Entries = array  # Python 3.11 takes no parameter there

SUBCLUSTERS = 32
SUBCLUSTER_BITS = 5
WRITTEN = (1 << SUBCLUSTERS) - 1
"""The bitmap of a cluster that is data from end to end; shifted by SUBCLUSTERS, that of one which is all zeroes."""
ALL_ZERO = WRITTEN << SUBCLUSTERS


class SubclusterTable(Entries):
    """An L2 table: the usual halves of its entries, and their bitmaps."""

    bitmaps: array[int]


def make_table(entries: array[int], bitmaps: array[int]) -> SubclusterTable:
    table = SubclusterTable("Q", entries)
    table.bitmaps = bitmaps
    return table


def touched(first: int, last: int) -> int:
    """The bits of subclusters [first, last) in the low half of a bitmap."""
    return (1 << last) - (1 << first)


def pieces(bitmap: int) -> Iterator[tuple[int, int, str]]:
    """(first, last, kind) of the runs of subclusters of a sound bitmap."""
    written, zero = bitmap & WRITTEN, bitmap >> SUBCLUSTERS
    position = 0
    while position < SUBCLUSTERS:
        if zero >> position & 1:
            kind, alike = ZERO, zero
        elif written >> position & 1:
            kind, alike = DATA, written
        else:
            kind, alike = HOLE, ~(written | zero) & WRITTEN
        ahead = ~(alike >> position)
        count = (ahead & -ahead).bit_length() - 1
        yield position, position + count, kind
        position += count


class SubclusterMapping(Mapping):
    """The tables of an image with extended L2 entries."""

    has_zero_flag = False

    def __init__(self, storage: Storage, header: Header, lock: RLock) -> None:
        super().__init__(storage, header, lock)
        self.subcluster_bits = self.cluster_bits - SUBCLUSTER_BITS
        self._all_written = array("Q", [WRITTEN]) * self.entries

    def read(self, offset: int) -> array[int]:
        halves = read_table(self.storage, offset, self.cluster_size)
        return make_table(halves[0::2], halves[1::2])

    def encode(self, table: array[int]) -> bytes:
        halves = array("Q", bytes(self.cluster_size))
        halves[0::2] = table[:]
        halves[1::2] = bitmaps_of(table)
        return to_disk(halves)

    def copy(self, table: array[int] | None) -> array[int]:
        if table is None:
            return make_table(self._empty, self._empty[:])
        return make_table(table, bitmaps_of(table)[:])

    def faults(self, table: array[int]) -> dict[int, str]:
        found = {}
        for position, (entry, bitmap) in enumerate(zip(table, bitmaps_of(table), strict=True)):
            if not bitmap:
                continue
            if entry & COMPRESSED:
                found[position] = (
                    f"ERROR compressed cluster {position} with non-zero subcluster allocation bitmap, entry=0x{entry:x}"
                )
            elif not entry & self.place_mask and bitmap & WRITTEN:
                found[position] = "ERROR: Unallocated cluster has non-zero subcluster allocation map"
            elif bitmap & bitmap >> SUBCLUSTERS:
                host = entry & OFFSET_MASK
                found[position] = f"ERROR offset={host:x}: Allocated cluster has corrupted subcluster allocation bitmap"
        return found

    def whole_table(self, table: array[int]) -> tuple[str, int] | None:
        bitmaps = bitmaps_of(table)
        if bitmaps != (self._empty if table == self._empty else self._all_written):
            return None
        return super().whole_table(table)

    def table_runs(self, table: array[int], index: int, offset: int, end: int) -> Iterator[tuple[int, int, str, int]]:
        base, size = index << self.span_bits, self.cluster_size
        if end - offset == 1 << self.span_bits and (whole := self.whole_table(table)):
            kind, host = whole
            yield offset, end, kind, self.check_entry(host, base) if kind == DATA else host
            return
        bitmaps = bitmaps_of(table)
        i = (offset - base) >> self.cluster_bits
        last = (end - base + size - 1) >> self.cluster_bits
        while i < last:
            j = i + 1
            entry, bitmap, guest = table[i], bitmaps[i], base + (i << self.cluster_bits)
            within = max(0, offset - guest)
            if entry & COMPRESSED:
                yield guest + within, min(guest + size, end), COMPRESSED_KIND, self.check_compressed(entry, guest)
            elif bitmap == WRITTEN and entry & self.place_mask:
                following = (entry & ~COPIED) + size
                while j < last and table[j] & ~COPIED == following and bitmaps[j] == WRITTEN:
                    following += size
                    j += 1
                stop = base + (j << self.cluster_bits)
                yield guest + within, min(stop, end), DATA, self.check_entry(entry, guest) + within
            elif not entry and bitmap in (0, ALL_ZERO):
                while j < last and not table[j] and bitmaps[j] == bitmap:
                    j += 1
                stop = base + (j << self.cluster_bits)
                yield guest + within, min(stop, end), ZERO if bitmap else HOLE, NOWHERE
            else:
                yield from self._mixed(entry, bitmap, guest, max(offset, guest), min(end, guest + size))
            i = j

    def _mixed(self, entry: int, bitmap: int, guest: int, offset: int, end: int) -> Iterator[tuple[int, int, str, int]]:
        """The runs within one cluster."""
        has_place = bool(entry & self.place_mask)
        if bitmap & bitmap >> SUBCLUSTERS & WRITTEN or (bitmap & WRITTEN and not has_place):
            raise self.damaged(f"Invalid cluster entry found (guest offset: {guest:#x})", guest)
        host = self.check_entry(entry, guest) if has_place else 0
        for first, last, kind in pieces(bitmap):
            start = max(offset, guest + (first << self.subcluster_bits))
            stop = min(end, guest + (last << self.subcluster_bits))
            if start < stop:
                yield start, stop, kind, host + start - guest if has_place else NOWHERE


def bitmaps_of(table: array[int]) -> array[int]:
    """The bitmaps of a table, which all tables of such an image have."""
    assert isinstance(table, SubclusterTable)
    return table.bitmaps
