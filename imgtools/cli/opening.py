"""Opening images as the command line asks: by name or by a list of options, through the gate."""

from __future__ import annotations

from imgtools.block.gate import gate_from_environment
from imgtools.block.graph import Context, open_tree
from imgtools.block.registry import find_format
from imgtools.cli import console, keyvalue
from imgtools.cli.arguments import Complaint
from imgtools.errors import BadOption, ImageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.format import Format
    from imgtools.block.gate import Gate
    from imgtools.block.node import Node

PROTOCOLS = ("file", "host_device")


class Target:
    """What the user named: the file, its format (None: look), and the format's own open options."""

    def __init__(self, shown: str, filename: str, format: str | None, options: dict[str, str]) -> None:
        self.shown = shown
        self.filename = filename
        self.format = format
        self.options = options


def named(text: str, format: str | None, image_opts: bool) -> Target:
    """What an operand stands for, given -f and --image-opts."""
    if not image_opts:
        if not text:
            raise BadOption("Could not open '': The 'file' block driver requires a file name")
        return Target(text, text, format, {})
    if format is not None:
        raise Complaint("--image-opts and --format are mutually exclusive")
    try:
        return _from_options(text)
    except BadOption as error:
        error.message = f"Could not open '{text}': {error.message}"
        raise


def _from_options(text: str) -> Target:
    options = keyvalue.parse(text)
    protocol = options.pop("file.driver", "file")
    driver = options.pop("driver", None)
    filename = options.pop("file.filename", None) or options.pop("filename", None)
    if driver in PROTOCOLS:
        protocol, driver = driver, "raw"
    if protocol not in PROTOCOLS:
        raise BadOption(f"Unknown driver '{protocol}'")
    if filename is None:
        raise BadOption('A block device must be specified for "file"')
    below = [name for name in options if "." in name]
    if below:
        raise BadOption(f"Option '{below[0]}' is not supported with --image-opts yet")
    return Target(text, filename, driver, options)


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
    checking: bool = False,
    gate: Gate | None = None,
    share: bool | None = None,
) -> Node:
    """Open what the user named; a failure says that it could not be opened, and why."""
    context = Context(
        writable=writable,
        gate=gate or gate_of(arguments),
        backing=backing,
        cache=cache,
        share=getattr(arguments, "force_share", False) if share is None else share,
        checking=checking,
        options=target.options,
        warn=lambda message: console.note(f"WARNING: {message}"),
    )
    try:
        return open_tree(target.filename, target.format, context)
    except ImageError as error:
        raise could_not_open(target.shown, error) from error


def could_not_open(shown: str, error: ImageError) -> ImageError:
    """The same error, saying what was to be opened."""
    error.message = f"Could not open '{shown}': {error.message}"
    return error


def find_output_format(name: str) -> Format:
    """The format of that name, if new images can be made in it."""
    try:
        format = find_format(name)
    except BadOption as error:
        error.message = f"Unknown file format '{name}'"
        raise
    if not format.create_options:
        raise Complaint(f"Format driver '{name}' does not support image creation")
    return format
