"""INT 10h: modes, text, cursor, palette and fonts of the VGA."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from emulator.hw.vga.font import font
from emulator.machine.firmware import ROM, Service, call
from emulator.x86.instruction import ES

from . import data, modes
from .letters import Letters

if TYPE_CHECKING:
    from emulator.hw.vga.card import Vga
    from emulator.machine.firmware import Firmware

FONTS = {16: 0x8000, 14: 0x9000, 8: 0x9E00}  # where they are in the ROM
BELL, BACKSPACE, LINE_FEED, RETURN = 7, 8, 10, 13
DEFAULT_ATTRIBUTE = 7
KEEP_MEMORY = 0x80
COLOR_VGA = 8  # AH = 1Ah: the display's code
NO_CURSOR = 0x20
SUPPORTED = 0x1A
LONGEST_STRING = 2048


class Video(Service):
    """`mirror` gets what is written by teletype, for who has no display."""

    def __init__(self, firmware: Firmware, vga: Vga, mirror: Callable[[bytes], None]) -> None:
        super().__init__(firmware)
        self.vga = vga
        self.mirror = mirror
        for height, place in FONTS.items():
            firmware.rom[place : place + 256 * height] = font(height)
        self.letters = Letters(self)

    # -- modes ----------------------------------------------------------------------------------------------

    @property
    def number(self) -> int:
        """Of the mode."""
        return self.get(data.VIDEO_MODE)

    @property
    def mode(self) -> modes.Mode:
        return modes.MODES.get(self.number, modes.MODES[3])

    @property
    def columns(self) -> int:
        return self.get(data.COLUMNS, 2)

    @property
    def rows(self) -> int:
        return self.get(data.LAST_ROW) + 1

    @property
    def page(self) -> int:
        return self.get(data.ACTIVE_PAGE)

    def set_mode(self, number: int, *, clear: bool = True) -> None:
        mode = modes.MODES[number]
        self.firmware.machine.bus.write(0x1CE, 2, 4)
        self.firmware.machine.bus.write(0x1CF, 2, 0)  # leave the extended modes
        modes.program(self.vga, mode)
        self.put(data.VIDEO_MODE, number)
        self.put(data.COLUMNS, mode.columns, 2)
        self.put(data.PAGE_SIZE, mode.page_size, 2)
        self.put(data.PAGE_START, 0, 2)
        self.put(data.ACTIVE_PAGE, 0)
        self.put(data.CURSORS, 0, 8)
        self.put(data.CURSORS + 8, 0, 8)
        self.put(data.CRTC_PORT, 0x3D4 if mode.misc & 1 else 0x3B4, 2)
        self.put(data.LAST_ROW, mode.rows - 1)
        self.put(data.CHARACTER_HEIGHT, mode.height, 2)
        self.put(data.VIDEO_CONTROL, 0x60 | KEEP_MEMORY * (not clear))
        self.put(data.VIDEO_SWITCHES, 0xF9)
        self.put(data.VIDEO_FLAGS, 0x51)
        self.put(data.DISPLAY_CODE, COLOR_VGA)
        self.put(0x43 * 4, ROM << 12 | FONTS[mode.height], 4)
        self.put(0x1F * 4, ROM << 12 | FONTS[8] + 128 * 8, 4)
        if mode.is_text:
            self.load_font(mode.height)
            self.set_cursor_shape(0x0607)
        if clear:
            self.clear()

    def clear(self) -> None:
        """All of what the mode shows."""
        if self.mode.is_text:
            self.space.write(self.mode.memory << 4, bytes((0x20, DEFAULT_ATTRIBUTE)) * 0x4000)
        else:
            self.vga.memory.clear()

    def load_font(self, height: int, glyphs: bytes | None = None, first: int = 0, block: int = 0) -> None:
        self.vga.memory.load_font(font(height) if glyphs is None else glyphs, height, first, block)

    def crtc(self, number: int, value: int) -> None:
        self.firmware.out(self.get(data.CRTC_PORT, 2), number)
        self.firmware.out(self.get(data.CRTC_PORT, 2) + 1, value & 0xFF)

    @call(0x10, 0x00)
    def choose_mode(self) -> None:
        number = self.caller.al & 0x7F
        if number in modes.MODES:
            self.set_mode(number, clear=not self.caller.al & KEEP_MEMORY)
            self.caller.al = 0x20 if number > 7 else 0x30

    @call(0x10, 0x0F)
    def get_mode(self) -> None:
        keeps = self.get(data.VIDEO_CONTROL) & KEEP_MEMORY
        self.caller.ax = self.columns << 8 | self.number | keeps
        self.caller.bh = self.page

    @call(0x10, 0x05)
    def choose_page(self) -> None:
        page = self.caller.al
        if page >= self.mode.pages:
            return
        start = page * self.get(data.PAGE_SIZE, 2)
        self.put(data.ACTIVE_PAGE, page)
        self.put(data.PAGE_START, start, 2)
        shown = start // 2 if self.mode.is_text else start
        self.crtc(0x0C, shown >> 8)
        self.crtc(0x0D, shown)
        self._show_cursor()

    # -- the cursor -----------------------------------------------------------------------------------------

    def cursor(self, page: int) -> tuple[int, int]:
        """Column and row."""
        place = data.CURSORS + (page & 7) * 2
        return self.get(place), self.get(place + 1)

    def move_cursor(self, page: int, column: int, row: int) -> None:
        self.put(data.CURSORS + (page & 7) * 2, column | row << 8, 2)
        if page == self.page:
            self._show_cursor()

    def _show_cursor(self) -> None:
        column, row = self.cursor(self.page)
        place = self.get(data.PAGE_START, 2) // 2 + row * self.columns + column
        if self.mode.is_text:
            self.crtc(0x0E, place >> 8)
            self.crtc(0x0F, place)

    def set_cursor_shape(self, shape: int) -> None:
        """First and last line; those of a cell of 8 lines are stretched to the cell that there is."""
        self.put(data.CURSOR_SHAPE, shape, 2)
        first, last, height = shape >> 8 & 31, shape & 31, self.get(data.CHARACTER_HEIGHT)
        if height > 8 and last < 8:
            last = (last + 1) * height // 8 - 1
            first = last - 1 if shape >> 8 & 31 == (shape & 31) - 1 else (first + 1) * height // 8 - 1
        self.crtc(0x0A, first | shape >> 8 & NO_CURSOR)
        self.crtc(0x0B, last)

    @call(0x10, 0x01)
    def choose_cursor_shape(self) -> None:
        self.set_cursor_shape(self.caller.cx)

    @call(0x10, 0x02)
    def set_cursor(self) -> None:
        self.move_cursor(self.caller.bh, self.caller.dl, self.caller.dh)

    @call(0x10, 0x03)
    def get_cursor(self) -> None:
        column, row = self.cursor(self.caller.bh)
        self.caller.dx = row << 8 | column
        self.caller.cx = self.get(data.CURSOR_SHAPE, 2)

    # -- text -----------------------------------------------------------------------------------------------

    @call(0x10, 0x06, 0x07)
    def scroll(self) -> None:
        """A window up or down by AL lines, all of it for 0; BH is how the new lines look."""
        caller = self.caller
        self.letters.scroll(
            caller.al if caller.ah == 6 else -caller.al,
            (caller.cl, caller.ch, min(caller.dl, self.columns - 1), min(caller.dh, self.rows - 1)),
            caller.bh,
            self.page,
        )

    @call(0x10, 0x08)
    def read_character(self) -> None:
        self.caller.ax = self.letters.read(self.caller.bh, *self.cursor(self.caller.bh))

    @call(0x10, 0x09, 0x0A)
    def write_characters(self) -> None:
        """CX times at the cursor, which stays; with an attribute or as the place has it."""
        caller = self.caller
        attribute = caller.bl if caller.ah == 9 or not self.mode.is_text else None
        self.letters.write(caller.bh, *self.cursor(caller.bh), caller.al, attribute, caller.cx)

    @call(0x10, 0x0E)
    def teletype(self) -> None:
        self.type(self.page, self.caller.al, None if self.mode.is_text else self.caller.bl)

    def type(self, page: int, character: int, attribute: int | None) -> None:
        """Write at the cursor and move it; at the end of the screen this scrolls."""
        self.mirror(bytes((character,)))
        column, row = self.cursor(page)
        if character == BACKSPACE:
            column = max(0, column - 1)
        elif character == RETURN:
            column = 0
        elif character == LINE_FEED:
            row += 1
        elif character != BELL:
            self.letters.write(page, column, row, character, attribute, 1)
            column += 1
        if column >= self.columns:
            column, row = 0, row + 1
        if row >= self.rows:
            row = self.rows - 1
            blank = self.letters.read(page, column, row) >> 8 if self.mode.is_text else 0
            self.letters.scroll(1, (0, 0, self.columns - 1, row), blank, page)
        self.move_cursor(page, column, row)

    @call(0x10, 0x13)
    def write_string(self) -> None:
        """CX characters at ES:BP, from DX on; AL: 1 moves the cursor, 2 has attributes in between.

        Of more than a few screens the end is what will be seen.
        """
        caller = self.caller
        page, before = caller.bh, self.cursor(caller.bh)
        moves, mixed = caller.al & 1, caller.al >> 1 & 1
        text = self.space.read(caller.es(caller.bp), caller.cx << mixed)
        self.move_cursor(page, caller.dl, caller.dh)
        for number in range(max(0, caller.cx - LONGEST_STRING), caller.cx):
            attribute = text[number * 2 + 1] if mixed else caller.bl
            self.type(page, text[number << mixed], attribute)
        if not moves:
            self.move_cursor(page, *before)

    # -- points ---------------------------------------------------------------------------------------------

    @call(0x10, 0x0C)
    def write_point(self) -> None:
        self.letters.write_point(self.caller.cx, self.caller.dx, self.caller.al)

    @call(0x10, 0x0D)
    def read_point(self) -> None:
        self.caller.al = self.letters.read_point(self.caller.cx, self.caller.dx)

    # -- what the adapter is --------------------------------------------------------------------------------

    @call(0x10, 0x11)
    def fonts(self) -> None:
        """Load one (0xh, and 1xh with the lines of the screen), choose blocks (03h), or ask for one (30h)."""
        caller, function = self.caller, self.caller.al
        if function == 0x30:
            self._tell_font()
        elif function in (3, 0x13):
            self.firmware.out(0x3C4, 3)
            self.firmware.out(0x3C5, caller.bl)
        elif function & 0xF in (0, 1, 2, 4) and function < 0x20:
            height = {0: caller.bh, 1: 14, 2: 8, 4: 16}[function & 0xF]
            glyphs = None
            if function & 0xF == 0:
                glyphs = self.space.read(caller.es(caller.bp), caller.cx * height)
            if not 1 <= height <= 32:
                return
            self.load_font(height, glyphs, caller.dx if glyphs is not None else 0, caller.bl)
            if function & 0x10 and self.mode.is_text:
                self._set_rows(height)
        elif function in (0x22, 0x23, 0x24) and not self.mode.is_text:
            self.put(0x43 * 4, ROM << 12 | FONTS[{0x22: 14, 0x23: 8, 0x24: 16}[function]], 4)

    def _set_rows(self, height: int) -> None:
        """As many lines as a font of this height gives."""
        rows = 400 // height
        self.crtc(9, 0x40 | height - 1)
        self.put(data.CHARACTER_HEIGHT, height, 2)
        self.put(data.LAST_ROW, rows - 1)
        self.put(data.PAGE_SIZE, rows * self.columns * 2 + 0xFF & ~0xFF, 2)
        self.set_cursor_shape(0x0607)

    def _tell_font(self) -> None:
        caller = self.caller
        places = {2: FONTS[14], 3: FONTS[8], 4: FONTS[8] + 128 * 8, 5: FONTS[14], 6: FONTS[16], 7: FONTS[16]}
        vectors = {0: 0x1F, 1: 0x43}
        if caller.bh in vectors:
            place = self.get(vectors[caller.bh] * 4, 4)
        else:
            place = ROM << 12 | places.get(caller.bh, FONTS[16])
        caller.set_segment(ES, place >> 16)
        caller.bp = place & 0xFFFF
        caller.cx = self.get(data.CHARACTER_HEIGHT, 2)
        caller.dl = self.rows - 1

    @call(0x10, 0x12)
    def choose_alternate(self) -> None:
        caller = self.caller
        if caller.bl == 0x10:
            caller.bx, caller.cx = 3, 0x0009  # in colour, 256 KiB
        elif caller.bl in (0x20, 0x30, 0x31, 0x32, 0x33, 0x34, 0x36):
            caller.al = 0x12

    @call(0x10, 0x1A)
    def display_code(self) -> None:
        if self.caller.al == 0:
            self.caller.bx = COLOR_VGA
        self.caller.al = SUPPORTED

    @call(0x10, 0x1B)
    def state(self) -> None:
        """64 bytes at ES:DI: what the adapter can (a table in the ROM) and how it stands."""
        if self.caller.bx:
            return
        table = bytearray(64)
        table[0:4] = (ROM << 12 | self._abilities).to_bytes(4, "little")
        table[4:34] = self.space.read(data.VIDEO_MODE, 30)
        table[34:37] = self.space.read(data.LAST_ROW, 3)
        table[37], table[39] = COLOR_VGA, 16
        table[41] = self.mode.pages
        table[42], table[49] = 2, 3  # 400 lines, 256 KiB
        self.space.write(self.caller.es(self.caller.di), bytes(table))
        self.caller.al = 0x1B

    @property
    def _abilities(self) -> int:
        if not hasattr(self, "_abilities_place"):
            modes_known = sum(1 << number for number in modes.MODES)
            table = modes_known.to_bytes(3, "little") + bytes((0, 0, 0, 0, 7, 2, 8, 0x7D, 0x0C, 0, 0, 0, 0))
            self._abilities_place = self.firmware.add_code(table)
        return self._abilities_place
