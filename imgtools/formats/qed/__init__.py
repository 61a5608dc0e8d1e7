"""QED, QEMU's "enhanced disk": an attempt at a simpler qcow2, given up for it. It is read, with backing files.

Specification: QEMU's docs/interop/qed_spec. A first table has the offsets of second tables, whose entries are the
offsets of clusters: 0 for one that is not here, 1 for one of zeroes.
"""

from __future__ import annotations

import os

from imgtools.align import is_power_of_two
from imgtools.block.format import Format
from imgtools.block.references import Reference
from imgtools.errors import CorruptImage, InvalidFormat, OutOfBounds, UnsupportedFeature
from imgtools.formats.blocks import NOWHERE, ZEROES, BlockNode
from imgtools.formats.qed.records import HEADER
from imgtools.formats.tables import TwoLevels, read_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from imgtools.block.graph import Context
    from imgtools.block.node import Storage

MAGIC = b"QED\0"
BACKING, NEED_CHECK, RAW_BACKING = 1, 2, 4
KNOWN_FEATURES = BACKING | NEED_CHECK | RAW_BACKING
MIN_CLUSTER, MAX_CLUSTER = 4096, 64 << 20
MAX_TABLE_CLUSTERS = 16
MAX_BACKING_NAME = 1023
ZERO_CLUSTER = 1


def parse_header(storage: Storage) -> Any:
    """The header, its `backing_name` (or None) with it. Raises what `open` does."""
    path = storage.filename
    header = HEADER.parse(storage.read(0, HEADER.size).ljust(HEADER.size, b"\0"))
    if header.magic != MAGIC:
        raise InvalidFormat("Image not in QED format", path=path, offset=0, structure="header")
    unknown = header.features & ~KNOWN_FEATURES
    if unknown:
        raise UnsupportedFeature(f"Unsupported QED features: {unknown:x}", path=path, offset=16, structure="header")
    if not MIN_CLUSTER <= header.cluster_size <= MAX_CLUSTER or not is_power_of_two(header.cluster_size):
        raise InvalidFormat(f"clusters of {header.cluster_size} bytes", path=path, offset=4, structure="header")
    if not 1 <= header.table_size <= MAX_TABLE_CLUSTERS or not is_power_of_two(header.table_size):
        raise InvalidFormat(f"tables of {header.table_size} clusters", path=path, offset=8, structure="header")
    entries = header.table_size * header.cluster_size // 8
    if header.size > header.cluster_size * entries * entries or header.size >= 1 << 63 or header.size % 512:
        raise OutOfBounds(f"a disk of {header.size} bytes", path=path, offset=48, structure="header")
    header.backing_name = None
    if header.features & BACKING:
        name = storage.read(header.backing_file_offset, min(header.backing_file_size, MAX_BACKING_NAME + 1))
        if header.backing_file_size > MAX_BACKING_NAME or len(name) < header.backing_file_size:
            raise InvalidFormat("Backing file name too long", path=path, offset=60, structure="header")
        header.backing_name = os.fsdecode(name)
    return header


class QedNode(BlockNode):
    """The disk in `storage`."""

    driver = "qed"

    def __init__(self, storage: Storage) -> None:
        self.header = header = parse_header(storage)
        super().__init__(storage, header.size, header.cluster_size, writable=False)
        self.cluster_size = self.block_size
        self.backing_name = header.backing_name
        self.backing_format = "raw" if header.features & RAW_BACKING else None
        self.dirty = bool(header.features & NEED_CHECK)
        entries = header.table_size * header.cluster_size // 8
        self.l1_size = -(-header.size // (header.cluster_size * entries))
        first = read_table(storage, header.l1_table_offset, self.l1_size, code="Q", big=False, name="L1 table")
        self.table = TwoLevels(storage, first, entries, big=False)

    def locate(self, block: int) -> int:
        entry = self.table[block]
        if entry <= ZERO_CLUSTER:
            return ZEROES if entry else NOWHERE
        if entry % self.block_size:
            raise CorruptImage(
                f"cluster {block} of the disk lies at {entry:#x}, which is no multiple of a cluster",
                path=self.filename,
                structure="L2 table",
            )
        return entry


class Qed(Format):
    name = "qed"
    supports_backing = True
    structures = "imgtools.formats.qed.explain"

    def open(self, storage: Storage, context: Context) -> QedNode:
        if context.writable:
            raise UnsupportedFeature("No write support for qed images available", path=storage.filename)
        node = QedNode(storage)
        if node.backing_name and context.backing:
            below = context.open_backing(storage.filename, node.backing_name, node.backing_format)
            node.children["backing"] = below
        return node

    def references(self, storage: Storage) -> Iterable[Reference]:
        header = parse_header(storage)
        if header.backing_name:
            yield Reference("backing file", header.backing_name, header.backing_file_offset)


FORMAT = Qed()
