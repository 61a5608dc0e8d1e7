"""Reference counts of another width: a whole new structure beside the old one.

The new blocks and their table lie behind all that is in use, and count themselves and not the old ones. Nothing refers
to them until the header does, so the image is as before up to that one write, and as after from then on.

Counts are big-endian: those of whole bytes change their width plane by plane, without looking at each.
"""

from __future__ import annotations

from array import array

from imgtools.align import div_up
from imgtools.errors import OutOfBounds
from imgtools.formats.qcow2.header import MAX_REFCOUNT_TABLE_BYTES
from imgtools.formats.qcow2.lanes import CountCodec
from imgtools.formats.qcow2.mapping import to_disk
from imgtools.formats.qcow2.refcount import TABLE_OFFSET_MASK
from imgtools.formats.qcow2.resize import end_of_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from imgtools.formats.qcow2.write import Writer


class Rewidening:
    """Builds the counts of an image, all of which is written back, in another width."""

    def __init__(self, writer: Writer, order: int) -> None:
        self.writer = writer
        self.old = writer.refcounts
        self.codec = CountCodec(1 << order)
        self.per_block = writer.size * 8 >> order
        self.start = end_of_file(writer)
        self.blocks = self._needed_blocks()
        per_table_cluster = writer.size // 8
        self.table_clusters = div_up(max(self.blocks) + 1, per_table_cluster)
        if self.table_clusters * writer.size > MAX_REFCOUNT_TABLE_BYTES:
            raise OutOfBounds("the refcount table would grow too large", path=writer.node.filename)

    def _needed_blocks(self) -> list[int]:
        """The new blocks that must be there, by index: where old ones were, and for themselves and their table."""
        span = self.old.per_block
        used = {
            block
            for index, entry in enumerate(self.old.table)
            if entry
            for block in range(index * span // self.per_block, ((index + 1) * span - 1) // self.per_block + 1)
            if block * self.per_block < self.start
        }
        while True:
            end = self.start + len(used) + div_up((max(used) + 1) * 8, self.writer.size)
            more = used | set(range(self.start // self.per_block, (end - 1) // self.per_block + 1))
            if more == used:
                return sorted(used)
            used = more

    def write(self, progress: Callable[[int, int], None]) -> tuple[int, int]:
        """Write the new structure; (offset, clusters) of its table."""
        writer, storage = self.writer, self.writer.storage
        changes = self._changes()
        table = array("Q", bytes(self.table_clusters * writer.size))
        for number, index in enumerate(self.blocks):
            content = self._convert(self._old_counts(index), index * self.per_block)
            if index in changes:
                counts = self.codec.decode(content)
                for position, count in changes[index]:
                    counts[position] = count
                content = self.codec.encode(counts)
            table[index] = (self.start + number) << writer.bits
            storage.write(table[index], content)
            progress(number + 1, len(self.blocks))
        offset = (self.start + len(self.blocks)) << writer.bits
        storage.write(offset, to_disk(table))
        storage.flush()
        return offset, self.table_clusters

    def _changes(self) -> dict[int, list[tuple[int, int]]]:
        """By block: (position, count) of the clusters that the old structure leaves and the new one takes."""
        bits = self.writer.bits
        old = [(entry & TABLE_OFFSET_MASK) >> bits for entry in self.old.table if entry]
        first = self.old.table_offset >> bits
        old += range(first, first + (len(self.old.table) * 8 >> bits))
        new = range(self.start, self.start + len(self.blocks) + self.table_clusters)
        changes: dict[int, list[tuple[int, int]]] = {}
        for clusters, count in ((old, 0), (new, 1)):
            for cluster in clusters:
                index, position = divmod(cluster, self.per_block)
                changes.setdefault(index, []).append((position, count))
        return changes

    def _old_counts(self, index: int) -> bytes:
        """The old counts of the clusters of a new block, as they stand on disk."""
        span, width = self.old.per_block, self.old.codec.width
        first = index * self.per_block
        if self.per_block >= span:
            return b"".join(self._old_block(old) for old in range(first // span, (first + self.per_block) // span))
        start = first % span * width // 8
        return self._old_block(first // span)[start : start + self.per_block * width // 8]

    def _old_block(self, index: int) -> bytes:
        size = self.writer.size
        entry = self.old.table[index] if index < len(self.old.table) else 0
        return self.writer.storage.read_whole(entry, size) if entry else bytes(size)

    def _convert(self, content: bytes, first: int) -> bytes:
        """The counts in `content`, of clusters from `first`, in the new width."""
        if content.count(0) == len(content):
            return bytes(self.writer.size)
        old, new = self.old.codec, self.codec
        if old.width < 8:
            content = old.decode(content).tobytes()
        content = self._planes(content, max(1, old.width // 8), max(1, new.width // 8), first)
        if new.width >= 8:
            return content
        if max(content) > new.maximum:
            self._refuse(first, array("B", content))
        return new.encode(array("B", content))

    def _planes(self, content: bytes, old: int, new: int, first: int) -> bytes:
        """Counts of `old` bytes each as counts of `new` bytes."""
        if old == new:
            return content
        if old > new:
            for plane in range(old - new):
                part = content[plane::old]
                if part.count(0) != len(part):
                    self._refuse(first, self.old.codec.decode(content))
        result = bytearray(len(content) // old * new)
        for plane in range(1, min(old, new) + 1):
            result[new - plane :: new] = content[old - plane :: old]
        return bytes(result)

    def _refuse(self, first: int, counts: array[int]) -> None:
        for position, count in enumerate(counts):
            if count > self.codec.maximum:
                raise OutOfBounds(
                    f"Cannot decrease refcount entry width to {self.codec.width} bits: Cluster at offset "
                    f"{(first + position) << self.writer.bits:#x} has a refcount of {count}",
                    path=self.writer.node.filename,
                    structure="refcount block",
                )
