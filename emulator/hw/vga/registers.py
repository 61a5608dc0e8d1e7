"""The registers of the VGA and of the Bochs extensions, by index, and what they say about the picture.

IBM "VGA Technical Reference"; the extensions are described with Bochs as "VBE_DISPI", version B0C5h.
"""

from __future__ import annotations

from typing import Any

SEQUENCER_COUNT, CRTC_COUNT, GRAPHICS_COUNT, ATTRIBUTE_COUNT = 8, 25, 9, 21
# Which bits a register keeps
GRAPHICS_MASKS = bytes((15, 15, 15, 31, 3, 0x7B, 15, 15, 255))
# Extended registers
ID, X_SIZE, Y_SIZE, DEPTH, ENABLE, BANK, VIRTUAL_WIDTH, VIRTUAL_HEIGHT, X_OFFSET, Y_OFFSET, MEMORY = range(11)
VERSION, FIRST_VERSION = 0xB0C5, 0xB0C0
ENABLED, GET_LIMITS, WIDE_DAC, LINEAR, KEEP_MEMORY = 1, 2, 0x20, 0x40, 0x80
MAX_X, MAX_Y, MAX_DEPTH = 2560, 1600, 32
DEPTHS = (4, 8, 15, 16, 24, 32)
BLANK, RETRACE = 1, 8  # input status 1


class Registers:
    def __init__(self, memory_size: int) -> None:
        self.memory_size = memory_size
        self.reset()

    def reset(self) -> None:
        self.misc = 0
        self.sequencer = bytearray(SEQUENCER_COUNT)
        self.crtc = bytearray(CRTC_COUNT)
        self.graphics = bytearray(GRAPHICS_COUNT)
        self.attribute = bytearray(ATTRIBUTE_COUNT)
        self.palette = bytearray(768)
        self.pixel_mask = 0xFF
        self.dispi = [VERSION] + [0] * 10

    # -- the Bochs extensions -------------------------------------------------------------------------------

    @property
    def extended(self) -> bool:
        """Whether they show the picture."""
        return bool(self.dispi[ENABLE] & ENABLED)

    @property
    def bank(self) -> int:
        return self.dispi[BANK]

    def read_extended(self, index: int) -> int:
        if index == MEMORY:
            return self.memory_size >> 16
        if index >= len(self.dispi):
            return 0
        if self.dispi[ENABLE] & GET_LIMITS and index in (X_SIZE, Y_SIZE, DEPTH):
            return {X_SIZE: MAX_X, Y_SIZE: MAX_Y, DEPTH: MAX_DEPTH}[index]
        return self.dispi[index]

    def write_extended(self, index: int, value: int) -> bool:
        """True if display memory is to be cleared."""
        dispi = self.dispi
        if index == ID:
            if FIRST_VERSION <= value <= VERSION:
                dispi[ID] = value
        elif index == BANK:
            dispi[BANK] = value % (self.memory_size >> 16)
        elif index in (X_SIZE, Y_SIZE, DEPTH, X_OFFSET, Y_OFFSET):
            dispi[index] = value
            self._limit()
        elif index == VIRTUAL_WIDTH:
            dispi[VIRTUAL_WIDTH] = value
            self._limit()
        elif index == ENABLE:
            starts = value & ENABLED and not dispi[ENABLE] & ENABLED
            dispi[ENABLE] = value
            if starts:
                dispi[VIRTUAL_WIDTH] = dispi[X_SIZE]
                dispi[X_OFFSET] = dispi[Y_OFFSET] = dispi[BANK] = 0
                self._limit()
                return not value & KEEP_MEMORY
        return False

    def _limit(self) -> None:
        """Sizes that there are, and offsets in memory."""
        dispi = self.dispi
        dispi[X_SIZE] = min(dispi[X_SIZE] & ~7, MAX_X)
        dispi[Y_SIZE] = min(dispi[Y_SIZE], MAX_Y)
        if dispi[DEPTH] not in DEPTHS:
            dispi[DEPTH] = 8
        dispi[VIRTUAL_WIDTH] = max(dispi[VIRTUAL_WIDTH], dispi[X_SIZE], 8)
        dispi[VIRTUAL_HEIGHT] = min(self.memory_size // self.line_size, 0xFFFF)
        dispi[Y_SIZE] = min(dispi[Y_SIZE], dispi[VIRTUAL_HEIGHT])
        dispi[Y_OFFSET] = min(dispi[Y_OFFSET], dispi[VIRTUAL_HEIGHT] - dispi[Y_SIZE])
        dispi[X_OFFSET] = min(dispi[X_OFFSET], dispi[VIRTUAL_WIDTH] - dispi[X_SIZE])

    @property
    def bytes_per_pixel(self) -> int:
        return max(1, (self.dispi[DEPTH] + 7) // 8)

    @property
    def line_size(self) -> int:
        """Of the extended modes; four planes lie side by side."""
        width = self.dispi[VIRTUAL_WIDTH]
        return max(1, width // 2 if self.dispi[DEPTH] == 4 else width * self.bytes_per_pixel)

    # -- what the VGA's registers mean ----------------------------------------------------------------------

    @property
    def is_graphics(self) -> bool:
        return self.extended or bool(self.graphics[6] & 1)

    @property
    def blanked(self) -> bool:
        """The screen is off, or nobody has set a mode."""
        return bool(self.sequencer[1] & 0x20) or not self.crtc[1]

    @property
    def character_height(self) -> int:
        return (self.crtc[9] & 31) + 1

    @property
    def lines(self) -> int:
        """Lines of the picture, doubled ones included."""
        overflow = self.crtc[7]
        return (self.crtc[0x12] | (overflow & 2) << 7 | (overflow & 0x40) << 3) + 1

    @property
    def columns(self) -> int:
        """Of characters, or of 8 pixels."""
        return self.crtc[1] + 1

    @property
    def start(self) -> int:
        return self.crtc[0x0C] << 8 | self.crtc[0x0D]

    @property
    def cursor(self) -> int:
        """The character that the cursor is on."""
        return self.crtc[0x0E] << 8 | self.crtc[0x0F]

    @property
    def cursor_visible(self) -> bool:
        return not self.crtc[0x0A] & 0x20 and self.crtc[0x0A] & 31 <= self.crtc[0x0B] & 31

    def color(self, number: int) -> tuple[int, int, int]:
        """Of an entry of the DAC: 8 bits each."""
        red, green, blue = self.palette[number * 3 : number * 3 + 3]
        if self.dispi[ENABLE] & WIDE_DAC:
            return red, green, blue
        return _eight_bits(red), _eight_bits(green), _eight_bits(blue)

    def attribute_color(self, number: int) -> tuple[int, int, int]:
        """Of one of the 16 colours of text and planar modes."""
        index = self.attribute[number & 15] & 63
        select = self.attribute[20]
        if self.attribute[16] & 0x80:
            index = index & 15 | (select & 3) << 4
        return self.color((index | (select & 12) << 4) & self.pixel_mask)

    def save(self) -> dict[str, Any]:
        return {name: list(value) if isinstance(value, bytearray) else value for name, value in vars(self).items()}

    def load(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            kept = getattr(self, name)
            setattr(self, name, bytearray(value) if isinstance(kept, bytearray) else value)


def _eight_bits(part: int) -> int:
    """Of six."""
    return (part & 63) << 2 | part >> 4 & 3
