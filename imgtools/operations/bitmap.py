"""Persistent dirty bitmaps: what was written to a disk since a backup, kept inside its image.

from imgtools.operations.bitmap import bitmaps_of

with imgtools.open("disk.qcow2") as disk:
    for start, length in bitmaps_of(disk)["since-monday"].dirty_ranges():
        backup.write(start, disk.read(start, length))
"""

from __future__ import annotations

import errno

from imgtools.block.format import Bitmaps
from imgtools.block.node import Filter
from imgtools.errors import BadOption, CorruptImage, ImageError, UnsupportedFeature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from imgtools.block.format import BitmapCollection
    from imgtools.block.node import Node


def keeps_bitmaps(node: Node) -> bool:
    """Whether the image of a disk can have bitmaps."""
    below = _unfiltered(node)
    return isinstance(below, Bitmaps) and below.can_have_bitmaps


def bitmaps_of(node: Node) -> BitmapCollection:
    """The bitmaps of a disk, also behind a filter. Raises UnsupportedFeature where the format has none."""
    below = _unfiltered(node)
    if not isinstance(below, Bitmaps):
        raise UnsupportedFeature(
            f"Can't store persistent bitmaps to {node.filename}: Operation not supported",
            path=node.filename,
            errno=errno.ENOTSUP,
        )
    return below.bitmaps


def _unfiltered(node: Node) -> Node:
    while isinstance(node, Filter):
        node = node.child
    return node


def check_bitmaps(source: Node, *, skip_broken: bool = False) -> None:
    """Refuse, unless they are to be left out, bitmaps that cannot be copied."""
    if skip_broken:
        return
    for bitmap in reversed(list(bitmaps_of(source))):
        if bitmap.inconsistent:
            raise CorruptImage(
                f"Cannot copy inconsistent bitmap '{bitmap.name}'",
                path=source.filename,
                hint="Try --skip-broken-bitmaps, or use 'qemu-img bitmap --remove' to delete it",
            )


def copy_bitmaps(source: Node, target: Node, *, warn: Callable[[str], None]) -> None:
    """Give `target` the bitmaps of `source`; `warn` is told of those that are inconsistent and left out."""
    if not keeps_bitmaps(target):
        raise BadOption(f"Format driver '{target.driver}' does not support bitmaps", path=target.filename)
    for bitmap in reversed(list(bitmaps_of(source))):
        if bitmap.inconsistent:
            warn(f"Skipping inconsistent bitmap '{bitmap.name}'")
    copies = bitmaps_of(target)
    for bitmap in bitmaps_of(source):
        if bitmap.inconsistent:
            continue
        doing = "create"
        try:
            copies.add(bitmap.name, bitmap.granularity, enabled=bitmap.enabled)
            doing = "populate"
            copies.merge(bitmap.name, bitmap)
        except ImageError as error:
            error.message = f"Failed to {doing} bitmap {bitmap.name}: {error.message}"
            raise
