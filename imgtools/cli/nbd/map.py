"""imgtools nbd map: what a server says lies where, for any of its meta contexts."""

from __future__ import annotations

from imgtools.block.protocols.nbd import NbdNode
from imgtools.cli import console
from imgtools.cli.arguments import Complaint
from imgtools.cli.getopt import Command, Option, UsageError
from imgtools.cli.json_text import to_json
from imgtools.cli.nbd.info import JSON
from imgtools.nbd import protocol
from imgtools.nbd.client.inspect import open_by_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

COMMAND = Command(
    "nbd map",
    "URI",
    "Tell what a server says lies where: holes and zeroes, changed blocks, depths of a backing chain.",
    (
        JSON,
        Option("context", "", "context", "NAME", f"the meta context to ask for ({protocol.BASE_ALLOCATION})"),
        Option("totals", "", "totals", "", "print only how much there is of each kind"),
    ),
)


def run(arguments: Any) -> int:
    if len(arguments.operands) != 1:
        raise UsageError("Expecting one NBD URI")
    context = arguments.context or protocol.BASE_ALLOCATION
    with open_by_name(arguments.operands[0], (context,)) as node:
        if context not in node.export.contexts.values():
            raise Complaint(f"the server does not tell '{context}' of this export")
        if arguments.totals:
            show_totals(node, context, arguments.json)
        else:
            show_extents(node, context, arguments.json)
    return 0


def extents(node: NbdNode, context: str) -> Iterator[tuple[int, int, int]]:
    """(offset, length, type), neighbours of one type joined."""
    held: tuple[int, int, int] | None = None
    for start, length, flags in node.status(context, 0, node.size):
        if held and held[2] == flags:
            held = (held[0], held[1] + length, flags)
            continue
        if held:
            yield held
        held = (start, length, flags)
    if held:
        yield held


def show_extents(node: NbdNode, context: str, as_json: bool) -> None:
    """A line for each extent, as it is learnt."""
    separator = "[\n"
    for start, length, type in extents(node, context):
        text = describe(context, type)
        if as_json:
            fields = f'"offset": {start}, "length": {length}, "type": {type}, "description": "{text}"'
            console.say(f"{separator}{{ {fields} }}")
            separator = ","
        else:
            console.say(f"{start:10}  {length:10}  {type:3}  {text}".rstrip())
    if as_json:
        console.say("]" if separator == "," else "[]")


def show_totals(node: NbdNode, context: str, as_json: bool) -> None:
    totals: dict[int, int] = {}
    for _, length, type in extents(node, context):
        totals[type] = totals.get(type, 0) + length
    rows = [
        {"size": size, "percent": 100 * size / node.size, "type": type, "description": describe(context, type)}
        for type, size in sorted(totals.items())
    ]
    if as_json:
        console.say(to_json(rows))
        return
    for row in rows:
        console.say(f"{row['size']:10} {row['percent']:5.1f}% {row['type']:3} {row['description']}".rstrip())


def describe(context: str, type: int) -> str:
    """What a status of a known context means; nothing for others."""
    if context == protocol.BASE_ALLOCATION:
        return {0: "data", 1: "hole", 2: "zero", 3: "hole,zero"}.get(type, "")
    if context == protocol.ALLOCATION_DEPTH:
        return {0: "absent", 1: "local"}.get(type, f"backing depth {type}")
    if context.startswith(protocol.DIRTY_BITMAP):
        return {0: "clean", 1: "dirty"}.get(type, "")
    return ""
