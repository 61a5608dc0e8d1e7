"""Grains: how a sparse extent finds its bytes.

The grain directory has an entry for each grain table (0: the table does not exist), a grain table one for
each grain: the sector where the grain lies, 0 for "not in this layer", or 1 for "reads as zeroes" in images
that have zeroed grains. (VMware's "Virtual Disk Format 5.0", "Hosted Sparse Extents".)

Tables are read whole, several in one go where they lie side by side, and kept in a bounded cache. Readers
look into it without a lock: tables in the cache change by assignments of entries only, which are atomic.
A table without any grain is not kept; `empty` stands in for all of those.
"""

from __future__ import annotations

import sys
from _thread import RLock
from array import array

from imgtools.align import div_up
from imgtools.block.extent import DATA, HOLE, ZERO, Extent
from imgtools.block.node import fill_zero
from imgtools.errors import CorruptImage, OutOfBounds
from imgtools.formats.tables import to_native
from imgtools.formats.vmdk.extents import SECTOR, DiskExtent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgtools.block.node import Storage

UNALLOCATED, ZEROED = 0, 1
"""The two grain table entries that are no place."""

MAX_GRAIN_SECTORS = 0x200000
"""1 GiB, QEMU's limit; real grains have 64 KiB."""
MAX_DIRECTORY_ENTRIES = 8 << 20
"""A directory of 32 MiB, read when the image is opened: 256 TiB in grains of 64 KiB."""
CACHE_SIZE = 8 << 20
"""Bytes of grain tables held in memory: for 128 GiB of disk in grains of 64 KiB."""
BATCH_SIZE = 512 << 10
"""Bytes of grain tables read in one go when a long range is looked at."""


def read_array(storage: Storage, sector: int, entries: int, structure: str, typecode: str = "I") -> array[int]:
    """A table of `entries` integers at `sector`, all of which must lie inside the file."""
    start, length = sector * SECTOR, entries * array(typecode).itemsize
    if sector == 0 or start + length > storage.size:
        raise CorruptImage(
            f"the {structure} lies outside of the file '{storage.filename}'",
            path=storage.filename,
            offset=start,
            structure=structure,
        )
    return to_native(storage.read(start, length), typecode, big=False)


def table_runs(table: array[int], first: int, last: int, step: int) -> Iterator[tuple[int, int, int]]:
    """(position, count, entry) of the runs in a grain table: equal entries 0 or 1, or grains that lie side by side."""
    while first < last:
        entry = table[first]
        stride = step if entry > ZEROED else 0
        stop, expected = first + 1, entry + stride
        if stop < last and table[stop] == expected:
            # One run up to the end is by far the commonest, and its last entry gives it away.
            if table[last - 1] == entry + stride * (last - 1 - first) and _is_run(table, first, last, stride):
                stop = last
            while stop < last and table[stop] == expected:
                stop += 1
                expected += stride
        yield first, stop - first, entry
        first = stop


def _is_run(table: array[int], first: int, last: int, stride: int) -> bool:
    """Whether the entries from `first` on rise by `stride`; the one before `last` is known to have the right value."""
    entry, count = table[first], last - first
    if count < len(table):
        return table[first:last] == run_of(table.typecode, entry, count, stride)
    # A whole table is compared as one large number, which takes a fifth of the time.
    ones, ramp = _numbers(table.typecode, count, stride)
    return int.from_bytes(table.tobytes(), sys.byteorder) == entry * ones + ramp


def _numbers(typecode: str, count: int, stride: int) -> tuple[int, ...]:
    """Tables of all ones, and of 0, stride, 2 * stride ..., as large numbers."""
    key = typecode, count, stride
    if key not in _known_numbers:
        _known_numbers.clear()
        ones, ramp = run_of(typecode, 1, count, 0), run_of(typecode, 0, count, stride)
        _known_numbers[key] = tuple(int.from_bytes(table.tobytes(), sys.byteorder) for table in (ones, ramp))
    return _known_numbers[key]


_known_numbers: dict[tuple[str, int, int], tuple[int, ...]] = {}


def run_of(typecode: str, entry: int, count: int, stride: int) -> array[int]:
    """The entries of `count` grains that lie side by side, or, with a stride of 0, of equal ones."""
    if stride:
        return array(typecode, range(entry, entry + count * stride, stride))
    return array(typecode, (entry,)) * count


class GrainExtent(DiskExtent):
    """An extent of grains, for reading. `directory` holds the sector of each grain table (0: none)."""

    storage: Storage
    typecode = "I"

    def __init__(
        self,
        storage: Storage,
        *,
        capacity: int,
        grain_sectors: int,
        table_entries: int,
        directory: array[int],
        zeroed_grains: bool,
    ) -> None:
        super().__init__(storage, capacity * SECTOR)
        self.grain_sectors = grain_sectors
        self.grain: int = grain_sectors * SECTOR
        self.grains = div_up(capacity, grain_sectors)
        self.table_entries = table_entries
        self.directory = directory
        self.zeroed_grains = zeroed_grains
        self.lock = RLock()
        self.empty = run_of(self.typecode, UNALLOCATED, table_entries, 0)
        self.table_size = self.empty.itemsize * table_entries
        self.tables: dict[int, array[int]] = {}
        self.max_tables = max(16, CACHE_SIZE // self.table_size)

    # Where grains lie.

    def table(self, index: int, last: int | None = None) -> array[int]:
        """Grain table `index`, which exists; where it must be read, others before `last` are read with it."""
        return self.tables.get(index) or self._load(index, index + 1 if last is None else last)

    def _load(self, index: int, last: int) -> array[int]:
        with self.lock:
            held = self.tables.get(index)
            if held is not None:
                return held
            self.make_room()
            count = self._adjacent(index, last)
            sector, size = self.directory[index], self.table_size
            self._check_table_place(sector)
            data = self.storage.read(sector * SECTOR, count * size)
            nothing = bytes(size)
            for number in range(count):
                piece = data[number * size : (number + 1) * size]
                self.tables[index + number] = self.empty if piece == nothing else self.decode(piece)
            return self.tables[index]

    def _adjacent(self, index: int, last: int) -> int:
        """How many tables from `index` on, none of them held, lie side by side and wholly in the file."""
        step, odd = divmod(self.table_size, SECTOR)
        sector = self.directory[index]
        most = min(last - index, BATCH_SIZE // self.table_size, self.max_tables // 2)
        most = min(most, (self.storage.size - sector * SECTOR) // self.table_size)
        count = 1
        while count < most and not odd and self.directory[index + count] == sector + count * step:
            if index + count in self.tables:
                break
            count += 1
        return count

    def _check_table_place(self, sector: int) -> None:
        if sector * SECTOR + self.table_size > self.storage.size:
            raise CorruptImage(
                f"a grain table lies past the end of '{self.path}'",
                path=self.path,
                offset=sector * SECTOR,
                structure="grain directory",
            )

    def decode(self, data: bytes) -> array[int]:
        """The entries of the table in `data`."""
        return to_native(data, "I", big=False)

    def make_room(self) -> None:
        """Let go of the tables that were read longest ago if there are too many."""
        if len(self.tables) >= self.max_tables:
            for index in list(self.tables)[: self.max_tables // 2]:
                del self.tables[index]

    def runs(self, first: int, last: int) -> Iterator[tuple[int, int, int]]:
        """(grain, count, entry) for the grains in [first, last): runs as `table_runs` has them, across tables."""
        step = self.grain_sectors
        grain, count, entry, expected = first, 0, UNALLOCATED, UNALLOCATED
        for number, value in self._table_by_table(first, last):
            if value == expected:
                count += number
            else:
                if count:
                    yield grain, count, entry
                    grain += count
                count, entry, expected = number, value, value
            if value > ZEROED:
                expected += number * step
        if count:
            yield grain, count, entry

    def _table_by_table(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """(count, entry) of runs that end with their table, unless there is nothing in several."""
        per, directory, tables, empty = self.table_entries, self.directory, self.tables, self.empty
        last_table = div_up(last, per)
        while first < last:
            index, position = divmod(first, per)
            table = self.table(index, last_table) if directory[index] else empty
            if table is empty:
                index += 1
                while index < last_table and (not directory[index] or tables.get(index) is empty):
                    index += 1
                stop = min(last, index * per)
                yield stop - first, UNALLOCATED
                first = stop
                continue
            stop = min(per, position + last - first)
            for _, count, entry in table_runs(table, position, stop, self.grain_sectors):
                yield count, entry
            first += stop - position

    def entry(self, grain: int) -> int:
        """The grain table's entry for one grain."""
        index, position = divmod(grain, self.table_entries)
        table = self.tables.get(index)
        if table is None:
            if not self.directory[index]:
                return UNALLOCATED
            table = self._load(index, index + 1)
        return table[position]

    def byte_runs(self, offset: int, length: int) -> Iterator[tuple[int, int, int, int]]:
        """(start, stop, entry, grain) for the range: runs cut to its bytes, and the first grain of each."""
        end, size = offset + length, self.grain
        for grain, count, entry in self.runs(offset // size, div_up(end, size)):
            start, stop = grain * size, (grain + count) * size
            yield start if start > offset else offset, stop if stop < end else end, entry, grain

    # The verbs.

    def layer_extents(self, offset: int, length: int) -> Iterator[Extent]:
        base, storage = self.start, self.storage
        for start, stop, entry, grain in self.byte_runs(offset, length):
            if entry > ZEROED:
                place = self.place(entry, grain, start, stop)
                yield Extent(base + start, stop - start, DATA, 0, storage, place)
            elif entry == UNALLOCATED:
                yield Extent(base + start, stop - start, HOLE)
            else:
                self.check_zeroed(grain)
                yield Extent(base + start, stop - start, ZERO)

    def readinto(self, offset: int, buffer: memoryview) -> None:
        length = len(buffer)
        grain, within = divmod(offset, self.grain)
        if within + length <= self.grain:
            self.read_run(offset, buffer, self.entry(grain), grain)
            return
        for start, stop, entry, grain in self.byte_runs(offset, length):
            self.read_run(start, buffer[start - offset : stop - offset], entry, grain)

    def read_run(self, offset: int, buffer: memoryview, entry: int, grain: int) -> None:
        """Fill `buffer` with what is at `offset`, in a run that has `entry` at its first grain."""
        if entry > ZEROED:
            self.storage.readinto(self.place(entry, grain, offset, offset + len(buffer)), buffer)
        elif entry == UNALLOCATED:
            self.disk.read_below(self.start + offset, buffer)
        else:
            self.check_zeroed(grain)
            fill_zero(buffer)

    def place(self, entry: int, grain: int, start: int, stop: int) -> int:
        """Where the bytes [start, stop) of a run lie in the file, whose end may cut its last grain but no other."""
        base = entry * SECTOR - grain * self.grain
        if base + stop > self.storage.size and base + (stop - 1) // self.grain * self.grain >= self.storage.size:
            wrong = (stop - 1) // self.grain
            raise self.damaged(f"grain {wrong} lies past the end of '{self.path}'", wrong)
        return base + start

    # What is wrong.

    def check_zeroed(self, grain: int) -> None:
        """Raise if entry 1 has no business in this image: there it would point into the metadata."""
        if not self.zeroed_grains:
            raise self.damaged(f"grain {grain} lies in the metadata of '{self.path}'", grain)

    def damaged(self, message: str, grain: int) -> CorruptImage:
        """The error for a grain table entry that cannot be."""
        index, position = divmod(grain, self.table_entries)
        offset = self.directory[index] * SECTOR + position * self.empty.itemsize
        return CorruptImage(message, path=self.path, offset=offset, structure="grain table")


def check_geometry(path: str, *, capacity: int, grain_sectors: int, table_entries: int) -> int:
    """How many entries the grain directory of such an extent has; raises where a size is out of bounds."""
    if not 0 < grain_sectors <= MAX_GRAIN_SECTORS:
        raise OutOfBounds("Invalid granularity, image may be corrupt", path=path, structure="header")
    entries = div_up(capacity, grain_sectors * table_entries)
    if entries > MAX_DIRECTORY_ENTRIES:
        raise OutOfBounds(
            "L1 size too big",
            path=path,
            structure="header",
            hint=f"The grain directory would have {entries} entries; at most {MAX_DIRECTORY_ENTRIES} are read.",
        )
    return entries
