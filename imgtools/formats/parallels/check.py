"""Parallels' check and repair.

QEMU's findings come in QEMU's words: an image that was not closed, blocks outside of the file, space that is left
over behind the last one. This check also finds blocks that lie over the table, that are in the file in part only, and
that share their place. What those held nobody can say: a repair leaves them.

Repair takes blocks that are nowhere out of the table, so that they read as zeroes, and cuts the file behind the last
block. The mark of an image that was not closed goes last. It can be interrupted anywhere.
"""

from __future__ import annotations

from imgtools.block.format import CheckResult, Finding
from imgtools.errors import ReadOnly
from imgtools.formats.parallels.records import HEADER
from imgtools.formats.tables import read_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from imgtools.formats.parallels import ParallelsNode

MAX_PLACES = 1 << 29
"""Places of blocks in the file that are looked at for two blocks in one: 512 TiB of the usual ones, 64 MiB of bits."""


class Check:
    """One check of one image, under the node's lock."""

    def __init__(self, node: ParallelsNode, report: Callable[[Finding], None], repair: str | None) -> None:
        self.node = node
        self.report = report
        self.mends_errors, self.mends_leaks = repair == "all", repair is not None
        if self.mends_leaks and node.storage.read_only:
            raise ReadOnly("image is read-only", path=node.filename)
        self.result = CheckResult()
        self.table = read_table(
            node.storage, HEADER.size, node.header.bat_entries, code="I", big=False, name="block table"
        )
        """With the entries for blocks behind the end of the disk."""
        self.result.total_clusters = len(self.table)
        self.end = node.data_start
        """Where the last block ends in the file."""
        self.places = bytearray(min(node.storage.size // node.block_size + 1, MAX_PLACES) // 8 + 1)

    def run(self) -> CheckResult:
        node, result = self.node, self.result
        if node.dirty:
            self._error("image was not closed correctly", "header", HEADER.offset_of("in_use"), mendable=True)
        previous = None
        for block, entry in enumerate(self.table):
            position = node.position_of(entry)
            if position and self._is_there(block, position):
                result.allocated_clusters += 1
                result.fragmented_clusters += previous is not None and position != previous + node.block_size
                previous = position
                self.end = max(self.end, position + node.block_size)
            else:
                previous = None
        result.image_end_offset = self.end
        if node.storage.size > self.end:
            self._leak(node.storage.size - self.end)
        if result.corruptions_fixed and result.corruptions_fixed == result.corruptions:
            node.mark_closed()
        return result

    def _is_there(self, block: int, position: int) -> bool:
        """Whether the block counts as one of the file's: not if it has just been taken out of the table."""
        node = self.node
        offset = HEADER.size + 4 * block
        if position > node.storage.size:
            self._error(f"cluster {block} is outside image", "block table", offset, mendable=True)
            if self.mends_errors:
                node.forget(block)
            return not self.mends_errors
        if position < node.data_start:
            self._error(f"cluster {block} lies over the block table", "block table", offset)
        elif position + min(node.block_size, max(0, node.size - block * node.block_size)) > node.storage.size:
            self._error(f"cluster {block} is in the image only in part", "block table", offset)
        byte, bit = divmod(position // node.block_size, 8)
        if byte < len(self.places):
            if self.places[byte] & 1 << bit:
                self._error(f"cluster {block} lies where another one does", "block table", offset)
            self.places[byte] |= 1 << bit
        return True

    def _leak(self, length: int) -> None:
        self.result.leaks += -(-length // self.node.block_size)
        message = f"{'Repairing' if self.mends_leaks else 'ERROR'} space leaked at the end of the image {length}"
        self.report(Finding("leak", message, structure="block table", offset=self.end, repair="leaks"))
        if self.mends_leaks:
            self.node.storage.flush()
            self.node.storage.truncate(self.end)
            self.result.leaks_fixed = self.result.leaks

    def _error(self, what: str, structure: str, offset: int, *, mendable: bool = False) -> None:
        mended = mendable and self.mends_errors
        self.result.corruptions += 1
        self.result.corruptions_fixed += mended
        message = f"{'Repairing' if mended else 'ERROR'} {what}"
        self.report(Finding("error", message, structure=structure, offset=offset, repair="all" if mendable else None))
