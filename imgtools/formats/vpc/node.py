"""VHD images as disks.

A fixed image is the disk, with a footer behind it. In a dynamic one each block has a bitmap of its sectors in front,
and the block allocation table says where that is. The last thing in the file is a copy of the footer.

Invariants of dynamic images:
- A new block takes the place behind the highest one that the table knows; the file's footer, which was there, is first
  written anew behind the block. The table points to a block when that and its bitmap are on stable storage: whoever
  opens the image after a crash in between finds space that nobody uses, and the footer's other copy in front.
- What an earlier crash left in a block's place is overwritten with zeroes.
- All sectors of a block are marked in its bitmap, as other programs do; the bitmap matters in differencing images only,
  and is not read.
"""

from __future__ import annotations

from imgtools.align import round_up
from imgtools.block.extent import Placed
from imgtools.block.node import Node
from imgtools.errors import CorruptImage, OutOfBounds
from imgtools.formats.blocks import NOWHERE, BlockNode
from imgtools.formats.tables import to_disk, to_native
from imgtools.formats.vpc.header import SECTOR, table_bytes
from imgtools.formats.vpc.records import DYNAMIC_HEADER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgtools.block.extent import Extent
    from imgtools.block.node import Buffer, Storage
    from imgtools.formats.vpc.header import Header

FREE = 0xFFFFFFFF


class FixedNode(Node):
    """The disk in front of the footer."""

    driver = "vpc"
    fixed_layout = True

    def __init__(self, storage: Storage, header: Header, *, writable: bool) -> None:
        super().__init__(storage.filename, header.size, read_only=not writable)
        self.storage = storage
        self.header = header
        self.children["file"] = storage

    def readinto(self, offset: int, buffer: memoryview) -> None:
        self.check_range(offset, len(buffer))
        self.storage.readinto(offset, buffer)

    def write(self, offset: int, data: Buffer) -> None:
        self._check_write(offset, len(data))
        self.storage.write(offset, data)

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        self._check_write(offset, length)
        self.storage.zero(offset, length, unmap=unmap)

    def discard(self, offset: int, length: int) -> None:
        self._check_write(offset, length)
        self.storage.discard(offset, length)

    def flush(self) -> None:
        self.storage.flush()

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        self.check_range(offset, length)
        return Placed(self.storage).extents(offset, length, offset)

    def prefetch(self, offset: int, length: int) -> None:
        self.storage.prefetch(offset, length)

    def _check_write(self, offset: int, length: int) -> None:
        if self.read_only:
            self.refuse_write()
        self.check_range(offset, length)


class DynamicNode(BlockNode):
    """The disk in blocks that the block allocation table finds."""

    driver = "vpc"
    missing_is_zero = True
    dirty = False

    def __init__(self, storage: Storage, header: Header, *, writable: bool) -> None:
        super().__init__(storage, header.size, header.dynamic.block_size, writable=writable)
        self.header = header
        self.cluster_size = self.block_size
        self.bitmap_size = round_up(-(-self.block_size // SECTOR // 8), SECTOR)
        self.entries = -(-self.size // self.block_size)
        """Blocks of the disk; the table may have more entries."""
        self.table_offset: int = header.dynamic.table_offset
        self.table = to_native(storage.read(self.table_offset, 4 * self.entries), "I", big=True)
        self._end: int | None = None
        """Where the next new block begins; None before the table has been searched for it."""

    def locate(self, block: int) -> int:
        sector = self.table[block]
        return NOWHERE if sector == FREE else sector * SECTOR + self.bitmap_size

    def entry_offset(self, block: int) -> int:
        return self.table_offset + 4 * block

    def add(self, block: int, within: int, data: memoryview) -> None:
        storage = self.storage
        start = self._end = self._end_of_blocks() if self._end is None else self._end
        if start // SECTOR >= FREE:
            raise OutOfBounds("the file is too large for another block", path=self.filename)
        content = start + self.bitmap_size
        end = content + self.block_size
        storage.write(end, storage.read(0, SECTOR))
        first, last = content + within, content + within + len(data)
        for gap, length in ((content, within), (last, end - last)):
            if length:
                storage.zero(gap, length)
        storage.write(first, data)
        storage.write(start, b"\xff" * self.bitmap_size)
        self.table[block] = start // SECTOR
        self._end = end
        self.list_later(block, 1)

    def write_entries(self, block: int, count: int) -> None:
        self.storage.write(self.entry_offset(block), to_disk(self.table[block : block + count], big=True))

    def _end_of_blocks(self) -> int:
        """Where the last block ends; raises where that is not in the file, or blocks lie over the tables."""
        used = [sector for sector in self.table if sector != FREE]
        table_end = self.table_offset + table_bytes(self.header.dynamic.max_table_entries)
        metadata_end = max(table_end, int(self.header.footer.data_offset) + DYNAMIC_HEADER.size)
        if not used:
            return round_up(metadata_end, SECTOR)
        if min(used) * SECTOR < metadata_end:
            raise CorruptImage("a block lies over the image's tables", path=self.filename, structure="block table")
        end = (max(used) * SECTOR) + self.bitmap_size + self.block_size
        if end > self.storage.size:
            raise CorruptImage(
                "block-vpc: free_data_block_offset points after the end of file. The image has been truncated.",
                path=self.filename,
                structure="block table",
            )
        return max(end, metadata_end)
