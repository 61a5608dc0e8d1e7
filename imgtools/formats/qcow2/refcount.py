"""Reference counts, and the allocation of clusters by them.

Specification: qcow2, "Host cluster management". A table of 64-bit offsets points to blocks of one cluster that
hold counts of 1 to 64 bits (`refcount_order` is the width's log2); a cluster whose count is 0 is free.

Order on disk (see `metadata`): counts that go up are written before anything refers to the cluster;
counts that go down are held back in `pending` until nothing on disk refers to it any more. Nothing that is
pending is handed out again.
"""

from __future__ import annotations

from array import array
from errno import EINVAL

from imgtools.align import div_up
from imgtools.errors import CorruptImage, OutOfBounds
from imgtools.formats.qcow2.header import MAX_REFCOUNT_TABLE_BYTES
from imgtools.formats.qcow2.lanes import CountCodec, equal_to
from imgtools.formats.qcow2.mapping import read_table, to_disk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import NoReturn

    from imgtools.block.node import Storage
    from imgtools.formats.qcow2.header import Header

CACHE_BYTES = 16 << 20
TABLE_OFFSET_MASK = 0xFFFF_FFFF_FFFF_FE00


class Refcounts:
    """The reference counts of one image. Call with the image's lock held."""

    def __init__(self, storage: Storage, header: Header) -> None:
        self.storage = storage
        self.cluster_bits = header.cluster_bits
        self.cluster_size = header.cluster_size
        self.codec = CountCodec(1 << header.refcount_order)
        self.per_block = header.cluster_size * 8 >> header.refcount_order
        self.table_offset = header.refcount_table_offset
        size = header.refcount_table_clusters * header.cluster_size
        storage.event("reftable_load")
        self.table = read_table(storage, self.table_offset, size)
        self.blocks: dict[int, array[int]] = {}
        self.dirty: set[int] = set()
        self.new_entries = False
        self.moved_from: tuple[int, int] | None = None
        """(first cluster, count) of a table that was replaced by a larger one and is not yet given back."""
        self._unlisted: tuple[int, int] | None = None
        """(index, cluster) of a new block for which the table has no entry yet."""
        self.pending: list[tuple[int, int]] = []
        self.free_index = 0
        """No cluster below this is known to be free."""
        self.floor = 0
        """No cluster below this may be given out."""
        self.free_byte = 0
        """Where the next compressed stream may go; 0 where there is no such place."""
        self.max_blocks = max(8, CACHE_BYTES // header.cluster_size)
        self.on_table_moved: Callable[[int, int], None] = lambda offset, clusters: None
        self.on_metadata: Callable[[int, int], None] = lambda first, count: None
        """Told of clusters that have become metadata."""

    # Looking up.

    def block(self, index: int) -> array[int] | None:
        """The counts of clusters [index * per_block, ...); None where there is no block: all are free."""
        counts = self.blocks.get(index)
        if counts is None and index < len(self.table) and self.table[index] & TABLE_OFFSET_MASK:
            offset = self.table[index] & TABLE_OFFSET_MASK
            if offset & (self.cluster_size - 1):
                raise CorruptImage(
                    f"Refblock offset {offset:#x} unaligned (reftable index: {index:#x})",
                    path=self.storage.filename,
                    offset=self.table_offset + 8 * index,
                    structure="refcount table",
                    hint="imgtools check -r all repairs it.",
                )
            self.storage.event("refblock_load")
            counts = self.codec.decode(self.storage.read_whole(offset, self.cluster_size))
            self._hold(index, counts)
        return counts

    def get(self, cluster: int) -> int:
        """How many references `cluster` has."""
        index, position = divmod(cluster, self.per_block)
        counts = self.block(index)
        return 0 if counts is None else counts[position]

    def exceed_the_file(self) -> bool:
        """Whether clearly more clusters are in use than the file has space for on its host (QEMU's measure of that)."""
        clusters = self.storage.size >> self.cluster_bits
        real = (self.storage.allocated_size or 0) >> self.cluster_bits
        enough, used = max(real * 10 // 9, real + 2), 0
        for index in range(div_up(clusters, self.per_block)):
            counts = self.block(index)
            if counts is not None:
                counts = counts[: clusters - index * self.per_block]
                used += len(counts) - counts.count(0)
            if used >= enough:
                return True
        return False

    def mask(self, index: int, value: int) -> bytes:
        """A byte for each count of a block: 1 where it is `value` (below 256), or else 0."""
        counts = self.block(index)
        return bytes([value == 0]) * self.per_block if counts is None else equal_to(counts, value)

    def _hold(self, index: int, counts: array[int]) -> None:
        if len(self.blocks) >= self.max_blocks:
            for held in [held for held in self.blocks if held not in self.dirty][: self.max_blocks // 4]:
                del self.blocks[held]
        self.blocks[index] = counts

    # Changing.

    def add(self, first: int, count: int, delta: int) -> None:
        """Add `delta` to the counts of `count` clusters from `first`."""
        while count:
            index, position = divmod(first, self.per_block)
            number = min(count, self.per_block - position)
            counts = self.block_for_change(index)
            piece = counts[position : position + number]
            low, high = min(piece), max(piece)
            if low + delta < 0 or high + delta > self.codec.maximum:
                self.refuse_range(first)
            if low == high:
                piece = array(piece.typecode, [low + delta]) * number
            else:
                piece = array(piece.typecode, [value + delta for value in piece])
            counts[position : position + number] = piece
            self.dirty.add(index)
            if delta < 0 and low + delta == 0:
                self.free_index = min(self.free_index, first)
            first += number
            count -= number

    def set(self, cluster: int, count: int) -> None:
        """Let one cluster have so many references, whatever it had."""
        if count > self.codec.maximum:
            self.refuse_range(cluster)
        index, position = divmod(cluster, self.per_block)
        self.block_for_change(index)[position] = count
        self.dirty.add(index)
        if not count:
            self.free_index = min(self.free_index, cluster)

    def refuse_range(self, cluster: int) -> NoReturn:
        """Raise: a count would become too large, or negative."""
        raise CorruptImage(
            f"reference count of cluster {cluster} would leave its range 0..{self.codec.maximum}",
            path=self.storage.filename,
            structure="refcount block",
            hint="imgtools check -r all repairs it.",
            errno=EINVAL,
        )

    def block_for_change(self, index: int) -> array[int]:
        """The counts of a block, made where there is none; whoever changes them adds it to `dirty`."""
        counts = self.block(index)
        if counts is None:
            self._add_block(index)
            counts = self.blocks[index]
        return counts

    def _add_block(self, index: int) -> None:
        """Make a block for clusters that have none yet, in a free cluster (which it may describe itself)."""
        self.storage.event("refblock_alloc")
        cluster = self.find_free(1)
        self._hold(index, array(self.codec.typecode, [0]) * self.per_block)
        self.dirty.add(index)
        if index >= len(self.table):
            used = max(index + 1, div_up(cluster, self.per_block))
            self._unlisted = (index, cluster)
            self.move_table(used * self.per_block, 0, generous=True)
        else:
            self.table[index] = cluster << self.cluster_bits
        self.new_entries = True
        self.on_metadata(cluster, 1)
        self.add(cluster, 1, 1)

    def move_table(self, start: int, further: int, *, generous: bool = False) -> int:
        """Lay a new refcount table out at cluster `start`, from where on all must be free, behind the blocks that
        are missing to describe it and `further` clusters behind it. Answers the first cluster after it.

        `generous` leaves room in the table for half as much again. The old table is given back once the header
        names the new one.
        """
        old_first, old_clusters = self.table_offset >> self.cluster_bits, len(self.table) * 8 >> self.cluster_bits
        blocks = self._blocks_for(start + further, generous)
        per_cluster = self.cluster_size // 8
        clusters = div_up(blocks + (div_up(blocks, 2) if generous else 0), per_cluster)
        clusters = max(clusters, old_clusters)
        if clusters * self.cluster_size > MAX_REFCOUNT_TABLE_BYTES:
            raise OutOfBounds("the refcount table would grow too large", path=self.storage.filename)
        self.table.extend([0] * (clusters * per_cluster - len(self.table)))
        if self._unlisted is not None:
            self.table[self._unlisted[0]] = self._unlisted[1] << self.cluster_bits
            self._unlisted = None
        position = start
        for index in range(start // self.per_block, blocks):
            if not self.table[index]:
                self.table[index] = position << self.cluster_bits
                self._hold(index, array(self.codec.typecode, [0]) * self.per_block)
                self.dirty.add(index)
                position += 1
        self.table_offset = position << self.cluster_bits
        end = position + clusters
        self.add(start, end - start, 1)
        self.new_entries = True
        self.on_metadata(start, end - start)
        if self.moved_from is None:
            self.moved_from = (old_first, old_clusters)
        else:  # grown twice before a write: the table between was never on disk
            self.pending.append((old_first, old_clusters))
        return end

    def _blocks_for(self, clusters: int, generous: bool) -> int:
        """How many blocks describe `clusters` and, behind them, those blocks and their table."""
        blocks = table = 0
        while True:
            needed = div_up(clusters + blocks + table, self.per_block)
            table = div_up(needed * 8, self.cluster_size)
            if needed == blocks:
                if not generous:
                    return blocks
                clusters += div_up(table, 2)
                generous = False
            blocks = needed

    # Allocating.

    def find_free(self, count: int) -> int:
        """The first cluster of `count` free ones in a row, at or after `free_index`, which moves past them."""
        start = position = max(self.free_index, self.floor)
        per_block = self.per_block
        while position - start < count:
            index, first = divmod(position, per_block)
            counts = self.block(index)
            wanted = min(count - (position - start), per_block - first)
            if counts is None or not any(counts[first : first + wanted]):
                position += wanted
                continue
            position += next(i for i, value in enumerate(counts[first : first + wanted]) if value)
            start = position = self._skip_used(position)
        self.free_index = start + count
        if start + count > (1 << 56) >> self.cluster_bits:
            raise OutOfBounds("no free cluster below the largest offset", path=self.storage.filename)
        return start

    def _skip_used(self, position: int) -> int:
        """The first free cluster at or after `position`."""
        while True:
            index, first = divmod(position, self.per_block)
            counts = self.block(index)
            if counts is None:
                return position
            try:
                return index * self.per_block + counts.index(0, first)
            except ValueError:
                position = (index + 1) * self.per_block

    def allocate(self, count: int) -> int:
        """Take `count` free clusters in a row; the number of the first. Their count is 1 from now on."""
        self.storage.event("cluster_alloc")
        while True:
            first = self.find_free(count)
            last = (first + count - 1) // self.per_block
            missing = next((i for i in range(first // self.per_block, last + 1) if self.block(i) is None), None)
            if missing is None:
                break
            # The new block goes behind the run that was found. Where the whole run lies in it, QEMU then leaves
            # the run unused and takes the next; so that images are laid out alike, so do we.
            self._add_block(missing)
            if missing > first // self.per_block:
                self.free_index = min(self.free_index, first)
        if not first:
            raise CorruptImage(
                "Preventing invalid allocation of cluster at offset 0",
                path=self.storage.filename,
                structure="refcount block",
                hint="The header's own reference count is wrong: imgtools check -r all repairs it.",
            )
        self.add(first, count, 1)
        return first

    def allocate_one(self) -> int:
        """Take one free cluster; its number. The same as `allocate(1)`, quick where the next one is free."""
        cluster = self.free_index
        counts = self.blocks.get(cluster // self.per_block)
        if counts is None or counts[cluster % self.per_block] or not cluster:
            return self.allocate(1)
        counts[cluster % self.per_block] = 1
        self.dirty.add(cluster // self.per_block)
        self.free_index = cluster + 1
        return cluster

    def allocate_bytes(self, length: int) -> int:
        """Room for a compressed stream of `length` bytes; streams follow each other without gaps."""
        self.storage.event("cluster_alloc_bytes")
        size = self.cluster_size
        offset = self.free_byte
        room = size - (offset & (size - 1)) if offset else 0
        if offset and self.get(offset >> self.cluster_bits) == self.codec.maximum:
            room = 0  # the count of that cluster cannot take another stream
        if length > room:
            cluster = self.allocate(1)
            follows = room and cluster << self.cluster_bits == (offset & -size) + size
            if follows:
                self.add(offset >> self.cluster_bits, 1, 1)
            else:
                offset = cluster << self.cluster_bits
        else:
            self.add(offset >> self.cluster_bits, 1, 1)
        end = offset + length
        self.free_byte = end if end & (size - 1) else 0
        return offset

    def free_later(self, first: int, count: int) -> None:
        """Give clusters back once nothing on disk refers to them any more."""
        if self.pending and sum(self.pending[-1]) == first:
            first, count = self.pending[-1][0], self.pending.pop()[1] + count
        self.pending.append((first, count))

    # Writing back.

    def write_back(self) -> None:
        """Write changed blocks, then (behind a barrier) the table that points to new ones."""
        for index in sorted(self.dirty):
            self.storage.event("refblock_update_part")
            self.storage.write(self.table[index], self.codec.encode(self.blocks[index]))
        self.dirty.clear()
        if not self.new_entries:
            return
        self.storage.flush()
        self.storage.event("reftable_update")
        self.storage.write(self.table_offset, to_disk(self.table))
        self.new_entries = False
        if self.moved_from is not None:
            self.storage.flush()
            self.on_table_moved(self.table_offset, len(self.table) * 8 >> self.cluster_bits)
            self.pending.append(self.moved_from)
            self.moved_from = None

    def release_pending(self) -> list[tuple[int, int]]:
        """Lower the counts of all that is pending; answers the runs of clusters that became free."""
        freed: list[tuple[int, int]] = []
        for first, count in joined(self.pending):
            self.storage.event("cluster_free")
            self.add(first, count, -1)
            freed += self._free_runs(first, count)
        self.pending.clear()
        if freed:
            self.free_byte = 0
        return joined(freed)

    def _free_runs(self, first: int, count: int) -> Iterator[tuple[int, int]]:
        """The runs of clusters in a range to which nothing refers."""
        end = first + count
        while first < end:
            index, position = divmod(first, self.per_block)
            number = min(end - first, self.per_block - position)
            counts = self.block(index)
            if counts is None or not any(counts[position : position + number]):
                yield first, number
            else:
                yield from ((first + i, 1) for i in range(number) if not counts[position + i])
            first += number


def joined(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same clusters in as few runs (first, count) as there can be, in order."""
    longer: list[tuple[int, int]] = []
    for first, count in sorted(runs):
        if longer and sum(longer[-1]) == first:
            longer[-1] = (longer[-1][0], longer[-1][1] + count)
        else:
            longer.append((first, count))
    return longer
