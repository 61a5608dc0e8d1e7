"""The JSON lines of many extents at once: the digits of whole columns are found by numpy.

A line is a row of bytes with room for the longest numbers; what is not needed of it is filled with PAD, which no text
has, and dropped at the end from all lines together.
"""

from __future__ import annotations

import re

import numpy as np

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from imgtools.block.extent import Columns

PAD = 0xFF
ROWS = 1 << 13
"""Lines that are made at once: some two hundred bytes each."""
BETWEEN = ",\n"
FOUR_DIGITS = np.frombuffer(b"".join(b"%04d" % number for number in range(10_000)), np.uint8).reshape(-1, 4)


def lines_of_columns(columns: Columns, placed: dict[str, str], placeless: dict[str, str]) -> Iterator[bytes]:
    """The lines of all extents, some thousands at a time, joined by BETWEEN.

    `placed` and `placeless` hold, for each kind, the format of a line: of start, length, depth and offset.
    """
    texts = [_pieces(line[name]) for line in (placed, placeless) for name in columns.names]
    for first in range(0, len(columns.starts), ROWS):
        starts, lengths, kinds, offsets = (column[first : first + ROWS] for column in columns[:4])
        yield _lines(starts, lengths, kinds, offsets, texts)


def _lines(starts: Any, lengths: Any, kinds: Any, offsets: Any, texts: list[list[bytes]]) -> bytes:
    placeless = offsets < 0
    depth = np.zeros(1, np.int64)
    numbers = [_digits(starts), _digits(lengths), _digits(depth), _digits(np.where(placeless, offsets.max(), offsets))]
    widths = [number.shape[1] for number in numbers]
    room = [max(map(len, piece)) for piece in zip(*texts, strict=True)]
    form = np.array([_row(text, room, widths) for text in texts], np.uint8)
    rows = form[np.where(placeless, kinds + len(texts) // 2, kinds)]
    position = 0
    for index, number in enumerate(numbers):
        position += room[index]
        rows[:, position : position + widths[index]] = number
        position += widths[index]
    rows[placeless, position - widths[3] : position] = PAD
    text: bytes = rows.tobytes().translate(None, bytes([PAD]))
    return text[: -len(BETWEEN)]


def _pieces(line: str) -> list[bytes]:
    """What stands around the four numbers of a line."""
    return [piece.encode().replace(b"%%", b"%") for piece in re.split(r"%d|%\.0s", line + BETWEEN)]


def _row(text: list[bytes], room: list[int], widths: list[int]) -> list[int]:
    """A line without its numbers, each piece with as much room as the longest of its kind takes."""
    row = b"".join(
        piece.ljust(space, bytes([PAD])) + bytes([PAD]) * width
        for piece, space, width in zip(text, room, [*widths, 0], strict=True)
    )
    return list(row)


def _digits(values: Any) -> Any:
    """A row of decimal digits for each value, PAD in front of the first; one row where all are equal."""
    lowest, highest = max(0, int(values.min())), max(0, int(values.max()))
    if lowest == highest:
        values = values[:1]
    width = len(str(highest))
    digits = np.empty((len(values), -(-width // 4) * 4), np.uint8)
    rest = values
    for place in range(digits.shape[1], 0, -4):
        higher = rest // 10_000
        digits[:, place - 4 : place] = FOUR_DIGITS[rest - higher * 10_000]
        rest = higher
    digits = digits[:, digits.shape[1] - width :]
    for place in range(len(str(lowest)), width):
        digits[values < 10**place, width - 1 - place] = PAD
    return digits
