"""imgtools rebase: put an image on another backing file."""

from __future__ import annotations

from imgtools.block.graph import Context
from imgtools.block.registry import find_driver
from imgtools.cli.arguments import (
    CACHE,
    FORCE_SHARE,
    OPENING,
    PROGRESS,
    PROGRESS_STYLE,
    QUIET,
    SHORT_FORMAT,
    SOURCE_CACHE,
    cache_mode,
)
from imgtools.cli.getopt import Command, Option, UsageError
from imgtools.cli.objects import objects_of
from imgtools.cli.opening import gate_of, named, open_named
from imgtools.cli.progress import progress_of
from imgtools.errors import BadOption
from imgtools.operations.rebase import rebase

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMMAND = Command(
    "rebase",
    "FILENAME",
    "Put an image on another backing file, the disk reading the same as before.",
    (
        SHORT_FORMAT,
        CACHE,
        SOURCE_CACHE,
        Option("backing", "b", "", "FILE", 'the new backing file; "" for none: the image then holds all of the disk'),
        Option("backing_format", "F", "", "FMT", "the backing file's format"),
        Option(
            "unsafe", "u", "", "", "only change the name: for a backing file that was moved, or has the same content"
        ),
        Option("compress", "c", "compress", "", "compress what is copied into the image", own=True),
        PROGRESS,
        PROGRESS_STYLE,
        QUIET,
        FORCE_SHARE,
        *OPENING,
    ),
)


def run(arguments: Any) -> int:
    if len(arguments.operands) != 1:
        raise UsageError("Expecting one image file name")
    if arguments.backing is None and not arguments.unsafe:
        raise UsageError("Must specify backing file (-b) or use unsafe mode (-u)")
    cache = cache_mode(arguments.cache, "writeback")
    source_cache = cache_mode(arguments.source_cache, "writeback", "source cache option")
    target = named(arguments.operands[0], arguments.format, arguments.image_opts)
    with (
        open_named(target, arguments, writable=True, share=False, backing=not arguments.unsafe, cache=cache) as top,
        progress_of(arguments, "rebase") as progress,
    ):
        if arguments.backing_format is not None:
            check_format(arguments.backing_format)
        rebase(
            top,
            arguments.backing,
            arguments.backing_format,
            unsafe=arguments.unsafe,
            compress=arguments.compress,
            context=Context(
                gate=gate_of(arguments),
                cache=source_cache,
                share=arguments.force_share,
                objects=objects_of(arguments),
            ),
            progress=progress,
        )
    return 0


def check_format(name: str) -> None:
    """Refuse the name of a format that there is not."""
    try:
        find_driver(name)
    except BadOption as error:
        error.message = f"Invalid format name: '{name}'"
        raise
