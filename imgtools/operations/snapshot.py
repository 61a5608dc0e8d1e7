"""Internal snapshots: states of a disk that are kept inside its image.

from imgtools.operations.snapshot import keeper

with imgtools.open("disk.qcow2", writable=True) as disk:
    keeper(disk).create_snapshot("before the upgrade")
"""

from __future__ import annotations

import errno

from imgtools.block.format import Snapshots
from imgtools.errors import UnsupportedFeature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.node import Node


def keeper(node: Node) -> Snapshots:
    """The node that keeps the snapshots of a disk: itself, or the one that a filter stands in front of.

    Raises UnsupportedFeature where the format has none.
    """
    below = node.unfiltered
    if not isinstance(below, Snapshots):
        raise UnsupportedFeature(
            f"{below.driver} images cannot have internal snapshots", path=node.filename, errno=errno.ENOTSUP
        )
    return below
