"""INT 10h, AH = 4Fh: "VESA BIOS Extension Core Functions Standard", version 3.0, on the Bochs extensions."""

from __future__ import annotations

from struct import pack
from typing import TYPE_CHECKING, NamedTuple

from emulator.hw.vga.registers import (
    BANK,
    DEPTH,
    ENABLE,
    ENABLED,
    KEEP_MEMORY,
    LINEAR,
    VIRTUAL_WIDTH,
    WIDE_DAC,
    X_OFFSET,
    X_SIZE,
    Y_OFFSET,
    Y_SIZE,
)  # fmt: skip
from emulator.machine.firmware import ROM, Method, Service, call

from . import data, modes

if TYPE_CHECKING:
    from emulator.hw.vga.card import Vga
    from emulator.machine.firmware import Firmware

    from .video import Video

SUCCESS, FAILED, UNSUPPORTED = 0x004F, 0x014F, 0x024F
INDEX, DATA = 0x1CE, 0x1CF
USE_LINEAR, KEEP = 0x4000, 0x8000  # in a mode's number
BANK_SIZE, BANK_KILOBYTES = 0x10000, 64
VERSION = 0x0300
WIDE_DAC_SUPPORTED = 1
ATTRIBUTES = 0x009B  # supported by hardware, known to the BIOS, colour, graphics, linear window
WINDOW_ATTRIBUTES = 7
PACKED, DIRECT = 4, 6
END = 0xFFFF
# Sizes and positions of red, green, blue and the rest
COLORS = {
    15: (5, 10, 5, 5, 5, 0, 1, 15), 16: (5, 11, 6, 5, 5, 0, 0, 0),
    24: (8, 16, 8, 8, 8, 0, 0, 0), 32: (8, 16, 8, 8, 8, 0, 8, 24),
}  # fmt: skip


class Mode(NamedTuple):
    width: int
    height: int
    depth: int


def _table() -> dict[int, Mode]:
    """VESA's numbers, and from 140h on the rest as the common firmware for this display has them."""
    table = {0x100: Mode(640, 400, 8), 0x101: Mode(640, 480, 8), 0x103: Mode(800, 600, 8), 0x105: Mode(1024, 768, 8)}
    table[0x107] = Mode(1280, 1024, 8)
    sizes = ((320, 200), (640, 480), (800, 600), (1024, 768), (1280, 1024), (1600, 1200))
    for place, size in enumerate(sizes[:5]):
        for number, depth in enumerate((15, 16, 24)):
            table[0x10D + 3 * place + number] = Mode(*size, depth)
    for place, size in enumerate(sizes):
        table[0x140 + place] = Mode(*size, 32)
    return table


MODES = _table()


class Vbe(Service):
    def __init__(self, firmware: Firmware, vga: Vga, video: Video) -> None:
        super().__init__(firmware)
        self.vga, self.video = vga, video
        self.name = firmware.add_code(b"imgtools\0")
        self.modes = firmware.add_code(pack(f"<{len(MODES) + 1}H", *MODES, END))
        self.mode = 0  # 0: none of these

    def perform(self, method: Method) -> None:
        """All return a status in AX."""
        self.caller.ax = method()

    def _get(self, index: int) -> int:
        self.firmware.machine.bus.write(INDEX, 2, index)
        return self.firmware.machine.bus.read(DATA, 2)

    def _set(self, index: int, value: int) -> None:
        self.firmware.machine.bus.write(INDEX, 2, index)
        self.firmware.machine.bus.write(DATA, 2, value)

    @property
    def linear(self) -> int:
        """The address of the linear window, 0 if there is none."""
        return self.vga.bar_place(0) or 0

    @property
    def active(self) -> bool:
        return bool(self._get(ENABLE) & ENABLED)

    @call(0x10, 0x4F00)
    def information(self) -> int:
        place = self.caller.es(self.caller.di)
        is_second = self.space.read(place, 4) == b"VBE2"
        name = (ROM << 12) + self.name
        block = pack(
            "<4sHIIIH", b"VESA", VERSION, name, WIDE_DAC_SUPPORTED, (ROM << 12) + self.modes,
            self.vga.registers.memory_size >> 16,
        ) + pack("<HIII", 1, name, name, name)  # fmt: skip
        self.space.write(place, block.ljust(512 if is_second else 256, b"\0"))
        return SUCCESS

    @call(0x10, 0x4F01)
    def mode_information(self) -> int:
        mode = MODES.get(self.caller.cx & 0x1FF)
        if mode is None:
            return FAILED
        line = mode.width * ((mode.depth + 7) // 8)
        pages = min(self.vga.registers.memory_size // (line * mode.height), 256) - 1
        model = DIRECT if mode.depth > 8 else PACKED
        colors = bytes(COLORS.get(mode.depth, (0,) * 8))
        block = pack("<HBBHHHHIH", ATTRIBUTES, WINDOW_ATTRIBUTES, 0, BANK_KILOBYTES, BANK_KILOBYTES, 0xA000, 0, 0, line)
        depth = 16 if mode.depth == 15 else mode.depth
        block += pack("<HHBBBBBBBBB", mode.width, mode.height, 8, 16, 1, depth, 1, model, 0, pages, 1)
        block += colors + bytes((2 * (mode.depth == 32),)) + pack("<IIH", self.linear, 0, 0)
        block += pack("<HBB", line, pages, pages) + colors + pack("<I", 0)
        self.space.write(self.caller.es(self.caller.di), block.ljust(256, b"\0"))
        return SUCCESS

    @call(0x10, 0x4F02)
    def set_mode(self) -> int:
        number = self.caller.bx & 0x1FF
        if number < 0x100:
            if number & 0x7F not in modes.MODES:
                return FAILED
            self.mode = 0
            self.video.set_mode(number & 0x7F, clear=not self.caller.bx & KEEP)
            return SUCCESS
        mode = MODES.get(number)
        if mode is None:
            return FAILED
        self.video.set_mode(0x13, clear=False)  # chained memory, and the palette of 256 colours
        self.put(data.VIDEO_MODE, 0xFF)
        self._set(ENABLE, 0)
        for index, value in ((X_SIZE, mode.width), (Y_SIZE, mode.height), (DEPTH, mode.depth), (BANK, 0)):
            self._set(index, value)
        keep = KEEP_MEMORY if self.caller.bx & KEEP else 0
        self._set(ENABLE, ENABLED | keep | (LINEAR if self.caller.bx & USE_LINEAR else 0))
        self.mode = self.caller.bx & (KEEP | USE_LINEAR | 0x1FF)
        return SUCCESS

    @call(0x10, 0x4F03)
    def get_mode(self) -> int:
        self.caller.bx = self.mode if self.active else self.get(data.VIDEO_MODE)
        return SUCCESS

    @call(0x10, 0x4F05)
    def window(self) -> int:
        """Set (BH = 0) or get the bank in DX of window A."""
        caller = self.caller
        if caller.bl or not self.active:
            return FAILED
        if caller.bh == 0:
            if caller.dx >= self.vga.registers.memory_size // BANK_SIZE:
                return FAILED
            self._set(BANK, caller.dx)
        else:
            caller.dx = self._get(BANK)
        return SUCCESS

    @call(0x10, 0x4F06)
    def line_length(self) -> int:
        """In pixels (BL = 0), in bytes (2), as it is (1), the greatest (3)."""
        caller, registers = self.caller, self.vga.registers
        if not self.active or caller.bl > 3:
            return FAILED
        size = registers.bytes_per_pixel
        if caller.bl in (0, 2):
            self._set(VIRTUAL_WIDTH, caller.cx if caller.bl == 0 else -(-caller.cx // size))
        widest = min(registers.memory_size // (registers.dispi[Y_SIZE] * size or 1), 0xFFFF)
        width = widest if caller.bl == 3 else registers.dispi[VIRTUAL_WIDTH]
        caller.bx, caller.cx = width * size, width
        caller.dx = min(registers.memory_size // (width * size), 0xFFFF)
        return SUCCESS

    @call(0x10, 0x4F07)
    def start(self) -> int:
        """Where the picture begins: column CX and line DX."""
        caller = self.caller
        if not self.active or caller.bl & 0x7F not in (0, 1):
            return FAILED
        if caller.bl & 1:
            caller.bh, caller.cx, caller.dx = 0, self._get(X_OFFSET), self._get(Y_OFFSET)
        else:
            self._set(X_OFFSET, caller.cx)
            self._set(Y_OFFSET, caller.dx)
        return SUCCESS

    @call(0x10, 0x4F08)
    def palette_format(self) -> int:
        """Bits of a colour in the DAC: set (BL = 0) or get."""
        caller = self.caller
        enabled = self._get(ENABLE)
        if caller.bl == 0:
            enabled = enabled & ~WIDE_DAC | (WIDE_DAC if caller.bh >= 8 else 0)
            self._set(ENABLE, enabled)
        caller.bh = 8 if enabled & WIDE_DAC else 6
        return SUCCESS

    @call(0x10, 0x4F09)
    def palette(self) -> int:
        """CX entries from DX on at ES:DI, blue, green, red and a byte: set (BL = 0, 80h) or get (1)."""
        caller = self.caller
        count, place = min(caller.cx, 256), caller.es(caller.di)
        if caller.bl & 0x7F == 0:
            values = self.space.read(place, count * 4)
            self.firmware.out(0x3C8, caller.dl)
            for number in range(0, count * 4, 4):
                self.firmware.out(0x3C9, values[number + 2], values[number + 1], values[number])
            return SUCCESS
        if caller.bl != 1:
            return UNSUPPORTED
        self.firmware.out(0x3C7, caller.dl)
        colors = [[self.firmware.input(0x3C9) for _ in range(3)] for _ in range(count)]
        self.space.write(place, b"".join(bytes((blue, green, red, 0)) for red, green, blue in colors))
        return SUCCESS

    @call(0x10, 0x4F15)
    def display_data(self) -> int:
        """DDC: what there is (BL = 0), and the display's EDID (1), which says its name and sizes."""
        caller = self.caller
        if caller.bl == 0:
            caller.bx = 0x0103
            return SUCCESS
        return FAILED

    @call(0x10, 0x4F0A, 0x4F04, 0x4F10)
    def unsupported(self) -> int:
        """State, protected mode, power."""
        if self.caller.ax == 0x4F10 and self.caller.bl == 0:
            self.caller.bx = 0x0030
            return SUCCESS
        return UNSUPPORTED
