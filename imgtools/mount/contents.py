"""Which files a mounted directory has.

disk                 the whole disk
partition-1, ...     each partition, by the number that Linux gives it
snapshot-NAME, ...   the disk as each internal snapshot has it; these are read-only
"""

from __future__ import annotations

from imgtools.block.filters.window import Window
from imgtools.block.format import Snapshots
from imgtools.mount.leaving import DISK
from imgtools.partitions import read_partitions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from imgtools.block.node import Node

MAX_NAME = 255
"""Bytes of a file name on Linux."""
MAX_SNAPSHOTS = 256
"""Snapshots that are shown: each holds the image open once more, and a process may open about a thousand files."""


def contents_of(disk: Node, open_again: Callable[[], Node]) -> dict[str, Node]:
    """File name to node for all that `disk` has. `open_again` opens the same image once more, read-only."""
    files: dict[str, Node] = {DISK: disk}
    for partition in read_partitions(disk):
        files[f"partition-{partition.number}"] = Window(disk, partition.start, partition.size)
    if isinstance(disk, Snapshots):
        for snapshot in disk.snapshots[:MAX_SNAPSHOTS]:
            files[snapshot_name(snapshot, files)] = snapshot_node(snapshot.id, open_again())
    return files


def snapshot_node(id: str, image: Node) -> Node:
    """`image`, which nothing else uses, as the snapshot of that id has it."""
    assert isinstance(image, Snapshots)
    image.load_snapshot(next(snapshot for snapshot in image.snapshots if snapshot.id == id))
    return image


def snapshot_name(snapshot: Any, taken: dict[str, Node]) -> str:
    """A file name for a snapshot: by its name, or by its id or its place where that cannot be or is taken."""
    for text in (snapshot.name, snapshot.id):
        name = f"snapshot-{text}"
        if text and "/" not in text and text.isprintable() and len(name.encode()) <= MAX_NAME and name not in taken:
            return name
    return f"snapshot-at-{len(taken)}"
