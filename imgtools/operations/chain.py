"""Backing chains: finding an image in one, and looking at the layers above it alone.

A chain is followed through `unfiltered`: filters may stand in front of any of its images.
"""

from __future__ import annotations

import os

from imgtools.block.extent import HOLE, ZERO, Extent
from imgtools.block.gate import combine, has_protocol
from imgtools.block.node import Filter, Layer, fill_zero

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgtools.block.node import Node


def layers(node: Node) -> Iterator[Node]:
    """The images of a chain from `node` downwards, without the filters in front of them."""
    below: Node | None = node
    while below is not None:
        image = below.unfiltered
        yield image
        below = image.backing


def find_below(node: Node, name: str) -> Node | None:
    """The image that lies below `node` under `name`: as the image above it says, or the same file seen from there."""
    for above in layers(node):
        below = above.backing
        if below is None:
            return None
        if name == getattr(above, "backing_name", None):
            return below.unfiltered
        if name and not has_protocol(name) and _is_same(combine(above.filename, name), below.filename):
            return below.unfiltered
    return None


def _is_same(path: str, other: str) -> bool:
    return os.path.realpath(path) == os.path.realpath(other)


class LayersAbove(Filter):
    """A disk whose extents tell what is held above `base`, an image of its chain: what only `base` and the images
    below it have is a hole of depth 1, and `base` is never asked for its extents."""

    def __init__(self, child: Node, base: Node) -> None:
        super().__init__(child)
        self.base = base

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        return above(self.child, self.base, offset, length)


def above(node: Node, base: Node, offset: int, length: int) -> Iterator[Extent]:
    """What the layers from `node` down to `base`, without it, hold of a range; see `LayersAbove`."""
    image = node.unfiltered
    if image is base:
        yield Extent(offset, length, HOLE, 1)
        return
    below = image.backing
    if not isinstance(image, Layer) or below is None:
        yield from image.extents(offset, length)
        return
    for extent in image.layer_extents(offset, length):
        if extent.kind != HOLE:
            yield extent
            continue
        end = extent.start + extent.length
        shared = max(extent.start, min(end, below.size))
        if extent.start < shared:
            yield from above(below, base, extent.start, shared - extent.start)
        if shared < end:  # an image that ends early reads as zeroes, whatever lies below it
            yield Extent(shared, end - shared, ZERO)


class Padded(Filter):
    """A disk that ends later: what lies past the end of `child` reads as zeroes. For reading."""

    size = 0  # its own, and not that of what is below

    def __init__(self, child: Node, size: int) -> None:
        super().__init__(child)
        self.size = size

    @property
    def unfiltered(self) -> Node:
        return self  # what is below has another size

    def readinto(self, offset: int, buffer: memoryview) -> None:
        there = max(0, min(len(buffer), self.child.size - offset))
        if there:
            self.child.readinto(offset, buffer[:there])
        fill_zero(buffer[there:])

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        there = max(0, min(length, self.child.size - offset))
        if there:
            yield from self.child.extents(offset, there)
        if there < length:
            yield Extent(offset + there, length - there, HOLE)
