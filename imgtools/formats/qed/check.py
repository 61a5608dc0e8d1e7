"""QED's check and repair: what QEMU's own finds, who counts findings but does not name them.

Clusters that lie nowhere, or are used twice, are corruptions; those that nobody uses are leaks, which no repair gives
back, for a file can only be cut at its end. Repair takes the entries that lead nowhere out of the tables, so that what
they stood for is read from the backing file, or as zeroes; then the mark of an image that was not closed is taken away.
"""

from __future__ import annotations

from imgtools.block.format import CheckResult, Finding
from imgtools.errors import CorruptImage, OutOfBounds, ReadOnly
from imgtools.formats.qed.header import ZERO_CLUSTER
from imgtools.formats.tables import read_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from imgtools.formats.qed import QedNode

ENTRY = 8
MAX_CLUSTERS = 1 << 29
"""Clusters of a file that is checked: 2 TiB of the smallest ones, 64 MiB of bits."""


class Check:
    """One check of one image, under the node's lock."""

    def __init__(self, node: QedNode, report: Callable[[Finding], None], repair: str | None) -> None:
        self.node = node
        self.report = report
        self.repair = repair
        if repair and node.storage.read_only:
            raise ReadOnly("image is read-only", path=node.filename)
        self.header = node.header
        self.clusters = node.storage.size // node.block_size
        """Whole clusters of the file."""
        if self.clusters > MAX_CLUSTERS:
            raise OutOfBounds(f"a file of {self.clusters} clusters is not checked", path=node.filename)
        self.used = bytearray(self.clusters // 8 + 1)
        self.result = CheckResult()
        self.result.total_clusters = -(-node.size // node.block_size)

    def run(self) -> CheckResult:
        node, result = self.node, self.result
        l1 = read_table(
            node.storage, self.header.l1_table_offset, node.table.entries, code="Q", big=False, name="L1 table"
        )
        self._use(self.header.l1_table_offset, self.header.table_size, "the L1 table", self.header.l1_table_offset)
        for index, offset in enumerate(l1):
            place = self.header.l1_table_offset + index * ENTRY
            if not offset:
                continue
            if not self._is_in_file(offset, self.header.table_size):
                self._lead_nowhere(f"L2 table {index}", offset, place)
            elif self._use(offset, self.header.table_size, f"L2 table {index}", place):
                self._check_l2(index, offset)
        used = int.from_bytes(self.used).bit_count()
        result.leaks = max(0, self.clusters - self.header.header_size - used)
        if result.leaks:
            self.report(Finding("leak", f"Leaked clusters: {result.leaks}", structure="L2 table"))
        if self.repair and node.dirty and not (result.corruptions or result.check_errors):
            node.mark_closed()
        return result

    def _check_l2(self, number: int, offset: int) -> None:
        node = self.node
        try:
            table = read_table(node.storage, offset, node.table.entries, code="Q", big=False, name="L2 table")
        except CorruptImage as error:
            self.result.check_errors += 1
            self.report(Finding("error", error.message, structure="L2 table", offset=offset))
            return
        last = 0
        for index, position in enumerate(table):
            if position <= ZERO_CLUSTER:
                continue
            self.result.allocated_clusters += 1
            self.result.fragmented_clusters += last != 0 and position != last + node.block_size
            last = position
            name = f"Cluster {number * node.table.entries + index}"
            if self._is_in_file(position, 1):
                self._use(position, 1, name, offset + index * ENTRY)
            else:
                self._lead_nowhere(name, position, offset + index * ENTRY)

    def _is_in_file(self, offset: int, clusters: int) -> bool:
        """Whether something of so many clusters can lie there: behind the header, in whole clusters of the file."""
        first, within = divmod(offset, self.node.block_size)
        return not within and self.header.header_size <= first and first + clusters <= self.clusters

    def _use(self, offset: int, clusters: int, what: str, place: int) -> bool:
        """Count clusters as used; whether nobody else uses them."""
        first, twice = offset // self.node.block_size, 0
        for cluster in range(first, min(first + clusters, self.clusters)):
            byte, bit = cluster // 8, 1 << cluster % 8
            twice += bool(self.used[byte] & bit)
            self.used[byte] |= bit
        if twice:
            self.result.corruptions += twice
            self._tell(f"{what} at {offset:#x} lies where something else does", place, None)
        return not twice

    def _lead_nowhere(self, what: str, offset: int, place: int) -> None:
        """An entry, at `place`, is wrong; take it out of its table where that is asked for."""
        mended = self.repair == "all"
        self._tell(f"{what} at {offset:#x} is not in the file, or not at a cluster's border", place, "all")
        self.result.corruptions += not mended
        self.result.corruptions_fixed += mended
        if mended:
            self.node.storage.write(place, bytes(ENTRY))

    def _tell(self, message: str, place: int, repair: str | None) -> None:
        self.report(Finding("error", f"ERROR: {message}", structure="table", offset=place, repair=repair))
