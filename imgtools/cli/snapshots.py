"""-l: reading a disk as an internal snapshot has it."""

from __future__ import annotations

from imgtools.cli import keyvalue
from imgtools.cli.arguments import Complaint
from imgtools.cli.getopt import Option
from imgtools.errors import UnsupportedFeature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.node import Node

SNAPSHOT = Option(
    "snapshot",
    "l",
    "",
    "SNAPSHOT",
    "read the disk as this internal snapshot has it (its name or id, or snapshot.id=ID,snapshot.name=NAME)",
)


def require_no_snapshot(node: Node, wanted: str | None) -> None:
    """Refuse a snapshot: one that is not there, and for now one that is."""
    if wanted is None:
        return
    chosen = keyvalue.parse(wanted) if wanted.startswith("snapshot.") else {}
    if set(chosen) - {"snapshot.id", "snapshot.name"}:
        raise Complaint(f"Failed in parsing snapshot param '{wanted}'")
    names = {value for snapshot in getattr(node, "snapshots", ()) for value in (snapshot.id, snapshot.name)}
    if not names & (set(chosen.values()) or {wanted}):
        raise Complaint("Failed to load snapshot: Can't find snapshot")
    raise UnsupportedFeature("Failed to load snapshot: reading internal snapshots is not supported yet")
