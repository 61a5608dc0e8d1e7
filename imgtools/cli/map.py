"""imgtools map: where the bytes of a disk lie.

An image can have millions of extents: lines are made and written in blocks, and no more than one is held.
"""

from __future__ import annotations

import sys

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


def write_json(extents: Iterable[Extent], start: int) -> None:
    """A line for each extent, as one JSON list."""
    write, lines, opening = sys.stdout.write, [], "["
    for position, length, kind, depth, _, offset in extents:
        if offset is None:
            lines.append(f'{{ "start": {position}, "length": {length}, "depth": {depth}, {FLAGS[kind]}}}')
        else:
            lines.append(
                f'{{ "start": {position}, "length": {length}, "depth": {depth}, {FLAGS[kind]}, "offset": {offset}}}'
            )
        if len(lines) == LINES:
            write(opening + ",\n".join(lines))
            lines, opening = [], ",\n"
    if lines:
        write(opening + ",\n".join(lines) + "]\n")
    else:
        write(NOTHING % start if opening == "[" else "]\n")
