"""A VHDX image as a disk.

Invariants:
- A log that is not empty is replayed before anything else is believed: in the file where it is opened for writing, and
  in an overlay of it in memory where it is only read.
- The first write changes the GUIDs by which others notice that the file, and the disk, is not what it was.
- A new block begins at the file's end and is on stable storage before its entry in the table, which is eight bytes in
  one sector; such an entry needs no log. After a crash in between there is space that nobody uses.
"""

from __future__ import annotations

from imgtools.align import round_up
from imgtools.block.format import Checkable, CheckResult, Finding
from imgtools.errors import CorruptImage
from imgtools.formats.blocks import NOWHERE, BlockNode
from imgtools.formats.tables import to_disk, to_native
from imgtools.formats.vhdx.header import MIB, NO_LOG, Headers, Layout, random_guid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from imgtools.block.node import Storage

STATE = 7
FULLY_PRESENT, PARTIALLY_PRESENT = 6, 7
"""States of a block; all below read as zeroes, and mean different things only in a differencing image."""


class VhdxNode(BlockNode, Checkable):
    """The disk in `storage`, whose log is empty or was replayed."""

    driver = "vhdx"
    missing_is_zero = True
    dirty = False

    def __init__(self, storage: Storage, headers: Headers, *, writable: bool) -> None:
        self.headers = headers
        self.layout = layout = Layout(storage)
        super().__init__(storage, layout.size, layout.block_size, writable=writable)
        self.cluster_size = self.block_size
        self.table = to_native(storage.read(layout.bat_offset, 8 * layout.bat_entries), "Q", big=False)
        self.metadata_end = max(
            layout.bat_offset + layout.bat_length,
            layout.metadata_offset + layout.metadata_length,
            headers.current.log_offset + headers.current.log_length,
        )
        self._changed = False
        self._sound = False

    def locate(self, block: int) -> int:
        entry = self.table[self.layout.entry_index(block)]
        state = entry & STATE
        if state < FULLY_PRESENT:
            return NOWHERE
        position = entry >> 20 << 20
        if state == PARTIALLY_PRESENT or position < MIB:
            what = "is only there in part" if state == PARTIALLY_PRESENT else "lies over the headers"
            raise CorruptImage(
                f"block {block} of the disk {what}",
                path=self.filename,
                offset=self.layout.entry_offset(block),
                structure="block allocation table",
            )
        return position

    def entry_offset(self, block: int) -> int:
        return self.layout.entry_offset(block)

    def add(self, block: int, within: int, data: memoryview) -> None:
        if not self._sound:
            self._refuse_unsound()
        storage = self.storage
        start = round_up(max(storage.size, self.metadata_end), MIB)
        storage.truncate(start + self.block_size)
        storage.write(start + within, data)
        self.table[self.layout.entry_index(block)] = start | FULLY_PRESENT
        self.list_later(block, 1)

    def write_entries(self, block: int, count: int) -> None:
        first, last = self.layout.entry_index(block), self.layout.entry_index(block + count - 1)
        self.storage.write(self.layout.entry_offset(block), to_disk(self.table[first : last + 1], big=False))

    def written(self) -> None:
        if self._changed:
            return
        with self.lock:
            if not self._changed:
                guid = random_guid()
                self.headers.update(self.storage, file_write_guid=guid, data_write_guid=guid)
                self._changed = True

    def check(self, report: Callable[[Finding], None], repair: str | None = None) -> CheckResult:
        """Look for blocks that are not in the file, lie over the tables or over each other. Nothing is mended."""
        result = CheckResult()
        for message, offset in self._unsound_blocks():
            result.corruptions += 1
            report(Finding("error", message, structure="block allocation table", offset=offset))
        return result

    def _unsound_blocks(self) -> list[tuple[str, int]]:
        """What is wrong with the table, and where."""
        found, places = [], []
        layout = self.layout
        for block in range(layout.blocks):
            offset = layout.entry_offset(block)
            try:
                position = self.locate(block)
            except CorruptImage as error:
                found.append((error.message, offset))
                continue
            if position == NOWHERE:
                continue
            places.append((position, block))
            if position + min(self.block_size, self.size - block * self.block_size) > self.storage.size:
                found.append((f"block {block} of the disk is not in the file", offset))
        current = self.headers.current
        regions = [
            (layout.bat_offset, layout.bat_length),
            (layout.metadata_offset, layout.metadata_length),
            (current.log_offset, current.log_length),
        ]
        taken = sorted([*((start, start + length) for start, length in regions), *((at, at) for at, _ in places)])
        ends = {start: end for start, end in taken if end > start}
        reach = 0
        for position, number in sorted([*places, *((start, -1) for start in ends)]):
            end = ends[position] if number < 0 else position + self.block_size
            if position < reach:
                what = "a table" if number < 0 else f"block {number} of the disk"
                found.append((f"{what} lies over what is in front of it", layout.entry_offset(max(number, 0))))
            reach = max(reach, end)
        return found

    def _refuse_unsound(self) -> None:
        """Raise where a new block, or a write to an old one, could destroy something else."""
        unsound = self._unsound_blocks()
        if unsound:
            message, offset = unsound[0]
            raise CorruptImage(
                f"no block can be added: {message}",
                path=self.filename,
                offset=offset,
                structure="block allocation table",
            )
        self._sound = True


def open_vhdx(storage: Storage, *, writable: bool) -> VhdxNode:
    """The image in `storage`, its log replayed."""
    headers = Headers(storage)
    if headers.current.log_guid != NO_LOG:
        from imgtools.formats.vhdx.log import active_entries, replay

        entries = active_entries(storage, headers.current)
        if writable:
            replay(storage, entries)
            headers.update(storage, log_guid=NO_LOG)
        else:
            storage = overlaid(storage)
            replay(storage, entries)
    return VhdxNode(storage, headers, writable=writable)


def overlaid(storage: Storage) -> Storage:
    """A file with the content of `storage` that can be written to without changing that."""
    from imgtools.block.filters.overlay import Overlay
    from imgtools.block.graph import as_file

    return as_file(Overlay(storage))
