"""What lies in an image of an L1 table and L2 tables of offsets, as qcow's and QED's are (see `block.structure`)."""

from __future__ import annotations

from imgtools.block.structure import Structure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.node import Storage

ENTRY_SIZE = 8


def structures(header: Any, entry: Any) -> tuple[Structure, ...]:
    """The header, and the tables, whose entries `entry` declares."""
    return (
        Structure("header", "what the image is", header, lambda node, index: (node.storage, 0), size=header.sizeof()),
        Structure(
            "l1",
            "the L1 table: where the L2 tables are",
            entry,
            lambda node, index: (node.storage, node.header.l1_table_offset + index * ENTRY_SIZE),
            size=ENTRY_SIZE,
            count=lambda node: node.l1_size,
            counted="L2 table",
        ),
        Structure(
            "l2",
            "the L2 tables: where the clusters of the disk are",
            entry,
            _l2_entry,
            size=ENTRY_SIZE,
            count=lambda node: -(-node.size // node.block_size),
            counted="cluster of the disk",
        ),
    )


def way(node: Any, offset: int) -> list[tuple[str, int]]:
    """The entries that lead to a byte of the disk: (structure, index)."""
    cluster = offset // node.block_size
    return [("l1", cluster // node.table.entries), ("l2", cluster)]


def _l2_entry(node: Any, index: int) -> tuple[Storage, int] | None:
    table, entry = divmod(index, node.table.entries)
    offset = node.table.first[table]
    return (node.storage, offset + entry * ENTRY_SIZE) if offset else None
