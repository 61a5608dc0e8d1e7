"""imgtools nbd dump: the bytes of an export in hexadecimal."""

from __future__ import annotations

import sys

from imgtools.block.extent import READS_ZERO
from imgtools.cli.arguments import size_between
from imgtools.cli.getopt import Command, Option, UsageError
from imgtools.nbd.client.inspect import open_by_name
from imgtools.nbd.protocol import BASE_ALLOCATION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from imgtools.block.node import Node

COMMAND = Command(
    "nbd dump",
    "URI",
    "Print the bytes of an export in hexadecimal; lines that repeat are left out.",
    (
        Option("start", "s", "start", "OFFSET", "begin at this byte", parse=size_between("start")),
        Option("length", "n", "length", "LEN", "print no more than this", parse=size_between("length")),
    ),
)

LINE = 16
CHUNK = 256 << 10
PRINTABLE = bytes(byte if 32 <= byte < 127 else ord(".") for byte in range(256))


def run(arguments: Any) -> int:
    if len(arguments.operands) != 1:
        raise UsageError("Expecting one NBD URI")
    with open_by_name(arguments.operands[0], (BASE_ALLOCATION,)) as node:
        start = min(arguments.start or 0, node.size)
        end = node.size if arguments.length is None else min(node.size, start + arguments.length)
        sys.stdout.writelines(dump(node, start, end))
    return 0


def dump(node: Node, start: int, end: int) -> Iterator[str]:
    """The lines for a range. Its last line is always there, so that one sees where it ends."""
    shown, is_starred = b"", False
    for offset, content in lines(node, start, end):
        if content == shown and offset + LINE < end:
            if not is_starred:
                yield "*\n"
            is_starred = True
            continue
        shown, is_starred = content, False
        yield line(offset, content)


def lines(node: Node, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of each line; of zeroes that need not be read the first two and the last."""
    position = start
    for extent in node.extents(start, end - start):
        stop = extent.start + extent.length
        if extent.kind in READS_ZERO and stop - position > 4 * LINE:
            ahead = (stop - position) // LINE * LINE
            yield position, bytes(LINE)
            yield position + LINE, bytes(LINE)
            if position + ahead == end:
                yield end - LINE, bytes(LINE)
            position += ahead
        while position < stop:
            content = node.read(position, min(CHUNK, end - position))
            for first in range(0, len(content), LINE):
                yield position + first, content[first : first + LINE]
            position += len(content)


def line(offset: int, content: bytes) -> str:
    left, right = content[:8].hex(" "), content[8:].hex(" ")
    return f"{offset:010x}: {left:<23}  {right:<23} |{content.translate(PRINTABLE).decode():<16}|\n"
