"""What lies in a VDI image, for those who explain it (see `block.structure`)."""

from __future__ import annotations

from construct import Int32ul, Struct

from imgtools.block.structure import Structure
from imgtools.formats.vdi.structs import HEADER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.node import Storage
    from imgtools.formats.vdi.node import VdiNode

MAP_ENTRY = Struct("block" / Int32ul)
HEADER_OFFSET = 0


def _header(node: VdiNode, index: int) -> tuple[Storage, int]:
    return node.storage, HEADER_OFFSET


def _entry(node: VdiNode, index: int) -> tuple[Storage, int]:
    return node.storage, node.map.offset + index * MAP_ENTRY.sizeof()


STRUCTURES = (
    Structure("header", "what the image is", HEADER, _header, size=HEADER.sizeof()),
    Structure(
        "map",
        "the block map: which block of the file holds a block of the disk",
        MAP_ENTRY,
        _entry,
        size=MAP_ENTRY.sizeof(),
        count=lambda node: node.map.count,
        counted="block",
        blank=0xFF,
    ),
)


def way(node: VdiNode, offset: int) -> list[tuple[str, int]]:
    """The entries that lead to a byte of the disk: (structure, index)."""
    return [("map", offset // node.block_size)]
