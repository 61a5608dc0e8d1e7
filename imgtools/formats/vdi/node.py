"""A VDI image as a disk.

Invariants:
- A block is on stable storage before the map points to it, and `blocks_allocated` counts it before the map does.
  Whoever opens the image after a crash in between finds a block that nobody uses (a leak), never one used twice.
- A new block takes the number behind the highest one that the map holds, whatever `blocks_allocated` says; what an
  earlier crash left in the file there is overwritten with zeroes first.
- Blocks are given back to nobody: zeroing and discarding make holes in them, so that they stay numbered
  without gaps, on which other programs rely.
"""

from __future__ import annotations

from array import array

from imgtools.block.extent import Extent, Placed
from imgtools.block.format import Checkable
from imgtools.errors import CorruptImage
from imgtools.formats.blocks import NOWHERE, BlockNode
from imgtools.formats.vdi.blockmap import DISCARDED, BlockMap
from imgtools.formats.vdi.header import STATIC, parse_header, refuse_unsafe_write
from imgtools.formats.vdi.records import HEADER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgtools.block.format import CheckResult, Finding
    from imgtools.block.node import Storage
    from imgtools.formats.blocks import Piece

BLOCKS_ALLOCATED = HEADER.offset_of("blocks_allocated")


class VdiNode(BlockNode, Checkable):
    """The disk in `storage`. `checking` admits what can be opened for a repair but not for writing."""

    driver = "vdi"
    missing_is_zero = True
    table_name = "block map"

    def __init__(self, storage: Storage, *, writable: bool, checking: bool = False) -> None:
        self.header = header = parse_header(storage)
        if writable and not checking:
            refuse_unsafe_write(header, storage.filename)
        super().__init__(storage, header.disk_size, header.block_size, writable=writable)
        self.cluster_size = self.block_size
        self.map = BlockMap(storage, header.offset_bmap, header.blocks_in_image)
        self._stride: int = self.block_size + header.block_extra
        self._first: int = header.offset_data + header.block_extra
        self._next: int | None = None
        """The number that the next new block takes; None before the map has been searched for it."""

    def check(self, report: Callable[[Finding], None], repair: str | None = None) -> CheckResult:
        from imgtools.formats.vdi.check import Check

        with self.lock:
            self._next = None
            return Check(self, report).run(repair)

    # Where blocks lie.

    def position_of(self, number: int) -> int:
        """Where the block with that number lies in the file."""
        return self._first + number * self._stride

    def locate(self, block: int) -> int:
        number = self.map[block]
        return NOWHERE if number >= DISCARDED else self._in_file(number, 1)

    def runs(self, offset: int, length: int) -> Iterator[Piece]:
        size, end = self.block_size, offset + length
        for block, count, number in self._rows(offset // size, -(-end // size)):
            start, stop = max(offset, block * size), min(end, (block + count) * size)
            position = NOWHERE if number is None else self._in_file(number, count) + start - block * size
            yield start, stop - start, position

    def entry_offset(self, block: int) -> int:
        return self.map.offset + 4 * block

    def _in_file(self, number: int, count: int) -> int:
        """Where a row of blocks lies; behind the end of the file, where there are no blocks with such numbers."""
        position = self.position_of(number)
        return position if number + count <= self.map.count else max(position, self.storage.size)

    def _rows(self, first: int, stop: int) -> Iterator[tuple[int, int, int | None]]:
        """The map's runs; with extra bytes before each block, no two blocks lie in one piece."""
        rows = self.map.runs(first, stop)
        if self._stride == self.block_size:
            return rows
        return ((block + i, 1, n if n is None else n + i) for block, count, n in rows for i in range(count))

    def _extents(self, offset: int, length: int) -> Iterator[Extent]:
        if self.header.image_type != STATIC:
            yield from super()._extents(offset, length)
            return
        # A static image has all its blocks from the start; only the file knows which were ever written.
        placed = Placed(self.storage)
        for extent in super()._extents(offset, length):
            if extent.offset is None:
                yield extent
            else:
                yield from placed.extents(extent.start, extent.length, extent.offset)

    # New blocks. All of this runs under the lock.

    def add_run(self, start: int, data: memoryview) -> None:
        """Store `data` in blocks that do not exist yet, in one piece."""
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
        self.map.set(block, array("I", range(number, number + count)))
        self._next = number + count
        self.list_later(block, count)

    def write_entries(self, block: int, count: int) -> None:
        self.map.write(block, count)

    def list_blocks(self) -> None:
        with self.lock:
            super().list_blocks()
            self.map.changed.clear()

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
