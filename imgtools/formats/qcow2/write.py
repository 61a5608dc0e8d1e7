"""Writing to a qcow2 image.

Guest data goes straight to the file; what refers to it changes in memory and follows later (see `metadata`): data
before the pointer to it.
"""

from __future__ import annotations

from array import array

from imgtools.errors import BadOption, ImageError, InputOutput
from imgtools.formats.qcow2.compression import StreamLocator
from imgtools.formats.qcow2.header import EXTENDED_L2
from imgtools.formats.qcow2.mapping import COMPRESSED, COPIED, OFFSET_MASK, ZERO_FLAG
from imgtools.formats.qcow2.metadata import MetadataWriter
from imgtools.formats.qcow2.placement import InDataFile, InImage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.node import Buffer
    from imgtools.formats.qcow2.node import Qcow2Node


class Writer(MetadataWriter):
    """All that changes an image. Every method takes the image's lock."""

    def __init__(self, node: Qcow2Node) -> None:
        super().__init__(node)
        self.streams = StreamLocator(self.bits)
        self.not_offset = node.not_offset
        self.place: InImage | InDataFile = InDataFile(self) if self.mapping.external else InImage(self)
        self.unit = self.size
        """The smallest piece that an entry can call zero."""
        self.raw_data = node.raw_data_file
        """Whether the data file must stay what the guest reads, even where an entry says zero."""

    # Guest writes.

    def write_small(self, offset: int, data: Buffer) -> None:
        """A write within one cluster: the two usual cases without the generality of `write`, which does the rest."""
        with self.lock:
            index = offset >> self.mapping.span_bits
            table = self.mapping.tables.get(index)
            if table is not None and self.quick and self.mapping.l1[index] & COPIED:
                position = (offset >> self.bits) & (self.mapping.entries - 1)
                entry = table[position]
                if not entry and self.node.backing is None:
                    cluster = self.refcounts.allocate_one()
                    if cluster in self.metadata.names:
                        self.refuse_overlap(cluster, 1)
                    host, within = cluster << self.bits, offset & (self.size - 1)
                    try:
                        if host >= self.storage.size:  # what was never written reads as zeroes
                            self.storage.write(host + within, data)
                        else:
                            tail = self.size - within - len(data)
                            self._fill(offset, host + within, memoryview(data).cast("B"), within, tail)
                    except ImageError:
                        self.place.give_back(host)
                        raise
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
            host = self.mapping.check_entry(entry, position - within)
            self.place.refuse_overlap(host, n)
            self._store(host + within, position, [data[:length]])
            return length
        while first + n <= last and not self._in_place(table[first + n]):
            n += 1
        length = min(len(data), (n << self.bits) - within)
        host = self.place.allocate(position - within, n)
        try:
            self._fill(position, host + within, data[:length], within, (n << self.bits) - within - length)
        except ImageError:
            for unused in range(host, host + (n << self.bits), self.size):
                self.place.give_back(unused)
            raise
        self.link(table, index, first, n, host)
        return length

    def _in_place(self, entry: int) -> bool:
        """Whether an entry is that of a cluster of data which nothing else refers to."""
        return entry >> 62 == 2 and not entry & ZERO_FLAG and bool(entry & self.mapping.place_mask)

    def _fill(self, guest: int, host: int, data: memoryview, head: int, tail: int) -> None:
        """Write `data` to a new place, and `head` bytes before and `tail` behind it that the guest reads there now."""
        end = guest + len(data)
        if self.mapping.external:  # a data file ends where the disk does
            tail = max(0, min(tail, self.node.size - end))
        if not head and not tail:
            self._store(host, guest, [data])
            return
        # What was never written reads as zeroes, so zeroes need not be written behind the end of the file.
        fresh = host - head >= self.data.size and not self.node.encrypted
        if fresh and self._reads_as_zero(guest - head, head) and self._reads_as_zero(end, tail):
            self.data.write(host, data)
            return
        self.storage.event("cow_read")
        pieces: list[Buffer] = [self._guest_bytes(guest - head, head), data, self._guest_bytes(end, tail)]
        self.storage.event("cow_write")
        self._store(host - head, guest - head, [piece for piece in pieces if len(piece)])

    def _store(self, host: int, guest: int, pieces: list[Buffer]) -> None:
        """Write guest data to its place, encrypted where it is to be."""
        if self.node.clusters is not None:
            self.node.clusters.write(host, guest, pieces[0] if len(pieces) == 1 else b"".join(pieces))
        elif self.node.encrypted:
            raise BadOption("Parameter 'encrypt.key-secret' is required for cipher", path=self.node.filename)
        elif len(pieces) == 1:
            self.data.write(host, pieces[0])
        else:
            self.data.writev(host, pieces)

    def _reads_as_zero(self, guest: int, length: int) -> bool:
        if not length:
            return True
        entry = self.mapping.entry(guest)
        if entry & COMPRESSED:
            return False
        if entry & self.mapping.zero_flag:
            return True
        return not entry & self.mapping.place_mask and (self.node.backing is None or guest >= self.node.backing.size)

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
        if any(old) and not self.mapping.external:
            for entry in old:
                self.place.give_back(entry)

    def reserve(self, table: array[int], index: int, first: int, count: int, host: int) -> None:
        """Give `count` entries that have none a place at `host`, where nothing is written yet."""
        self.link(table, index, first, count, host)
        if self.node.encrypted:  # zeroes in the file are no zeroes for the guest
            for position in range(first, first + count):
                table[position] |= self.mapping.zero_flag

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
            self.refuse_overlap(first, ((host + len(stream) - 1) >> self.bits) - first + 1)
            self.storage.event("write_compressed")
            self.storage.write(host, stream)
            table[position] = COMPRESSED | self.streams.entry_for(host, len(stream))
            self.mapping.dirty.add(index)

    # Zeroes and discards.

    def zero(self, offset: int, length: int, unmap: bool) -> None:
        """Make a range read as zeroes, by marking what entries can call zero and writing the rest."""
        with self.lock:
            self._refuse_if_failed()
            if self.raw_data:
                self.data.zero(offset, length, unmap=unmap)
            end = offset + length
            head_end = min(end, offset + -offset % self.unit)
            tail_start = max(head_end, end - end % self.unit if end < self.node.size else end)
            if self.header.version < 3 and self.node.backing is not None:
                head_end = tail_start = end  # version 2 cannot hide a backing file's bytes but by writing
            self._write_zeroes(offset, head_end)
            self.mark(head_end, tail_start, keep_space=not unmap, zero=True)
            self._write_zeroes(tail_start, end)

    def _write_zeroes(self, start: int, end: int) -> None:
        while start < end:
            stop = min(end, start - start % self.size + self.size)
            if not self._reads_as_zero(start, stop - start):
                self.write(start, memoryview(bytes(stop - start)))
            start = stop

    def discard(self, offset: int, length: int) -> None:
        """Give back what lies wholly in the range. It reads as zeroes from then on."""
        with self.lock:
            self._refuse_if_failed()
            if self.header.version < 3 and self.node.backing is not None:
                return  # version 2: the backing file's old bytes would come to light
            end = offset + length
            first = offset + -offset % self.unit
            last = end if end == self.node.size else end - end % self.unit
            if first < last:
                if self.raw_data:
                    self.data.zero(first, last - first)
                self.mark(first, last, keep_space=False, zero=True)

    def mark(self, start: int, end: int, *, keep_space: bool, zero: bool) -> None:
        """Let [start, end), in whole units, read as zeroes or, without `zero`, as if it had never been written.

        `keep_space` leaves a cluster of its own in place behind the zeroes.
        """
        while start < end:
            index = start >> self.mapping.span_bits
            stop = min(end, (index + 1) << self.mapping.span_bits)
            table = self.mapping.table(index)
            if table is not None or (zero and self.node.backing is not None):
                table = self.writable_table(index)
                self._mark_entries(table, index, start, stop, keep_space, zero)
            start = stop

    def _mark_entries(self, table: array[int], index: int, start: int, stop: int, keep_space: bool, zero: bool) -> None:
        entry = self.mapping.zero_flag if zero else 0
        position = (start >> self.bits) & (self.mapping.entries - 1)
        last = position + ((stop - start + self.size - 1) >> self.bits)
        while position < last:
            old, following = table[position], position + 1
            packed = bool(old & COMPRESSED)
            # Clusters that lie in a row, or are alike, are one run.
            step = self.size if old & self.mapping.place_mask else 0
            while not packed and following < last and table[following] == old + step * (following - position):
                following += 1
            count, new = following - position, entry
            if not old and self.node.backing is None:
                new = old  # nothing there reads as zeroes already
            elif entry and keep_space and step and not packed:
                new = old | entry
            elif new != old:
                self.place.give_back(old, count)
            if new != old:
                step = step if new == old | entry and step else 0
                table[position:following] = array("Q", [new + step * number for number in range(count)])
                self.mapping.dirty.add(index)
            position = following


def make_writer(node: Qcow2Node) -> Writer:
    """What writes to an image, for the form of its entries."""
    if node.header.incompatible & EXTENDED_L2:
        from imgtools.formats.qcow2.subcluster_write import SubclusterWriter

        return SubclusterWriter(node)
    return Writer(node)
