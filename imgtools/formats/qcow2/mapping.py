"""From guest offsets to what lies there: the L1 table, the L2 tables, and runs over them.

Specification: qcow2, "Cluster mapping". An L1 entry points to an L2 table of one cluster; an L2 entry says:

    0                          nothing here: read from the backing file, or zeroes
    offset | COPIED            a cluster of data that only this entry refers to: may be written in place
    offset                     a cluster that snapshots share: copy before writing
    ZERO_FLAG [| offset ...]   reads as zeroes; the offset, if any, is space kept for later (version 3)
    COMPRESSED | ...           a compressed cluster; see `compression`

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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import RLock
    from collections.abc import Callable, Iterator

    from imgtools.block.node import Storage
    from imgtools.formats.qcow2.header import Header
    from imgtools.formats.qcow2.ramp import Ramp

COPIED = 1 << 63
COMPRESSED = 1 << 62
ZERO_FLAG = 1
OFFSET_MASK = 0x00FF_FFFF_FFFF_FE00

CACHE_BYTES = 32 << 20
"""L2 tables held in memory: as much as QEMU's default, enough for 256 GiB at 64 KiB clusters."""

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


class Mapping:
    """The active L1 table and its L2 tables. `version` 2 knows no zero flag."""

    def __init__(self, storage: Storage, header: Header, lock: RLock) -> None:
        self.storage = storage
        self.lock = lock
        self.cluster_bits = header.cluster_bits
        self.cluster_size = header.cluster_size
        self.entries = header.cluster_size // 8
        self.span_bits = 2 * header.cluster_bits - 3
        """log2 of the guest bytes that one L2 table covers."""
        self.zero_flag = ZERO_FLAG if header.version >= 3 else 0
        data = storage.read(header.l1_table_offset, header.l1_size * 8)
        self.l1 = to_native(data + bytes(header.l1_size * 8 - len(data)))
        self.tables: dict[int, array[int]] = {}
        self.dirty: set[int] = set()
        self.l1_dirty = False
        self.pinned = -1
        """The table that a writer is about to change: not to be evicted."""
        self.max_tables = max(8, CACHE_BYTES // header.cluster_size)
        self.relieve: Callable[[], None] = lambda: None
        """Writes the dirty tables back; called when most of what is cached is dirty."""
        self._empty = array("Q", bytes(header.cluster_size))
        self._ramp: Ramp | None = None

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
        data = self.storage.read(offset, self.cluster_size)
        return to_native(data + bytes(self.cluster_size - len(data)))

    def entry(self, offset: int) -> int:
        """The L2 entry of the cluster at guest `offset`."""
        table = self.table(offset >> self.span_bits)
        return 0 if table is None else table[(offset >> self.cluster_bits) & (self.entries - 1)]

    def runs(self, offset: int, end: int) -> Iterator[tuple[int, int, str, int]]:
        """(start, end, kind, host) over [offset, end): host is the offset of data in the file, or the entry
        itself for a compressed cluster; kind HOLE is "not in this layer". Neighbours may be of one kind."""
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
                yield offset, stop, HOLE, 0
            else:
                yield from self._table_runs(table, index, offset, stop)
            offset = stop

    def _table_runs(self, table: array[int], index: int, offset: int, end: int) -> Iterator[tuple[int, int, str, int]]:
        bits, size = self.cluster_bits, self.cluster_size
        base = index << self.span_bits
        first = (offset - base) >> bits
        last = (end - base + size - 1) >> bits
        if last - first == self.entries and (whole := self.whole_table(table)):
            kind, host = whole
            yield offset, end, kind, host + (offset - base) if host else 0
            return
        within = offset & (size - 1)
        zero_flag = self.zero_flag
        i = first
        while i < last:
            entry = table[i]
            j = i + 1
            start = base + (i << bits) + within
            if not entry:
                while j < last and not table[j]:
                    j += 1
                kind, host = HOLE, 0
            elif entry & COMPRESSED:
                kind, host = COMPRESSED_KIND, entry
            elif entry & zero_flag:
                while j < last and table[j] & (COMPRESSED | ZERO_FLAG) == ZERO_FLAG:
                    j += 1
                kind, host = ZERO, 0
            else:
                host = self.check_entry(entry, base + (i << bits)) + within
                kind = DATA if host else HOLE
                following = (entry & ~COPIED) + size
                while j < last and table[j] & ~COPIED == following:
                    following += size
                    j += 1
            stop = base + (j << bits)
            yield start, min(stop, end), kind, host
            within = 0
            i = j

    def whole_table(self, table: array[int]) -> tuple[str, int] | None:
        """(kind, host) where the whole table is empty, or one run of data in clusters of its own."""
        if table == self._empty:
            return HOLE, 0
        first = table[0]
        plain = first & OFFSET_MASK
        if first != plain | COPIED or not plain or table[-1] != first + ((self.entries - 1) << self.cluster_bits):
            return None
        if self._ramp is None:
            from imgtools.formats.qcow2.ramp import Ramp

            self._ramp = Ramp(self.cluster_size)
        return (DATA, self.check_entry(first, 0)) if self._ramp.matches(table, first) else None

    def check_entry(self, entry: int, guest: int) -> int:
        """The host offset in a data entry; raises CorruptImage where it is not that of a cluster."""
        host = entry & OFFSET_MASK
        if host & (self.cluster_size - 1):
            raise CorruptImage(
                f"Cluster allocation offset {host:#x} unaligned (guest offset: {guest:#x})",
                path=self.storage.filename,
                offset=host,
                structure="L2 table",
                hint="imgtools check tells what else is damaged.",
            )
        return host

    def write_tables(self) -> None:
        """Write the dirty L2 tables where the L1 table says they are."""
        for index in sorted(self.dirty):
            self.storage.write(self.l1[index] & OFFSET_MASK, to_disk(self.tables[index]))
        self.dirty.clear()

    def write_l1(self, offset: int) -> None:
        """Write the L1 table at `offset` of the file."""
        self.storage.write(offset, to_disk(self.l1))
        self.l1_dirty = False
