"""VDI's check and repair.

QEMU's findings come in QEMU's words: numbers in the map that are too large, blocks that are used twice, and a
`blocks_allocated` that is wrong. This check also finds blocks that are not in the file, metadata that overlap,
and blocks that the next writer would give away again.

A `blocks_allocated` that counts more blocks than the map holds is a leak, not a corruption: a crash leaves that.

Repair closes the gaps between blocks by moving the last ones there, sets `blocks_allocated`, and cuts the file
behind the last block. It can be interrupted anywhere. It does nothing where the map itself is damaged, for then
nobody can say which block is whose.
"""

from __future__ import annotations

from array import array

from imgtools.block.format import CheckResult, Finding
from imgtools.errors import ReadOnly
from imgtools.formats.vdi.blockmap import DISCARDED
from imgtools.formats.vdi.header import overlapping_metadata

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from imgtools.formats.vdi.node import VdiNode


class Check:
    """One check of one image, under the node's lock."""

    def __init__(self, node: VdiNode, report: Callable[[Finding], None]) -> None:
        self.node = node
        self.report = report
        self.result = CheckResult()
        self.used = bytearray(-(-node.map.count // 8))
        """A bit for each block number: at most 64 MiB."""
        self.blocks_in_file = (node.storage.size - node.position_of(0)) // (node.position_of(1) - node.position_of(0))
        """Blocks up to here are in the file as a whole."""
        self.mapped = 0
        self.top = 0
        """One more than the highest block number in use."""

    def run(self, repair: str | None) -> CheckResult:
        node, result = self.node, self.result
        if repair and node.read_only:
            raise ReadOnly("image is read-only", path=node.filename)
        overlap = overlapping_metadata(node.header)
        if overlap:
            self._error(f"ERROR: {overlap}", "header", 0)
        for first, page in node.map.pages():
            self._check_page(first, page)
        damaged = result.corruptions > 0
        self._check_allocated(mendable=not damaged)
        if repair and not damaged and (result.leaks or (result.corruptions and repair == "all")):
            self._close_gaps()
            result.leaks, result.leaks_fixed = 0, result.leaks
            result.corruptions, result.corruptions_fixed = 0, result.corruptions
        return result

    def _check_page(self, first: int, page: array[int]) -> None:
        used, count, safe = self.used, self.node.map.count, self.blocks_in_file
        for block, number in enumerate(page, first):
            if number >= DISCARDED:
                continue
            if number >= count:
                self._map_error(block, f"block index {block} too large, is {number}")
                continue
            self.mapped += 1
            if number >= self.top:
                self.top = number + 1
            byte, bit = number >> 3, 1 << (number & 7)
            if used[byte] & bit:
                self._map_error(block, f"block index {number} also used by {number}")
            used[byte] |= bit
            if number >= safe and not self._is_in_file(block, number):
                self._map_error(block, f"block index {number} lies past the end of the file")

    def _is_in_file(self, block: int, number: int) -> bool:
        """Whether the part of the block that belongs to the disk is in the file."""
        length = min(self.node.block_size, max(0, self.node.size - block * self.node.block_size))
        return self.node.position_of(number) + length <= self.node.storage.size

    def _check_allocated(self, *, mendable: bool) -> None:
        header = self.node.header
        message = f"ERROR: allocated blocks mismatch, is {self.mapped}, should be {header.blocks_allocated}"
        if self.mapped < header.blocks_allocated:
            self.result.leaks += header.blocks_allocated - self.mapped
            self.report(Finding("leak", message, structure="header", repair="leaks" if mendable else None))
        elif self.mapped > header.blocks_allocated:
            self._error(message, "header", None, "all" if mendable else None)
        if self.top > header.blocks_allocated == self.mapped:
            message = f"ERROR: block index {self.top - 1} will be given away a second time"
            self._error(message, "header", None, "all" if mendable else None)

    def _close_gaps(self) -> None:
        """Number the blocks without gaps. Where it stops half-way, no block is lost or used twice."""
        node = self.node
        node.set_allocated(self.top)
        gaps = (number for number in range(self.mapped) if not self.used[number // 8] >> number % 8 & 1)
        moving = []
        for block, count, number in node.map.runs(0, node.map.count):
            if number is not None:
                moving += [block + i for i in range(count) if number + i >= self.mapped]
        for block, gap in zip(moving, gaps, strict=True):
            data = node.read(block * node.block_size, min(node.block_size, node.size - block * node.block_size))
            node.storage.write(node.position_of(gap), data)
            node.map.set(block, array("I", (gap,)))
            node.list_later(block, 1)
            node.list_blocks()
        node.storage.flush()
        node.set_allocated(self.mapped)
        node.storage.truncate(node.position_of(self.mapped))

    def _map_error(self, block: int, message: str) -> None:
        self._error(f"ERROR: {message}", "block map", self.node.map.offset + 4 * block)

    def _error(self, message: str, structure: str, offset: int | None, repair: str | None = None) -> None:
        self.result.corruptions += 1
        self.report(Finding("error", message, structure=structure, offset=offset, repair=repair))
