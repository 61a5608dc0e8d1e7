"""The extents of a qcow2 layer: runs of its tables, joined, and looked at in the file where that says more."""

from __future__ import annotations

from itertools import chain

from imgtools.block.extent import COMPRESSED, DATA, Extent, Placed
from imgtools.formats.qcow2.mapping import NOWHERE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgtools.formats.qcow2.node import Qcow2Node

END = ((0, 0, "", NOWHERE),)


def layer_extents(node: Qcow2Node, offset: int, length: int) -> Iterator[Extent]:
    """What the layer has in the range, in as few extents as there can be; HOLE is "not in this layer"."""
    data = node.data
    placed = Placed(data)
    kind, start, end, host = "", offset, offset, NOWHERE
    for first, last, what, where in chain(node.mapping.runs(offset, offset + length), END):
        if what == COMPRESSED:
            where = NOWHERE
        if what == kind and where == (NOWHERE if host == NOWHERE else host + first - start):
            end = last
            continue
        if host != NOWHERE:
            if kind == DATA and node.metadata_preallocated:
                yield from placed.extents(start, end - start, host)
            else:
                yield Extent(start, end - start, kind, 0, data, host)
        elif kind:
            yield Extent(start, end - start, kind)
        kind, start, end, host = what, first, last, where
