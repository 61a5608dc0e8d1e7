"""Characters and points on the screen, in text modes and drawn in graphics modes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.hw.vga.memory import FONT_LINES, SPREAD

from . import data
from .modes import PLANAR

if TYPE_CHECKING:
    from .video import Video

XOR = 0x80  # in a colour of graphics modes
Window = tuple[int, int, int, int]  # left, top, right and bottom column and row, all within


class Letters:
    def __init__(self, video: Video) -> None:
        self.video = video
        self.space = video.space
        self.memory = video.vga.memory

    def _row(self, page: int, row: int) -> int:
        """Where a row of text begins."""
        video = self.video
        return (video.mode.memory << 4) + page % 8 * video.get(data.PAGE_SIZE, 2) + row * video.columns * 2

    def read(self, page: int, column: int, row: int) -> int:
        """Attribute and character; 0 in graphics modes."""
        if not self.video.mode.is_text:
            return 0
        return self.video.get(self._row(page, row) + column * 2, 2)

    def write(self, page: int, column: int, row: int, character: int, attribute: int | None, count: int) -> None:
        """Several times, into the following rows, too; without an attribute those there stay."""
        count = min(count, max(0, self.video.columns * (self.video.rows - row) - column))
        if self.video.mode.is_text:
            place = self._row(page, row) + column * 2
            cells = bytearray(self.space.read(place, count * 2))
            cells[0::2] = bytes((character,)) * count
            if attribute is not None:
                cells[1::2] = bytes((attribute,)) * count
            self.space.write(place, cells)
            return
        mode = self.video.mode
        for number in range(column, column + min(count, mode.columns * mode.rows)):
            self._draw(number % self.video.columns, row + number // self.video.columns, character, attribute or 0)

    def scroll(self, lines: int, window: Window, attribute: int, page: int) -> None:
        """Up by a positive number of lines; 0 clears."""
        left, top, right, bottom = window
        if left > right or top > bottom:
            return
        if not self.video.mode.is_text:
            self._scroll_picture(lines, window, attribute)
            return
        width, blank = (right - left + 1) * 2, bytes((0x20, attribute)) * (right - left + 1)
        places = [self._row(page, row) + left * 2 for row in range(top, bottom + 1)]
        old = [self.space.read(place, width) for place in places]
        for number, place in enumerate(places):
            source = number + lines
            kept = lines and 0 <= source < len(old)
            self.space.write(place, old[source] if kept else blank)

    # -- graphics -------------------------------------------------------------------------------------------

    def _glyph(self, character: int) -> bytes:
        """By the vector that programs may change."""
        video = self.video
        pointer, height = video.get(0x43 * 4, 4), min(video.get(data.CHARACTER_HEIGHT), FONT_LINES)
        return self.space.read((pointer >> 16) * 16 + (pointer & 0xFFFF) + character * height, height)

    def _draw(self, column: int, row: int, character: int, color: int) -> None:
        glyph = self._glyph(character)
        for line, bits in enumerate(glyph, row * len(glyph)):
            if self.video.mode.kind == PLANAR:
                place = line * self.video.columns + column
                drawn = SPREAD[color & 15] & bits * 0x01010101
                self.memory.cells[place & 0xFFFF] = self.memory.cells[place & 0xFFFF] ^ drawn if color & XOR else drawn
            else:
                for point in range(8):
                    self.write_point(column * 8 + point, line, color if bits >> 7 - point & 1 else 0)

    def _scroll_picture(self, lines: int, window: Window, color: int) -> None:
        left, top, right, bottom = window
        view, size = self.memory.linear.view, 8 if self.video.mode.kind != PLANAR else 4
        assert view is not None
        height, line = self.video.get(data.CHARACTER_HEIGHT), self.video.columns * size
        first, last = top * height, min((bottom + 1) * height, len(view) // max(line, 1))
        blank = SPREAD[color & 15].to_bytes(4, "little") if size == 4 else bytes((color,)) * 8
        old = bytes(view[: last * line])
        for number in range(first, last):
            source = number + lines * height
            place, width = number * line + left * size, (right - left + 1) * size
            kept = lines and first <= source < last
            start = source * line + left * size
            view[place : place + width] = old[start : start + width] if kept else blank * (right - left + 1)

    def write_point(self, x: int, y: int, color: int) -> None:
        found = self._locate(x, y)
        if found is None:
            return
        place, shift = found
        if shift is None:
            view = self.memory.linear.view
            assert view is not None
            view[place] = color
            return
        bit = 0x01010101 << shift
        cell, drawn = self.memory.cells[place], SPREAD[color & 15] & bit
        self.memory.cells[place] = cell ^ drawn if color & XOR else cell & ~bit & 0xFFFFFFFF | drawn

    def read_point(self, x: int, y: int) -> int:
        found = self._locate(x, y)
        if found is None:
            return 0
        place, shift = found
        if shift is None:
            view = self.memory.linear.view
            assert view is not None
            return view[place]
        return sum((self.memory.cells[place] >> 8 * plane + shift & 1) << plane for plane in range(4))

    def _locate(self, x: int, y: int) -> tuple[int, int | None] | None:
        """The byte of a point, or the cell and the bit in it; None if there is none."""
        video = self.video
        if video.mode.is_text or x >= video.columns * 8 or y >= video.rows * video.mode.height:
            return None
        if video.mode.kind == PLANAR:
            return y * video.columns + x // 8 & 0xFFFF, 7 - x % 8
        return y * video.columns * 8 + x & 0xFFFF, None
