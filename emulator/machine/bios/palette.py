"""INT 10h, AH = 0Bh and 10h: colours, of the attribute controller and of the DAC."""

from __future__ import annotations

from emulator.machine.firmware import Service, call

ATTRIBUTE, ATTRIBUTE_READ, SHOW = 0x3C0, 0x3C1, 0x20
DAC_READ, DAC_WRITE, DAC_DATA, PIXEL_MASK = 0x3C7, 0x3C8, 0x3C9, 0x3C6
MODE, OVERSCAN, SELECT = 16, 17, 20
BLINK = 8


class Palette(Service):
    def _set(self, number: int, value: int) -> None:
        """An attribute register, through the flip-flop."""
        self.firmware.input(0x3DA)
        self.firmware.input(0x3BA)
        self.firmware.out(ATTRIBUTE, number & 31, value, SHOW)

    def _get(self, number: int) -> int:
        self.firmware.input(0x3DA)
        self.firmware.input(0x3BA)
        self.firmware.out(ATTRIBUTE, number & 31)
        value = self.firmware.input(ATTRIBUTE_READ)
        self.firmware.out(ATTRIBUTE, value)
        self.firmware.out(ATTRIBUTE, SHOW)
        return value

    @call(0x10, 0x0B)
    def border(self) -> None:
        if self.caller.bh == 0:
            self._set(OVERSCAN, self.caller.bl)

    @call(0x10, 0x1000)
    def set_register(self) -> None:
        self._set(self.caller.bl, self.caller.bh)

    @call(0x10, 0x1001)
    def set_border(self) -> None:
        self._set(OVERSCAN, self.caller.bh)

    @call(0x10, 0x1002)
    def set_registers(self) -> None:
        table = self.space.read(self.caller.es(self.caller.dx), 17)
        for number, value in enumerate(table):
            self._set(number if number < 16 else OVERSCAN, value)

    @call(0x10, 0x1003)
    def set_blinking(self) -> None:
        self._set(MODE, self._get(MODE) & ~BLINK | BLINK * (self.caller.bl & 1))

    @call(0x10, 0x1007)
    def get_register(self) -> None:
        self.caller.bh = self._get(self.caller.bl)

    @call(0x10, 0x1008)
    def get_border(self) -> None:
        self.caller.bh = self._get(OVERSCAN)

    @call(0x10, 0x1009)
    def get_registers(self) -> None:
        values = bytes(self._get(number) for number in (*range(16), OVERSCAN))
        self.space.write(self.caller.es(self.caller.dx), values)

    @call(0x10, 0x1010)
    def set_color(self) -> None:
        self.firmware.out(DAC_WRITE, self.caller.bl)
        self.firmware.out(DAC_DATA, self.caller.dh, self.caller.ch, self.caller.cl)

    @call(0x10, 0x1012)
    def set_colors(self) -> None:
        """CX of them from BX on."""
        count = min(self.caller.cx, 256)
        self.firmware.out(DAC_WRITE, self.caller.bl)
        self.firmware.out(DAC_DATA, *self.space.read(self.caller.es(self.caller.dx), count * 3))

    @call(0x10, 0x1013)
    def set_page(self) -> None:
        if self.caller.bl == 0:
            self._set(MODE, self._get(MODE) & 0x7F | (self.caller.bh & 1) << 7)
        else:
            shift = 0 if self._get(MODE) & 0x80 else 2
            self._set(SELECT, self.caller.bh << shift)

    @call(0x10, 0x1015)
    def get_color(self) -> None:
        caller = self.caller
        self.firmware.out(DAC_READ, caller.bl)
        caller.dh, caller.ch, caller.cl = (self.firmware.input(DAC_DATA) for _ in range(3))

    @call(0x10, 0x1017)
    def get_colors(self) -> None:
        count = min(self.caller.cx, 256)
        self.firmware.out(DAC_READ, self.caller.bl)
        values = bytes(self.firmware.input(DAC_DATA) for _ in range(count * 3))
        self.space.write(self.caller.es(self.caller.dx), values)

    @call(0x10, 0x1018)
    def set_mask(self) -> None:
        self.firmware.out(PIXEL_MASK, self.caller.bl)

    @call(0x10, 0x1019)
    def get_mask(self) -> None:
        self.caller.bl = self.firmware.input(PIXEL_MASK)

    @call(0x10, 0x101A)
    def get_page(self) -> None:
        mode = self._get(MODE)
        self.caller.bl = mode >> 7
        self.caller.bh = self._get(SELECT) >> (0 if mode & 0x80 else 2)
