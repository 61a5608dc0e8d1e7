"""Pipes as ends of a copy, standard input and output among them: bytes one behind the other, holes as zeroes."""

from __future__ import annotations

import os
from contextlib import contextmanager
from itertools import groupby

from imgtools.block.extent import READS_ZERO
from imgtools.errors import from_os_error
from imgtools.operations.buffers import SIZE, ZEROES, PageBuffer
from imgtools.operations.pipeline import Pipeline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgtools.block.node import Node, Storage

STANDARD = {"rb": 0, "wb": 1}
SHOWN = {0: "standard input", 1: "standard output"}
UNIT = 64 << 10
"""Bytes of zeroes, at least, that become a hole."""
READERS = 2
"""Threads: one reads while the other one's bytes go through the pipe."""


@contextmanager
def stream(name: str | None, mode: str) -> Iterator[int]:
    """A file descriptor of what is at `name`; without a name that of standard input or output."""
    if name is None:
        yield STANDARD[mode]
        return
    try:
        opened = open(name, mode, buffering=0)  # noqa: SIM115  # what fails in the block is another error
    except OSError as error:
        raise from_os_error(error, f"Could not open '{name}'", name) from error
    with opened:
        yield opened.fileno()


def write_out(source: Node, output: int, progress: Callable[[int, int], None]) -> None:
    """Write all of `source` to a file descriptor. Raises BrokenPipeError where nobody reads it."""

    def pieces() -> Iterator[tuple[int, int, bool]]:
        for extent in source.extents(0, source.size):
            end = extent.start + extent.length
            for start in range(extent.start, end, SIZE):
                yield start, min(SIZE, end - start), extent.kind in READS_ZERO

    def worker() -> Callable[[int, tuple[int, int, bool]], int]:
        buffer = PageBuffer()

        def work(number: int, piece: tuple[int, int, bool]) -> int:
            start, length, is_zero = piece
            view = ZEROES[:length] if is_zero else buffer.view[:length]
            if not is_zero:
                source.readinto(start, view)
            pipeline.in_turn(number)
            _write_all(output, view)
            return length

        return work

    pipeline = Pipeline(source.size, progress=progress)
    pipeline.run(pieces(), worker, READERS)


def _write_all(output: int, view: memoryview) -> None:
    while view:
        try:
            view = view[os.write(output, view) :]
        except BrokenPipeError:
            raise
        except OSError as error:
            raise from_os_error(error, f"could not write to {SHOWN.get(output, 'the pipe')}") from error


def read_in(
    input: int, target: Storage, *, sparse: bool, target_is_zero: bool, progress: Callable[[int, int], None]
) -> int:
    """Write all that a file descriptor gives to the beginning of `target`; how many bytes that were.

    `sparse` looks for zeroes, which are not written where `target_is_zero`.
    """
    buffer, position = PageBuffer(), 0
    while length := _fill(input, buffer.view):
        for start, end, is_zero in _runs(buffer, length) if sparse else [(0, length, False)]:
            if not is_zero:
                target.write(position + start, buffer.view[start:end])
            elif not target_is_zero:
                target.zero(position + start, end - start)
        position += length
        progress(position, position)
    return position


def _runs(buffer: PageBuffer, length: int) -> Iterator[tuple[int, int, bool]]:
    """(start, end, whether all zero) over the buffer, in steps of UNIT."""
    for is_zero, starts in groupby(
        range(0, length, UNIT), lambda start: buffer.is_zero(start, min(start + UNIT, length))
    ):
        first, *more = starts
        yield first, min((more or [first])[-1] + UNIT, length), is_zero


def _fill(input: int, view: memoryview) -> int:
    """Read until the view is full, or the input at its end; how many bytes that were."""
    got = 0
    try:
        while got < len(view) and (more := os.readv(input, [view[got:]])):
            got += more
    except OSError as error:
        raise from_os_error(error, f"could not read {SHOWN.get(input, 'the pipe')}") from error
    return got
