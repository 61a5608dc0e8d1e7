"""Copy a part of a disk into a new image."""

from __future__ import annotations

from imgtools.block.extent import READS_ZERO
from imgtools.operations.buffers import SIZE, PageBuffer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.node import Node


def copy_range(source: Node, target: Node, start: int, length: int, *, target_is_zero: bool = False) -> None:
    """Copy `length` bytes of `source` from `start` to the beginning of `target`."""
    buffer = PageBuffer()
    for extent in source.extents(start, length):
        if extent.kind in READS_ZERO:
            if not target_is_zero:
                target.zero(extent.start - start, extent.length)
            continue
        end = extent.start + extent.length
        for offset in range(extent.start, end, SIZE):
            piece = buffer.view[: min(SIZE, end - offset)]
            source.readinto(offset, piece)
            target.write(offset - start, piece)
