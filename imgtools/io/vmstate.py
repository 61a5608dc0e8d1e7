"""The VM state that an image may hold behind its disk: what `-b` reads and writes."""

from __future__ import annotations

from imgtools.errors import UnsupportedFeature
from imgtools.io.command import Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.node import Node

SECTOR = 512


def check_sectors(offset: int, length: int) -> None:
    """Raise Failed where a request is not one of whole sectors."""
    for name, number in (("offset", offset), ("count", length)):
        if number % SECTOR:
            raise Failed(f"{number} is not a sector-aligned value for '{name}'")


def vmstate_of(node: Node) -> Any:
    """The node, if it can read and write VM state; raises UnsupportedFeature where it cannot."""
    if not hasattr(node, "write_vmstate"):
        raise UnsupportedFeature(f"{node.driver} images hold no VM state", path=node.filename)
    return node
