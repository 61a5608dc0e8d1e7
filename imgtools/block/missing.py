"""What is lost when a backing file is missing: the parts of the disk that were read from it."""

from __future__ import annotations

from imgtools.block.extent import HOLE, merge
from imgtools.errors import ImageError, NotFound
from imgtools.sizes import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.node import Layer

NAMED = 4
"""Ranges that are named; the others are counted."""


def tell_lost_ranges(error: ImageError, layer: Layer) -> None:
    """Let `error`, why the backing file of `layer` cannot be opened, say which ranges of the disk it takes with it."""
    if not isinstance(error, NotFound):
        return
    try:
        lost = [extent for extent in merge(layer.layer_extents(0, layer.size)) if extent.kind == HOLE]
    except ImageError:
        return  # the image is damaged itself: what is missing is the smaller trouble
    if not lost:
        story = f"'{layer.filename}' holds all of its disk itself: rebase -u -b \"\" frees it from the file."
    else:
        named = ", ".join(f"{extent.start:#x}-{extent.start + extent.length:#x}" for extent in lost[:NAMED])
        more = f" and {len(lost) - NAMED} more ranges" if len(lost) > NAMED else ""
        size = format_size(sum(extent.length for extent in lost))
        story = f"Without it, these bytes of the disk of '{layer.filename}' are lost: {named}{more} ({size})."
    error.hint = f"{error.hint}\n{story}" if error.hint else story
