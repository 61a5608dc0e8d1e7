"""Writing to a qcow2 image.

Guest data goes straight to the file. Metadata changes in memory and is written back by `write_back`, on a flush,
on closing, and when the table cache is full, in this order with a barrier where needed:

    1. reference counts that went up (and the refcount table)     2. L2 tables     3. the L1 table
    4. reference counts that went down

so whatever write is the last before a crash, the image refers to no cluster that is not counted and written, and
the worst that remains is a leak. See design: data before the pointer to it.
"""

from __future__ import annotations

from array import array

from imgtools.errors import CorruptImage, InputOutput
from imgtools.formats.qcow2 import header as head
from imgtools.formats.qcow2.compression import StreamLocator
from imgtools.formats.qcow2.mapping import COMPRESSED, COPIED, OFFSET_MASK, ZERO_FLAG
from imgtools.formats.qcow2.overlap import MetadataClusters
from imgtools.formats.qcow2.records import HEADER_V2
from imgtools.formats.qcow2.refcount import Refcounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.node import Buffer
    from imgtools.formats.qcow2.node import Qcow2Node


class Writer:
    """All that changes an image. Every method takes the image's lock."""

    def __init__(self, node: Qcow2Node) -> None:
        self.node = node
        self.header = node.header
        self.storage = node.storage
        self.lock = node.lock
        self.mapping = node.mapping
        self.bits = self.header.cluster_bits
        self.size = self.header.cluster_size
        self.refcounts = Refcounts(self.storage, self.header)
        self.metadata = MetadataClusters(self.header, self.mapping, self.refcounts, node.snapshots)
        self.refcounts.on_table_moved = self._refcount_table_moved
        self.refcounts.on_metadata = lambda first, count: self.metadata.add(first, count, "refcount block")
        self.mapping.relieve = self.write_back
        self.streams = StreamLocator(self.bits)
        self.not_offset = node.not_offset
        self.failed = False
        unknown = self.header.autoclear & ~head.RAW_DATA_FILE
        if unknown and not node.context.checking:
            self.header.autoclear &= head.RAW_DATA_FILE
            self.write_header()

    # Guest writes.

    def write_small(self, offset: int, data: Buffer) -> None:
        """A write within one cluster: the two usual cases without the generality of `write`, which does the rest."""
        with self.lock:
            index = offset >> self.mapping.span_bits
            table = self.mapping.tables.get(index)
            if table is not None and not self.failed and self.mapping.l1[index] & COPIED:
                position = (offset >> self.bits) & (self.mapping.entries - 1)
                entry = table[position]
                if not entry and self.node.backing is None:
                    cluster = self.refcounts.allocate_one()
                    if cluster in self.metadata.names:
                        self._refuse_overlap(cluster, 1)
                    host, within = cluster << self.bits, offset & (self.size - 1)
                    if host >= self.storage.size:  # what was never written reads as zeroes
                        self.storage.write(host + within, data)
                    else:
                        self._fill_new(offset - within, host, within, memoryview(data).cast("B"), 1)
                    table[position] = host | COPIED
                    self.mapping.dirty.add(index)
                    return
                if entry & self.not_offset == COPIED and entry != COPIED:
                    host = entry - COPIED
                    if (host >> self.bits) not in self.metadata.names:
                        self.storage.write(host + (offset & (self.size - 1)), data)
                        return
            self.write(offset, memoryview(data).cast("B"))

    def write(self, offset: int, data: memoryview) -> None:
        """Store `data`, allocating where nothing of its own is there yet."""
        with self.lock:
            self._refuse_if_failed()
            end = offset + len(data)
            position = offset
            while position < end:
                index = position >> self.mapping.span_bits
                stop = min(end, (index + 1) << self.mapping.span_bits)
                table = self.writable_table(index)
                while position < stop:
                    done = self._write_run(table, index, position, data[position - offset : stop - offset])
                    position += done

    def _write_run(self, table: array[int], index: int, position: int, data: memoryview) -> int:
        """Write as much of `data` as one kind of clusters takes; how much that was."""
        first = (position >> self.bits) & (self.mapping.entries - 1)
        within = position & (self.size - 1)
        last = first + ((within + len(data) - 1) >> self.bits)
        entry = table[first]
        n = 1
        if self._in_place(entry):
            following = entry + self.size
            while first + n <= last and table[first + n] == following:
                following += self.size
                n += 1
            length = min(len(data), (n << self.bits) - within)
            host = self.mapping.check_entry(entry, position)
            self._refuse_overlap(host >> self.bits, n)
            self.storage.write(host + within, data[:length])
            return length
        while first + n <= last and not self._in_place(table[first + n]):
            n += 1
        length = min(len(data), (n << self.bits) - within)
        host = self._allocate_data(n)
        self._fill_new(position - within, host, within, data[:length], n)
        self.link(table, index, first, n, host)
        return length

    def _in_place(self, entry: int) -> bool:
        """Whether an entry is that of a cluster of data which nothing else refers to."""
        return entry >> 62 == 2 and not entry & ZERO_FLAG and bool(entry & OFFSET_MASK)

    def _allocate_data(self, count: int) -> int:
        """The host offset of `count` new clusters in a row."""
        first = self.refcounts.allocate(count)
        self._refuse_overlap(first, count)
        return first << self.bits

    def _fill_new(self, guest: int, host: int, head_length: int, data: memoryview, count: int) -> None:
        """Write `count` new clusters: `data`, and around it what the guest reads there now."""
        tail_start = head_length + len(data)
        tail_length = (count << self.bits) - tail_start
        if not head_length and not tail_length:
            self.storage.write(host, data)
            return
        # What was never written reads as zeroes, so zeroes need not be written behind the end of the file.
        fresh = host >= self.storage.size
        if fresh and self._reads_as_zero(guest, head_length) and self._reads_as_zero(guest + tail_start, tail_length):
            self.storage.write(host + head_length, data)
            return
        pieces: list[Buffer] = [self._guest_bytes(guest, head_length), data]
        pieces.append(self._guest_bytes(guest + tail_start, tail_length))
        self.storage.writev(host, [piece for piece in pieces if len(piece)])

    def _reads_as_zero(self, guest: int, length: int) -> bool:
        if not length:
            return True
        entry = self.mapping.entry(guest)
        if entry & COMPRESSED:
            return False
        if entry & self.mapping.zero_flag:
            return True
        return not entry & OFFSET_MASK and (self.node.backing is None or guest >= self.node.backing.size)

    def _guest_bytes(self, guest: int, length: int) -> bytes:
        """What the guest reads; zeroes past the end of a disk that ends within a cluster."""
        if not length:
            return b""
        inside = max(0, min(length, self.node.size - guest))
        return (self.node.read(guest, inside) if inside else b"") + bytes(length - inside)

    def link(self, table: array[int], index: int, first: int, count: int, host: int) -> None:
        """Let `count` entries point to the data at `host`, and give back what they pointed to."""
        old = table[first : first + count]
        start = host | COPIED
        table[first : first + count] = array("Q", range(start, start + (count << self.bits), self.size))
        self.mapping.dirty.add(index)
        if any(old):
            for entry in old:
                self._free_entry(entry)

    def _free_entry(self, entry: int) -> None:
        """Give back, once it is safe, the clusters that an L2 entry referred to."""
        if entry & COMPRESSED:
            offset, length = self.streams.locate(entry & ~COPIED)
            first = offset >> self.bits
            self.refcounts.free_later(first, ((offset + length - 1) >> self.bits) - first + 1)
            self.node.forget_decompressed()
        elif entry & OFFSET_MASK:
            self.refcounts.free_later((entry & OFFSET_MASK) >> self.bits, 1)

    def write_compressed(self, offset: int, stream: bytes) -> None:
        """Store a stream for the cluster at `offset`, which must not hold anything yet."""
        with self.lock:
            self._refuse_if_failed()
            index = offset >> self.mapping.span_bits
            table = self.writable_table(index)
            position = (offset >> self.bits) & (self.mapping.entries - 1)
            if table[position] & OFFSET_MASK:
                raise InputOutput(
                    "a compressed write cannot replace a cluster that is already allocated",
                    path=self.node.filename,
                    offset=offset,
                )
            host = self.refcounts.allocate_bytes(len(stream))
            first = host >> self.bits
            self._refuse_overlap(first, ((host + len(stream) - 1) >> self.bits) - first + 1)
            self.storage.write(host, stream)
            table[position] = COMPRESSED | self.streams.entry_for(host, len(stream))
            self.mapping.dirty.add(index)

    # Zeroes and discards.

    def zero(self, offset: int, length: int, unmap: bool) -> None:
        """Make a range read as zeroes, by marking whole clusters and writing the rest."""
        with self.lock:
            self._refuse_if_failed()
            end = offset + length
            head_end = min(end, offset + -offset % self.size)
            tail_start = max(head_end, end - end % self.size if end < self.node.size else end)
            if not self.mapping.zero_flag and self.node.backing is not None:
                head_end = tail_start = end  # version 2 cannot hide a backing file's bytes but by writing
            self._write_zeroes(offset, head_end)
            self.mark(head_end, tail_start, keep_space=not unmap, entry=self.mapping.zero_flag)
            self._write_zeroes(tail_start, end)

    def _write_zeroes(self, start: int, end: int) -> None:
        while start < end:
            stop = min(end, start - start % self.size + self.size)
            if not self._reads_as_zero(start, stop - start):
                self.write(start, memoryview(bytes(stop - start)))
            start = stop

    def discard(self, offset: int, length: int) -> None:
        """Give the clusters that lie wholly in the range back. They read as zeroes from then on."""
        with self.lock:
            self._refuse_if_failed()
            if not self.mapping.zero_flag and self.node.backing is not None:
                return  # version 2: the backing file's old bytes would come to light
            end = offset + length
            first = offset + -offset % self.size
            last = end if end == self.node.size else end - end % self.size
            if first < last:
                self.mark(first, last, keep_space=False, entry=self.mapping.zero_flag)

    def mark(self, start: int, end: int, *, keep_space: bool, entry: int) -> None:
        """Set the entries of whole clusters in [start, end) to `entry` (zero flag or nothing).

        `keep_space` leaves a cluster of its own in place behind the zero flag.
        """
        while start < end:
            index = start >> self.mapping.span_bits
            stop = min(end, (index + 1) << self.mapping.span_bits)
            first = (start >> self.bits) & (self.mapping.entries - 1)
            count = (stop - start + self.size - 1) >> self.bits
            table = self.mapping.table(index)
            if table is not None or (entry and self.node.backing is not None):
                table = self.writable_table(index)
                self._mark_entries(table, index, first, count, keep_space, entry)
            start = stop

    def _mark_entries(
        self, table: array[int], index: int, first: int, count: int, keep_space: bool, entry: int
    ) -> None:
        for position in range(first, first + count):
            old = table[position]
            if not old and self.node.backing is None:
                continue  # nothing there reads as zeroes already
            if entry and keep_space and old & OFFSET_MASK and not old & COMPRESSED:
                new = old | entry
            else:
                new = entry
                if new != old:
                    self._free_entry(old)
            if new != old:
                table[position] = new
                self.mapping.dirty.add(index)

    # Tables.

    def writable_table(self, index: int) -> array[int]:
        """The L2 table behind L1 entry `index` in a cluster of its own, made or copied where there is none."""
        old = self.mapping.l1[index]
        table = self.mapping.table(index)
        self.mapping.pinned = index
        if table is not None and old & COPIED:
            self._refuse_table_overlap(old)
            return table
        first = self.refcounts.allocate(1)
        self._refuse_overlap(first, 1)
        copy = array("Q", bytes(self.size)) if table is None else table[:]
        self.mapping.l1[index] = (first << self.bits) | COPIED
        self.mapping.l1_dirty = True
        self.mapping.tables.pop(index, None)
        self.mapping.hold(index, copy)
        self.mapping.dirty.add(index)
        self.metadata.add(first, 1, "active L2 table")
        if table is not None:
            self.refcounts.free_later((old & OFFSET_MASK) >> self.bits, 1)
        return copy

    def _refuse_table_overlap(self, l1_entry: int) -> None:
        name = self.metadata.names.get((l1_entry & OFFSET_MASK) >> self.bits)
        if name not in (None, "active L2 table"):
            self.fail(f"L2 table overlaps with {name}", l1_entry & OFFSET_MASK)

    def _refuse_overlap(self, first: int, count: int) -> None:
        name = self.metadata.hit(first, count)
        if name is not None:
            self.fail(f"Preventing invalid write on metadata (overlaps with {name})", first << self.bits)

    def fail(self, message: str, offset: int) -> None:
        """Mark the image corrupt and refuse this and every later write."""
        self.failed = True
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
        built = self.header.build()
        self.storage.write(0, built + bytes(self.size - len(built)))

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
                self.refcounts.write_back()
            if self.mapping.dirty or self.mapping.l1_dirty:
                self.storage.flush()
                self.mapping.write_tables()
                if self.mapping.l1_dirty:
                    self.storage.flush()
                    self.mapping.write_l1(self.header.l1_table_offset)
            if self.refcounts.pending:
                self.storage.flush()
                freed = self.refcounts.release_pending()
                self.refcounts.write_back()
                if self.node.pass_discard:
                    for first, count in freed:
                        self.storage.discard(first << self.bits, count << self.bits)

    def flush(self) -> None:
        with self.lock:
            self.write_back()
            self.storage.flush()

    def finish(self) -> None:
        """Write back before closing; after compressed streams the file ends at a sector, as other readers expect."""
        with self.lock:
            self.write_back()
            if self.refcounts.free_byte and self.storage.size % 512:
                self.storage.truncate(self.storage.size + -self.storage.size % 512)
