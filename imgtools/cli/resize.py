"""imgtools resize: change the size of a disk."""

from __future__ import annotations

from imgtools.block.format import Option as FormatOption
from imgtools.cli import console
from imgtools.cli.arguments import FORMAT, OPENING, QUIET, Choice, Complaint
from imgtools.cli.getopt import Command, Option, UsageError
from imgtools.cli.opening import named, open_named
from imgtools.errors import BadOption
from imgtools.operations.resize import SHRINK_WARNING, ShrinkRefused, resize
from imgtools.sizes import LARGEST, TooLarge, parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class SizeComesLast(Command):
    """The new size is the last word, whatever it looks like: "-1M" is no option there."""

    def parse(self, words: list[str], *, own: bool = True) -> Any:
        if words[-1] in ("-h", "--help"):
            return super().parse(words, own=own)
        if len(words) < 3:
            raise UsageError("Not enough arguments")
        arguments = super().parse(words[:-1], own=own)
        arguments.size = words[-1]
        return arguments


COMMAND = SizeComesLast(
    "resize",
    "FILENAME [+|-]SIZE",
    "Change the size of a disk, to SIZE or by it.",
    (
        Option("format", "f", "", "FMT", FORMAT.help),
        Choice(
            "preallocation",
            "",
            "preallocation",
            "MODE",
            "how new space is reserved: off, metadata, falloc or full",
            ("off", "metadata", "falloc", "full"),
            complaint="Invalid preallocation mode '{}'",
        ),
        Option("shrink", "", "shrink", "", "allow the disk to become smaller; what lies past its new end is lost"),
        QUIET,
        *OPENING,
    ),
)


def run(arguments: Any) -> int:
    if len(arguments.operands) != 1:
        raise UsageError("Expecting image file name and size")
    sign, size = parse_change(arguments.size)
    target = named(arguments.operands[0], arguments.format, arguments.image_opts)
    with open_named(target, arguments, writable=True) as node:
        if sign:
            size = node.size + sign * size
        if not 0 < size <= LARGEST:
            raise BadOption("New image size must be positive")
        try:
            resize(node, size, shrink=arguments.shrink, preallocation=arguments.preallocation or "off")
        except ShrinkRefused as error:
            raise Complaint(error.message, f"warning: {SHRINK_WARNING}") from error
        node.flush()
    if not arguments.quiet:
        console.say("Image resized.")
    return 0


def parse_change(text: str) -> tuple[int, int]:
    """The sign (0 where there is none) and the size in "10G", "+1G" or "-1G"."""
    sign = {"+": 1, "-": -1}.get(text[:1], 0)
    number = text[1:] if sign else text
    try:
        return sign, parse_size(number)
    except TooLarge:
        return sign, LARGEST + 1
    except BadOption:
        parsed: int = FormatOption("size", "size", "").parse(number)  # raises in the words that options have
        return sign, parsed
