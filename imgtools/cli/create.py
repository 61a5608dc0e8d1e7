"""imgtools create: make a new image."""

from __future__ import annotations

from imgtools.block.graph import Context
from imgtools.cli import console, keyvalue
from imgtools.cli.arguments import ALLOW, OBJECT, QUIET, Complaint, size_between
from imgtools.cli.getopt import Command, Option, UsageError
from imgtools.cli.objects import objects_of
from imgtools.cli.opening import find_output_format, gate_of
from imgtools.errors import ImageError
from imgtools.operations.create import plan_image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def option_list(text: str) -> str:
    """An -o: passed on as it is, once it is seen to be a list."""
    if not keyvalue.is_valid(text):
        raise Complaint(f"Invalid option list: {text}")
    return text


OPTIONS = Option(
    "options",
    "o",
    "",
    "OPTIONS",
    "the format's own options, NAME=VALUE,...; -o help lists them",
    parse=option_list,
    many=True,
)

COMMAND = Command(
    "create",
    "FILENAME [SIZE]",
    "Make a new image, empty or on top of a backing file.",
    (
        Option("format", "f", "", "FMT", "the new image's format (raw if not given)"),
        OPTIONS,
        Option("backing", "b", "", "FILE", "the backing file: what the new image reads where nothing was written"),
        Option("backing_format", "F", "", "FMT", "the backing file's format"),
        Option("unsafe", "u", "", "", "do not look at the backing file; it need not exist yet"),
        QUIET,
        OBJECT,
        ALLOW,
    ),
)


def run(arguments: Any) -> int:
    operands = arguments.operands
    format = "raw" if arguments.format is None else arguments.format
    options = ",".join(arguments.options)
    if keyvalue.asks_for_help(options) and arguments.options:
        from imgtools.cli.format_options import show_create_options

        return show_create_options(find_output_format(format), operands[0] if operands else None)
    if not operands:
        raise UsageError("Expecting image file name")
    size = size_between("image size")(operands[1]) if len(operands) > 1 else None
    if len(operands) > 2:
        raise UsageError(f"Unexpected argument: {operands[2]}")
    filename, gate, objects = operands[0], gate_of(arguments), objects_of(arguments)
    try:
        new = plan_image(
            filename,
            size,
            format=format,
            options=keyvalue.parse(options),
            backing_file=arguments.backing,
            backing_format=arguments.backing_format,
            open_backing=not arguments.unsafe,
            gate=gate,
        )
        if not arguments.quiet:
            console.say(f"Formatting '{filename}', fmt={format} {new.summary()}")
        new.create(Context(writable=True, gate=gate, objects=objects))
    except ImageError as error:
        error.message = f"{filename}: {error.message}"
        raise
    return 0
