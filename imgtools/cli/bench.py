"""imgtools bench: how fast a disk answers."""

from __future__ import annotations

from imgtools.block.protocols.file import AIO_MODES, CACHE_MODES
from imgtools.cli import console
from imgtools.cli.arguments import CACHE, FORCE_SHARE, OPENING, QUIET, Choice, Complaint, number, size_between
from imgtools.cli.getopt import Command, Option, UsageError
from imgtools.cli.opening import named, open_named
from imgtools.operations.bench import bench

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LARGEST = (1 << 31) - 1


COMMAND = Command(
    "bench",
    "FILENAME",
    "Measure how fast a disk answers: requests of one size, one step apart.",
    (
        Option(
            "count",
            "c",
            "",
            "COUNT",
            "how many requests (75000)",
            parse=number("Invalid request count specified", 0, LARGEST),
        ),
        Option(
            "depth",
            "d",
            "",
            "DEPTH",
            "how many in parallel (64); here they go one after the other",
            parse=number("Invalid queue depth specified", 1, LARGEST),
        ),
        Option("format", "f", "", "FMT", "the image's format; guessed from its first bytes if not given"),
        Option(
            "flush_interval",
            "",
            "flush-interval",
            "N",
            "flush after every N writes",
            parse=number("Invalid flush interval specified", 0, LARGEST),
        ),
        Choice(
            "aio",
            "i",
            "",
            "AIO",
            "accepted for compatibility: threads, native or io_uring",
            AIO_MODES,
            complaint="Invalid aio option: {}",
        ),
        Option("native", "n", "", "", "short for -i native"),
        Option("no_drain", "", "no-drain", "", "accepted for compatibility"),
        Option("offset", "o", "", "OFFSET", "begin at this byte (0)", parse=size_between("offset")),
        Option(
            "pattern",
            "",
            "pattern",
            "BYTE",
            "write this byte (0)",
            parse=number("Invalid pattern byte specified", 0, 255),
        ),
        QUIET,
        Option("size", "s", "", "SIZE", "bytes a request (4096)", parse=size_between("buffer size", 0, LARGEST)),
        Option(
            "step",
            "S",
            "",
            "STEP",
            "bytes from one request to the next (their size)",
            parse=size_between("step_size", 0, LARGEST),
        ),
        Choice("cache", "t", "", "CACHE", CACHE.help, CACHE_MODES, complaint="Invalid cache mode"),
        Option("write", "w", "", "", "write instead of reading"),
        FORCE_SHARE,
        *OPENING,
    ),
)


def run(arguments: Any) -> int:
    if len(arguments.operands) != 1:
        raise UsageError("Expecting one image file name")
    write, interval = arguments.write, arguments.flush_interval or 0
    depth = 64 if arguments.depth is None else arguments.depth
    if interval and not write:
        raise Complaint("--flush-interval is only available in write tests")
    if interval and interval < depth:
        raise Complaint("Flush interval can't be smaller than depth")
    count = 75000 if arguments.count is None else arguments.count
    size = 4096 if arguments.size is None else arguments.size
    step, offset = arguments.step or size, arguments.offset or 0
    target = named(arguments.operands[0], arguments.format, arguments.image_opts)
    cache, aio = arguments.cache or "writeback", "native" if arguments.native else arguments.aio or "threads"
    with open_named(target, arguments, writable=write, cache=cache, aio=aio) as node:
        kind = "write" if write else "read"
        console.say(
            f"Sending {count} {kind} requests, {size} bytes each, {depth} in parallel "
            f"(starting at offset {offset}, step size {step})"
        )
        if interval:
            console.say(f"Sending flush every {interval} requests")
        seconds = bench(
            node,
            count=count,
            size=size,
            step=step,
            offset=offset,
            write=write,
            pattern=arguments.pattern or 0,
            flush_interval=interval,
        )
    console.say(f"Run completed in {seconds:3.3f} seconds.")
    return 0
