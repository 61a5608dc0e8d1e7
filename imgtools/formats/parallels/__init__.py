"""Parallels' expanding disk images. They are read and checked; the dirty bitmaps in a format extension are passed over.

Specification: QEMU's docs/interop/parallels. Behind the header lies a table with one entry for each block of the disk:
where it lies in the file, in sectors, or in blocks where the magic is the newer one. 0 is a block that is not there.
"""

from __future__ import annotations

from imgtools.align import round_up
from imgtools.block.format import Checkable, Format
from imgtools.errors import CorruptImage, InvalidFormat, OutOfBounds, UnsupportedFeature
from imgtools.formats.blocks import NOWHERE, BlockNode
from imgtools.formats.parallels.records import HEADER
from imgtools.formats.tables import read_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from imgtools.block.format import CheckResult, Finding
    from imgtools.block.graph import Context
    from imgtools.block.node import Storage

OLD_MAGIC, NEW_MAGIC = b"WithoutFreeSpace", b"WithouFreSpacExt"
SECTOR = 512
IN_USE = 0x746F6E59
MAX_TRACKS = 0x7FFFFFFF // 513
"""QEMU's limit: a block of just under 2 GiB."""


def parse_header(storage: Storage) -> Any:
    """The header, with `multiplier`, the sectors that an entry of the table counts in. Raises what `open` does."""
    path = storage.filename
    header = HEADER.parse(storage.read_whole(0, HEADER.size))
    if header.magic not in (OLD_MAGIC, NEW_MAGIC) or header.version != 2:
        raise InvalidFormat("Image not in Parallels format", path=path, offset=0, structure="header")
    if not header.tracks:
        raise InvalidFormat("Invalid image: Zero sectors per track", path=path, offset=28, structure="header")
    if header.tracks > MAX_TRACKS:
        raise OutOfBounds("Invalid image: Too big cluster", path=path, offset=28, structure="header")
    header.multiplier = header.tracks if header.magic == NEW_MAGIC else 1
    if header.magic == OLD_MAGIC:
        header.sectors &= 0xFFFFFFFF
    if header.sectors >= 1 << 54:
        raise OutOfBounds(f"a disk of {header.sectors} sectors", path=path, offset=36, structure="header")
    return header


class ParallelsNode(BlockNode, Checkable):
    """The disk in `storage`."""

    driver = "parallels"

    def __init__(self, storage: Storage) -> None:
        self.header = header = parse_header(storage)
        super().__init__(storage, header.sectors * SECTOR, header.tracks * SECTOR, writable=False)
        self.dirty = header.in_use == IN_USE
        count = min(header.bat_entries, -(-header.sectors // header.tracks))
        self.table = read_table(storage, HEADER.size, count, code="I", big=False, name="block table")

    @property
    def data_start(self) -> int:
        """Where the blocks begin: where the header says, but not in the table."""
        end_of_table = HEADER.size + 4 * self.header.bat_entries
        return int(max(self.header.data_offset * SECTOR, round_up(end_of_table, SECTOR)))

    def position_of(self, entry: int) -> int:
        """Where a block lies in the file whose entry of the table that is."""
        return int(entry * self.header.multiplier * SECTOR)

    def locate(self, block: int) -> int:
        position = self.position_of(self.table[block]) if block < len(self.table) else 0
        if position and position < HEADER.size + 4 * len(self.table):
            raise CorruptImage(
                f"block {block} of the disk lies over the block table",
                path=self.filename,
                offset=HEADER.size + 4 * block,
                structure="block table",
            )
        return position or NOWHERE

    def absent_until(self, block: int) -> int:
        return block + 1 if block < len(self.table) else -(-self.size // self.block_size)

    def check(self, report: Callable[[Finding], None], repair: str | None = None) -> CheckResult:
        from imgtools.formats.parallels.check import Check

        with self.lock:
            return Check(self, report, repair).run()

    def forget(self, block: int) -> None:
        """Take a block out of the table, so that it reads as zeroes."""
        if block < len(self.table):
            self.table[block] = 0
        self.storage.write(HEADER.size + 4 * block, bytes(4))

    def mark_closed(self) -> None:
        """Take the mark of an image that is in use away, once all else is on disk."""
        self.storage.flush()
        self.storage.write(HEADER.offset_of("in_use"), bytes(4))
        self.storage.flush()
        self.dirty = False


class Parallels(Format):
    name = "parallels"
    structures = "imgtools.formats.parallels.explain"

    def open(self, storage: Storage, context: Context) -> ParallelsNode:
        if context.writable and not context.checking:
            raise UnsupportedFeature("No write support for parallels images available", path=storage.filename)
        return ParallelsNode(storage)


FORMAT = Parallels()
