"""imgtools map: where the bytes of a disk lie.

An image can have millions of extents: lines are made and written in blocks, and no more than one is held.
"""

from __future__ import annotations

import sys
from itertools import chain
from operator import itemgetter

from imgtools.block.extent import ABSENT, COMPRESSED, DATA, HOLE, READS_ZERO, RESERVED, ZERO, Columns
from imgtools.cli import console
from imgtools.cli.arguments import FORCE_SHARE, FORMAT, OPENING, OUTPUT, Complaint, output_format, size_between
from imgtools.cli.getopt import Command, Option, UsageError
from imgtools.cli.opening import named, open_named
from imgtools.operations.map import map_, map_columns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from imgtools.block.extent import Extent

COMMAND = Command(
    "map",
    "FILENAME",
    "Tell where the bytes of a disk lie: in which file of the chain, and at which offset.",
    (
        FORMAT,
        OUTPUT,
        Option(
            "start", "s", "start-offset", "OFFSET", "begin at this byte of the disk", parse=size_between("start offset")
        ),
        Option("length", "l", "max-length", "LEN", "look at no more than this", parse=size_between("max length")),
        FORCE_SHARE,
        *OPENING,
    ),
)

LINES = 4096
"""Lines that are written at once."""

FLAGS = {
    DATA: '"present": true, "zero": false, "data": true',
    COMPRESSED: '"present": true, "zero": false, "data": true',
    RESERVED: '"present": true, "zero": true, "data": true',
    ZERO: '"present": true, "zero": true, "data": false',
    HOLE: '"present": false, "zero": true, "data": false',
    ABSENT: '"present": false, "zero": false, "data": false',
}
LINE = '{ "start": %%d, "length": %%d, "depth": %%d, %s'
PLACED = {kind: LINE % flags + ', "offset": %d}' for kind, flags in FLAGS.items()}
PLACELESS = {kind: LINE % flags + "%.0s}" for kind, flags in FLAGS.items()}
"""The line of an extent that lies somewhere, and of one that does not: its offset is then printed in no places."""
NUMBERS = itemgetter(0, 1, 3, 5)
"""Of an extent, what stands in a line: start, length, depth, offset."""
NOTHING = '[{ "start": %d, "length": 0, "depth": 0, "present": false, "zero": false, "data": false}]\n'


def run(arguments: Any) -> int:
    if len(arguments.operands) != 1:
        raise UsageError("Expecting one image file name")
    style = output_format(arguments)
    target = named(arguments.operands[0], arguments.format, arguments.image_opts)
    start = arguments.start or 0
    with open_named(target, arguments) as node:
        if style == "human":
            console.say(f"{'Offset':<16}{'Length':<16}{'Mapped to':<16}File")
            sys.stdout.writelines(human(map_(node, start, arguments.length)))
        else:
            write_json(map_columns(node, start, arguments.length), start)
    return 0


def human(extents: Iterable[Extent]) -> Iterator[str]:
    """A line for each extent that has data."""
    for start, length, kind, _, storage, offset in extents:
        if kind in READS_ZERO or kind == ABSENT:
            continue
        if offset is None or storage is None:
            raise Complaint("File contains external, encrypted or compressed clusters.")
        yield f"{_hex(start):<16}{_hex(length):<16}{_hex(offset):<16}{storage.shown_name}\n"


def _hex(number: int) -> str:
    return hex(number) if number else "0"


def write_json(extents: Iterable[Extent | Columns], start: int) -> None:
    """A line for each extent, as one JSON list."""
    sys.stdout.flush()
    output, opening = sys.stdout.buffer, b"["  # bytes all the way: text would be encoded once more
    for lines in _blocks(extents):
        output.write(opening)
        output.write(lines)
        opening = b",\n"
    output.write((NOTHING % start).encode() if opening == b"[" else b"]\n")


def _blocks(extents: Iterable[Extent | Columns]) -> Iterator[bytes]:
    block: list[Extent] = []
    for extent in extents:
        if isinstance(extent, Columns):
            if block:
                yield _lines(block)
                block = []
            from imgtools.cli.map_columns import lines_of_columns

            yield from lines_of_columns(extent, PLACED, PLACELESS)
            continue
        block.append(extent)
        if len(block) == LINES:
            yield _lines(block)
            block = []
    if block:
        yield _lines(block)


def _lines(block: list[Extent]) -> bytes:
    # One format string for all lines costs a third less than a format string for each.
    lines = ",\n".join([(PLACED if extent[5] is not None else PLACELESS)[extent[2]] for extent in block])
    return (lines % tuple(chain.from_iterable(map(NUMBERS, block)))).encode()
