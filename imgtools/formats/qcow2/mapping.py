"""From guest offsets to what lies there: the L1 table, the L2 tables, and runs over them.

Specification: qcow2, "Cluster mapping". An L1 entry points to an L2 table of one cluster; an L2 entry says:

    0                          nothing here: read from the backing file, or zeroes
    offset | COPIED            a cluster of data that only this entry refers to: may be written in place
    offset                     a cluster that snapshots share: copy before writing
    ZERO_FLAG [| offset ...]   reads as zeroes; the offset, if any, is space kept for later (version 3)
    COMPRESSED | ...           a compressed cluster; see `compression`

In an image with an external data file, data lies there, at the guest's own offset, and is not shared: COPIED alone
is the first cluster. Extended entries, with a bitmap of subclusters each, are in `subclusters`.

L2 tables are held as arrays in the host's byte order, a bounded number of them. Readers look them up without
a lock; loading and evicting happen under `lock`, which a writer holds from its look-up until the table is
marked dirty, so that no changed table is ever dropped.
"""

from __future__ import annotations

import sys
from array import array

from imgtools.block.extent import COMPRESSED as COMPRESSED_KIND
from imgtools.block.extent import DATA, HOLE, ZERO
from imgtools.errors import CorruptImage
from imgtools.formats.qcow2.header import DATA_FILE, EXTENDED_L2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import RLock
    from collections.abc import Callable, Iterator

    from imgtools.block.node import Storage
    from imgtools.formats.qcow2.header import Header
    from imgtools.formats.qcow2.irregular import Runs
    from imgtools.formats.qcow2.ramp import Ramp

COPIED = 1 << 63
COMPRESSED = 1 << 62
ZERO_FLAG = 1
OFFSET_MASK = 0x00FF_FFFF_FFFF_FE00
NOWHERE = -1
"""The host offset of a run that has no place."""

CACHE_BYTES = 32 << 20
"""L2 tables held in memory: as much as QEMU's default, enough for 256 GiB at 64 KiB clusters."""

ENTRIES_WITHOUT_NUMPY = 200_000
"""Looking at this many entries in Python takes as long as importing numpy."""

LITTLE = sys.byteorder == "little"


def to_native(data: bytes) -> array[int]:
    """Big-endian 64-bit integers as an array."""
    values = array("Q", data)
    if LITTLE:
        values.byteswap()
    return values


def to_disk(values: array[int]) -> bytes:
    """An array of 64-bit integers as it stands on disk."""
    if LITTLE:
        values = values[:]
        values.byteswap()
    return values.tobytes()


def read_table(storage: Storage, offset: int, length: int) -> array[int]:
    """The table in `length` bytes at `offset`, a multiple of 8; zeroes where the file ends before it does."""
    return to_native(storage.read_whole(offset, length))


class Mapping:
    """The active L1 table and its L2 tables. Version 2 knows no zero flag."""

    has_zero_flag = True
    """Whether entries of this form have one from version 3 on."""

    def __init__(self, storage: Storage, header: Header, lock: RLock) -> None:
        self.storage = storage
        self.lock = lock
        self.cluster_bits = header.cluster_bits
        self.cluster_size = header.cluster_size
        self.entries = header.cluster_size >> header.entry_bits
        self.span_bits = header.span_bits
        """log2 of the guest bytes that one L2 table covers."""
        self.zero_flag = ZERO_FLAG if header.version >= 3 and self.has_zero_flag else 0
        self.external = bool(header.incompatible & DATA_FILE)
        """Whether guest data lies in an external data file."""
        self.place_mask = OFFSET_MASK | COPIED if self.external else OFFSET_MASK
        """The bits of an entry of which one is set where it has a place for data."""
        self.l1 = read_table(storage, header.l1_table_offset, header.l1_size * 8)
        self.tables: dict[int, array[int]] = {}
        self.dirty: set[int] = set()
        self.l1_dirty = False
        self.pinned = -1
        """The table that a writer is about to change: not to be evicted."""
        self.max_tables = max(8, CACHE_BYTES // header.cluster_size)
        self.relieve: Callable[[], None] = lambda: None
        """Writes the dirty tables back; called when most of what is cached is dirty."""
        self._empty = array("Q", bytes(8 * self.entries))
        self._ramp: Ramp | None = None
        self._irregular = 0
        """Entries that were looked at one by one."""

    def table(self, index: int) -> array[int] | None:
        """The L2 table behind L1 entry `index`; None where there is none."""
        table = self.tables.get(index)
        if table is not None:
            return table
        if index >= len(self.l1) or not self.l1[index] & OFFSET_MASK:
            return None
        with self.lock:
            table = self.tables.get(index)
            if table is None:
                table = self._load(index)
                self.hold(index, table)
        return table

    def hold(self, index: int, table: array[int]) -> None:
        """Put a table into the cache, making room where it is full. Call with the lock held."""
        if len(self.tables) >= self.max_tables:
            if len(self.dirty) > self.max_tables // 2:
                self.relieve()
            clean = [held for held in self.tables if held not in self.dirty and held != self.pinned]
            for held in clean[: max(1, len(clean) // 4)]:
                del self.tables[held]
        self.tables[index] = table

    def _load(self, index: int) -> array[int]:
        offset = self.l1[index] & OFFSET_MASK
        if offset & (self.cluster_size - 1):
            raise CorruptImage(
                f"L2 table offset {offset:#x} unaligned (L1 index: {index:#x})",
                path=self.storage.filename,
                offset=offset,
                structure="L1 table",
                hint="imgtools check tells what else is damaged.",
            )
        self.storage.event("l2_load")
        return self.read(offset)

    # The form of an L2 table, which `subclusters` has another of.

    def read(self, offset: int) -> array[int]:
        """The L2 table at `offset` of the file."""
        return read_table(self.storage, offset, self.cluster_size)

    def encode(self, table: array[int]) -> bytes:
        """An L2 table as it stands on disk."""
        return to_disk(table)

    def copy(self, table: array[int] | None) -> array[int]:
        """A copy of an L2 table, or an empty one."""
        return self._empty[:] if table is None else table[:]

    def faults(self, table: array[int]) -> dict[int, str]:
        """What contradicts itself in an L2 table, by entry, in the words of `check`."""
        return {}

    # Looking up.

    def entry(self, offset: int) -> int:
        """The L2 entry of the cluster at guest `offset`."""
        table = self.table(offset >> self.span_bits)
        return 0 if table is None else table[(offset >> self.cluster_bits) & (self.entries - 1)]

    def runs(self, offset: int, end: int) -> Iterator[tuple[int, int, str, int]]:
        """(start, end, kind, host) over [offset, end): host is the offset of data in the file, or of the place that
        zeroes keep, NOWHERE without any, or the entry itself for a compressed cluster; kind HOLE is "not in this
        layer". Neighbours may be of one kind."""
        for start, stop, table in self.spans(offset, end):
            if table is None:
                yield start, stop, HOLE, NOWHERE
            else:
                yield from self.table_runs(table, start >> self.span_bits, start, stop)

    def spans(self, offset: int, end: int) -> Iterator[tuple[int, int, array[int] | None]]:
        """(start, end, table) over [offset, end): the part of a table, or as much as is in no table."""
        while offset < end:
            index = offset >> self.span_bits
            stop = min(end, (index + 1) << self.span_bits)
            table = self.table(index)
            if table is None:
                while stop < end and (index + 1 < len(self.l1)) and not self.l1[index + 1] & OFFSET_MASK:
                    index += 1
                    stop = min(end, (index + 1) << self.span_bits)
                if index + 1 >= len(self.l1):
                    stop = end
            yield offset, stop, table
            offset = stop

    def table_runs(self, table: array[int], index: int, offset: int, end: int) -> Iterator[tuple[int, int, str, int]]:
        bits, size = self.cluster_bits, self.cluster_size
        base = index << self.span_bits
        first = (offset - base) >> bits
        last = (end - base + size - 1) >> bits
        if last - first == self.entries and (whole := self.whole_table(table)):
            kind, host = whole
            yield offset, end, kind, self.check_entry(host, base) + (offset - base) if kind == DATA else host
            return
        if last - first == self.entries and (many := self.irregular_runs(table, base)):
            from imgtools.formats.qcow2.irregular import one_by_one

            yield from one_by_one(many)
            return
        within = offset & (size - 1)
        zero_flag, place_mask = self.zero_flag, self.place_mask
        i = first
        while i < last:
            entry = table[i]
            j = i + 1
            guest = base + (i << bits)
            if not entry:
                while j < last and not table[j]:
                    j += 1
                kind, host = HOLE, NOWHERE
            elif entry & COMPRESSED:
                kind, host = COMPRESSED_KIND, self.check_compressed(entry, guest)
            elif not entry & place_mask:
                kind, host = (ZERO if entry & zero_flag else HOLE), NOWHERE
                while j < last and table[j] == entry:
                    j += 1
            else:
                kind = ZERO if entry & zero_flag else DATA
                host = self.check_entry(entry, guest) + within
                following = (entry & ~COPIED) + size
                while j < last and table[j] & ~COPIED == following:
                    following += size
                    j += 1
            stop = base + (j << bits)
            yield guest + within, min(stop, end), kind, host
            within = 0
            i = j

    def whole_table(self, table: array[int]) -> tuple[str, int] | None:
        """(kind, host) where the whole table is empty, or one run of data in clusters of its own."""
        if table == self._empty:
            return HOLE, NOWHERE
        first = table[0]
        plain = first & OFFSET_MASK & -self.cluster_size
        if first != plain | COPIED or not plain or table[-1] != first + ((self.entries - 1) << self.cluster_bits):
            return None
        if self._ramp is None:
            from imgtools.formats.qcow2.ramp import Ramp

            self._ramp = Ramp(self.cluster_size)
        return (DATA, plain) if self._ramp.matches(table, first) else None

    def irregular_runs(self, table: array[int], base: int, without_numpy: int = ENTRIES_WITHOUT_NUMPY) -> Runs | None:
        """The runs of a table by numpy, once there are so many entries to look at that importing it pays."""
        self._irregular += self.entries
        if self._irregular < without_numpy or self.external:
            return None
        from imgtools.formats.qcow2.irregular import irregular_runs

        return irregular_runs(table, base, self.cluster_bits, self.zero_flag)

    def check_entry(self, entry: int, guest: int) -> int:
        """The host offset in the entry of a guest cluster; raises CorruptImage where no data can lie there."""
        host = entry & OFFSET_MASK
        if host & (self.cluster_size - 1):
            raise self.damaged(f"Cluster allocation offset {host:#x} unaligned (guest offset: {guest:#x})", host)
        if self.external and host != guest:
            raise self.damaged(
                f"External data file host cluster offset {host:#x} does not match guest cluster offset: {guest:#x}",
                host,
            )
        return host

    def check_compressed(self, entry: int, guest: int) -> int:
        """The entry of a compressed cluster; raises CorruptImage where there can be none."""
        if self.external:
            raise self.damaged(
                f"Compressed cluster entry found in image with external data file (guest offset: {guest:#x})", guest
            )
        return entry

    def damaged(self, message: str, offset: int) -> CorruptImage:
        """The error for an entry that must not be."""
        return CorruptImage(
            message,
            path=self.storage.filename,
            offset=offset,
            structure="L2 table",
            hint="imgtools check tells what else is damaged.",
        )

    def write_tables(self) -> None:
        """Write the dirty L2 tables where the L1 table says they are."""
        for index in sorted(self.dirty):
            self.storage.event("l2_update")
            self.storage.write(self.l1[index] & OFFSET_MASK, self.encode(self.tables[index]))
        self.dirty.clear()

    def write_l1(self, offset: int) -> None:
        """Write the L1 table at `offset` of the file."""
        self.storage.event("l1_update")
        self.storage.write(offset, to_disk(self.l1))
        self.l1_dirty = False


def make_mapping(storage: Storage, header: Header, lock: RLock) -> Mapping:
    """The tables of an image, in the form that their entries have."""
    if header.incompatible & EXTENDED_L2:
        from imgtools.formats.qcow2.subclusters import SubclusterMapping

        return SubclusterMapping(storage, header, lock)
    return Mapping(storage, header, lock)
