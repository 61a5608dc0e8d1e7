"""What lies in a qcow image, for those who explain it (see `block.structure`)."""

from __future__ import annotations

from construct import Int64ub, Struct

from imgtools.block.structure import Structure
from imgtools.formats.qcow.structs import HEADER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.node import Storage
    from imgtools.formats.qcow import QcowNode

ENTRY = Struct("offset" / Int64ub)
ENTRY_SIZE = 8


def _l2_entry(node: QcowNode, index: int) -> tuple[Storage, int] | None:
    table, entry = divmod(index, node.table.entries)
    offset = node.table.first[table]
    return (node.storage, offset + entry * ENTRY_SIZE) if offset else None


STRUCTURES = (
    Structure("header", "what the image is", HEADER, lambda node, index: (node.storage, 0), size=HEADER.sizeof()),
    Structure(
        "l1",
        "the L1 table: where the L2 tables are",
        ENTRY,
        lambda node, index: (node.storage, node.header.l1_table_offset + index * ENTRY_SIZE),
        size=ENTRY_SIZE,
        count=lambda node: node.l1_size,
        counted="L2 table",
    ),
    Structure(
        "l2",
        "the L2 tables: where the clusters of the disk are",
        ENTRY,
        _l2_entry,
        size=ENTRY_SIZE,
        count=lambda node: -(-node.size // node.block_size),
        counted="cluster of the disk",
    ),
)


def way(node: QcowNode, offset: int) -> list[tuple[str, int]]:
    """The entries that lead to a byte of the disk: (structure, index)."""
    cluster = offset // node.block_size
    return [("l1", cluster // node.table.entries), ("l2", cluster)]
