"""What lies in a VHDX image, for those who explain it (see `block.structure`)."""

from __future__ import annotations

from construct import BitsInteger, BitStruct, ByteSwapped, Enum

from imgtools.block.structure import Structure
from imgtools.formats.vhdx.header import HEADERS, REGION_TABLES
from imgtools.formats.vhdx.structs import (
    FILE_IDENTIFIER,
    HEADER,
    METADATA_ENTRY,
    METADATA_TABLE,
    REGION_ENTRY,
    REGION_TABLE,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.node import Storage
    from imgtools.formats.vhdx.node import VhdxNode

    Place = tuple[Storage, int]

STATES = Enum(BitsInteger(3), not_present=0, undefined=1, zero=2, unmapped=3, fully_present=6, partially_present=7)
ENTRY = ByteSwapped(BitStruct("mebibyte" / BitsInteger(44), "reserved" / BitsInteger(17), "state" / STATES))
ENTRY_SIZE = 8


def _count_at(node: VhdxNode, offset: int, size: int) -> int:
    return int.from_bytes(node.storage.read(offset, size), "little")


STRUCTURES = (
    Structure(
        "identifier",
        "that the file is a VHDX image",
        FILE_IDENTIFIER,
        lambda node, index: (node.storage, 0),
        size=FILE_IDENTIFIER.sizeof(),
    ),
    Structure(
        "header",
        "the two headers; the one with the higher number counts",
        HEADER,
        lambda node, index: (node.storage, HEADERS[index]),
        size=HEADER.sizeof(),
        count=lambda node: len(HEADERS),
        counted="header",
    ),
    Structure(
        "regions",
        "the region table",
        REGION_TABLE,
        lambda node, index: (node.storage, REGION_TABLES[0]),
        size=REGION_TABLE.sizeof(),
    ),
    Structure(
        "region",
        "where the block allocation table and the metadata are",
        REGION_ENTRY,
        lambda node, index: (node.storage, REGION_TABLES[0] + REGION_TABLE.sizeof() + index * REGION_ENTRY.sizeof()),
        size=REGION_ENTRY.sizeof(),
        count=lambda node: _count_at(node, REGION_TABLES[0] + 8, 4),
        counted="region",
    ),
    Structure(
        "metadata",
        "the metadata table",
        METADATA_TABLE,
        lambda node, index: (node.storage, node.layout.metadata_offset),
        size=METADATA_TABLE.sizeof(),
    ),
    Structure(
        "item",
        "where the metadata items are",
        METADATA_ENTRY,
        lambda node, index: (
            node.storage,
            node.layout.metadata_offset + METADATA_TABLE.sizeof() + index * METADATA_ENTRY.sizeof(),
        ),
        size=METADATA_ENTRY.sizeof(),
        count=lambda node: _count_at(node, node.layout.metadata_offset + 10, 2),
        counted="metadata item",
    ),
    Structure(
        "table",
        "the block allocation table: where the blocks of the disk are",
        ENTRY,
        lambda node, index: (node.storage, node.layout.entry_offset(index)),
        size=ENTRY_SIZE,
        count=lambda node: node.layout.blocks,
        counted="block",
    ),
)


def way(node: VhdxNode, offset: int) -> list[tuple[str, int]]:
    """The entries that lead to a byte of the disk: (structure, index)."""
    return [("table", offset // node.block_size)]
