"""Bring what an image holds into one of the images below it.

    with imgtools.open("top.qcow2", writable=True) as top:
        commit(top)                          # into the image right below
        commit(top, base_of(top, "base"))    # into that one

The data is copied and flushed before the image on top is emptied, so that whatever is the last write before a crash,
the image on top reads the same as before. Images between the two then hold what they held; they read differently
where the base was changed below them and they have nothing of their own.
"""

from __future__ import annotations

import errno

from imgtools.block.format import Emptiable, Resizable
from imgtools.block.graph import Context, open_tree
from imgtools.block.node import Layer
from imgtools.errors import BadOption, UnsupportedFeature
from imgtools.operations.chain import LayersAbove, find_below, layers
from imgtools.operations.convert import convert

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from imgtools.block.node import Node


def base_of(top: Node, name: str | None = None) -> Node:
    """The image of the chain below `top` that has that name; the one right below where none is given."""
    if name is None:
        below = top.unfiltered.backing
        if below is None:
            raise BadOption("Image does not have a backing file", path=top.filename)
        return below.unfiltered
    found = find_below(top, name)
    if found is None:
        raise BadOption(f"Did not find '{name}' in the backing chain of '{top.shown_name}'", path=top.filename)
    return found


def commit(
    top: Node,
    base: Node | None = None,
    *,
    context: Context | None = None,
    empty: bool = True,
    rate_limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write what lies above `base` (the image right below `top` where none is given) into it.

    `base` grows to the size of `top` if it is smaller. With `empty`, `top` holds nothing of its own afterwards.
    `context` says how the base is opened for writing; `rate_limit` is in bytes a second.
    """
    base = make_writable(top, base or base_of(top), context)
    if base.size < top.size:
        if not isinstance(base, Resizable):
            raise UnsupportedFeature(
                f"'{base.filename}' is smaller than '{top.filename}', and {base.driver} images cannot grow",
                path=base.filename,
                errno=errno.ENOTSUP,
            )
        base.resize(top.size)
    image = top.unfiltered
    is_next = image.backing is not None and image.backing.unfiltered is base
    if is_next and isinstance(image, Layer):
        image.follow_backing()
    convert([LayersAbove(top, base)], base, top_layer_only=True, rate_limit=rate_limit, progress=progress)
    base.flush()
    if empty and is_next and isinstance(image, Emptiable):
        image.make_empty()


def make_writable(top: Node, base: Node, context: Context | None = None) -> Node:
    """Open an image of the chain below `top` anew, for writing, in the place that it has there."""
    if not base.read_only:
        return base
    parent = next(layer for layer in layers(top) if layer.backing is not None and layer.backing.unfiltered is base)
    found = parent.backing
    assert found is not None and found.described is not None
    found.close()
    found = open_tree(found.described, None, (context or Context()).derive(writable=True))
    parent.children["backing"] = found
    return found.unfiltered
