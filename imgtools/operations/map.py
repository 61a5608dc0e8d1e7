"""Where the bytes of a disk lie."""

from __future__ import annotations

from imgtools.block.extent import merge, merge_columns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgtools.block.extent import Columns, Extent
    from imgtools.block.node import Node


def map_(node: Node, start: int = 0, length: int | None = None) -> Iterator[Extent]:
    """The extents of a range, to the end of the disk if no length is given; neighbours that are alike are joined."""
    end = node.size if length is None else min(node.size, start + length)
    return merge(node.extents(start, end - start)) if start < end else iter(())


def map_columns(node: Node, start: int = 0, length: int | None = None) -> Iterator[Extent | Columns]:
    """The same, many extents at once in columns where the node has millions of them."""
    end = node.size if length is None else min(node.size, start + length)
    return merge_columns(node.columns(start, end - start)) if start < end else iter(())
