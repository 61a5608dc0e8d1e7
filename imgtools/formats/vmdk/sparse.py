"""Sparse extents that can be written: hosted sparse ("KDMV"), as in monolithicSparse and twoGbMaxExtentSparse.

VMware's "Virtual Disk Format 5.0", "Hosted Sparse Extents". Invariants:

- Grains are added at the end of the file only, and the space of a grain that became a zeroed one is not used
  again: whoever still holds its old place reads zeroes, never another grain's bytes.
- A grain's bytes are in the file before a table points to them: tables change in memory and are written by
  `write_back`, behind a flush of the data; the redundant tables first, those that readers use last.
- Nothing but `write_back` touches the metadata: a grain table entry that points into it is refused.
"""

from __future__ import annotations

from bisect import bisect_right

from imgtools.align import div_up, round_up
from imgtools.block.node import ZEROES
from imgtools.errors import CorruptImage, OutOfBounds
from imgtools.formats.tables import to_disk
from imgtools.formats.vmdk.extents import SECTOR
from imgtools.formats.vmdk.grains import (
    UNALLOCATED,
    ZEROED,
    GrainExtent,
    check_geometry,
    read_array,
    run_of,
    table_runs,
)
from imgtools.formats.vmdk.header import REDUNDANT_DIRECTORY, ZEROED_GRAINS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from typing import Any

    from imgtools.block.node import Buffer, Storage

MAX_SECTORS = 1 << 32
"""Grain table entries are 32-bit sector numbers: no grain can lie past 2 TiB."""
COPY_SIZE = 1 << 20
"""Bytes copied up from the backing file in one go."""
GATHERED_TABLES = 256
"""Grain tables written in one go, when they lie side by side."""


class SparseExtent(GrainExtent):
    """A hosted sparse extent, for reading and writing."""

    def __init__(self, storage: Storage, header: Any) -> None:
        entries = check_geometry(
            storage.filename,
            capacity=header.capacity,
            grain_sectors=header.grain_size,
            table_entries=header.gtes_per_gt,
        )
        super().__init__(
            storage,
            capacity=header.capacity,
            grain_sectors=header.grain_size,
            table_entries=header.gtes_per_gt,
            directory=read_array(storage, header.gd_offset, entries, "grain directory"),
            zeroed_grains=bool(header.flags & ZEROED_GRAINS),
        )
        self.header = header
        self.table_sectors = div_up(self.table_size, SECTOR)
        self.has_redundant = bool(header.flags & REDUNDANT_DIRECTORY and header.rgd_offset)
        self.redundant: array[int] | None = None
        self.dirty: set[int] = set()
        self.directory_changed = False
        self.next_sector = 0
        self.metadata: list[int] | None = None

    def read_redundant(self) -> array[int]:
        """The redundant grain directory."""
        return read_array(self.storage, self.header.rgd_offset, len(self.directory), "redundant grain directory")

    # Writing grains.

    def write(self, offset: int, data: Buffer) -> None:
        length = len(data)
        grain, within = divmod(offset, self.grain)
        if within + length <= self.grain and self.metadata is not None:
            entry = self.entry(grain)
            if entry > ZEROED:  # overwriting needs no lock
                self.storage.write(self._writable_place(entry, grain, offset, offset + length), data)
                return
        view = memoryview(data).cast("B")
        with self.lock:
            self.prepare()
            for start, stop, entry, grain in self.byte_runs(offset, length):
                piece = view[start - offset : stop - offset]
                if entry > ZEROED:
                    self.storage.write(self._writable_place(entry, grain, start, stop), piece)
                else:
                    self._allocate(entry, grain, start, piece)

    def _allocate(self, entry: int, grain: int, start: int, piece: memoryview) -> None:
        """Give the grains from `grain` on, as many as `piece` touches, a place; `piece` begins at byte `start`."""
        if entry == ZEROED:
            self.check_zeroed(grain)
        stop = start + len(piece)
        count = div_up(stop, self.grain) - grain
        sector = self._claim(count * self.grain_sectors, grain)
        base = sector * SECTOR - grain * self.grain
        if entry == UNALLOCATED:
            self._copy_up(grain * self.grain, start, base)
        self.storage.write(base + start, piece)
        if entry == UNALLOCATED:
            self._copy_up(stop, min((grain + count) * self.grain, self.length), base)
        self.next_sector = sector + count * self.grain_sectors
        self.store(grain, count, sector, self.grain_sectors)

    def _claim(self, sectors: int, grain: int) -> int:
        if self.next_sector + sectors > MAX_SECTORS:
            raise OutOfBounds(
                f"'{self.path}' is full: no grain can lie past 2 TiB",
                path=self.path,
                offset=self.start + grain * self.grain,
                structure="grain table",
            )
        return self.next_sector

    def _copy_up(self, start: int, stop: int, base: int) -> None:
        """Copy the bytes [start, stop) from the backing file to behind `base`; without one the file's hole will do."""
        if start == stop or not self.has_below(start):
            return
        buffer = bytearray(min(stop - start, COPY_SIZE))
        for position in range(start, stop, len(buffer)):
            piece = memoryview(buffer)[: stop - position]
            self.disk.read_below(self.start + position, piece)
            self.storage.write(base + position, piece)

    def has_below(self, offset: int) -> bool:
        """Whether there is a backing file that reaches beyond byte `offset`."""
        below = self.disk.backing
        return below is not None and self.start + offset < below.size

    # Zeroes.

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        with self.lock:
            self.prepare()
            for start, stop, entry, grain in self.byte_runs(offset, length):
                if entry == ZEROED:
                    self.check_zeroed(grain)
                elif entry > ZEROED:
                    self._zero_allocated(start, stop, entry, grain, unmap)
                elif self.has_below(start):
                    self._hide_below(start, stop)

    def _zero_allocated(self, start: int, stop: int, entry: int, grain: int, unmap: bool) -> None:
        place = self._writable_place(entry, grain, start, stop)
        if unmap and self.zeroed_grains:
            first, last = self._whole_grains(start, stop)
            if first < last:
                self.store(first, last - first, ZEROED, 0)
        self.storage.zero(place, stop - start, unmap=unmap)

    def _hide_below(self, start: int, stop: int) -> None:
        """Make a range that is not in this layer read as zeroes although the backing file has something there."""
        first, last = self._whole_grains(start, stop)
        if self.zeroed_grains and first < last:
            self.store(first, last - first, ZEROED, 0)
            self._write_zeroes(start, first * self.grain)
            self._write_zeroes(min(last * self.grain, stop), stop)
        else:
            self._write_zeroes(start, stop)

    def _whole_grains(self, start: int, stop: int) -> tuple[int, int]:
        """The grains that lie wholly in the range; the disk's last one may be short."""
        return div_up(start, self.grain), self.grains if stop == self.length else stop // self.grain

    def _write_zeroes(self, start: int, stop: int) -> None:
        while start < stop:
            piece = min(stop, round_up(start + 1, len(ZEROES))) - start
            self.write(start, ZEROES[:piece])
            start += piece

    def discard(self, offset: int, length: int) -> None:
        with self.lock:
            self.prepare()
            for start, stop, entry, grain in self.byte_runs(offset, length):
                if entry > ZEROED:
                    self.storage.discard(self._writable_place(entry, grain, start, stop), stop - start)

    # Tables.

    def store(self, grain: int, count: int, entry: int, stride: int) -> None:
        """Set the grain table entries of `count` grains to `entry`, rising by `stride`; in memory, for now."""
        while count:
            index, position = divmod(grain, self.table_entries)
            number = min(count, self.table_entries - position)
            self.table_to_change(index)[position : position + number] = run_of("I", entry, number, stride)
            grain += number
            count -= number
            entry += number * stride
        if len(self.dirty) > self.max_tables // 2:
            self.write_back()

    def table_to_change(self, index: int) -> array[int]:
        if not self.directory[index]:
            self._add_table(index)
        table = self.table(index)
        if table is self.empty:
            table = self.tables[index] = self.empty[:]
        self.dirty.add(index)
        return table

    def _add_table(self, index: int) -> None:
        """Reserve the space of a grain table that is not there yet, and of its redundant copy."""
        sectors = round_up(self.table_sectors * 2, self.grain_sectors)
        sector = self._claim(sectors, index * self.table_entries)
        self.next_sector += sectors
        self.storage.truncate(self.next_sector * SECTOR)
        self.directory[index] = sector
        if self.redundant is not None:
            self.redundant[index] = sector + self.table_sectors
        self.tables[index] = self.empty
        self.directory_changed = True
        self.metadata = self._map_metadata()

    def make_room(self) -> None:
        if len(self.tables) >= self.max_tables:
            clean = [index for index in self.tables if index not in self.dirty]
            for index in clean[: self.max_tables // 2]:
                del self.tables[index]

    def write_back(self) -> None:
        with self.lock:
            if not self.dirty:
                return
            if self.storage.size < self.end_sector() * SECTOR:
                self.storage.truncate(self.end_sector() * SECTOR)
            self.storage.flush()
            if self.redundant is not None:
                self._write_tables(self.redundant)
            self._write_tables(self.directory)
            if self.directory_changed:
                self.storage.flush()
                if self.redundant is not None:
                    self.storage.write(self.header.rgd_offset * SECTOR, to_disk(self.redundant, big=False))
                    self.storage.flush()
                self.storage.write(self.header.gd_offset * SECTOR, to_disk(self.directory, big=False))
                self.directory_changed = False
            self.dirty.clear()

    def end_sector(self) -> int:
        """Where the file ends: behind the last grain, although only a part of that may have been written."""
        return self.next_sector

    def _write_tables(self, directory: array[int]) -> None:
        """Write the changed tables to where `directory` has them, those that lie side by side in one go."""
        pieces: list[Buffer] = []
        start = 0
        for index in sorted(self.dirty):
            place = directory[index] * SECTOR
            if not place:
                continue  # a redundant directory may lack a table
            if pieces and (place != start + len(pieces) * self.table_size or len(pieces) == GATHERED_TABLES):
                self.storage.writev(start, pieces)
                pieces = []
            start = start if pieces else place
            pieces.append(to_disk(self.tables[index], big=False))
        if pieces:
            self.storage.writev(start, pieces)

    def flush(self) -> None:
        self.write_back()
        self.storage.flush()

    # What no write may touch.

    def prepare(self) -> None:
        """Before the first write: find the end of the file and the places of all metadata."""
        if self.metadata is not None:
            return
        if self.has_redundant:
            self.redundant = self.read_redundant()
        self.metadata = self._map_metadata()
        end = max(div_up(self.storage.size, SECTOR), self.metadata[-1])
        self.next_sector = round_up(end, self.grain_sectors)

    def _map_metadata(self) -> list[int]:
        """The borders of all pieces of metadata in sectors, ascending: begin, end, begin, end ..."""
        header, size = self.header, div_up(len(self.directory) * 4, SECTOR)
        pieces = [(0, 1), (header.descriptor_offset, header.descriptor_size), (header.gd_offset, size)]
        pieces += self._table_pieces(self.directory)
        if self.redundant is not None:
            pieces += [(header.rgd_offset, size), *self._table_pieces(self.redundant)]
        borders: list[int] = []
        for sector, sectors in sorted(piece for piece in pieces if piece[1]):
            if borders and sector < borders[-1]:
                raise CorruptImage(
                    f"the metadata of '{self.path}' overlap at sector {sector}",
                    path=self.path,
                    offset=sector * SECTOR,
                    structure="grain directory",
                    hint="The image can still be read; check it, or convert it to a new one.",
                )
            borders += (sector, sector + sectors)
        return borders

    def _table_pieces(self, directory: array[int]) -> list[tuple[int, int]]:
        """(sector, sectors) of the grain tables in `directory`, neighbours joined."""
        runs = table_runs(directory, 0, len(directory), self.table_sectors)
        return [(entry, count * self.table_sectors) for _, count, entry in runs if entry]

    def _writable_place(self, entry: int, grain: int, start: int, stop: int) -> int:
        """As `place`, for writing there."""
        place = self.place(entry, grain, start, stop)
        borders = self.metadata
        assert borders is not None
        if place < borders[-1] * SECTOR:
            first, last = place // SECTOR, div_up(place + stop - start, SECTOR)
            at = bisect_right(borders, first)
            if at % 2 or (at < len(borders) and borders[at] < last):
                raise self.damaged(f"grain {grain} lies in the metadata of '{self.path}'; it is not written", grain)
        return place
