"""The metadata of an image that is being written: its tables, what may not be overwritten, and writing back.

Metadata changes in memory and is written back by `write_back`, on a flush, on closing, and when the table cache is
full, in this order with a barrier where needed:

    1. reference counts that went up (and the refcount table)     2. L2 tables     3. the L1 table
    4. reference counts that went down

so whatever write is the last before a crash, the image refers to no cluster that is not counted and written, and
the worst that remains is a leak.

With lazy reference counts, 1 and 4 wait until the image is closed; before the first table is written the image is
marked dirty, which makes whoever opens it next count anew.
"""

from __future__ import annotations

from imgtools.errors import CorruptImage
from imgtools.formats.qcow2 import header as head
from imgtools.formats.qcow2.mapping import COPIED, OFFSET_MASK
from imgtools.formats.qcow2.overlap import MetadataClusters
from imgtools.formats.qcow2.records import HEADER_V2
from imgtools.formats.qcow2.refcount import Refcounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array

    from imgtools.formats.qcow2.node import Qcow2Node


class MetadataWriter:
    """All of `Writer` that guest data does not come near. Call with the image's lock held, where it is not taken."""

    def __init__(self, node: Qcow2Node) -> None:
        self.node = node
        self.header = node.header
        self.storage = node.storage
        self.data = node.data
        self.lock = node.lock
        self.mapping = node.mapping
        self.bits = self.header.cluster_bits
        self.size = self.header.cluster_size
        self.refcounts = Refcounts(self.storage, self.header)
        self.refcounts.max_blocks = node.max_refcount_blocks or self.refcounts.max_blocks
        self.metadata = MetadataClusters(self.header, self.mapping, self.refcounts, node.snapshots)
        self.metadata.unguarded = node.unguarded
        self.refcounts.on_table_moved = self._refcount_table_moved
        self.refcounts.on_metadata = lambda first, count: self.metadata.add(first, count, "refcount block")
        self.mapping.relieve = self.write_back
        self.lazy = node.lazy_refcounts
        self.failed = False
        self.quick = not self.mapping.external and not self.storage.listens and not node.encrypted
        """Whether small writes may take their short cut: entries of the usual form, data in the image, no events."""
        unknown = self.header.autoclear & ~head.KNOWN_AUTOCLEAR
        if unknown and not node.context.checking:
            self.header.autoclear &= head.KNOWN_AUTOCLEAR
            self.write_header()

    # Tables.

    def writable_table(self, index: int) -> array[int]:
        """The L2 table behind L1 entry `index` in a cluster of its own, made or copied where there is none."""
        old = self.mapping.l1[index]
        table = self.mapping.table(index)
        self.mapping.pinned = index
        if table is not None and old & COPIED:
            self._refuse_table_overlap(old)
            return table
        self.storage.event("l2_alloc_write")
        first = self.refcounts.allocate(1)
        self.refuse_overlap(first, 1)
        copy = self.mapping.copy(table)
        self.mapping.l1[index] = (first << self.bits) | COPIED
        self.mapping.l1_dirty = True
        self.mapping.tables.pop(index, None)
        self.mapping.hold(index, copy)
        self.mapping.dirty.add(index)
        self.metadata.add(first, 1, "active L2 table")
        if table is not None:
            cluster = (old & OFFSET_MASK) >> self.bits
            if self.refcounts.get(cluster) == 1:  # the flag said that others share it, and was wrong
                self.metadata.remove(cluster, 1)
            self.refcounts.free_later(cluster, 1)
        return copy

    def reload_overlaps(self) -> None:
        """Learn anew where all metadata lies, after snapshots have come or gone."""
        self.metadata = MetadataClusters(self.header, self.mapping, self.refcounts, self.node.snapshots)

    def _refuse_table_overlap(self, l1_entry: int) -> None:
        name = self.metadata.names.get((l1_entry & OFFSET_MASK) >> self.bits)
        if name not in (None, "active L2 table"):
            self.fail(f"L2 table overlaps with {name}", l1_entry & OFFSET_MASK)

    def refuse_overlap(self, first: int, count: int) -> None:
        """Fail where one of `count` clusters from `first` holds metadata."""
        name = self.metadata.hit(first, count)
        if name is not None:
            self.fail(f"Preventing invalid write on metadata (overlaps with {name})", first << self.bits)

    def fail(self, message: str, offset: int) -> None:
        """Mark the image corrupt and refuse this and every later write."""
        self.failed = True
        self.quick = False
        if self.header.version >= 3:
            self.header.incompatible |= head.CORRUPT
            self.write_header()
        raise CorruptImage(
            f"qcow2: Marking image as corrupt: {message}",
            path=self.node.filename,
            offset=offset,
            hint="Nothing was written there. Run check -r all.",
        )

    def _refuse_if_failed(self) -> None:
        if self.failed:
            raise CorruptImage("the image is marked corrupt and takes no more writes", path=self.node.filename)

    # Writing back.

    def write_header(self) -> None:
        """Rewrite the header with its extensions."""
        self.storage.write(0, self.header.build().ljust(self.size, b"\0"))

    def _refcount_table_moved(self, offset: int, clusters: int) -> None:
        old_first = self.header.refcount_table_offset >> self.bits
        self.metadata.remove(old_first, self.header.refcount_table_clusters)
        self.metadata.add(offset >> self.bits, clusters, "refcount table")
        self.header.refcount_table_offset = offset
        self.header.refcount_table_clusters = clusters
        start = HEADER_V2.offset_of("refcount_table_offset")
        fields = offset.to_bytes(8, "big") + clusters.to_bytes(4, "big")
        self.storage.write(start, fields)  # both fields in one write: never one without the other

    def write_back(self) -> None:
        """Write all changed metadata in the order that is safe at every point."""
        with self.lock:
            if self.refcounts.dirty or self.refcounts.new_entries:
                self._mark_dirty() if self.lazy else self.refcounts.write_back()
            if self.mapping.dirty or self.mapping.l1_dirty:
                self._flush_files()
                self.mapping.write_tables()
                if self.mapping.l1_dirty:
                    self.storage.flush()
                    self.mapping.write_l1(self.header.l1_table_offset)
            if self.refcounts.pending:
                self._release_pending()

    def _release_pending(self) -> None:
        """Count down what nothing on disk refers to any more."""
        self.storage.flush()
        freed = self.refcounts.release_pending()
        if not self.lazy:
            self.refcounts.write_back()
        if self.node.pass_discard:
            for first, count in freed:
                self.storage.discard(first << self.bits, count << self.bits)

    def _mark_dirty(self) -> None:
        if not self.header.incompatible & head.DIRTY:
            self.header.incompatible |= head.DIRTY
            self.write_header()
            self.storage.flush()

    def settle(self) -> None:
        """Write everything back, postponed reference counts too, and take the mark off again."""
        with self.lock:
            self.write_back()
            self.refcounts.write_back()
            if self.refcounts.pending:  # the refcount table, where postponed counts have made it move
                self._release_pending()
                self.refcounts.write_back()
            if self.lazy and self.header.incompatible & head.DIRTY:
                self._flush_files()
                self.header.incompatible &= ~head.DIRTY
                self.write_header()

    def flush(self) -> None:
        with self.lock:
            self.write_back()
            self._flush_files()

    def _flush_files(self) -> None:
        """A barrier: what was written to the image and to its data file comes before all that follows."""
        if self.mapping.external:
            self.data.flush()
        self.storage.flush()

    def finish(self) -> None:
        """Write back before closing; after compressed streams the file ends at a sector, as other readers expect."""
        with self.lock:
            self.settle()
            if self.refcounts.free_byte and self.storage.size % 512:
                self.storage.truncate(self.storage.size + -self.storage.size % 512)
