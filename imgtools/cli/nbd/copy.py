"""imgtools nbd copy: the bytes of a disk from or to an NBD server, a file, a device or a pipe, sparse and parallel."""

from __future__ import annotations

import os
import stat

from imgtools.block.gate import has_protocol
from imgtools.block.graph import Context
from imgtools.block.node import Storage
from imgtools.block.registry import driver_of_name
from imgtools.cli.arguments import PROGRESS, PROGRESS_STYLE, QUIET, Complaint, number
from imgtools.cli.getopt import Command, Option, UsageError
from imgtools.cli.opening import gate_of, named, open_named
from imgtools.cli.progress import progress_of
from imgtools.cli.unfinished import Unfinished
from imgtools.operations.convert import convert

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from imgtools.block.node import Node

THREADS = 4
"""Unless it is said otherwise, however many processors there are: they mostly wait for the server."""
SPARSE = 4096
"""Bytes of zeroes, at least, that become a hole."""
STREAM = "-"
"""The name of standard input, and of standard output."""

COMMAND = Command(
    "nbd copy",
    "SOURCE TARGET",
    "Copy bytes from one disk to another, each an NBD URI, a file, a device or - for a pipe; nothing is converted.",
    (
        Option(
            "threads",
            "T",
            "threads",
            "N",
            f"threads ({THREADS}), with a connection each where the server lets several in",
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
    if target_name == STREAM and arguments.show_progress and arguments.progress is None:
        raise Complaint("-p and the disk would mix on standard output: use --progress=json")
    with progress_of(arguments, "copy") as progress:
        if is_stream(source_name):
            copy_input(source_name, target_name, arguments, progress)
            return 0
        with open_bytes(source_name, arguments) as source:
            if is_stream(target_name):
                from imgtools.cli.nbd.streams import stream, write_out

                with stream(None if target_name == STREAM else target_name, "wb") as output:
                    write_out(source, output, progress)
            else:
                copy(source, target_name, arguments, progress)
    return 0


def is_stream(name: str) -> bool:
    """Whether a name means bytes that come, or go, one behind the other: a pipe's, or a device's like /dev/null."""
    if has_protocol(name) or not os.path.exists(name):
        return name == STREAM
    mode = os.stat(name).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def copy(source: Node, target_name: str, arguments: Any, progress: Callable[[int, int], None]) -> None:
    """Copy to a file, a device or a server."""
    exists, anew = what_is_there(target_name)
    if anew:
        make_file(target_name, source.size, arguments)
    with Unfinished(target_name, made=not exists), open_bytes(target_name, arguments, writable=True) as target:
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


def copy_input(source_name: str, target_name: str, arguments: Any, progress: Callable[[int, int], None]) -> None:
    """Copy standard input or a pipe, of whatever length it is."""
    from imgtools.cli.nbd.streams import read_in, stream

    if is_stream(target_name):
        raise Complaint("only one of source and target may be - or a pipe")
    exists, anew = what_is_there(target_name)
    if anew:
        make_file(target_name, 0, arguments)
    with (
        Unfinished(target_name, made=not exists),
        open_bytes(target_name, arguments, writable=True) as target,
        stream(None if source_name == STREAM else source_name, "rb") as input,
    ):
        assert isinstance(target, Storage)
        zero = not arguments.allocated and (arguments.target_is_zero or anew)
        sparse = not arguments.allocated
        length = read_in(input, target, sparse=sparse, target_is_zero=zero, progress=progress)
        if anew:
            target.truncate(length)
        if arguments.flush:
            target.flush()


def what_is_there(target_name: str) -> tuple[bool, bool]:
    """Whether there is such a target, and whether a file is to be made in its place."""
    exists = has_protocol(target_name) or os.path.exists(target_name)
    return exists, not exists or os.path.isfile(target_name)


def make_file(path: str, size: int, arguments: Any) -> None:
    """A file of zeroes that takes no space, in place of one that may be there."""
    with Context(writable=True, gate=gate_of(arguments)).create_storage(path) as file:
        file.truncate(size)


def open_bytes(name: str, arguments: Any, *, writable: bool = False) -> Node:
    """What a name leads to, byte for byte: formats, and a raw disk's sectors, are of no interest."""
    driver = driver_of_name(name)
    return open_named(named(name, "file" if driver is None else driver.name, False), arguments, writable=writable)
