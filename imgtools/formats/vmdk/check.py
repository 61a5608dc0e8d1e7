"""Checking a VMDK: what QEMU's check finds, and what it does not look for.

    error  a table or a grain past the end of its file, in the metadata, or in two places of the disk; compressed
           grains that are not what their markers say; a descriptor, a parent or a flat file that does not fit
    leak   a redundant grain table that differs from the one in use, an image that was not closed, and space that
           no table points to, unless it is all zeroes (a grain that became a zeroed one leaves such a hole)

"leaks" are what a writer that was killed leaves behind; repairing them changes nothing that can be read.
Repairing "all" also restores grain tables from intact redundant ones.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right

from imgtools.align import div_up
from imgtools.block.extent import DATA
from imgtools.block.format import CheckResult, Finding
from imgtools.errors import CorruptImage, ImageError, ReadOnly
from imgtools.formats.vmdk.extents import SECTOR, FlatExtent
from imgtools.formats.vmdk.grains import UNALLOCATED, ZEROED, GrainExtent, table_runs
from imgtools.formats.vmdk.header import NEWLINE_TEST, NEWLINE_TEST_VALID
from imgtools.formats.vmdk.places import LENGTH_BITS, MAX_SECTOR, gaps, overlaps, sort_places
from imgtools.formats.vmdk.records import SPARSE_HEADER
from imgtools.formats.vmdk.sparse import SparseExtent
from imgtools.formats.vmdk.stream import StreamExtent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgtools.formats.vmdk.node import VmdkNode

COMPARED = 1 << 20
"""Bytes of unused space looked at in one go."""


def check(node: VmdkNode, report: Callable[[Finding], None], repair: str | None) -> CheckResult:
    """Check `node` and everything it has in its own files."""
    if repair and node.read_only:
        raise ReadOnly("a repair needs the image opened for writing", path=node.filename)
    outcome = Outcome(report, repair)
    _check_descriptor(node, outcome)
    for extent in node.disk_extents:
        if isinstance(extent, GrainExtent):
            extent.write_back()
            GrainCheck(extent, outcome).run()
        elif isinstance(extent, FlatExtent) and extent.offset + extent.length > extent.storage.size:
            outcome.error(f"'{extent.path}' is shorter than the descriptor says", "extent")
    return outcome.result


class Outcome:
    """Where findings go: to the caller and into the sums."""

    def __init__(self, report: Callable[[Finding], None], repair: str | None) -> None:
        self.report = report
        self.repair = repair
        self.result = CheckResult()

    def error(
        self,
        message: str,
        structure: str,
        offset: int | None = None,
        *,
        fixed: bool = False,
        repair: str | None = None,
    ) -> None:
        self.report(Finding("error", message, structure=structure, offset=offset, repair=repair))
        if fixed:
            self.result.corruptions_fixed += 1
        else:
            self.result.corruptions += 1

    def leak(self, message: str, structure: str, offset: int, count: int = 1, *, fixed: bool = False) -> None:
        self.report(Finding("leak", message, structure=structure, offset=offset, repair="leaks"))
        if fixed:
            self.result.leaks_fixed += count
        else:
            self.result.leaks += count


def _check_descriptor(node: VmdkNode, outcome: Outcome) -> None:
    try:
        node.check_parent()
    except CorruptImage as error:
        outcome.error(error.message, "descriptor")
    if node.descriptor is None:
        return
    try:
        lines = [line for line in node.descriptor.extents() if line.sectors]
    except ImageError as error:
        outcome.error(error.message, "descriptor", error.offset)
        return
    for extent, line in zip(node.disk_extents, lines, strict=False):
        if line.sectors * SECTOR != extent.length:
            outcome.error(
                f"the descriptor gives '{extent.path}' {line.sectors} sectors, its header {extent.length // SECTOR}",
                "descriptor",
            )


class GrainCheck:
    """The check of one extent of grains."""

    def __init__(self, extent: GrainExtent, outcome: Outcome) -> None:
        self.extent = extent
        self.outcome = outcome
        self.storage = extent.storage
        self.compressed = isinstance(extent, StreamExtent)
        self.unit = 1 if self.compressed else extent.grain_sectors
        self.end = min(div_up(self.storage.size, SECTOR), MAX_SECTOR)
        self.borders: list[int] = []
        self.found = array("Q")

    def run(self) -> None:
        extent = self.extent
        copy: GrainExtent | None = None
        if isinstance(extent, SparseExtent):
            self._check_header(extent)
            try:
                extent.prepare()
            except ImageError as error:
                self.outcome.error(error.message, error.structure or "grain directory", error.offset)
                return
            self.borders = extent.metadata or []
            copy = self._redundant(extent)
        sound = self.outcome.result.corruptions
        tables = len(extent.directory)
        for index in range(tables):
            if extent.directory[index] or (copy and copy.directory[index]):
                self._check_table(index, tables, copy)
        if self.outcome.repair and isinstance(extent, SparseExtent):
            extent.write_back()
            self.borders = extent.metadata or []
            self.end = div_up(self.storage.size, SECTOR)
        places = sort_places(self.found)
        self._check_overlaps(places)
        # Where a table is damaged, what seems to be unused may be what it pointed to.
        if (
            isinstance(extent, SparseExtent)
            and not extent.header.in_footer
            and sound == self.outcome.result.corruptions
        ):
            self._check_unused(places, extent)

    def _check_header(self, extent: SparseExtent) -> None:
        header = extent.header
        if header.flags & NEWLINE_TEST_VALID and header.newline_test != NEWLINE_TEST:
            self.outcome.error("line ends were changed: the file was transferred as text", "header", 0)
        if header.unclean_shutdown:
            offset = SPARSE_HEADER.offset_of("unclean_shutdown")
            if self.outcome.repair:
                self.storage.write(offset, b"\0")
                header.unclean_shutdown = 0
            fixed = self.outcome.repair is not None
            self.outcome.leak(f"'{extent.path}' was not closed properly", "header", offset, fixed=fixed)

    def _redundant(self, extent: SparseExtent) -> GrainExtent | None:
        """The same extent seen through its redundant grain directory."""
        if extent.redundant is None:
            return None
        copy = GrainExtent(
            extent.storage,
            capacity=extent.header.capacity,
            grain_sectors=extent.grain_sectors,
            table_entries=extent.table_entries,
            directory=extent.redundant,
            zeroed_grains=extent.zeroed_grains,
        )
        copy.empty = extent.empty
        return copy

    # Tables.

    def _check_table(self, index: int, tables: int, copy: GrainExtent | None) -> None:
        table, problems = self._read(self.extent, index, tables)
        other, faults = (table, []) if copy is None else self._read(copy, index, tables)
        if table is not None:
            problems = self._add(index, table)
        if copy is None or table is None or other is None or table != other:
            self._compare(index, copy, (table, problems), (other, faults))
        else:
            self._tell(problems, fixed=False)

    def _compare(
        self,
        index: int,
        copy: GrainExtent | None,
        used: tuple[array[int] | None, list[tuple[str, int]]],
        redundant: tuple[array[int] | None, list[tuple[str, int]]],
    ) -> None:
        """Two grain tables that are not alike, each with what is wrong in it; None where it cannot be read."""
        (_, problems), (other, faults) = used, redundant
        if copy is None or other is None or not problems:
            self._tell(problems or faults, fixed=False)
            if copy is not None and other is not None:
                self._tell_stale(index, copy)
        elif any(self._fault(entry, count) for _, count, entry in self._runs(index, other)):
            self._tell(problems, fixed=False)
        else:
            fixed = self.outcome.repair == "all"
            self._tell(problems, fixed=fixed, note="; its redundant copy is intact", repair="all")
            if fixed:
                self._restore(index, other)
                self._add(index, other)

    def _read(self, extent: GrainExtent, index: int, tables: int) -> tuple[array[int] | None, list[tuple[str, int]]]:
        """A grain table, or None and what is wrong, and where."""
        if not extent.directory[index]:
            return extent.empty, []
        try:
            return extent.table(index, tables), []
        except CorruptImage as error:
            place = extent.directory[index] * SECTOR
            return None, [(f"grain table {index}: {error.message}", error.offset or place)]

    def _add(self, index: int, table: array[int]) -> list[tuple[str, int]]:
        """Remember where a table's grains are; the answer is (what is wrong, where) for entries that cannot be."""
        if table is self.extent.empty:
            return []
        problems, before = [], len(self.found)
        base = index * self.extent.table_entries
        for position, count, entry in self._runs(index, table):
            if entry == UNALLOCATED:
                continue
            wrong = self._fault(entry, count)
            if wrong:
                where = self.extent.directory[index] * SECTOR + position * table.itemsize
                problems.append((f"cluster offset for sector {self._sector(base + position)} {wrong}", where))
            elif self.compressed:
                for number in range(count):
                    self._add_compressed(base + position + number, entry + number * self.extent.grain_sectors)
            elif entry > ZEROED:
                self.found.append(entry << LENGTH_BITS | count)
        if problems:
            del self.found[before:]
        return problems

    def _add_compressed(self, grain: int, sector: int) -> None:
        extent = self.extent
        assert isinstance(extent, StreamExtent)
        if sector <= ZEROED:
            return
        try:
            length = extent.stored_length(grain, sector)
        except CorruptImage as error:
            self.outcome.error(error.message, "compressed grain", error.offset)
            return
        self.found.append(sector << LENGTH_BITS | div_up(length, SECTOR))

    def _sector(self, grain: int) -> int:
        """The disk's sector where a grain begins."""
        return self.extent.start // SECTOR + grain * self.extent.grain_sectors

    def _runs(self, index: int, table: array[int]) -> Iterator[tuple[int, int, int]]:
        last = min(self.extent.table_entries, self.extent.grains - index * self.extent.table_entries)
        return table_runs(table, 0, last, self.extent.grain_sectors)

    def _fault(self, entry: int, count: int) -> str | None:
        """What is wrong with a run of grains, from their place alone."""
        if entry == UNALLOCATED or (entry == ZEROED and self.extent.zeroed_grains):
            return None
        last = entry + (count - 1) * self.extent.grain_sectors
        if last >= self.end:
            return "points after EOF"
        if self.borders and entry < self.borders[-1]:
            at = bisect_right(self.borders, entry)
            if at % 2 or self.borders[at] < last + self.unit:
                return "points into the metadata"
        return None

    def _tell(self, problems: list[tuple[str, int]], *, fixed: bool, note: str = "", repair: str | None = None) -> None:
        for message, offset in problems:
            self.outcome.error(message + note, "grain table", offset, fixed=fixed, repair=repair)

    def _restore(self, index: int, other: array[int]) -> None:
        """Replace a damaged grain table by its redundant copy; in a new place, if the directory is damaged."""
        extent = self.extent
        assert isinstance(extent, SparseExtent)
        if extent.directory[index] * SECTOR + extent.table_size > self.storage.size:
            extent.directory[index] = 0
        extent.tables[index] = other[:]
        extent.table_to_change(index)[:] = other

    def _tell_stale(self, index: int, copy: GrainExtent) -> None:
        """A redundant table that is not like the one in use: a writer was killed before it wrote both."""
        fixed = self.outcome.repair is not None and copy.directory[index] != 0
        if fixed:
            assert isinstance(self.extent, SparseExtent)
            self.extent.table_to_change(index)  # written back, both copies are alike
        offset = copy.directory[index] * SECTOR
        self.outcome.leak(f"redundant grain table {index} is out of date", "redundant grain table", offset, fixed=fixed)

    # Space.

    def _check_overlaps(self, places: array[int]) -> None:
        """No two grains may lie in one place."""
        for sector in overlaps(places, self.unit):
            where = sector * SECTOR
            self.outcome.error(f"two grains lie in one place of '{self.extent.path}'", "grain table", where)

    def _check_unused(self, places: array[int], extent: SparseExtent) -> None:
        """What belongs to no grain is leaked; between compressed grains there are markers, so only the end counts."""
        start = max(1, extent.header.overhead)
        for first, last in gaps(places, self.unit, start, self.end):
            if not self.compressed or last == self.end:
                self._check_gap(first, last, extent)

    def _check_gap(self, first: int, last: int, extent: SparseExtent) -> None:
        for start, stop in self._without_metadata(first, last):
            count = (stop - start) // self.unit
            if not count or not self._holds_data(start, stop):
                continue
            fixed = self.outcome.repair is not None
            if fixed and stop == self.end:
                self.storage.truncate(start * SECTOR)
                extent.metadata = None  # the end is elsewhere now
            elif fixed:
                self.storage.zero(start * SECTOR, (stop - start) * SECTOR)
            self.outcome.leak(
                f"{(stop - start) * SECTOR} bytes of '{extent.path}' belong to no grain",
                "grains",
                start * SECTOR,
                1 if self.compressed else count,
                fixed=fixed,
            )

    def _without_metadata(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """The parts of a gap that lie outside of all metadata."""
        at = bisect_right(self.borders, first)
        if at % 2:
            first = self.borders[at]
            at += 1
        while first < last:
            stop = min(last, self.borders[at]) if at < len(self.borders) else last
            if first < stop:
                yield first, stop
            first = self.borders[at + 1] if at < len(self.borders) else last
            at += 2

    def _holds_data(self, first: int, last: int) -> bool:
        for extent in self.storage.extents(first * SECTOR, (last - first) * SECTOR):
            if extent.kind == DATA:
                end = extent.start + extent.length
                for start in range(extent.start, end, COMPARED):
                    if any(self.storage.read(start, min(COMPARED, end - start))):
                        return True
        return False
