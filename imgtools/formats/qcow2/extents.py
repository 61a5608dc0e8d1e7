"""The extents of a qcow2 layer: runs of its tables, joined, and looked at in the file where that says more."""

from __future__ import annotations

from itertools import chain

from imgtools.block.extent import COMPRESSED, DATA, Columns, Extent, Placed, split_ends
from imgtools.formats.qcow2.mapping import NOWHERE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgtools.formats.qcow2.irregular import Runs
    from imgtools.formats.qcow2.node import Qcow2Node

END = ((0, 0, "", NOWHERE),)
LINES_WITHOUT_NUMPY = 40_000
"""What so many entries cost that become an extent and a line each, importing numpy costs, too."""


def layer_extents(node: Qcow2Node, offset: int, length: int) -> Iterator[Extent]:
    """What the layer has in the range, in as few extents as there can be; HOLE is "not in this layer"."""
    data = node.data
    placed = Placed(data)
    kind, start, end, host = "", offset, offset, NOWHERE
    for first, last, what, where in chain(node.mapping.runs(offset, offset + length), END):
        if what == COMPRESSED or node.encrypted:
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


def layer_columns(node: Qcow2Node, offset: int, length: int) -> Iterator[Extent | Columns]:
    """The same, the extents of irregular tables in columns."""
    mapping, placed = node.mapping, Placed(node.data)
    for start, end, table in mapping.spans(offset, offset + length):
        columns = None
        if (
            table is not None
            and not node.encrypted
            and end - start == 1 << mapping.span_bits
            and mapping.whole_table(table) is None
        ):
            runs = mapping.irregular_runs(table, start, LINES_WITHOUT_NUMPY)
            columns = None if runs is None else _columns(node, placed, runs)
        yield from layer_extents(node, start, end - start) if columns is None else split_ends(columns)


def _columns(node: Qcow2Node, placed: Placed, runs: Runs) -> Columns | None:
    """The runs of a table as columns; None where the file does not say one and the same of all its data."""
    from imgtools.formats.qcow2.irregular import KINDS, PLACED, STREAM

    names: tuple[str, ...] = KINDS
    lengths = runs.ends - runs.starts
    data = runs.kinds == PLACED
    if data.any() and node.metadata_preallocated:
        first, end = runs.hosts[data].min(), (runs.hosts + lengths)[data].max()
        kind = placed.kind_over(int(first), int(end))
        if kind is None:
            return None
        names = tuple(kind if number == PLACED else name for number, name in enumerate(KINDS))
    offsets = runs.hosts.copy()
    offsets[runs.kinds == STREAM] = NOWHERE
    return Columns(runs.starts, lengths, runs.kinds, offsets, names, node.data)
