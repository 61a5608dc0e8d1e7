"""What the display shows: the characters of text modes, and the picture of every mode, as PNG or text.

PNG: "Portable Network Graphics Specification", third edition, sections 5 (chunks) and 11.2.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import pack
from typing import TYPE_CHECKING, Any

from .font import CODE_PAGE
from .memory import FONT_LINES, FONT_PLACES, PLANE
from .registers import DEPTH, X_OFFSET, X_SIZE, Y_OFFSET, Y_SIZE

if TYPE_CHECKING:
    from .card import Vga

CHARACTER_WIDTH = 8
BLINK = 8  # attribute controller 10h: the top bit of an attribute is no colour
LINES = 4  # the same: the ninth point of characters C0h to DFh is as the eighth
EIGHT_POINTS, HALF_CLOCK = 1, 8  # sequencer 1
PNG_START = b"\x89PNG\r\n\x1a\n"
RGB = 2


@dataclass(frozen=True)
class TextScreen:
    """The characters and attributes of a text mode, row by row, and the cursor's column and row (None: not shown)."""

    columns: int
    rows: int
    characters: bytes
    attributes: bytes
    cursor: tuple[int, int] | None

    @property
    def lines(self) -> list[str]:
        """The rows as text, without what is blank at their ends."""
        starts = range(0, self.columns * self.rows, self.columns)
        rows = (self.characters[start : start + self.columns] for start in starts)
        return ["".join(CODE_PAGE[code] for code in row).replace("\0", " ").rstrip() for row in rows]


def text_screen(vga: Vga) -> TextScreen | None:
    """What a text mode shows; None in graphics modes."""
    registers = vga.registers
    if registers.is_graphics or registers.blanked:
        return None
    columns = registers.columns
    rows = max(1, registers.lines // registers.character_height)
    characters, attributes = vga.memory.plane(0), vga.memory.plane(1)
    step = registers.crtc[0x13] * 2 or columns
    places = [(registers.start + row * step + column) % PLANE for row in range(rows) for column in range(columns)]
    number = registers.cursor - registers.start
    row, column = divmod(number, step)
    shown = registers.cursor_visible and 0 <= row < rows and column < columns
    return TextScreen(
        columns, rows, bytes(characters[place] for place in places), bytes(attributes[place] for place in places),
        (column, row) if shown else None,
    )  # fmt: skip


def save(vga: Vga, path: Path) -> None:
    """A screenshot: text for a name that ends in .txt, PNG for any other."""
    if path.suffix == ".txt":
        screen = text_screen(vga)
        lines = ["(graphics)"] if screen is None else screen.lines
        path.write_text("\n".join(lines).rstrip("\n") + "\n", encoding="utf-8")
    else:
        path.write_bytes(png(picture(vga)))


def png(pixels: Any) -> bytes:
    """A file with an array of height, width and 3 colours."""
    import numpy as np

    height, width = pixels.shape[:2]
    filters = np.zeros((height, 1), np.uint8)  # none, for each line
    lines = np.hstack((filters, pixels.reshape(height, width * 3))).tobytes()
    header = pack(">IIBBBBB", width, height, 8, RGB, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return PNG_START + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return pack(">I", len(data)) + name + data + pack(">I", zlib.crc32(name + data))


# -- pictures: arrays of height, width, 3 -----------------------------------------------------------------------


def picture(vga: Vga) -> Any:
    """What the display shows."""
    import numpy as np

    registers = vga.registers
    if registers.extended and registers.dispi[X_SIZE] and registers.dispi[Y_SIZE]:
        return _extended(vga)
    if registers.blanked or registers.extended:
        return np.zeros((480, 640, 3), np.uint8)
    if not registers.graphics[6] & 1:
        image = _text(vga)
    elif registers.graphics[5] & 0x40:
        return _chained(vga)
    else:
        image = _planar(vga)
    return image.repeat(2, axis=1) if registers.sequencer[1] & HALF_CLOCK else image


def _extended(vga: Vga) -> Any:
    import numpy as np

    registers = vga.registers
    dispi, line = registers.dispi, registers.line_size
    width, height, depth = dispi[X_SIZE], dispi[Y_SIZE], dispi[DEPTH]
    memory = np.frombuffer(vga.memory.linear.view, np.uint8)
    if depth == 4:
        start = dispi[Y_OFFSET] * line // 4 + dispi[X_OFFSET] // 8
        return _planes(vga, width, height, line // 4, start)
    first, size = dispi[Y_OFFSET] * line, registers.bytes_per_pixel
    rows = memory[first : first + height * line].reshape(height, line)
    rows = rows[:, dispi[X_OFFSET] * size : (dispi[X_OFFSET] + width) * size]
    if depth == 8:
        return _palette(vga)[rows]
    if depth >= 24:
        return np.ascontiguousarray(rows.reshape(height, width, size)[:, :, 2::-1])
    values = rows.reshape(height, width, 2).astype(np.uint16)
    values = values[:, :, 0] | values[:, :, 1] << 8
    green_bits = 6 if depth == 16 else 5
    red, green = values >> 5 + green_bits & 31, values >> 5 & (1 << green_bits) - 1
    parts = (red << 3 | red >> 2, green << 8 - green_bits | green >> 2 * green_bits - 8, (values & 31) * 33 >> 2)
    return np.stack(parts, axis=2).astype(np.uint8)


def _palette(vga: Vga) -> Any:
    import numpy as np

    return np.array([vga.registers.color(number & vga.registers.pixel_mask) for number in range(256)], np.uint8)


def _colors(vga: Vga) -> Any:
    """The 16 of text and planar modes."""
    import numpy as np

    return np.array([vga.registers.attribute_color(number) for number in range(16)], np.uint8)


def _chained(vga: Vga) -> Any:
    """Mode 13h and its relatives: a byte a point, shown twice in each direction."""
    import numpy as np

    registers = vga.registers
    width, doubling = registers.columns * 4, registers.character_height
    height = registers.lines // doubling
    line = registers.crtc[0x13] * 8 or width
    memory = np.frombuffer(vga.memory.linear.view, np.uint8)[: PLANE * 4]
    places = (registers.start * 4 + np.arange(height)[:, None] * line + np.arange(width)) % len(memory)
    return _palette(vga)[memory[places]].repeat(doubling, axis=0).repeat(2, axis=1)


def _planar(vga: Vga) -> Any:
    registers = vga.registers
    doubling = registers.character_height * (2 if registers.crtc[9] & 0x80 else 1)
    height = registers.lines // doubling
    width, line = registers.columns * CHARACTER_WIDTH, registers.crtc[0x13] * 2 or registers.columns
    return _planes(vga, width, height, line, registers.start).repeat(doubling, axis=0)


def _planes(vga: Vga, width: int, height: int, line: int, start: int) -> Any:
    """16 colours: a bit in each plane. The picture repeats behind the end of the planes."""
    import numpy as np

    planes = np.frombuffer(vga.memory.linear.view, np.uint8)[: PLANE * 4].reshape(PLANE, 4)
    places = (start + np.arange(height)[:, None] * line + np.arange(width // 8)) % PLANE
    bits = np.unpackbits(planes[places][..., None], axis=3)  # height, bytes, planes, 8
    numbers = sum(bits[:, :, plane] << plane for plane in range(4)).reshape(height, width // 8 * 8)
    return _colors(vga)[numbers & vga.registers.attribute[0x12] & 15]


def _text(vga: Vga) -> Any:
    """Glyphs from plane 2, where the firmware or the guest has loaded them."""
    import numpy as np

    registers, screen = vga.registers, text_screen(vga)
    assert screen is not None
    height, columns, rows = registers.character_height, screen.columns, screen.rows
    choice = registers.sequencer[3]  # the second one, for bright characters, is not looked at
    place = FONT_PLACES[choice & 3 | choice >> 2 & 4]
    glyphs = np.frombuffer(vga.memory.plane(2), np.uint8)[place : place + 256 * FONT_LINES]
    glyphs = np.unpackbits(glyphs.reshape(256, FONT_LINES, 1), axis=2)[:, :height]
    characters = np.frombuffer(screen.characters, np.uint8).reshape(rows, columns)
    attributes = np.frombuffer(screen.attributes, np.uint8).reshape(rows, columns)
    points = glyphs[characters]  # rows, columns, lines, 8
    back = attributes >> 4 & (7 if registers.attribute[0x10] & BLINK else 15)
    if not registers.sequencer[1] & EIGHT_POINTS:  # a ninth point, blank but for lines
        ninth = points[..., 7:] * ((characters & 0xE0 == 0xC0) & bool(registers.attribute[16] & LINES))[..., None, None]
        points = np.concatenate((points, ninth), axis=3)
    if screen.cursor is not None:
        column, row = screen.cursor
        first, last = registers.crtc[0x0A] & 31, registers.crtc[0x0B] & 31
        points[row, column, first : last + 1] = 1
    colors = np.where(points, (attributes & 15)[..., None, None], back[..., None, None])
    image = colors.transpose(0, 2, 1, 3).reshape(rows * height, columns * points.shape[3])
    return _colors(vga)[image]


def changed_lines(before: TextScreen | None, after: TextScreen) -> Iterator[int]:
    """The rows that look different, for who shows them on a terminal."""
    for row in range(after.rows):
        piece = slice(row * after.columns, (row + 1) * after.columns)
        same = before is not None and (before.columns, before.rows) == (after.columns, after.rows)
        if (
            not same
            or before is None
            or before.characters[piece] != after.characters[piece]
            or before.attributes[piece] != after.attributes[piece]
        ):
            yield row
