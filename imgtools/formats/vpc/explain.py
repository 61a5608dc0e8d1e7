"""What lies in a VHD image, for those who explain it (see `block.structure`)."""

from __future__ import annotations

from construct import Int32ub, Struct

from imgtools.block.structure import Structure
from imgtools.formats.vpc.structs import DYNAMIC_HEADER, FOOTER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.node import Storage
    from imgtools.formats.vpc.node import DynamicNode, FixedNode

    Place = tuple[Storage, int]

ENTRY = Struct("sector" / Int32ub)


def _footer(node: DynamicNode | FixedNode, index: int) -> Place:
    return node.storage, node.storage.size - FOOTER.sizeof() if node.header.dynamic is None else 0


def _dynamic_header(node: DynamicNode | FixedNode, index: int) -> Place | None:
    return None if node.header.dynamic is None else (node.storage, node.header.footer.data_offset)


def _entry(node: DynamicNode, index: int) -> Place:
    return node.storage, node.table_offset + index * ENTRY.sizeof()


def _entries(node: DynamicNode | FixedNode) -> int:
    return 0 if node.header.dynamic is None else node.header.dynamic.max_table_entries


STRUCTURES = (
    Structure("footer", "what the image is", FOOTER, _footer, size=FOOTER.sizeof()),
    Structure("header", "what a dynamic image is", DYNAMIC_HEADER, _dynamic_header, size=DYNAMIC_HEADER.sizeof()),
    Structure(
        "table",
        "the block allocation table: where the blocks, their bitmaps in front, are",
        ENTRY,
        _entry,
        size=ENTRY.sizeof(),
        count=_entries,
        counted="block",
        blank=0xFF,
    ),
)


def way(node: DynamicNode | FixedNode, offset: int) -> list[tuple[str, int]]:
    """The entries that lead to a byte of the disk: (structure, index)."""
    return [] if node.header.dynamic is None else [("table", offset // node.header.dynamic.block_size)]
