"""imgtools bitmap: add, remove, clear, enable, disable and merge persistent bitmaps."""

from __future__ import annotations

from imgtools.cli.arguments import OPENING, SHORT_FORMAT, Complaint, size_between
from imgtools.cli.getopt import Command, Option
from imgtools.cli.opening import named, open_named
from imgtools.errors import ImageError, NotFound
from imgtools.operations.bitmap import bitmaps_of, keeps_bitmaps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.node import Node


def _action(name: str, help: str) -> Option:
    """An action without a value; actions are done in the order in which they stand."""
    return Option("actions", "", name, "", help, parse=lambda _: (name, ""), many=True)


COMMAND = Command(
    "bitmap",
    "FILENAME BITMAP",
    "Add, remove or change persistent bitmaps of what is written to a disk.",
    (
        _action("add", "make a new bitmap, which records writes from now on"),
        _action("remove", "forget the bitmap"),
        _action("clear", "take all marks away"),
        _action("enable", "let the bitmap record writes"),
        _action("disable", "let it record no more"),
        Option(
            "actions",
            "",
            "merge",
            "SOURCE",
            "mark what is marked in the bitmap SOURCE",
            parse=lambda source: ("merge", source),
            many=True,
        ),
        Option(
            "granularity",
            "g",
            "granularity",
            "N",
            "bytes that a bit stands for (--add)",
            parse=size_between("granularity"),
        ),
        Option("source", "b", "source-file", "FILE", "the image that has SOURCE (--merge)"),
        Option("source_format", "F", "source-format", "FMT", "the format of that image"),
        SHORT_FORMAT,
        *OPENING,
    ),
)


def run(arguments: Any) -> int:
    check_combinations(arguments)
    target = named(arguments.operands[0], arguments.format, arguments.image_opts)
    name = arguments.operands[1]
    with open_named(target, arguments, writable=True, backing=False) as node:
        if arguments.source is None:
            act_in_turn(arguments, node, name, node)
        else:
            other = named(arguments.source, arguments.source_format, False)
            with open_named(other, arguments, backing=False) as source:
                act_in_turn(arguments, node, name, source)
    return 0


def check_combinations(arguments: Any) -> None:
    """Refuse what makes no sense."""
    actions = {action for action, _ in arguments.actions}
    if not actions:
        raise Complaint("Need at least one of --add, --remove, --clear, --enable, --disable, or --merge")
    if len(arguments.operands) != 2:
        raise Complaint("Expecting filename and bitmap name")
    if arguments.granularity and "add" not in actions:
        raise Complaint("granularity only supported with --add")
    if arguments.source_format and arguments.source is None:
        raise Complaint("-F only supported with -b")
    if arguments.source is not None and "merge" not in actions:
        raise Complaint("Merge bitmap source file only supported with --merge")


def act_in_turn(arguments: Any, node: Node, name: str, source: Node) -> None:
    """Do all actions; what was done before one that fails remains done."""
    for action, value in arguments.actions:
        try:
            _act(action, node, name, arguments.granularity, source, value)
        except ImageError as error:
            error.message = f"Operation {action} on bitmap {name} failed: {error.message}"
            raise


def _act(action: str, node: Node, name: str, granularity: int | None, source: Node, value: str) -> None:
    if action != "add" and not keeps_bitmaps(node):
        raise NotFound(f"Dirty bitmap '{name}' not found", path=node.filename)
    bitmaps = bitmaps_of(node)
    if action == "add":
        bitmaps.add(name, granularity)
    elif action == "merge":
        target = bitmaps[name]
        if not keeps_bitmaps(source):
            raise NotFound(f"Dirty bitmap '{value}' not found", path=source.filename)
        bitmaps.merge(target.name, bitmaps_of(source)[value])
    elif action in ("enable", "disable"):
        bitmaps.enable(name, action == "enable")
    else:
        getattr(bitmaps, action)(name)
