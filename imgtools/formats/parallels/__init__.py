"""Parallels' expanding disk images. They are read; the dirty bitmaps in a format extension are passed over.

Specification: QEMU's docs/interop/parallels. Behind the header lies a table with one entry for each block of the disk:
where it lies in the file, in sectors, or in blocks where the magic is the newer one. 0 is a block that is not there.
"""

from __future__ import annotations

from imgtools.block.format import Format
from imgtools.errors import CorruptImage, InvalidFormat, OutOfBounds, UnsupportedFeature
from imgtools.formats.blocks import NOWHERE, BlockNode
from imgtools.formats.parallels.records import HEADER
from imgtools.formats.tables import read_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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
    header = HEADER.parse(storage.read(0, HEADER.size).ljust(HEADER.size, b"\0"))
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


class ParallelsNode(BlockNode):
    """The disk in `storage`."""

    driver = "parallels"

    def __init__(self, storage: Storage) -> None:
        self.header = header = parse_header(storage)
        super().__init__(storage, header.sectors * SECTOR, header.tracks * SECTOR, writable=False)
        self.dirty = header.in_use == IN_USE
        count = min(header.bat_entries, -(-header.sectors // header.tracks))
        self.table = read_table(storage, HEADER.size, count, code="I", big=False, name="block table")

    def locate(self, block: int) -> int:
        entry = self.table[block] if block < len(self.table) else 0
        position = entry * self.header.multiplier * SECTOR
        if entry and position < HEADER.size + 4 * len(self.table):
            raise CorruptImage(
                f"block {block} of the disk lies over the block table",
                path=self.filename,
                offset=HEADER.size + 4 * block,
                structure="block table",
            )
        return position if entry else NOWHERE


class Parallels(Format):
    name = "parallels"
    structures = "imgtools.formats.parallels.explain"

    def open(self, storage: Storage, context: Context) -> ParallelsNode:
        if context.writable:
            raise UnsupportedFeature("No write support for parallels images available", path=storage.filename)
        return ParallelsNode(storage)


FORMAT = Parallels()
