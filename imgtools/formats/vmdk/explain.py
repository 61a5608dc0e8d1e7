"""What lies in a VMDK image, for those who explain it (see `block.structure`).

Headers are numbered by extent. Grain directories and tables are numbered through all sparse extents in order.
"""

from __future__ import annotations

from construct import Int32ul, Struct

from imgtools.block.structure import Structure
from imgtools.formats.vmdk.extents import SECTOR
from imgtools.formats.vmdk.structs import SPARSE_HEADER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from imgtools.block.node import Storage
    from imgtools.formats.vmdk.node import VmdkNode
    from imgtools.formats.vmdk.sparse import SparseExtent

    Place = tuple[Storage, int]

ENTRY = Struct("sector" / Int32ul)


def _sparse(node: VmdkNode) -> list[SparseExtent]:
    """The extents that have grains and a header as hosted products write it."""
    from imgtools.formats.vmdk.sparse import SparseExtent

    return [extent for extent in node.disk_extents if isinstance(extent, SparseExtent)]


def _header(node: VmdkNode, index: int) -> Place:
    return _sparse(node)[index].storage, 0


def _numbered(entries: Callable[[SparseExtent], int], node: VmdkNode, index: int) -> tuple[SparseExtent, int]:
    """The extent in which the entry with that number lies, and its number there."""
    for extent in _sparse(node):
        if index < entries(extent):
            return extent, index
        index -= entries(extent)
    raise AssertionError("the number of entries was checked before")


def _tables(extent: SparseExtent) -> int:
    return len(extent.directory)


def _grains(extent: SparseExtent) -> int:
    return -(-extent.length // extent.grain)


def _directory_entry(node: VmdkNode, index: int) -> Place:
    extent, table = _numbered(_tables, node, index)
    return extent.storage, extent.header.gd_offset * SECTOR + table * ENTRY.sizeof()


def _table_entry(node: VmdkNode, index: int) -> Place | None:
    extent, grain = _numbered(_grains, node, index)
    table, entry = divmod(grain, extent.header.gtes_per_gt)
    sector = extent.directory[table]
    return (extent.storage, sector * SECTOR + entry * ENTRY.sizeof()) if sector else None


STRUCTURES = (
    Structure(
        "header",
        "what a sparse extent is",
        SPARSE_HEADER,
        _header,
        size=SPARSE_HEADER.sizeof(),
        count=lambda node: len(_sparse(node)),
        counted="sparse extent",
    ),
    Structure(
        "directory",
        "the grain directory: where the grain tables are",
        ENTRY,
        _directory_entry,
        size=ENTRY.sizeof(),
        count=lambda node: sum(map(_tables, _sparse(node))),
        counted="grain table",
    ),
    Structure(
        "table",
        "the grain tables: where the grains are (0: not here, 1: zeroes)",
        ENTRY,
        _table_entry,
        size=ENTRY.sizeof(),
        count=lambda node: sum(map(_grains, _sparse(node))),
        counted="grain",
    ),
)


def way(node: VmdkNode, offset: int) -> list[tuple[str, int]]:
    """The entries that lead to a byte of the disk: (structure, index). A flat extent needs none."""
    tables = grains = 0
    for extent in _sparse(node):
        if 0 <= offset - extent.start < extent.length:
            grain = (offset - extent.start) // extent.grain
            return [("directory", tables + grain // extent.header.gtes_per_gt), ("table", grains + grain)]
        tables, grains = tables + _tables(extent), grains + _grains(extent)
    return []
