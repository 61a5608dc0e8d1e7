"""What lies in a Parallels image, for those who explain it (see `block.structure`)."""

from __future__ import annotations

from construct import Int32ul, Struct

from imgtools.block.structure import Structure
from imgtools.formats.parallels.structs import HEADER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.formats.parallels import ParallelsNode

ENTRY = Struct("place" / Int32ul)

STRUCTURES = (
    Structure("header", "what the image is", HEADER, lambda node, index: (node.storage, 0), size=HEADER.sizeof()),
    Structure(
        "table",
        "the block table: where the blocks of the disk are",
        ENTRY,
        lambda node, index: (node.storage, HEADER.sizeof() + index * ENTRY.sizeof()),
        size=ENTRY.sizeof(),
        count=lambda node: len(node.table),
        counted="block",
    ),
)


def way(node: ParallelsNode, offset: int) -> list[tuple[str, int]]:
    """The entries that lead to a byte of the disk: (structure, index)."""
    return [("table", offset // node.block_size)]
