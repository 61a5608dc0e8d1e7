"""What `imgtools convert` takes, and which of it does not go together."""

from __future__ import annotations

from imgtools.cli.arguments import (
    ALLOW,
    CACHE,
    FORCE_SHARE,
    IMAGE_OPTS,
    OBJECT,
    PROGRESS,
    PROGRESS_STYLE,
    QUIET,
    SOURCE_CACHE,
    Complaint,
    number,
    size_between,
)
from imgtools.cli.create import OPTIONS
from imgtools.cli.getopt import Command, Option
from imgtools.cli.snapshots import SNAPSHOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SECTOR = 512
LARGEST_SPARSE = 16 << 20
MOST_WORKERS = 16
LEVELS = (1, 22)
"""Compression levels: zlib's end at 9, zstd's at 22."""


def sparse_size(text: str) -> int:
    size = size_between("buffer size for sparse output")(text)
    if size % SECTOR or size > LARGEST_SPARSE:
        raise Complaint(
            "Invalid buffer size for sparse output specified. Valid sizes are multiples of "
            f"{SECTOR} up to {LARGEST_SPARSE}. Select 0 to disable sparse detection (fully allocates output)."
        )
    return size


WORKERS = number(
    f"Invalid number of coroutines. Allowed number of coroutines is between 1 and {MOST_WORKERS}", 1, MOST_WORKERS
)
LEVEL = number(f"Invalid compression level specified. Must be between {LEVELS[0]} and {LEVELS[1]}.", *LEVELS)

COMMAND = Command(
    "convert",
    "FILENAME [FILENAME2 ...] OUTPUT",
    "Copy a disk, or several one behind the other, into a new image of any format.",
    (
        Option("format", "f", "", "FMT", "the format of the images that are read"),
        Option("output_format", "O", "", "FMT", "the format of the image that is written (raw if not given)"),
        OPTIONS,
        Option("compress", "c", "", "", "compress the data"),
        Option(
            "level",
            "",
            "level",
            "N",
            "how hard to compress; the default balances speed and size",
            parse=LEVEL,
            own=True,
        ),
        Option("backing", "B", "", "FILE", "the new image's backing file; what equals it is not copied"),
        Option("backing", "b", "", "FILE", "the same as -B", own=True),
        Option("backing_format", "F", "", "FMT", "the backing file's format"),
        Option("no_create", "n", "", "", "OUTPUT exists: write into it"),
        Option("target_image_opts", "", "target-image-opts", "", "OUTPUT is a list of options, as with --image-opts"),
        Option("target_is_zero", "", "target-is-zero", "", "OUTPUT reads as zeroes already (with -n)"),
        Option(
            "sparse", "S", "", "SIZE", "runs of zeroes from this size on are left out (4k; 0: none)", parse=sparse_size
        ),
        Option("workers", "m", "", "N", "how many work in parallel", parse=WORKERS),
        Option("out_of_order", "W", "", "", "let the output be written out of order"),
        Option("offload", "C", "", "", "accepted for compatibility: let the system copy; it is slower"),
        Option("rate", "r", "", "RATE", "copy no more than this many bytes a second", parse=size_between("rate limit")),
        Option("salvage", "", "salvage", "", "take what cannot be read as zeroes, and go on"),
        Option("bitmaps", "", "bitmaps", "", "copy persistent bitmaps, too"),
        Option("skip_broken_bitmaps", "", "skip-broken-bitmaps", "", "with --bitmaps, leave out inconsistent ones"),
        SNAPSHOT,
        CACHE,
        SOURCE_CACHE,
        PROGRESS,
        PROGRESS_STYLE,
        QUIET,
        FORCE_SHARE,
        OBJECT,
        IMAGE_OPTS,
        ALLOW,
    ),
)


def check_combinations(arguments: Any) -> None:
    """Refuse options that contradict each other."""
    refusals = (
        (
            arguments.skip_broken_bitmaps and not arguments.bitmaps,
            "Use of --skip-broken-bitmaps requires --bitmaps",
        ),
        (arguments.offload and arguments.compress, "Cannot enable copy offloading when -c is used"),
        (arguments.offload and arguments.sparse is not None, "Cannot enable copy offloading when -S is used"),
        (arguments.offload and arguments.salvage, "Cannot use copy offloading in salvaging mode"),
        (
            arguments.target_image_opts and not arguments.no_create,
            "--target-image-opts requires use of -n flag",
        ),
        (arguments.no_create and arguments.options, "-o has no effect when skipping image creation"),
        (arguments.target_is_zero and not arguments.no_create, "--target-is-zero requires use of -n flag"),
    )
    for refused, why in refusals:
        if refused:
            raise Complaint(why)
