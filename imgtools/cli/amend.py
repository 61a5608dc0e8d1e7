"""imgtools amend: change what was chosen when an image was made."""

from __future__ import annotations

from imgtools.cli import keyvalue
from imgtools.cli.arguments import (
    CACHE,
    OPENING,
    PROGRESS,
    PROGRESS_STYLE,
    QUIET,
    SHORT_FORMAT,
    Complaint,
    cache_mode,
)
from imgtools.cli.create import OPTIONS
from imgtools.cli.getopt import Command, Option, UsageError
from imgtools.cli.opening import named, open_named
from imgtools.cli.progress import progress_of
from imgtools.operations.amend import amend, amendable_format

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMMAND = Command(
    "amend",
    "FILENAME",
    "Change the format's options of an image that is there.",
    (
        OPTIONS,
        SHORT_FORMAT,
        CACHE,
        PROGRESS,
        PROGRESS_STYLE,
        QUIET,
        Option("force", "", "force", "", "erase the last key slot, too, or overwrite one that is in use"),
        *OPENING,
    ),
)


def run(arguments: Any) -> int:
    if not arguments.options:
        raise UsageError("Must specify options (-o)")
    options = ",".join(arguments.options)
    wants_help = keyvalue.asks_for_help(options)
    if wants_help and arguments.format:
        return show_options(arguments.format)
    if len(arguments.operands) != 1:
        raise Complaint("Expecting one image file name")
    cache = cache_mode(arguments.cache, "writeback")
    target = named(arguments.operands[0], arguments.format, arguments.image_opts)
    with open_named(target, arguments, writable=True, cache=cache) as node:
        if wants_help:
            return show_options(node.driver)
        amendable_format(node.driver)
        given = keyvalue.parse(options)
        with progress_of(arguments, "amend") as progress:
            amend(node, given, progress, force=arguments.force)
    return 0


def show_options(format: str) -> int:
    """List the options of a format that can be changed."""
    from imgtools.cli import console
    from imgtools.cli.format_options import show

    options = amendable_format(format).amend_options
    console.say(f"Amend options for '{format}':")
    show(options)
    return 0
