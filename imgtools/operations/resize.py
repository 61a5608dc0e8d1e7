"""Change the size of a disk."""

from __future__ import annotations

from imgtools.block.format import Resizable
from imgtools.errors import BadOption, UnsupportedFeature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.node import Node

SHRINK_WARNING = (
    "Shrinking an image will delete all data beyond the shrunken image's end. Before performing such an "
    "operation, make sure there is no important data there."
)


class ShrinkRefused(BadOption):
    """The disk would become smaller, and nobody said that it may."""


def resize(node: Node, size: int, *, shrink: bool = False, preallocation: str = "off") -> None:
    """Bring the disk of a writable `node` to `size` bytes; it becomes smaller only where `shrink` says so.

    `preallocation` (off, metadata, falloc or full) is for what is added.
    """
    if size <= node.size and preallocation != "off":
        raise BadOption("Preallocation can only be used for growing images", path=node.filename)
    if size < node.size and not shrink:
        raise ShrinkRefused("Use the --shrink option to perform a shrink operation.", path=node.filename)
    image = node if isinstance(node, Resizable) else node.unfiltered
    if not isinstance(image, Resizable):
        raise UnsupportedFeature("Image format driver does not support resize", path=node.filename)
    image.resize(size, preallocation)
