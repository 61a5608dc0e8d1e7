"""Checking a qcow2 image: do its reference counts and flags say what its tables really refer to?

The texts of the findings are those of `qemu-img check`, which people and programs know.

Repairs: "leaks" lowers counts that are too high; "all" also raises those that are too low and mends COPIED flags.
A count that is too low is mended before anything is allocated, so that a repair never takes a cluster in use.
"""

from __future__ import annotations

import sys
from array import array

from imgtools.block.format import CheckResult, Finding
from imgtools.errors import BadOption
from imgtools.formats.qcow2 import header as head
from imgtools.formats.qcow2.bitmap import MAX_DIRECTORY_BYTES, directory_entries
from imgtools.formats.qcow2.mapping import COMPRESSED, COPIED, OFFSET_MASK, read_table, to_native
from imgtools.formats.qcow2.records import BITMAPS_EXTENSION
from imgtools.formats.qcow2.refcount import TABLE_OFFSET_MASK, Refcounts
from imgtools.formats.qcow2.references import References, TableCounter, TableStatistics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from imgtools.formats.qcow2.node import Qcow2Node

PIECE = 32
"""Counts that are compared at a time."""


def check(node: Qcow2Node, report: Callable[[Finding], None], repair: str | None) -> CheckResult:
    """Check the image, and mend what `repair` allows. See `Checkable`."""
    if node.loaded_snapshot is not None:
        raise BadOption("a node that shows a snapshot cannot be checked: open the image", path=node.filename)
    return Check(node, report, repair).run()


class Check:
    """One run over one image."""

    def __init__(self, node: Qcow2Node, report: Callable[[Finding], None], repair: str | None) -> None:
        self.node = node
        self.report = report
        self.repair = repair
        self.result = CheckResult()
        self.wrong_counts = array("Q")
        """What is to be mended: cluster, count and reference, one behind the other."""
        self.flags_need = "all"
        """The least repair that mends flags."""
        self.mends_flags = False
        self.header = node.header
        self.storage = node.storage
        self.refcounts = node.writer.refcounts if repair else Refcounts(node.storage, node.header)
        self.references = References(self.storage.size, self.header.cluster_bits, self._error, node.filename)
        self.statistics = TableStatistics()
        self.end = 0
        """One more than the last cluster that is leaked, or not counted."""

    def run(self) -> CheckResult:
        self._count_structures()
        self._count_tables()
        self._check_refcount_blocks()
        sound = self.result.corruptions == 0
        if self.repair:
            # Until all counts are right, a count of 0 does not say that a cluster is free.
            self.refcounts.floor = self.references.clusters
        self._compare_counts()
        self._mend_counts()
        self.refcounts.floor = 0
        if self.statistics.suspicious or self.result.corruptions or self.references.shared:
            self._check_copied_flags()
        if self.repair:
            self._finish_repair(sound)
        result = self.result
        result.total_clusters = -(-self.node.size >> self.header.cluster_bits)
        result.allocated_clusters = self.statistics.allocated
        result.compressed_clusters = self.statistics.compressed
        result.fragmented_clusters = self.statistics.fragmented
        result.image_end_offset = max(self.end, self.references.highest) << self.header.cluster_bits
        return result

    # What the image refers to.

    def _count_structures(self) -> None:
        references, header = self.references, self.header
        references.add_bytes(0, header.cluster_size)
        references.add_bytes(header.l1_table_offset, header.l1_size * 8)
        references.add_bytes(header.refcount_table_offset, len(self.refcounts.table) * 8)
        if self.node.snapshots:
            references.add_bytes(header.snapshots_offset, sum(snapshot.length for snapshot in self.node.snapshots))
        for snapshot in self.node.snapshots:
            references.add_bytes(snapshot.l1_table_offset, snapshot.l1_size * 8)
        luks = header.extension(head.LUKS_HEADER)
        if luks is not None and len(luks) >= 16:
            references.add_bytes(int.from_bytes(luks[:8], "big"), int.from_bytes(luks[8:16], "big"))
        self._count_bitmaps()

    def _count_bitmaps(self) -> None:
        content = self.header.extension(head.BITMAPS)
        if content is None or not self.header.autoclear & head.BITMAPS_CONSISTENT:
            return
        extension = BITMAPS_EXTENSION.parse(content)
        self.references.add_bytes(extension.directory_offset, extension.directory_size)
        directory = self.storage.read(extension.directory_offset, min(extension.directory_size, MAX_DIRECTORY_BYTES))
        for entry, _ in directory_entries(directory, extension.nb_bitmaps):
            self.references.add_bytes(entry.table_offset, entry.table_size * 8)
            data = self.storage.read(entry.table_offset, min(entry.table_size * 8, 64 << 20))
            for item in to_native(data[: len(data) & -8]):
                if item & OFFSET_MASK:
                    self.references.add_bytes(item & OFFSET_MASK, self.header.cluster_size)

    def _count_tables(self) -> None:
        counter = TableCounter(self.node.mapping, self.references)
        self._count_l1(counter, self.node.mapping.l1, self.statistics)
        for snapshot in self.node.snapshots:
            self._count_l1(counter, read_table(self.storage, snapshot.l1_table_offset, snapshot.l1_size * 8), None)

    def _count_l1(self, counter: TableCounter, l1: array[int], statistics: TableStatistics | None) -> None:
        mapping, references = self.node.mapping, self.references
        for index, entry in enumerate(l1):
            offset = entry & OFFSET_MASK
            if not offset:
                continue
            if offset & (mapping.cluster_size - 1):
                self._error(
                    f"ERROR l2_offset={offset:x}: Table is not cluster aligned; L1 entry corrupted", "L1 table", index
                )
                continue
            references.add(offset >> mapping.cluster_bits, 1)
            if statistics is not None and not entry & COPIED:
                statistics.suspicious.append(index)
            counter.count(index, mapping.read(offset), statistics)

    # What the image says.

    def _check_refcount_blocks(self) -> None:
        size, bits = self.header.cluster_size, self.header.cluster_bits
        for index, entry in enumerate(self.refcounts.table[: self._table_length()]):
            if not entry:
                continue
            offset = entry & TABLE_OFFSET_MASK
            if offset & (size - 1) or entry & ~TABLE_OFFSET_MASK:
                self._error(
                    f"ERROR refcount block {index} is not cluster aligned; refcount table entry corrupted",
                    "refcount table",
                    offset,
                )
                self.refcounts.table[index] = 0
            elif offset >= self.storage.size:
                self._error(f"ERROR refcount block {index} is outside image", "refcount table", offset)
                self.refcounts.table[index] = 0
            else:
                self.references.add(offset >> bits, 1)
                if self.references.get(offset >> bits) != 1:
                    self._error(
                        f"ERROR refcount block {index} refcount={self.references.get(offset >> bits)}",
                        "refcount block",
                        offset,
                    )

    def _compare_counts(self) -> None:
        for first, count, stored in self._stored_blocks():
            if stored is None:
                self._compare_block(first, array("Q", [0]) * count, self.references.exact(first, count))
            elif not self._equal(stored, first, count):
                self._compare_block(first, self.refcounts.codec.decode(stored), self.references.exact(first, count))

    def _equal(self, stored: bytes, first: int, count: int) -> bool:
        """Whether a block holds just what is referred to, found out without looking at its entries one by one."""
        codec = self.refcounts.codec
        wanted = self.references.small(first, count)
        if codec.width == 16 and not self.references.more:
            expected = bytearray(len(stored))
            expected[1::2] = wanted
            return stored == expected
        exact = self.references.exact(first, count)
        return max(exact) <= codec.maximum and stored == codec.encode(array(codec.typecode, exact.tolist()))

    def _stored_blocks(self) -> Iterator[tuple[int, int, bytes | None]]:
        """(first cluster, count, block) over the clusters of the file and all blocks behind its end."""
        size, per_block = self.header.cluster_size, self.refcounts.per_block
        needed = -(-self.references.clusters // per_block)
        length = self._table_length()
        for index in range(max(needed, length)):
            entry = self.refcounts.table[index] if index < length else 0
            if not entry and index >= needed:
                continue
            count = per_block
            if not entry:
                count = min(per_block, self.references.clusters - index * per_block)
                yield index * per_block, count, None
                continue
            yield index * per_block, count, self.storage.read_whole(entry & TABLE_OFFSET_MASK, size)

    def _table_length(self) -> int:
        """Entries of the refcount table up to the last one in use: it is a cluster at least, and mostly empty."""
        return -(-len(self.refcounts.table.tobytes().rstrip(b"\0")) // 8)

    def _compare_block(self, first: int, stored: array[int], wanted: array[int]) -> None:
        for position, count, reference in differing(stored, wanted):
            leak, cluster = count > reference, first + position
            self.end = max(self.end, cluster + 1)
            self._tell_count("leak" if leak else "error", "Leaked" if leak else "ERROR", cluster, count, reference)
            if leak:
                self.result.leaks += 1
            else:
                self.result.corruptions += 1
            if self.repair == "all" or (self.repair == "leaks" and leak):
                self.wrong_counts.extend((cluster, count, reference))

    def _tell_count(self, severity: str, word: str, cluster: int, count: int, reference: int) -> None:
        message = f"{word} cluster {cluster} refcount={count} reference={reference}"
        offset, repair = cluster << self.header.cluster_bits, "leaks" if count > reference else "all"
        self.report(Finding(severity, message, structure="refcount block", offset=offset, repair=repair))

    def _mend_counts(self) -> None:
        wrong = iter(self.wrong_counts)
        for cluster, count, reference in zip(wrong, wrong, wrong, strict=True):
            self._tell_count("repair", "Repairing", cluster, count, reference)
            self.refcounts.set(cluster, reference)
            if count > reference:
                self.result.leaks_fixed += 1
            else:
                self.result.corruptions_fixed += 1

    def _check_copied_flags(self) -> None:
        """The COPIED flag of an active entry must say exactly whether its cluster's count is 1.

        Where a count is too high, the leak is what is wrong: a flag may be as either count asks. Once leaks are mended
        and nothing else was wrong, flags follow the counts.
        """
        self.flags_need = "all" if self.result.corruptions else "leaks"
        self.mends_flags = self.repair in ("all", self.flags_need)
        mapping, bits = self.node.mapping, self.header.cluster_bits
        for index, entry in enumerate(mapping.l1):
            offset = entry & OFFSET_MASK
            if not offset or offset & (mapping.cluster_size - 1):
                continue
            count = self._count_of(offset >> bits)
            if self._is_wrong(entry, offset >> bits):
                self._copied_error(f"L2 cluster: l1_index={index} l1_entry={entry:x} refcount={count}", "L1 table")
                if self.mends_flags:
                    mapping.l1[index] ^= COPIED
                    mapping.l1_dirty = True
            table = mapping.table(index)
            if table is not None:
                self._check_table_flags(index, table)

    def _check_table_flags(self, index: int, table: array[int]) -> None:
        bits, low = self.header.cluster_bits, self.header.cluster_size - 1
        for position, entry in enumerate(table):
            if entry & COMPRESSED:
                continue
            host = entry & OFFSET_MASK
            if not host or host & low:
                continue
            count = 1 if self.node.mapping.external else self._count_of(host >> bits)
            if not entry & COPIED if self.node.mapping.external else self._is_wrong(entry, host >> bits):
                self._copied_error(f"data cluster: l2_entry={entry:x} refcount={count}", "L2 table")
                if self.mends_flags:
                    table[position] ^= COPIED
                    self.node.mapping.dirty.add(index)

    def _count_of(self, cluster: int) -> int:
        return self.references.get(cluster) if self.mends_flags else self.refcounts.get(cluster)

    def _is_wrong(self, entry: int, cluster: int) -> bool:
        stored, actual = self._count_of(cluster), self.references.get(cluster)
        return bool(entry & COPIED) not in ((stored == 1, actual == 1) if stored > actual else (stored == 1,))

    def _copied_error(self, text: str, structure: str) -> None:
        word = "Repairing" if self.mends_flags else "ERROR"
        self._error(f"{word} OFLAG_COPIED {text}", structure, None, self.flags_need)
        if self.mends_flags:
            self.result.corruptions_fixed += 1

    def _error(self, message: str, structure: str, offset: int | None, repair: str | None = None) -> None:
        self.result.corruptions += 1
        self.report(Finding("error", message, structure=structure, offset=offset, repair=repair))

    def _finish_repair(self, sound: bool) -> None:
        writer = self.node.writer
        writer.write_back()
        writer.refcounts.write_back()
        mended = self.result.corruptions == self.result.corruptions_fixed
        if self.repair == "all" and sound and mended and self.header.incompatible & (head.DIRTY | head.CORRUPT):
            self.header.incompatible &= ~(head.DIRTY | head.CORRUPT)
            writer.write_header()
        writer.flush()


def differing(stored: array[int], wanted: array[int]) -> Iterator[tuple[int, int, int]]:
    """(position, one's, the other's) where two arrays are not alike.

    Few are, as a rule: pieces are compared whole, and one by one only where they differ. Where numpy has been needed
    before, it looks at all of them at once.
    """
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None:
        for position in numpy.flatnonzero(numpy.not_equal(stored, wanted)).tolist():
            yield position, stored[position], wanted[position]
        return
    alike = array(wanted.typecode, stored)
    for start in range(0, len(wanted), PIECE):
        mine, theirs = alike[start : start + PIECE], wanted[start : start + PIECE]
        if mine != theirs:
            for position, (count, reference) in enumerate(zip(mine, theirs, strict=True), start):
                if count != reference:
                    yield position, count, reference
