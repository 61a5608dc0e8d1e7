"""QED, QEMU's "enhanced disk": an attempt at a simpler qcow2, given up for it. It is read, with backing files.

Specification: QEMU's docs/interop/qed_spec. A first table has the offsets of second tables, whose entries are the
offsets of clusters: 0 for one that is not here, 1 for one of zeroes.
"""

from __future__ import annotations

from imgtools.block.format import Checkable, Format
from imgtools.block.references import Reference
from imgtools.errors import CorruptImage, UnsupportedFeature
from imgtools.formats.blocks import NOWHERE, ZEROES, BlockNode
from imgtools.formats.qed.header import NEED_CHECK, RAW_BACKING, ZERO_CLUSTER, parse_header
from imgtools.formats.qed.records import HEADER
from imgtools.formats.tables import TwoLevels, read_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from imgtools.block.format import CheckResult, Finding
    from imgtools.block.graph import Context
    from imgtools.block.node import Storage


class QedNode(BlockNode, Checkable):
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
        self._read_table(entries)

    def _read_table(self, entries: int) -> None:
        offset = self.header.l1_table_offset
        first = read_table(self.storage, offset, self.l1_size, code="Q", big=False, name="L1 table")
        self.table = TwoLevels(self.storage, first, entries, big=False)

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

    def absent_until(self, block: int) -> int:
        return self.table.absent_until(block)

    def check(self, report: Callable[[Finding], None], repair: str | None = None) -> CheckResult:
        from imgtools.formats.qed.check import Check

        with self.lock:
            result = Check(self, report, repair).run()
            if repair:
                self._read_table(self.table.entries)
        return result

    def mark_closed(self) -> None:
        """Take the mark of an image that has to be checked away, once all else is on disk."""
        self.storage.flush()
        self.header.features &= ~NEED_CHECK
        self.storage.write(HEADER.offset_of("features"), self.header.features.to_bytes(8, "little"))
        self.storage.flush()
        self.dirty = False


class Qed(Format):
    name = "qed"
    supports_backing = True
    structures = "imgtools.formats.qed.explain"

    def open(self, storage: Storage, context: Context) -> QedNode:
        if context.writable and not context.checking:
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
