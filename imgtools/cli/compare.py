"""imgtools compare: do two disks hold the same?

Exit status: 0 the same, 1 different, 2 one could not be opened, 3 its map could not be had, 4 it could not
be read.
"""

from __future__ import annotations

from imgtools.cli import console
from imgtools.cli.arguments import (
    FORCE_SHARE,
    OPENING,
    PROGRESS,
    PROGRESS_STYLE,
    QUIET,
    SOURCE_CACHE,
    cache_mode,
)
from imgtools.cli.getopt import Command, Option, UsageError
from imgtools.cli.opening import named, open_named
from imgtools.cli.program import report
from imgtools.cli.progress import progress_of
from imgtools.errors import ImageError
from imgtools.operations.compare import MapFailure, ReadFailure, compare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.operations.compare import Comparison

COMMAND = Command(
    "compare",
    "FILENAME1 FILENAME2",
    "Tell whether two disks hold the same, whatever their formats.",
    (
        Option("format", "f", "", "FMT", "the first image's format"),
        Option("second_format", "F", "", "FMT", "the second image's format"),
        Option("strict", "s", "", "", "demand the same size and the same allocated parts, too"),
        SOURCE_CACHE,
        PROGRESS,
        PROGRESS_STYLE,
        QUIET,
        FORCE_SHARE,
        *OPENING,
    ),
)

DIFFERENT, NOT_OPENED = 1, 2
STATUS = {MapFailure: 3, ReadFailure: 4}


def run(arguments: Any) -> int:
    if len(arguments.operands) != 2:
        raise UsageError("Expecting two image file names")
    formats = (arguments.format, arguments.second_format)
    targets = [
        named(name, format, arguments.image_opts) for name, format in zip(arguments.operands, formats, strict=True)
    ]
    with progress_of(arguments, "compare", step=2.0) as progress:
        cache = cache_mode(arguments.source_cache, "writeback", "source cache option", NOT_OPENED)
        try:
            with (
                open_named(targets[0], arguments, cache=cache) as first,
                open_named(targets[1], arguments, cache=cache) as second,
            ):
                progress(0, 1)
                result = compare(first, second, strict=arguments.strict, progress=progress)
        except ImageError as error:
            report(error)
            return STATUS.get(type(error), NOT_OPENED)
        if not arguments.quiet:
            tell(result)
    return 0 if result else DIFFERENT


def tell(result: Comparison) -> None:
    """Print the outcome."""
    if result.sizes_differ:
        console.say("Warning: Image size mismatch!")
    console.say(
        {
            None: "Images are identical.",
            "size": "Strict mode: Image size mismatch!",
            "status": f"Strict mode: Offset {result.offset} block status mismatch!",
            "content": f"Content mismatch at offset {result.offset}!",
        }[result.difference]
    )
