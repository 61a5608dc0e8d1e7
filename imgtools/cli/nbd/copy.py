"""imgtools nbd copy: the bytes of a disk from or to an NBD server, a file or a device, sparse and parallel."""

from __future__ import annotations

import os

from imgtools.block.gate import has_protocol
from imgtools.block.graph import Context
from imgtools.block.registry import find_format
from imgtools.cli.arguments import PROGRESS, PROGRESS_STYLE, QUIET, Complaint, number
from imgtools.cli.getopt import Command, Option, UsageError
from imgtools.cli.opening import gate_of, named, open_named
from imgtools.cli.progress import progress_of
from imgtools.cli.unfinished import Unfinished
from imgtools.operations.convert import convert

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

THREADS = 4
SPARSE = 4096
"""Bytes of zeroes, at least, that become a hole."""

COMMAND = Command(
    "nbd copy",
    "SOURCE TARGET",
    "Copy bytes from one disk to another, each an NBD URI, a file or a device; nothing is converted.",
    (
        Option(
            "threads",
            "T",
            "threads",
            "N",
            f"threads ({THREADS}), each with a connection where the server lets several in",
            parse=number("Invalid number of threads specified", 1, 64),
        ),
        Option("allocated", "", "allocated", "", "write zeroes as data, so that the target has no holes"),
        Option("target_is_zero", "", "target-is-zero", "", "the target reads as zeroes: write none"),
        Option("flush", "", "flush", "", "return only when all is on stable storage"),
        PROGRESS,
        PROGRESS_STYLE,
        QUIET,
    ),
)


def run(arguments: Any) -> int:
    if len(arguments.operands) != 2:
        raise UsageError("Expecting a source and a target")
    source_name, target_name = arguments.operands
    exists = has_protocol(target_name) or os.path.exists(target_name)
    anew = not exists or os.path.isfile(target_name)
    with progress_of(arguments, "copy") as progress, open_named(named(source_name, "raw", False), arguments) as source:
        if anew:
            make_file(target_name, source.size, arguments)
        made = named(target_name, "raw", False)
        with Unfinished(target_name, made=not exists), open_named(made, arguments, writable=True) as target:
            if target.size < source.size:
                raise Complaint(f"the target has {target.size} bytes, the source {source.size}")
            convert(
                [source],
                target,
                target_is_zero=not arguments.allocated and (arguments.target_is_zero or anew),
                sparse_size=0 if arguments.allocated else SPARSE,
                threads=arguments.threads or THREADS,
                in_order=False,
                progress=progress,
            )
            if arguments.flush:
                target.flush()
    return 0


def make_file(path: str, size: int, arguments: Any) -> None:
    """A file of zeroes that takes no space, in place of one that may be there."""
    find_format("raw").create(path, size, {}, Context(writable=True, gate=gate_of(arguments)))
