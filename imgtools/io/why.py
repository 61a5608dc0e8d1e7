"""The way of a byte: from an offset of the disk, through every layer, to a place in a file, in words."""

from __future__ import annotations

from imgtools.block.extent import ABSENT, COMPRESSED, DATA, HOLE, RESERVED, ZERO
from imgtools.block.node import Filter, Layer
from imgtools.block.structure import in_one_line, way_to

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgtools.block.extent import Extent
    from imgtools.block.node import Node

WORDS = {
    ZERO: "reads as zeroes: the layer says so",
    HOLE: "nothing is here",
    RESERVED: "reads as zeroes: there is a place for it, where nothing was ever written",
    COMPRESSED: "compressed: readable only through this layer",
    ABSENT: "the server says that nothing is here, but not that it reads as zeroes",
}


def why(node: Node, offset: int) -> Iterator[str]:
    """The lines that say where the byte at `offset` comes from. Raises OutOfBounds past the end of the disk."""
    node.check_range(offset, 1)
    yield f"{node.filename} ({node.driver}): byte {offset} ({offset:#x}) of the disk"
    if isinstance(node, Filter):
        yield f"  {node.driver} passes it on"
        yield from why(node.child, offset)
        return
    for structure, index in way_to(node, offset):
        found = structure.read(node, index)
        if found is None:
            yield f"  {structure.name} {index}: not there"
        else:
            place, declaration, data = found
            yield f"  {structure.name} {index} at {place:#x}: {in_one_line(declaration, data)}"
    yield from _outcome(node, offset)


def _outcome(node: Node, offset: int) -> Iterator[str]:
    here = next(iter(node.layer_extents(offset, 1) if isinstance(node, Layer) else node.extents(offset, 1)))
    if here.kind == HOLE and node.backing is not None:
        if offset >= node.backing.size:
            yield "  nothing is here, and the backing image ends before: reads as zeroes"
            return
        yield "  nothing is here: it is read from the backing image"
        yield from why(node.backing, offset)
    elif here.kind == HOLE:
        yield "  nothing is here: reads as zeroes"
    else:
        yield f"  {WORDS.get(here.kind, 'stored')}"
        yield from _place(here)


def _place(extent: Extent) -> Iterator[str]:
    """Where the bytes lie in a file, and whether that has anything there."""
    if extent.storage is None or extent.offset is None or extent.kind == COMPRESSED:
        return
    storage, place = extent.storage, extent.offset
    yield f"{storage.filename} ({storage.driver}): byte {place} ({place:#x}) of the file"
    below = next(iter(storage.extents(place, 1)))
    yield "  data" if below.kind == DATA else "  a hole of the file: zeroes"
