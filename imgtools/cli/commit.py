"""imgtools commit: bring what an image holds into the image below it."""

from __future__ import annotations

import os

from imgtools.block.graph import Context
from imgtools.cli import console
from imgtools.cli.arguments import (
    CACHE,
    OPENING,
    PROGRESS,
    PROGRESS_STYLE,
    QUIET,
    SHORT_FORMAT,
    Complaint,
    cache_mode,
    size_between,
)
from imgtools.cli.getopt import Command, Option, UsageError
from imgtools.cli.objects import objects_of
from imgtools.cli.opening import gate_of, named, open_named
from imgtools.cli.progress import progress_of
from imgtools.errors import ImageError
from imgtools.operations.commit import base_of, commit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMMAND = Command(
    "commit",
    "FILENAME",
    "Write what an image holds into its backing file, and empty the image.",
    (
        SHORT_FORMAT,
        CACHE,
        Option("base", "b", "", "BASE", "into which image of the backing chain; the image is then left as it is"),
        Option("keep", "d", "", "", "leave the image as it is"),
        Option("rate", "r", "", "RATE", "copy no more than so many bytes a second", parse=size_between("rate limit")),
        PROGRESS,
        PROGRESS_STYLE,
        QUIET,
        *OPENING,
    ),
)


def run(arguments: Any) -> int:
    if len(arguments.operands) != 1:
        raise UsageError("Expecting one image file name")
    cache = cache_mode(arguments.cache, "writeback")
    target = named(arguments.operands[0], arguments.format, arguments.image_opts)
    with open_named(target, arguments, writable=True, cache=cache) as top, progress_of(arguments, "commit") as progress:
        base = base_of(top, arguments.base)
        try:
            commit(
                top,
                base,
                context=Context(gate=gate_of(arguments), cache=cache, objects=objects_of(arguments)),
                empty=not arguments.keep and arguments.base is None,
                rate_limit=arguments.rate,
                progress=progress,
            )
        except ImageError as error:
            if error.errno is None:
                raise
            raise Complaint(f"Block job failed: {os.strerror(error.errno)}", error.message) from error
    if not arguments.quiet:
        console.say("Image committed.")
    return 0
