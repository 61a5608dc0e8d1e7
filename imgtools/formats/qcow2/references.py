"""Counting what an image really refers to, cluster by cluster: the one side of a check.

Tables are walked whole. A table that is empty or one run in a row is known by comparing memory (see `ramp`); a
scattered one is counted by numpy, which is only imported when there is enough to count.
"""

from __future__ import annotations

from array import array

from imgtools.block.extent import DATA
from imgtools.errors import OutOfBounds
from imgtools.formats.qcow2.compression import StreamLocator
from imgtools.formats.qcow2.mapping import COMPRESSED, COPIED, ENTRIES_WITHOUT_NUMPY, OFFSET_MASK, Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MAX_CLUSTERS = 1 << 31
"""A byte is counted for each cluster of the file; QEMU's limit is the same."""


RESERVED = 0x3F00_0000_0000_01FE
"""Bits of an L2 entry, other than a compressed one, that mean nothing."""

_ZEROES, _ONES = bytes(1 << 16), b"\1" * (1 << 16)


class References:
    """Reference counts as they should be: `counts` holds them up to 254, `more` what goes beyond that."""

    def __init__(self, file_size: int, cluster_bits: int, error: Callable[[str, str, int], None], path: str) -> None:
        self.bits = cluster_bits
        self.clusters = -(-file_size >> cluster_bits)
        if self.clusters > MAX_CLUSTERS:
            raise OutOfBounds("the file has too many clusters to be checked", path=path)
        self.counts = bytearray(self.clusters)
        self.more: dict[int, int] = {}
        self.error = error
        self.shared = False
        """Whether anything is referred to more than once."""
        self.highest = 0
        """One more than the largest cluster that is referred to."""
        self._view: Any = None

    def add_bytes(self, offset: int, length: int) -> None:
        """One more reference to each cluster that the bytes touch."""
        if length:
            first = offset >> self.bits
            self.add(first, ((offset + length - 1) >> self.bits) - first + 1)

    def add(self, first: int, count: int) -> None:
        """One more reference to each of `count` clusters."""
        end = first + count
        if end > self.clusters:
            # The last cluster of the file may be cut short; what lies a whole cluster further is an error.
            self.error(
                "ERROR: counting reference for region exceeding the end of the file by one cluster or more: "
                f"offset {first << self.bits:#x} size {count << self.bits:#x}",
                "cluster",
                first << self.bits,
            )
            end = self.clusters
            if first >= end:
                return
        self.highest = max(self.highest, end)
        for start in range(first, end, len(_ZEROES)):
            stop = min(end, start + len(_ZEROES))
            if self.counts.startswith(_ZEROES[: stop - start], start):
                self.counts[start:stop] = _ONES[: stop - start]
            else:
                for cluster in range(start, stop):
                    self._add_one(cluster)

    def _add_one(self, cluster: int) -> None:
        if self.counts[cluster]:
            self.shared = True
        if self.counts[cluster] < 255:
            self.counts[cluster] += 1
        if self.counts[cluster] == 255:
            self.more[cluster] = self.more.get(cluster, 254) + 1

    def get(self, cluster: int) -> int:
        """How often `cluster` is referred to."""
        if cluster >= self.clusters:
            return 0
        count = self.counts[cluster]
        return count if count < 255 else self.more[cluster]

    def small(self, first: int, count: int) -> bytearray:
        """The counts of `count` clusters as bytes; 255 stands for more than 254. 0 past the end of the file."""
        counts = self.counts[first : first + count]
        return counts + bytes(count - len(counts))

    def exact(self, first: int, count: int) -> array[int]:
        """The same as whole numbers."""
        counts = array("Q", list(self.small(first, count)))
        for cluster, value in self.more.items():
            if first <= cluster < first + count:
                counts[cluster - first] = value
        return counts


class TableStatistics:
    """What is said of the clusters that the active tables map."""

    def __init__(self) -> None:
        self.allocated = 0
        self.compressed = 0
        self.fragmented = 0
        self.suspicious: list[int] = []
        """L1 indices of tables with an entry of data that lacks the COPIED flag, or is damaged."""


class TableCounter:
    """Walks L2 tables and adds what they refer to."""

    def __init__(self, mapping: Mapping, references: References) -> None:
        self.mapping = mapping
        self.references = references
        self.streams = StreamLocator(mapping.cluster_bits)
        self._budget = ENTRIES_WITHOUT_NUMPY
        self._numpy: Any = None

    def count(self, index: int, table: array[int], statistics: TableStatistics | None) -> None:
        """Add the references of an L2 table; `statistics` are kept of the active ones."""
        mapping = self.mapping
        whole = mapping.whole_table(table)
        if whole is not None:
            kind, host = whole
            if kind == DATA:
                if not mapping.external:
                    self.references.add(host >> mapping.cluster_bits, mapping.entries)
                if statistics is not None:
                    statistics.allocated += mapping.entries
            return
        faults = mapping.faults(table)
        for position, message in faults.items():
            self.references.error(message, "L2 table", position)
        if self._budget <= 0 and not (faults or mapping.external) and self._count_with_numpy(index, table, statistics):
            return
        self._budget -= mapping.entries
        self._count_each(index, table, faults, statistics)

    def _count_each(
        self, index: int, table: array[int], faults: dict[int, str], statistics: TableStatistics | None
    ) -> None:
        references, bits = self.references, self.mapping.cluster_bits
        counts, clusters = references.counts, references.clusters
        size, place_mask, external = self.mapping.cluster_size, self.mapping.place_mask, self.mapping.external
        allocated = compressed = fragmented = expected = highest = 0
        suspicious = False
        for position, entry in enumerate(table):
            if not entry:
                continue
            if entry & COMPRESSED:
                if position not in faults:
                    compressed += self._count_compressed(position, entry)
                continue
            if entry & RESERVED:
                references.error(f"ERROR found l2 entry with reserved bits set: {entry:x}", "L2 table", position)
            if not entry & place_mask:
                continue
            host = entry & OFFSET_MASK
            allocated += 1
            if expected and host != expected:
                fragmented += 1
            expected = host + size
            suspicious |= not entry & COPIED
            if host & (size - 1):
                self._unaligned(entry, host)
            elif external:
                pass
            elif (cluster := host >> bits) < clusters and not counts[cluster]:
                counts[cluster] = 1
                if cluster >= highest:
                    highest = cluster + 1
            else:
                references.add(cluster, 1)
        references.highest = max(references.highest, highest)
        if statistics is not None:
            statistics.allocated += allocated + compressed
            statistics.compressed += compressed
            statistics.fragmented += fragmented + compressed
            if suspicious:
                statistics.suspicious.append(index)

    def _count_compressed(self, position: int, entry: int) -> int:
        """Count the clusters of a compressed one; how many compressed clusters that makes."""
        error = self.references.error
        if entry & COPIED:
            error(
                f"ERROR: coffset=0x{entry & OFFSET_MASK:x}: copied flag must never be set for compressed clusters",
                "L2 table",
                position,
            )
        entry &= ~COPIED
        if self.mapping.external:
            error(f"ERROR compressed cluster {position} with data file, entry=0x{entry:x}", "L2 table", position)
            return 0
        self.references.add_bytes(*self.streams.locate(entry))
        return 1

    def _count_with_numpy(self, index: int, table: array[int], statistics: TableStatistics | None) -> bool:
        """The same for a table without compressed or damaged entries; False where there are such."""
        if self._numpy is None:
            import numpy

            self._numpy = numpy
            self._view = numpy.frombuffer(self.references.counts, dtype=numpy.uint8)
        np, references = self._numpy, self.references
        entries = np.frombuffer(table, dtype=np.uint64)
        if (entries & np.uint64(COMPRESSED | RESERVED)).any():
            return False
        hosts = entries & np.uint64(OFFSET_MASK)
        used = hosts != 0
        hosts = hosts[used]
        if (hosts & np.uint64(self.mapping.cluster_size - 1)).any():
            return False
        clusters = (hosts >> np.uint64(self.mapping.cluster_bits)).astype(np.int64)
        if not len(clusters):
            return True
        highest = int(clusters.max()) + 1
        if highest > references.clusters or int(self._view[clusters].max()) > 200:
            return False
        np.add.at(self._view, clusters, np.uint8(1))
        if int(self._view[clusters].max()) > 254:  # one table that refers 50 times to one cluster
            np.subtract.at(self._view, clusters, np.uint8(1))
            return False
        references.highest = max(references.highest, highest)
        references.shared = references.shared or int(self._view[clusters].max()) > 1
        if statistics is not None:
            statistics.allocated += len(clusters)
            statistics.fragmented += int((np.diff(clusters) != 1).sum())
            if not (entries[used] & np.uint64(COPIED)).all():
                statistics.suspicious.append(index)
        return True

    def _unaligned(self, entry: int, host: int) -> None:
        what = "Preallocated" if entry & self.mapping.zero_flag else "Data"
        self.references.error(
            f"ERROR offset={host:x}: {what} cluster is not properly aligned; L2 entry corrupted.", "L2 table", host
        )
        if not self.mapping.external:
            self.references.add_bytes(host, self.mapping.cluster_size)
