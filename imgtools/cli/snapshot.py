"""imgtools snapshot: list, create, apply and delete internal snapshots."""

from __future__ import annotations

import errno
import os

from imgtools.cli import console
from imgtools.cli.arguments import FORCE_SHARE, OPENING, QUIET
from imgtools.cli.getopt import Command, Option, UsageError
from imgtools.cli.info import snapshot_table
from imgtools.cli.opening import named, open_named
from imgtools.errors import ImageError, NotFound
from imgtools.operations.info import SnapshotInfo
from imgtools.operations.snapshot import keeper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.node import Node

ACTIONS = ("list", "create", "apply", "delete")


class OneAction(Command):
    """At most one of the actions, and that once."""

    def parse(self, words: list[str], *, own: bool = True) -> Any:
        arguments = super().parse(words, own=own)
        chosen = [(action, value) for action in ACTIONS for value in getattr(arguments, action)]
        if len(chosen) > 1:
            raise UsageError("Cannot mix '-l', '-a', '-c', '-d'")
        arguments.action, arguments.snapshot = chosen[0] if chosen else (None, None)
        return arguments


COMMAND = OneAction(
    "snapshot",
    "FILENAME",
    "List, create, apply or delete internal snapshots.",
    (
        Option("list", "l", "", "", "list the snapshots", many=True),
        Option("create", "c", "", "NAME", "keep the disk as it is now as a snapshot of that name", many=True),
        Option("apply", "a", "", "SNAPSHOT", "make the disk what it was; by id or name", many=True),
        Option("delete", "d", "", "NAME", "delete the first snapshot of that name", many=True),
        QUIET,
        FORCE_SHARE,
        *OPENING,
    ),
)


def run(arguments: Any) -> int:
    if len(arguments.operands) != 1:
        raise UsageError("Expecting one image file name")
    target = named(arguments.operands[0], None, arguments.image_opts)
    with open_named(target, arguments, writable=arguments.action != "list") as node:
        if arguments.action == "list":
            show(node)
        elif arguments.action:
            _act(node, arguments.action, arguments.snapshot)
    return 0


def show(node: Node) -> None:
    """Print the list, where there is one."""
    snapshots = [SnapshotInfo(snapshot) for snapshot in getattr(node, "snapshots", ())]
    if snapshots:
        console.say("\n".join(snapshot_table(snapshots)))


def _act(node: Node, action: str, name: str) -> None:
    try:
        if action == "create":
            keeper(node).create_snapshot(name)
        elif action == "apply":
            keeper(node).apply_snapshot(name)
        else:
            _delete(node, name)
    except ImageError as error:
        # What the peer's scripts compare, and below it our own reason.
        hints = [] if _peers_reason(action, error) == error.message else [error.message]
        hints += [error.hint] if error.hint else []
        raise ImageError(
            f"Could not {action} snapshot '{name}': {_peers_reason(action, error)}",
            path=error.path,
            hint="\n".join(hints) or None,
        ) from error


def _delete(node: Node, name: str) -> None:
    found = next((snapshot for snapshot in getattr(node, "snapshots", ()) if snapshot.name == name), None)
    if found is None:
        raise NotFound("snapshot not found", path=node.filename)
    keeper(node).delete_snapshot(found)


def _peers_reason(action: str, error: ImageError) -> str:
    """Why an action failed, as qemu-img says it."""
    if error.errno is None:
        return error.message
    reason = os.strerror(error.errno)
    if action == "create":
        return f"-{error.errno} ({reason})"
    if action == "apply" and error.errno == errno.ENOTSUP:
        return "Block driver does not support snapshots"
    if action == "apply":
        return f"Failed to load snapshot: {reason}"
    return error.message
