"""How large a qcow2 file becomes: for an empty disk, or for the content of another image.

Sizes are those of a file that is written in order: header, refcount table and blocks, L1 and L2 tables, data.
"""

from __future__ import annotations

from imgtools.align import div_up, round_up
from imgtools.block.extent import READS_ZERO
from imgtools.block.format import Bitmaps, Measure
from imgtools.errors import BadOption, ImageError
from imgtools.formats.qcow2.bitmap import build_entry
from imgtools.formats.qcow2.create import cluster_size_of, new_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.node import Node


def measure(source: Node | None, size: int, options: dict[str, Any]) -> Measure:
    """The file size for `source` (or an empty disk of `size` bytes) under the create options."""
    cluster = cluster_size_of(options)
    disk = round_up(source.size if source is not None else size, 512)
    try:
        header = new_header(disk, options)
    except ImageError as error:
        if error.kind == "out-of-bounds":
            raise BadOption("The image size is too large (try using a larger cluster size)") from None
        raise
    refcount_bits = 1 << header.refcount_order
    full = _file_size(round_up(disk, cluster), cluster, refcount_bits, header.entry_bits)
    if header.crypt_method:
        from imgtools.formats.qcow2.encryption import luks_clusters

        full += luks_clusters(header, options) * cluster
    bitmaps = _bitmaps(source, cluster) if source is not None and header.version >= 3 else None
    if options.get("preallocation") in ("full", "falloc"):
        return Measure(full, full, bitmaps)
    used = 0 if source is None else _used(source, cluster)
    return Measure(full - round_up(disk, cluster) + used, full, bitmaps)


def _bitmaps(source: Node, cluster: int) -> int | None:
    """What copies of the source's bitmaps take, all of their clusters counted; None where it can have none."""
    if not isinstance(source, Bitmaps) or not source.can_have_bitmaps:
        return None
    found = list(source.bitmaps)
    tables = [div_up(bitmap.bits, 8 * cluster) for bitmap in found]
    directory = sum(len(build_entry(bitmap, in_use=False)) for bitmap in found)
    return sum(count * cluster + round_up(count * 8, cluster) for count in tables) + round_up(directory, cluster)


def _used(source: Node, cluster: int) -> int:
    """Bytes of the clusters in which `source` has any data."""
    used, counted_to = 0, 0
    for extent in source.extents(0, source.size):
        if extent.kind not in READS_ZERO:
            first = max(counted_to, extent.start - extent.start % cluster)
            counted_to = max(counted_to, round_up(extent.start + extent.length, cluster))
            used += max(0, counted_to - first)
    return used


def _file_size(data: int, cluster: int, refcount_bits: int, entry_bits: int) -> int:
    """All of the file where `data` bytes of guest clusters are allocated."""
    tables = div_up(data, cluster * cluster >> entry_bits)
    l1_and_l2 = round_up(tables * 8, cluster) + tables * cluster
    fixed = cluster + l1_and_l2 + data
    counts_per_block = cluster * 8 // refcount_bits
    blocks = table = 0
    while True:  # the refcounts count themselves
        clusters = fixed // cluster + blocks + table
        new_blocks = div_up(clusters, counts_per_block)
        new_table = div_up(new_blocks * 8, cluster)
        if (new_blocks, new_table) == (blocks, table):
            return fixed + (blocks + table) * cluster
        blocks, table = new_blocks, new_table
