"""Opening images as the command line asks: by name or by a list of options, through the gate."""

from __future__ import annotations

from imgtools.block.gate import gate_from_environment
from imgtools.block.graph import Context, open_tree
from imgtools.block.registry import find_format
from imgtools.cli import console, keyvalue
from imgtools.cli.arguments import Complaint
from imgtools.cli.objects import objects_of
from imgtools.errors import BadOption, ImageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.format import Format
    from imgtools.block.gate import Gate
    from imgtools.block.graph import Name
    from imgtools.block.node import Node


class Target:
    """What the user named: as shown in messages, as a file name or tree of options, and its format (None: look)."""

    def __init__(self, shown: str, name: Name, format: str | None) -> None:
        self.shown = shown
        self.name = name
        self.format = format


def named(text: str, format: str | None, image_opts: bool) -> Target:
    """What an operand stands for, given -f and --image-opts."""
    if not image_opts:
        if not text:
            raise BadOption("Could not open '': The 'file' block driver requires a file name")
        return Target(text, text, format)
    if format is not None:
        raise Complaint("--image-opts and --format are mutually exclusive")
    return Target(text, keyvalue.parse(text, implied="file"), None)


def gate_of(arguments: Any) -> Gate:
    """The gate that --allow and the environment ask for."""
    return gate_from_environment(getattr(arguments, "allow", None))


def open_named(
    target: Target,
    arguments: Any,
    *,
    writable: bool = False,
    backing: bool = True,
    cache: str = "writeback",
    aio: str = "threads",
    checking: bool = False,
    gate: Gate | None = None,
    share: bool | None = None,
    options: dict[str, Any] | None = None,
) -> Node:
    """Open what the user named; a failure says that it could not be opened, and why."""
    share = getattr(arguments, "force_share", False) if share is None else share
    if share and writable:
        raise could_not_open(target.shown, BadOption("force-share=on can only be used with read-only images"))
    context = Context(
        writable=writable,
        gate=gate or gate_of(arguments),
        backing=backing,
        cache=cache,
        aio=aio,
        share=share,
        checking=checking,
        options=options,
        objects=objects_of(arguments),
        warn=lambda message: console.note(f"WARNING: {message}"),
    )
    try:
        return open_tree(target.name, target.format, context)
    except ImageError as error:
        raise could_not_open(target.shown, error) from error


def could_not_open(shown: str, error: ImageError) -> ImageError:
    """The same error, saying what was to be opened."""
    error.message = f"Could not open '{shown}': {error.message}"
    return error


def find_output_format(name: str | None) -> Format:
    """The format of that name (raw where none is given), if new images can be made in it."""
    name = "raw" if name is None else name
    try:
        format = find_format(name)
    except BadOption as error:
        error.message = f"Unknown file format '{name}'"
        raise
    if not format.create_options:
        raise Complaint(f"Format driver '{name}' does not support image creation")
    return format
