"""Meta contexts: what BLOCK_STATUS tells about the ranges of an export.

A context is a name and a function from a range to runs of (length, status). The runs cover the range from its
beginning, are never empty, and neighbours differ.
"""

from __future__ import annotations

from imgtools.block.extent import ABSENT, HOLE, READS_ZERO, RESERVED
from imgtools.nbd import protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from imgtools.block.node import Node


class Context:
    """One kind of status; `name` is what clients ask for."""

    def __init__(self, name: str, node: Node) -> None:
        self.name = name
        self.node = node

    def status(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """The runs of the range, as (length, status)."""
        raise NotImplementedError


class Allocation(Context):
    """base:allocation: what takes no space, and what reads as zeroes."""

    def status(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        return joined((extent.length, allocation_of(extent.kind)) for extent in self.node.extents(offset, length))


class Depth(Context):
    """qemu:allocation-depth: in which layer of the backing chain the bytes are."""

    def status(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        return joined(
            (extent.length, 0 if extent.kind == HOLE else extent.depth + 1)
            for extent in self.node.extents(offset, length)
        )


class DirtyBitmap(Context):
    """qemu:dirty-bitmap:NAME: what a persistent bitmap has marked. `base` is where on its disk the export begins."""

    def __init__(self, node: Node, bitmap: Any, base: int) -> None:
        super().__init__(protocol.DIRTY_BITMAP + bitmap.name, node)
        self.bitmap = bitmap
        self.base = base

    def status(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        position, end = self.base + offset, self.base + offset + length
        for start, size in self.bitmap.dirty_ranges(position, length):
            if start > position:
                yield start - position, 0
            yield size, protocol.STATE_DIRTY
            position = start + size
        if position < end:
            yield end - position, 0


def allocation_of(kind: str) -> int:
    """The flags of base:allocation for a kind of extent."""
    if kind == RESERVED:
        return protocol.STATE_ZERO
    if kind == ABSENT:
        return protocol.STATE_HOLE
    return protocol.STATE_HOLE | protocol.STATE_ZERO if kind in READS_ZERO else 0


def joined(runs: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The runs with neighbours of one status made one."""
    length, status = 0, 0
    for more, other in runs:
        if other != status and length:
            yield length, status
            length = 0
        length, status = length + more, other
    if length:
        yield length, status
