"""INT 08h and 1Ah: ticks since midnight, and the real-time clock with its date and alarm."""

from __future__ import annotations

from emulator.machine.firmware import CARRY, Service, call

from . import data

TICKS_A_DAY = 0x1800B0
INDEX, REGISTER = 0x70, 0x71  # the RTC's ports
SECONDS, ALARM_SECONDS, MINUTES, ALARM_MINUTES, HOURS, ALARM_HOURS, _, DAY, MONTH, YEAR = range(10)
STATUS_A, STATUS_B, CENTURY = 0x0A, 0x0B, 0x32
DAYLIGHT, ALARM_INTERRUPT = 1, 0x20


def timer(port: int) -> bytes:
    """OUT port, AL; INT 1Ch; PUSH AX; MOV AL, 20h; OUT 20h, AL; POP AX; IRET"""
    return bytes((0xE6, port, 0xCD, 0x1C, 0x50, 0xB0, 0x20, 0xE6, 0x20, 0x58, 0xCF))


class Clock(Service):
    """The chip keeps BCD, which is what callers get."""

    stubs = {0x08: timer}

    @call(0x08)
    def tick(self) -> None:
        ticks = self.get(data.TICKS, 4) + 1
        if ticks >= TICKS_A_DAY:
            ticks = 0
            self.put(data.MIDNIGHT, 1)
        self.put(data.TICKS, ticks, 4)

    def set_ticks_by_clock(self) -> None:
        """After power-on."""
        seconds = sum(_binary(self._register(number)) * unit for number, unit in ((0, 1), (2, 60), (4, 3600)))
        self.put(data.TICKS, min(seconds * TICKS_A_DAY // 86400, TICKS_A_DAY - 1), 4)

    def _register(self, number: int) -> int:
        self.firmware.out(INDEX, number)
        return self.firmware.input(REGISTER)

    def _set_register(self, number: int, value: int) -> None:
        self.firmware.out(INDEX, number)
        self.firmware.out(REGISTER, value)

    @call(0x1A, 0x00)
    def get_ticks(self) -> None:
        ticks = self.get(data.TICKS, 4)
        self.caller.cx, self.caller.dx = ticks >> 16, ticks
        self.caller.ax = self.get(data.MIDNIGHT)
        self.put(data.MIDNIGHT, 0)
        self.caller.set_flag(CARRY, False)

    @call(0x1A, 0x01)
    def set_ticks(self) -> None:
        self.put(data.TICKS, self.caller.cx << 16 | self.caller.dx, 4)
        self.put(data.MIDNIGHT, 0)
        self.caller.ah = 0
        self.caller.set_flag(CARRY, False)

    @call(0x1A, 0x02)
    def get_time(self) -> None:
        caller = self.caller
        caller.ch, caller.cl, caller.dh = (self._register(number) for number in (HOURS, MINUTES, SECONDS))
        caller.dl = self._register(STATUS_B) & DAYLIGHT
        caller.set_flag(CARRY, False)

    @call(0x1A, 0x03)
    def set_time(self) -> None:
        caller = self.caller
        for number, value in ((HOURS, caller.ch), (MINUTES, caller.cl), (SECONDS, caller.dh)):
            self._set_register(number, value)
        caller.set_flag(CARRY, False)

    @call(0x1A, 0x04)
    def get_date(self) -> None:
        caller = self.caller
        caller.ch, caller.cl = self._register(CENTURY), self._register(YEAR)
        caller.dh, caller.dl = self._register(MONTH), self._register(DAY)
        caller.set_flag(CARRY, False)

    @call(0x1A, 0x05)
    def set_date(self) -> None:
        caller = self.caller
        for number, value in ((CENTURY, caller.ch), (YEAR, caller.cl), (MONTH, caller.dh), (DAY, caller.dl)):
            self._set_register(number, value)
        caller.set_flag(CARRY, False)

    @call(0x1A)
    def unknown(self) -> None:
        self.caller.set_flag(CARRY, True)


def _binary(value: int) -> int:
    return min((value >> 4) * 10 + (value & 15), 99)
