"""What must never be hit by a write of guest data: the overlap check.

A damaged reference count could make the allocator hand out a cluster that holds a table. Before data is
written, its clusters are held against the set of all metadata clusters; when one is in it, the image is marked
corrupt and the write fails, as in QEMU (whose default, overlap-check=cached, covers the same structures).
"""

from __future__ import annotations

from imgtools.align import div_up
from imgtools.formats.qcow2.header import LUKS_HEADER
from imgtools.formats.qcow2.mapping import OFFSET_MASK, read_table
from imgtools.formats.qcow2.records import LUKS_EXTENSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.formats.qcow2.header import Header
    from imgtools.formats.qcow2.mapping import Mapping
    from imgtools.formats.qcow2.refcount import Refcounts
    from imgtools.formats.qcow2.snapshot import Snapshot


class MetadataClusters:
    """The clusters of the file that hold metadata, by number, each with the name of what it holds."""

    def __init__(self, header: Header, mapping: Mapping, refcounts: Refcounts, snapshots: list[Snapshot]) -> None:
        self.bits = header.cluster_bits
        self.names: dict[int, str] = {}
        self.unguarded: frozenset[str] = frozenset()
        """Names of structures that may be hit."""
        self.add_bytes(0, header.cluster_size, "qcow2_header")
        self.add_bytes(header.l1_table_offset, header.l1_size * 8, "active L1 table")
        self.add_bytes(refcounts.table_offset, len(refcounts.table) * 8, "refcount table")
        luks = header.extension(LUKS_HEADER)
        if luks is not None and len(luks) >= LUKS_EXTENSION.size:
            place = LUKS_EXTENSION.parse(luks)
            if place.offset + place.length <= mapping.storage.size:
                self.add_bytes(place.offset, place.length, "LUKS header")
        for offset in refcounts.table:
            if offset:
                self.names[offset >> self.bits] = "refcount block"
        for entry in mapping.l1:
            if entry & OFFSET_MASK:
                self.names[(entry & OFFSET_MASK) >> self.bits] = "active L2 table"
        for snapshot in snapshots:
            self.add_bytes(snapshot.l1_table_offset, snapshot.l1_size * 8, "inactive L1 table")
            for entry in read_table(mapping.storage, snapshot.l1_table_offset, snapshot.l1_size * 8):
                if entry & OFFSET_MASK:
                    self.names.setdefault((entry & OFFSET_MASK) >> self.bits, "inactive L2 table")
        if snapshots:
            length = sum(snapshot.length for snapshot in snapshots)
            self.add_bytes(header.snapshots_offset, length, "snapshot table")

    def add_bytes(self, offset: int, length: int, name: str) -> None:
        """The bytes at `offset` are metadata from now on."""
        self.add(offset >> self.bits, div_up(length + (offset & ((1 << self.bits) - 1)), 1 << self.bits), name)

    def add(self, first: int, count: int, name: str) -> None:
        for cluster in range(first, first + count):
            self.names[cluster] = name

    def remove(self, first: int, count: int) -> None:
        for cluster in range(first, first + count):
            self.names.pop(cluster, None)

    def hit(self, first: int, count: int) -> str | None:
        """What a write to `count` clusters from `first` would destroy."""
        names = self.names
        if count == 1 and first not in names:
            return None
        if names.keys().isdisjoint(range(first, first + count)):
            return None
        found = (names[cluster] for cluster in range(first, first + count) if cluster in names)
        return next((name for name in found if name not in self.unguarded), None)
