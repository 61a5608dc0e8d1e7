"""imgtools map: where the bytes of a disk lie.

An image can have millions of extents: lines are made and written in blocks, and no more than one is held.
"""

from __future__ import annotations

import sys
from itertools import chain, islice
from operator import itemgetter

from imgtools.block.extent import COMPRESSED, DATA, HOLE, READS_ZERO, RESERVED, ZERO
from imgtools.cli import console
from imgtools.cli.arguments import FORCE_SHARE, FORMAT, OPENING, OUTPUT, Complaint, output_format, size_between
from imgtools.cli.getopt import Command, Option, UsageError
from imgtools.cli.opening import named, open_named
from imgtools.operations.map import map_

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
        extents = map_(node, start, arguments.length)
        if style == "human":
            console.say(f"{'Offset':<16}{'Length':<16}{'Mapped to':<16}File")
            sys.stdout.writelines(human(extents))
        else:
            write_json(extents, start)
    return 0


def human(extents: Iterable[Extent]) -> Iterator[str]:
    """A line for each extent that has data."""
    for start, length, kind, _, storage, offset in extents:
        if kind in READS_ZERO:
            continue
        if offset is None or storage is None:
            raise Complaint("File contains external, encrypted or compressed clusters.")
        yield f"{_hex(start):<16}{_hex(length):<16}{_hex(offset):<16}{storage.shown_name}\n"


def _hex(number: int) -> str:
    return hex(number) if number else "0"


def write_json(extents: Iterator[Extent], start: int) -> None:
    """A line for each extent, as one JSON list."""
    opening = "["
    while block := list(islice(extents, LINES)):
        # One format string for all lines costs a third less than a format string for each.
        lines = ",\n".join([(PLACED if extent[5] is not None else PLACELESS)[extent[2]] for extent in block])
        sys.stdout.write(opening + lines % tuple(chain.from_iterable(map(NUMBERS, block))))
        opening = ",\n"
    sys.stdout.write(NOTHING % start if opening == "[" else "]\n")
