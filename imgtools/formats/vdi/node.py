"""A VDI image as a disk.

Invariants:
- A block is written before the map points to it, and `blocks_allocated` counts it before the map does. Whoever
  opens the image after a crash in between finds a block that nobody uses (a leak), never one used twice.
- A new block takes the number behind the highest one that the map holds, whatever `blocks_allocated` says; what an
  earlier crash left in the file there is overwritten with zeroes first.
- Blocks are given back to nobody: zeroing and discarding make holes in them, so that they stay numbered
  without gaps, on which other programs rely.

Reads and writes to blocks that exist run in parallel; the map, and writes that add blocks, go under one lock.
"""

from __future__ import annotations

from _thread import RLock
from array import array
from itertools import islice

from imgtools.block.extent import DATA, ZERO, Extent, Placed, merge
from imgtools.block.format import Checkable
from imgtools.block.node import Node, fill_zero
from imgtools.errors import CorruptImage
from imgtools.formats.vdi.blockmap import BlockMap
from imgtools.formats.vdi.header import STATIC, parse_header, refuse_unsafe_write
from imgtools.formats.vdi.records import HEADER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgtools.block.format import CheckResult, Finding
    from imgtools.block.node import Buffer, Storage

NOT_IN_FILE = -1
"""In place of a position, where the map points to what the file does not have."""
RUNS_AT_ONCE = 256
"""Runs of blocks that are looked up while the lock is held."""
BLOCKS_ALLOCATED = HEADER.offset_of("blocks_allocated")


class VdiNode(Node, Checkable):
    """The disk in `storage`. `checking` admits what can be opened for a repair but not for writing."""

    driver = "vdi"
    backing_name: str | None = None
    backing_format: str | None = None
    encrypted = False

    def __init__(self, storage: Storage, *, writable: bool, checking: bool = False) -> None:
        self.header = header = parse_header(storage)
        if writable and not checking:
            refuse_unsafe_write(header, storage.filename)
        super().__init__(storage.filename, header.disk_size, read_only=not writable)
        self.storage = storage
        self.children["file"] = storage
        self.block_size: int = header.block_size
        self.cluster_size = self.block_size
        self.map = BlockMap(storage, header.offset_bmap, header.blocks_in_image)
        self.lock = RLock()
        self._stride: int = self.block_size + header.block_extra
        self._first: int = header.offset_data + header.block_extra
        self._next: int | None = None
        """The number that the next new block takes; None before the map has been searched for it."""

    # The verbs.

    def readinto(self, offset: int, buffer: memoryview) -> None:
        length = len(buffer)
        self.check_range(offset, length)
        position = self._place(offset, length)
        if position is not None:
            self.storage.readinto(position, buffer)
            return
        for start, count, position in self._pieces(offset, length):
            part = buffer[start - offset : start - offset + count]
            if position is None:
                fill_zero(part)
            else:
                self.storage.readinto(position, part)

    def write(self, offset: int, data: Buffer) -> None:
        self._check_write(offset, len(data))
        position = self._place(offset, len(data))
        if position is not None:
            self.storage.write(position, data)
            return
        view = memoryview(data).cast("B")
        with self.lock:
            pieces = self._pieces(offset, len(view))
            if any(position is None for _, _, position in pieces):
                self._write_pieces(offset, view, pieces)
                return
        self._write_pieces(offset, view, pieces)

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        self._check_write(offset, length)
        for _, count, position in self._pieces(offset, length):
            if position is not None:
                self.storage.zero(position, count, unmap=unmap)

    def discard(self, offset: int, length: int) -> None:
        self._check_write(offset, length)
        for _, count, position in self._pieces(offset, length):
            if position is not None:
                self.storage.discard(position, count)

    def flush(self) -> None:
        self.storage.flush()

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        self.check_range(offset, length)
        return merge(self._extents(offset, length))

    def prefetch(self, offset: int, length: int) -> None:
        self.check_range(offset, length)
        for _, count, position in self._pieces(offset, length):
            if position is not None:
                self.storage.prefetch(position, count)

    def check(self, report: Callable[[Finding], None], repair: str | None = None) -> CheckResult:
        from imgtools.formats.vdi.check import Check

        with self.lock:
            self._next = None
            return Check(self, report).run(repair)

    # Where blocks lie.

    def position_of(self, number: int) -> int:
        """Where the block with that number lies in the file."""
        return self._first + number * self._stride

    def _place(self, offset: int, length: int) -> int | None:
        """Where the range lies, if it is in one block and in the file: the short way for small reads and writes."""
        block, within = divmod(offset, self.block_size)
        if not length or within + length > self.block_size:
            return None
        with self.lock:
            number = self.map[block]
        position = self._first + number * self._stride + within
        # A number that says "unallocated" is no less than the map's count.
        return position if number < self.map.count and position + length <= self.storage.size else None

    def _extents(self, offset: int, length: int) -> Iterator[Extent]:
        placed = Placed(self.storage)
        for start, count, position in self._iterate(offset, length):
            if position is None:
                yield Extent(start, count, ZERO)
            elif position == NOT_IN_FILE:
                yield Extent(start, count, DATA)  # whoever reads it is told
            elif self.header.image_type == STATIC:
                # A static image has all its blocks from the start; only the file knows which were ever written.
                yield from placed.extents(start, count, position)
            else:
                yield Extent(start, count, DATA, 0, self.storage, position)

    def _pieces(self, offset: int, length: int) -> list[tuple[int, int, int | None]]:
        """The range as (start, length, where in the file; None reads as zeroes), a run of blocks each."""
        pieces = list(self._iterate(offset, length))
        for start, _, position in pieces:
            if position == NOT_IN_FILE:
                raise CorruptImage(
                    f"the block map says that the block at {start} of the disk or one behind it is not in the file",
                    path=self.filename,
                    structure="block map",
                    offset=self.map.offset + 4 * (start // self.block_size),
                    hint="The file was cut short, or its block map is damaged.",
                )
        return pieces

    def _iterate(self, offset: int, length: int) -> Iterator[tuple[int, int, int | None]]:
        size, end, stride = self.block_size, offset + length, self._stride
        first, stop = offset // size, -(-(offset + length) // size)
        while first < stop:
            with self.lock:
                runs = list(islice(self._runs(first, stop), RUNS_AT_ONCE))
            for block, count, number in runs:
                first = block + count
                start, run_end = max(offset, block * size), min(end, first * size)
                position = None
                if number is not None:
                    position = self._first + number * stride + start - block * size
                    if number + count > self.map.count or position + run_end - start > self.storage.size:
                        position = NOT_IN_FILE
                yield start, run_end - start, position

    def _runs(self, first: int, stop: int) -> Iterator[tuple[int, int, int | None]]:
        """The map's runs; with extra bytes before each block, no two blocks lie in one piece."""
        runs = self.map.runs(first, stop)
        if self._stride == self.block_size:
            return runs
        return ((block + i, 1, n if n is None else n + i) for block, count, n in runs for i in range(count))

    # New blocks. All of this runs under the lock.

    def _write_pieces(self, offset: int, data: memoryview, pieces: list[tuple[int, int, int | None]]) -> None:
        for start, length, position in pieces:
            part = data[start - offset : start - offset + length]
            if position is None:
                self._write_new(start, part)
            else:
                self.storage.write(position, part)

    def _write_new(self, start: int, data: memoryview) -> None:
        """Store `data` in blocks that do not exist yet, in one piece: the blocks, the header, the map."""
        block, within = divmod(start, self.block_size)
        count = -(-(within + len(data)) // self.block_size)
        number = self._next_number() if self._next is None else self._next
        if number + count > self.map.count:
            raise CorruptImage(
                "all block numbers are given away, although some blocks do not exist",
                path=self.filename,
                structure="block map",
                hint="Blocks that nobody uses lie between the others: imgtools check -r leaks",
            )
        self._fill(number, count, within, data)
        self.set_allocated(number + count)
        self.map.store(block, array("I", range(number, number + count)))
        self._next = number + count

    def _next_number(self) -> int:
        """One more than the highest number in the map."""
        runs = self.map.runs(0, self.map.count)
        return max((number + count for _, count, number in runs if number is not None), default=0)

    def _fill(self, number: int, count: int, within: int, data: memoryview) -> None:
        """Make new blocks of the file hold `data` at `within`, and zeroes around it."""
        start = self.position_of(number)
        end = start + count * self.block_size
        first, last = start + within, start + within + len(data)
        left_over = min(end, self.storage.size)
        if start < left_over:
            self.storage.zero(start, max(0, min(first, left_over) - start))
            self.storage.zero(last, max(0, left_over - last))
        if last < end and self.storage.size < end:
            self.storage.truncate(end)
        self.storage.write(first, data)

    def set_allocated(self, count: int) -> None:
        """Set `blocks_allocated` in the header."""
        if count != self.header.blocks_allocated:
            self.storage.write(BLOCKS_ALLOCATED, count.to_bytes(4, "little"))
            self.header.blocks_allocated = count

    def _check_write(self, offset: int, length: int) -> None:
        if self.read_only:
            self.refuse_write()
        self.check_range(offset, length)
