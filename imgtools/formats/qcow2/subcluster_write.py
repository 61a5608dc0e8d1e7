"""Writing to an image with extended L2 entries: copy-on-write, zeroes and discards by subcluster."""

from __future__ import annotations

from imgtools.align import round_down, round_up
from imgtools.block.extent import HOLE, READS_ZERO
from imgtools.formats.qcow2.mapping import COMPRESSED
from imgtools.formats.qcow2.subclusters import (
    SUBCLUSTER_BITS,
    SUBCLUSTERS,
    WRITTEN,
    bitmaps_of,
    touched,
)
from imgtools.formats.qcow2.write import Writer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array

    from imgtools.formats.qcow2.node import Qcow2Node


class SubclusterWriter(Writer):
    """A `Writer` whose smallest unit is the subcluster."""

    def __init__(self, node: Qcow2Node) -> None:
        super().__init__(node)
        self.unit = self.size >> SUBCLUSTER_BITS
        self.quick = False

    def _write_run(self, table: array[int], index: int, position: int, data: memoryview) -> int:
        first = (position >> self.bits) & (self.mapping.entries - 1)
        within = position & (self.size - 1)
        last = first + ((within + len(data) - 1) >> self.bits)
        entry, n = table[first], 1
        in_place = self._in_place(entry)
        if in_place:
            while first + n <= last and table[first + n] == entry + (n << self.bits):
                n += 1
            host = self.mapping.check_entry(entry, position - within)
            self.place.refuse_overlap(host, n)
        else:
            while first + n <= last and not self._in_place(table[first + n]):
                n += 1
            host = self.place.allocate(position - within, n)
        length = min(len(data), (n << self.bits) - within)
        end = within + length - ((n - 1) << self.bits)
        final = first + n - 1
        if in_place:
            head = within - self._filled_from(table, first, within)
            tail = self._filled_to(table, final, end) - end
        else:
            head = within - self._kept_from(table, first, within)
            tail = self._kept_to(table, final, end) - end
        self._fill(position, host + within, data[:length], head, tail)
        if not in_place:
            self.link(table, index, first, n, host)
        self._mark_written(table, first, n, within, end)
        self.mapping.dirty.add(index)
        return length

    # How far a write has to reach, in bytes from the start of its first or its last cluster.

    def _filled_from(self, table: array[int], position: int, within: int) -> int:
        """In place: the subcluster that is written in part is filled up where it holds nothing yet."""
        return within if self._is_written(table, position, within) else round_down(within, self.unit)

    def _filled_to(self, table: array[int], position: int, end: int) -> int:
        return end if self._is_written(table, position, end - 1) else round_up(end, self.unit)

    def _is_written(self, table: array[int], position: int, within: int) -> bool:
        return bool(bitmaps_of(table)[position] >> within // self.unit & 1)

    def _kept_from(self, table: array[int], position: int, within: int) -> int:
        """In a new cluster: what the old one held has to come along, too."""
        written = self._old_bits(table, position)
        start = round_down(within, self.unit)
        return min(start, ((written & -written).bit_length() - 1) * self.unit) if written else start

    def _kept_to(self, table: array[int], position: int, end: int) -> int:
        return max(round_up(end, self.unit), self._old_bits(table, position).bit_length() * self.unit)

    def _old_bits(self, table: array[int], position: int) -> int:
        """The subclusters whose data only the old cluster has."""
        return WRITTEN if table[position] & COMPRESSED else bitmaps_of(table)[position] & WRITTEN

    def _mark_written(self, table: array[int], first: int, count: int, within: int, end: int) -> None:
        """Set the bits of all that was written, from `within` the first cluster to `end` of the last."""
        bitmaps = bitmaps_of(table)
        for position in range(first, first + count):
            low = within // self.unit if position == first else 0
            high = round_up(end, self.unit) // self.unit if position == first + count - 1 else SUBCLUSTERS
            bits = touched(low, high)
            bitmaps[position] = (bitmaps[position] | bits) & ~(bits << SUBCLUSTERS)

    def link(self, table: array[int], index: int, first: int, count: int, host: int) -> None:
        bitmaps = bitmaps_of(table)
        for position in range(first, first + count):
            if table[position] & COMPRESSED:
                bitmaps[position] = WRITTEN
        super().link(table, index, first, count, host)

    def _reads_as_zero(self, guest: int, length: int) -> bool:
        below = self.node.backing
        for start, _, kind, _ in self.mapping.runs(guest, guest + length):
            if kind not in READS_ZERO or (kind == HOLE and below is not None and start < below.size):
                return False
        return True

    def write_compressed(self, offset: int, stream: bytes) -> None:
        with self.lock:
            super().write_compressed(offset, stream)
            table = self.writable_table(offset >> self.mapping.span_bits)
            bitmaps_of(table)[(offset >> self.bits) & (self.mapping.entries - 1)] = 0

    # Zeroes and discards.

    def discard(self, offset: int, length: int) -> None:
        with self.lock:
            start, end = offset, offset + length
            if length and self.mapping.entry(start) & COMPRESSED:
                start = round_up(start, self.size)
            if length and end < self.node.size and self.mapping.entry(end - 1) & COMPRESSED:
                end = round_down(end, self.size)
            if start < end:
                super().discard(start, end - start)

    def _mark_entries(self, table: array[int], index: int, start: int, stop: int, keep_space: bool, zero: bool) -> None:
        """Set whole subclusters in [start, stop) to zeroes, or whole clusters to nothing."""
        while start < stop:
            base = round_down(start, self.size)
            end = min(stop, base + self.size)
            bits = touched((start - base) // self.unit, round_up(end - base, self.unit) // self.unit)
            if end == self.node.size:  # what lies past the end of the disk goes with its last byte
                bits |= WRITTEN & -bits
            position = (start >> self.bits) & (self.mapping.entries - 1)
            if bits != WRITTEN and table[position] & COMPRESSED:
                self._write_zeroes(start, end)
            else:
                self._mark_entry(table, index, position, bits, keep_space, zero)
            start = end

    def _mark_entry(
        self, table: array[int], index: int, position: int, bits: int, keep_space: bool, zero: bool
    ) -> None:
        bitmaps = bitmaps_of(table)
        old, old_bitmap = table[position], bitmaps[position]
        if not old and not old_bitmap and self.node.backing is None:
            return  # nothing there reads as zeroes already
        if old & COMPRESSED:
            old_bitmap = WRITTEN
        bitmap = old_bitmap & ~(bits | bits << SUBCLUSTERS)
        if zero:
            bitmap |= bits << SUBCLUSTERS
        keeps_place = old and not old & COMPRESSED and ((keep_space and zero) or bitmap & WRITTEN)
        new = old if keeps_place else 0
        if (new, bitmap) != (old, old_bitmap):
            if new != old:
                self.place.give_back(old)
            table[position], bitmaps[position] = new, bitmap
            self.mapping.dirty.add(index)
