"""-l: reading a disk as an internal snapshot has it."""

from __future__ import annotations

from imgtools.block.format import Snapshots
from imgtools.cli import keyvalue
from imgtools.cli.arguments import Complaint
from imgtools.cli.getopt import Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.node import Node

SNAPSHOT = Option(
    "snapshot",
    "l",
    "",
    "SNAPSHOT",
    "read the disk as this internal snapshot has it (its name or id, or snapshot.id=ID,snapshot.name=NAME)",
)
PARTS = ("snapshot.id", "snapshot.name")


def load_snapshot(node: Node, wanted: str | None) -> None:
    """Let a node that is only read show the disk as a snapshot has it; None leaves it as it is."""
    if wanted is None:
        return
    chosen = keyvalue.parse(wanted) if wanted.startswith("snapshot.") else {}
    unknown = next((name for name in chosen if name not in PARTS), None)
    if unknown is not None:
        raise Complaint(f"Invalid parameter '{unknown}'", f"Failed in parsing snapshot param '{wanted}'")
    if not isinstance(node, Snapshots):
        raise Complaint(
            f"Failed to load snapshot: Block format '{node.driver}' used by device '' does not support temporarily "
            "loading internal snapshots"
        )
    node.load_snapshot(_chosen(node, wanted, chosen))


def _chosen(node: Snapshots, wanted: str, chosen: dict[str, str]) -> Any:
    if not chosen:
        by_id = next((snapshot for snapshot in node.snapshots if snapshot.id == wanted), None)
        found = by_id or next((snapshot for snapshot in node.snapshots if snapshot.name == wanted), None)
    else:
        id_, name = (chosen.get(part) for part in PARTS)
        found = next((s for s in node.snapshots if id_ in (None, s.id) and name in (None, s.name)), None)
    if found is None:
        raise Complaint("Failed to load snapshot: Can't find snapshot")
    return found
