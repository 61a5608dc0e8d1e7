"""What lies in a qcow2 image, for those who explain it (see `block.structure`).

Specification: qcow2. Table entries are declared here bit by bit, for reading one at a time; whoever works on whole
tables takes them as arrays (`mapping`, `refcount`).
"""

from __future__ import annotations

from construct import BitsInteger, BitStruct, BytesInteger, ExprAdapter, Flag, Padding, Struct

from imgtools.block.structure import Structure
from imgtools.formats.qcow2.mapping import COMPRESSED, OFFSET_MASK
from imgtools.formats.qcow2.structs import HEADER_FULL, HEADER_V2, HEADER_V3, SNAPSHOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.node import Storage
    from imgtools.formats.qcow2.node import Qcow2Node

    Place = tuple[Storage, int]

ENTRY_SIZE = 8
SECTOR_BITS = 9


def _in_sectors(bits: int) -> Any:
    """An offset whose lowest nine bits are not stored."""
    return ExprAdapter(BitsInteger(bits), lambda value, _: value << SECTOR_BITS, lambda value, _: value >> SECTOR_BITS)


L1_ENTRY = BitStruct(
    "copied" / Flag, "reserved" / BitsInteger(7), "offset" / _in_sectors(47), "padding" / BitsInteger(9)
)
L2_ENTRY = BitStruct(
    "copied" / Flag,
    "compressed" / Flag,
    "reserved" / BitsInteger(6),
    "offset" / _in_sectors(47),
    "padding" / BitsInteger(8),
    "zero" / Flag,
)
REFCOUNT_TABLE_ENTRY = BitStruct("offset" / _in_sectors(55), "reserved" / BitsInteger(9))


def compressed_entry(cluster_bits: int) -> Any:
    """An L2 entry of a compressed cluster: where its stream begins, and the sectors that it goes on for."""
    return BitStruct(
        "copied" / Flag,
        "compressed" / Flag,
        "additional_sectors" / BitsInteger(cluster_bits - 8),
        "offset" / BitsInteger(62 - (cluster_bits - 8)),
    )


def _header_form(node: Qcow2Node, data: bytes, index: int) -> Any:
    if node.header.version < 3:
        return HEADER_V2
    return HEADER_FULL if HEADER_V3.parse(data).header_length >= HEADER_FULL.sizeof() else HEADER_V3


def _header_size(node: Qcow2Node) -> int:
    return int(HEADER_V2.sizeof() if node.header.version < 3 else HEADER_FULL.sizeof())


def _l2_form(node: Qcow2Node, data: bytes, index: int) -> Any:
    return compressed_entry(node.header.cluster_bits) if _number(data) & COMPRESSED else L2_ENTRY


def _refcount_form(node: Qcow2Node, data: bytes, index: int) -> Any:
    bits = _refcount_bits(node)
    if bits >= 8:
        return Struct("refcount" / BytesInteger(bits // 8))
    behind = index * bits % 8
    return BitStruct(Padding(8 - bits - behind), "refcount" / BitsInteger(bits), Padding(behind))


def _refcount_bits(node: Qcow2Node) -> int:
    return 1 << int(node.header.refcount_order)


def _refcount_size(node: Qcow2Node) -> int:
    """Bytes that are read for a count: small ones share a byte, the first in its lowest bits."""
    return max(1, _refcount_bits(node) // 8)


def _number(data: bytes) -> int:
    return int.from_bytes(data[:ENTRY_SIZE], "big")


def _read_number(node: Qcow2Node, offset: int) -> int:
    """The table entry at `offset`, which the header gives; 0 behind the end of the file."""
    return _number(node.storage.read(offset, ENTRY_SIZE))


def _header(node: Qcow2Node, index: int) -> Place:
    return node.storage, 0


def _l1_entry(node: Qcow2Node, index: int) -> Place:
    return node.storage, node.header.l1_table_offset + index * ENTRY_SIZE


def _l2_entry(node: Qcow2Node, index: int) -> Place | None:
    """The entry of a guest cluster; there is none where its table does not exist."""
    table, entry = divmod(index, node.mapping.entries)
    offset = _read_number(node, _l1_entry(node, table)[1]) & OFFSET_MASK
    stride = node.header.cluster_size // node.mapping.entries
    return (node.storage, offset + entry * stride) if offset else None


def _refcount_table_entry(node: Qcow2Node, index: int) -> Place:
    return node.storage, node.header.refcount_table_offset + index * ENTRY_SIZE


def _refcount(node: Qcow2Node, index: int) -> Place | None:
    """The count of a cluster of the file; there is none where its block does not exist."""
    bits = _refcount_bits(node)
    block, entry = divmod(index, node.header.cluster_size * 8 // bits)
    if block >= _refcount_blocks(node):
        return None
    offset = _read_number(node, _refcount_table_entry(node, block)[1]) & ~511
    return (node.storage, offset + entry * bits // 8) if offset else None


def _refcount_blocks(node: Qcow2Node) -> int:
    return int(node.header.refcount_table_clusters * node.header.cluster_size // ENTRY_SIZE)


def _snapshot(node: Qcow2Node, index: int) -> Place:
    """Entries are of different sizes: their fixed parts say how far it is to the next."""
    offset = node.header.snapshots_offset
    for _ in range(index):
        fixed = SNAPSHOT.parse(node.storage.read_whole(offset, SNAPSHOT.sizeof()))
        length = SNAPSHOT.sizeof() + fixed.extra_data_size + fixed.id_size + fixed.name_size
        offset += -(-length // 8) * 8
    return node.storage, offset


STRUCTURES = (
    Structure("header", "what the image is", _header_form, _header, size=_header_size),
    Structure(
        "l1",
        "the L1 table: where the L2 tables are",
        L1_ENTRY,
        _l1_entry,
        size=ENTRY_SIZE,
        count=lambda node: node.header.l1_size,
        counted="L2 table",
    ),
    Structure(
        "l2",
        "the L2 tables: where the clusters of the disk are",
        _l2_form,
        _l2_entry,
        size=ENTRY_SIZE,
        count=lambda node: -(-node.size // node.header.cluster_size),
        counted="cluster of the disk",
    ),
    Structure(
        "refcount-table",
        "where the refcount blocks are",
        REFCOUNT_TABLE_ENTRY,
        _refcount_table_entry,
        size=ENTRY_SIZE,
        count=_refcount_blocks,
        counted="refcount block",
    ),
    Structure(
        "refcount",
        "how many refer to a cluster of the file",
        _refcount_form,
        _refcount,
        size=_refcount_size,
        count=lambda node: -(-node.storage.size // node.header.cluster_size),
        counted="cluster of the file",
    ),
    Structure(
        "snapshot",
        "internal snapshots",
        SNAPSHOT,
        _snapshot,
        size=SNAPSHOT.sizeof(),
        count=lambda node: node.header.nb_snapshots,
        counted="snapshot",
    ),
)


def way(node: Qcow2Node, offset: int) -> list[tuple[str, int]]:
    """The entries that lead to a byte of the disk: (structure, index)."""
    return [("l1", offset >> node.mapping.span_bits), ("l2", offset >> node.header.cluster_bits)]
