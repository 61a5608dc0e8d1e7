"""INT 14h and 17h: the serial port, and printers, of which there are none."""

from __future__ import annotations

from emulator.machine.firmware import Service, call

from . import data

DIVISORS = (1047, 768, 384, 192, 96, 48, 24, 12)  # 110 to 9600 baud
DIVISOR_ACCESS = 0x80
TIMEOUT, DATA_READY = 0x80, 1


class Ports(Service):
    def _base(self) -> int:
        """The first port of the serial port in DX, 0 if there is none."""
        return self.get(data.SERIAL_PORTS + 2 * self.caller.dx, 2) if self.caller.dx < 4 else 0

    def _set_status(self, base: int) -> None:
        self.caller.ah = self.firmware.input(base + 5)

    @call(0x14, 0x00)
    def set_up(self) -> None:
        """AL: baud rate, parity, stop bits, length."""
        base, value = self._base(), self.caller.al
        if not base:
            self.caller.ah = TIMEOUT
            return
        self.firmware.out(base + 3, DIVISOR_ACCESS)
        self.firmware.out(base, DIVISORS[value >> 5] & 0xFF)
        self.firmware.out(base + 1, DIVISORS[value >> 5] >> 8)
        self.firmware.out(base + 3, value & 0x1F)
        self.status()

    @call(0x14, 0x01)
    def send(self) -> None:
        base = self._base()
        if base:
            self.firmware.out(base, self.caller.al)
            self._set_status(base)
        else:
            self.caller.ah = TIMEOUT

    @call(0x14, 0x02)
    def receive(self) -> None:
        """A byte, or a time-out at once."""
        base = self._base()
        if base and self.firmware.input(base + 5) & DATA_READY:
            self.caller.al = self.firmware.input(base)
            self.caller.ah = 0
        else:
            self.caller.ah = TIMEOUT

    @call(0x14, 0x03)
    def status(self) -> None:
        base = self._base()
        self.caller.ax = self.firmware.input(base + 5) << 8 | self.firmware.input(base + 6) if base else TIMEOUT << 8

    @call(0x17)
    def printer(self) -> None:
        self.caller.ah = TIMEOUT
