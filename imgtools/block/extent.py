"""What lies where: the answer to "what is here?" that every node gives before anyone asks it for bytes.

An `Extent` is a run of guest bytes of one kind. Reading, converting, mapping, comparing, measuring and
NBD's block status are all loops over extents, so they cost per run and not per cluster.
"""

from __future__ import annotations

from itertools import groupby

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, NamedTuple

    from imgtools.block.node import Node

DATA = "data"
"""Stored bytes, at `offset` of `storage` where those are given."""
ZERO = "zero"
"""Reads as zeroes and a layer says so: a zero cluster, or a hole in a sparse file (then `offset` is given)."""
HOLE = "hole"
"""Reads as zeroes because no layer has anything here."""
RESERVED = "reserved"
"""Reads as zeroes: a layer has a place for it, at `offset` of `storage`, where nothing was ever written."""
COMPRESSED = "compressed"
"""Stored, but only readable through the node."""
ABSENT = "absent"
"""A server says that it has nothing here, but not that it reads as zeroes: only reading tells."""

READS_ZERO = (ZERO, HOLE, RESERVED)

if TYPE_CHECKING:

    class Extent(NamedTuple):
        """`length` guest bytes from `start`: their kind, where they lie, and how deep in the backing chain."""

        start: int
        length: int
        kind: str
        depth: int = 0
        storage: Node | None = None
        offset: int | None = None

    class Columns(NamedTuple):
        """Many extents of the top layer at once, each field a numpy array: for images of millions of extents.

        `kinds` are indices into `names`; an offset of -1 is none.
        """

        starts: Any
        lengths: Any
        kinds: Any
        offsets: Any
        names: tuple[str, ...]
        storage: Node

else:
    from collections import namedtuple

    Extent = namedtuple("Extent", "start length kind depth storage offset", defaults=(0, None, None))
    Columns = namedtuple("Columns", "starts lengths kinds offsets names storage")


class Placed:
    """Tells of ranges that have their place in `storage` what was written there: the rest is RESERVED.

    Remembers the last run of the storage, so that many ranges of one run cost one look.
    """

    def __init__(self, storage: Node) -> None:
        self.storage = storage
        self.known = Extent(0, 0, DATA)

    def extents(self, start: int, length: int, offset: int) -> Iterator[Extent]:
        """The extents of `length` guest bytes from `start`, whose place begins at `offset`."""
        while length:
            first, known, kind = self.known[:3]
            if not first <= offset < first + known:
                reach = max(self.storage.size - offset, length)
                self.known = next(iter(self.storage.extents(offset, reach)))
                continue
            count = min(length, first + known - offset)
            yield Extent(start, count, RESERVED if kind in READS_ZERO else DATA, 0, self.storage, offset)
            start, offset, length = start + count, offset + count, length - count

    def kind_over(self, first: int, end: int) -> str | None:
        """DATA or RESERVED, where all of [first, end) of the storage is one of them."""
        run = next(self.extents(0, end - first, first))
        return run.kind if run.length == end - first else None


def clip(extent: Extent, start: int, end: int) -> Extent:
    """The part of `extent` that lies in [start, end); the two must overlap."""
    first = max(extent.start, start)
    last = min(extent.start + extent.length, end)
    offset = None if extent.offset is None else extent.offset + first - extent.start
    return Extent(first, last - first, extent.kind, extent.depth, extent.storage, offset)


def merge(extents: Iterable[Extent]) -> Iterator[Extent]:
    """Join neighbours that are alike and lie in one piece."""
    held: Extent | None = None
    for extent in extents:
        if held is None:
            held = extent
            continue
        start, length, kind, depth, storage, offset = held
        if (
            extent[2] == kind
            and extent[3] == depth
            and extent[4] is storage
            and extent[5] == (None if offset is None else offset + length)
            and extent[0] == start + length
        ):
            held = Extent(start, length + extent[1], kind, depth, storage, offset)
        else:
            yield held
            held = extent
    if held is not None:
        yield held


def split_ends(columns: Columns) -> Iterator[Extent | Columns]:
    """The same extents, the first and the last as such: they may have neighbours to be joined with."""
    yield _row(columns, 0)
    if len(columns.starts) > 2:
        starts, lengths, kinds, offsets = (column[1:-1] for column in columns[:4])
        yield Columns(starts, lengths, kinds, offsets, columns.names, columns.storage)
    if len(columns.starts) > 1:
        yield _row(columns, -1)


def _row(columns: Columns, index: int) -> Extent:
    start, length, kind, offset = (int(column[index]) for column in columns[:4])
    if offset < 0:
        return Extent(start, length, columns.names[kind])
    return Extent(start, length, columns.names[kind], 0, columns.storage, offset)


def merge_columns(items: Iterable[Extent | Columns]) -> Iterator[Extent | Columns]:
    """As `merge`; columns have no neighbours to be joined with."""
    for kind, group in groupby(items, type):
        yield from group if kind is Columns else merge(group)  # type: ignore[arg-type]  # noqa: B031
