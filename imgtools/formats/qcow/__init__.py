"""qcow, version 1: what QEMU had before qcow2. It is read, with backing files and compressed clusters.

There is no specification but QEMU's implementation. A first table has the offsets of second tables, whose entries are
the offsets of clusters; in one of a compressed cluster bit 63 is set, the next ones say how many bytes it has.
"""

from __future__ import annotations

import os
import zlib

from imgtools.block.format import Format
from imgtools.block.references import Reference
from imgtools.errors import CorruptImage, InvalidFormat, OutOfBounds, UnsupportedFeature
from imgtools.formats.blocks import NOWHERE, PACKED, BlockNode
from imgtools.formats.qcow.records import HEADER
from imgtools.formats.tables import TwoLevels, read_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from imgtools.block.graph import Context
    from imgtools.block.node import Storage

MAGIC = b"QFI\xfb"
COMPRESSED = 1 << 63
MAX_BACKING_NAME = 1023
WINDOW_BITS = 12


def parse_header(storage: Storage) -> Any:
    """The header, its `backing_name` (or None) with it. Raises what `open` does."""
    path = storage.filename
    header = HEADER.parse(storage.read_whole(0, HEADER.size))
    if header.magic != MAGIC or header.version != 1:
        raise InvalidFormat("Image not in qcow format", path=path, offset=0, structure="header")
    if not 9 <= header.cluster_bits <= 16:
        raise InvalidFormat("Cluster size must be between 512 and 64k", path=path, offset=32, structure="header")
    if not 6 <= header.l2_bits <= 13:
        raise InvalidFormat("L2 table size must be between 512 and 64k", path=path, offset=33, structure="header")
    if header.size <= 1 or header.size >= 1 << 63:
        raise OutOfBounds("Image size is too small (must be at least 2 bytes)", path=path, offset=24)
    if header.crypt_method:
        raise UnsupportedFeature("encrypted qcow images are not supported", path=path, offset=36, structure="header")
    header.backing_name = None
    if header.backing_file_offset:
        name = storage.read(header.backing_file_offset, min(header.backing_file_size, MAX_BACKING_NAME + 1))
        if header.backing_file_size > MAX_BACKING_NAME or len(name) < header.backing_file_size:
            raise InvalidFormat("Backing file name too long", path=path, offset=16, structure="header")
        header.backing_name = os.fsdecode(name)
    return header


class QcowNode(BlockNode):
    """The disk in `storage`."""

    driver = "qcow"
    backing_format: str | None = None

    def __init__(self, storage: Storage) -> None:
        self.header = header = parse_header(storage)
        super().__init__(storage, header.size, 1 << header.cluster_bits, writable=False)
        self.cluster_size = self.block_size
        self.backing_name = header.backing_name
        self.l1_size = -(-header.size >> (header.cluster_bits + header.l2_bits))
        first = read_table(storage, header.l1_table_offset, self.l1_size, code="Q", big=True, name="L1 table")
        self.table = TwoLevels(storage, first, 1 << header.l2_bits, big=True)

    def locate(self, block: int) -> int:
        entry = self.table[block]
        return PACKED if entry & COMPRESSED else entry or NOWHERE

    def absent_until(self, block: int) -> int:
        return self.table.absent_until(block)

    def unpack(self, block: int) -> bytes:
        with self.lock:
            entry = self.table[block]
        bits = self.header.cluster_bits
        offset = entry & ((1 << (63 - bits)) - 1)
        stream = self.storage.read(offset, entry >> (63 - bits) & (self.block_size - 1))
        try:
            content = zlib.decompressobj(-WINDOW_BITS).decompress(stream, self.block_size)
        except zlib.error as error:
            raise self._broken(block, offset) from error
        if len(content) < self.block_size:
            raise self._broken(block, offset)
        return content

    def _broken(self, block: int, offset: int) -> CorruptImage:
        return CorruptImage(
            f"the compressed cluster {block} of the disk cannot be read",
            path=self.filename,
            offset=offset,
            structure="compressed cluster",
        )


class Qcow(Format):
    name = "qcow"
    supports_backing = True
    structures = "imgtools.formats.qcow.explain"

    def open(self, storage: Storage, context: Context) -> QcowNode:
        if context.writable:
            raise UnsupportedFeature("No write support for qcow images available", path=storage.filename)
        node = QcowNode(storage)
        if node.backing_name and context.backing:
            node.children["backing"] = context.open_backing(storage.filename, node.backing_name, None)
        return node

    def references(self, storage: Storage) -> Iterable[Reference]:
        header = parse_header(storage)
        if header.backing_name:
            yield Reference("backing file", header.backing_name, header.backing_file_offset)


FORMAT = Qcow()
