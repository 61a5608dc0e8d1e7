"""The real-time clock with its battery-backed memory (Motorola MC146818A data sheet, DS5080; ports 70h and 71h).

The date is computed from a clock of the world, in UTC, and from an offset, which is what a guest changes that sets it.
While it does (SET), the registers are memory. What happens every second, at the alarm or periodically is worked out
when somebody looks, and by events only if an interrupt is to come.
"""

from __future__ import annotations

from calendar import timegm
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from .device import Clock, Device, Line

INDEX, DATA = 0x70, 0x71
SIZE = 128
SECOND = 1_000_000_000
OSCILLATOR = 32768  # Hz
ANNOUNCED = 244_000  # ns before an update that bit 7 of A says that it comes

SECONDS, MINUTES, HOURS, WEEKDAY, DAY, MONTH, YEAR, CENTURY = 0, 2, 4, 6, 7, 8, 9, 0x32
ALARMS = {SECONDS: 1, MINUTES: 3, HOURS: 5}
ANY = 0xC0  # in an alarm: whatever it is
TIME = (SECONDS, MINUTES, HOURS, WEEKDAY, DAY, MONTH, YEAR, CENTURY)
A, B, C, D = 10, 11, 12, 13
UPDATING, RUNS = 0x80, 0x20  # A: coming soon; the oscillator's divider as it is everywhere
SET, BINARY, HOURS_24 = 0x80, 4, 2  # B
PERIODIC, ALARM, UPDATE = 0x40, 0x20, 0x10  # enabled in B, happened in C
INTERRUPT = 0x80  # C
PM = 0x80  # in the hours of 12
POWERED = 0x80  # D
MAX_MISSED = 86400  # seconds that are looked through for an alarm: all there are

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_YEAR, LAST_YEAR = 1, 9998


class RealTimeClock(Device):
    """`wall` is nanoseconds since 1970, `clock` the machine's; `memory` is what the battery has kept."""

    ports = (INDEX, DATA)

    def __init__(self, line: Line, clock: Clock, wall: Clock, memory: Mapping[int, int]) -> None:
        self.line, self.clock, self.wall = line, clock, wall
        self.memory = bytearray(SIZE)
        self.memory[A], self.memory[B], self.memory[D] = RUNS | 6, HOURS_24, POWERED
        for place, value in memory.items():
            self.memory[place] = value
        self.index = 0
        self.offset = 0  # ns that the guest is ahead of the world
        self.seen_second = self._second()
        self.seen_period = self._period()
        self.due: int | None = None

    def reset(self) -> None:
        """The time goes on; no interrupts are enabled."""
        self.index = 0
        self.memory[B] &= ~(PERIODIC | ALARM | UPDATE)
        self.memory[C] = 0
        self._interrupt()

    # -- the date -------------------------------------------------------------------------------------------

    def _now(self) -> int:
        return self.wall() + self.offset

    def _second(self) -> int:
        return self._now() // SECOND

    def _encode(self, value: int) -> int:
        return value if self.memory[B] & BINARY else value // 10 << 4 | value % 10

    def _decode(self, value: int) -> int:
        return value if self.memory[B] & BINARY else (value >> 4) * 10 + (value & 15)

    def _encode_hour(self, hour: int) -> int:
        if self.memory[B] & HOURS_24:
            return self._encode(hour)
        return self._encode((hour + 11) % 12 + 1) | PM * (hour >= 12)

    def _decode_hour(self, value: int) -> int:
        if self.memory[B] & HOURS_24:
            return self._decode(value)
        return self._decode(value & ~PM) % 12 + 12 * bool(value & PM)

    def _registers(self, second: int) -> dict[int, int]:
        """The time as the registers have it."""
        date = EPOCH + timedelta(seconds=min(max(second, timegm((FIRST_YEAR, 1, 1, 0, 0, 0))), LAST_SECOND))
        values = (date.second, date.minute, date.hour, date.isoweekday() % 7 + 1, date.day, date.month)
        values = (*values, date.year % 100, date.year // 100)
        encoded = {place: self._encode(value) for place, value in zip(TIME, values, strict=True)}
        return encoded | {HOURS: self._encode_hour(date.hour)}

    def _hold(self) -> None:
        """The registers become memory."""
        for place, value in self._registers(self._second()).items():
            self.memory[place] = value

    def _start(self) -> None:
        """The clock goes on from what is in the registers."""
        value = {place: self._decode(self.memory[place]) for place in TIME}
        year = min(max(value[CENTURY] * 100 + value[YEAR], FIRST_YEAR), LAST_YEAR)
        month = min(max(value[MONTH], 1), 12)
        hour = self._decode_hour(self.memory[HOURS])
        second = timegm((year, month, value[DAY], hour, value[MINUTES], value[SECONDS]))
        self.offset = second * SECOND - self.wall()
        self.seen_second = self._second()

    # -- what happens ---------------------------------------------------------------------------------------

    def _period_ticks(self) -> int:
        """Of the oscillator, 0 for none."""
        rate = self.memory[A] & 15
        if rate == 0 or self.memory[A] & 0x70 != RUNS:
            return 0
        return 1 << (rate + 6 if rate <= 2 else rate - 1)

    def _period(self) -> int:
        """The number of the current period."""
        ticks = self._period_ticks()
        return self.clock() * OSCILLATOR // SECOND // ticks if ticks else 0

    def _look(self) -> None:
        """Note in C what has happened since the last time."""
        period = self._period()
        if period != self.seen_period and self._period_ticks():
            self.memory[C] |= PERIODIC
        self.seen_period = period
        if not self.memory[B] & SET:
            second = self._second()
            if second > self.seen_second:
                self.memory[C] |= UPDATE
                first = max(self.seen_second + 1, second - MAX_MISSED)
                if any(self._is_alarm(passed) for passed in range(first, second + 1)):
                    self.memory[C] |= ALARM
            self.seen_second = second
        self._interrupt()

    def _is_alarm(self, second: int) -> bool:
        wanted = {place: self.memory[alarm] for place, alarm in ALARMS.items() if self.memory[alarm] & ANY != ANY}
        if not wanted:
            return True
        now = self._registers(second)
        return all(now[place] == value for place, value in wanted.items())

    def _interrupt(self) -> None:
        asserted = bool(self.memory[B] & self.memory[C] & (PERIODIC | ALARM | UPDATE))
        self.memory[C] = self.memory[C] & ~INTERRUPT | INTERRUPT * asserted
        self.line(asserted)
        self._schedule()

    def _schedule(self) -> None:
        """When the next interrupt may come, unless one is waiting to be seen."""
        due = []
        ticks = self._period_ticks()
        if self.memory[B] & PERIODIC and ticks:
            due.append(-(-(self.seen_period + 1) * ticks * SECOND // OSCILLATOR))
        if self.memory[B] & (ALARM | UPDATE) and not self.memory[B] & SET:
            due.append(self.clock() + (self.seen_second + 1) * SECOND - self._now())
        self.due = None if self.memory[C] & INTERRUPT else min(due, default=None)

    def next_event(self) -> int | None:
        return self.due

    def run_events(self, now: int) -> None:
        if self.due is not None and now >= self.due:
            self._look()

    # -- registers ------------------------------------------------------------------------------------------

    def read(self, port: int) -> int:
        if port == INDEX:
            return 0xFF
        holds = self.memory[B] & SET
        if self.index in TIME and not holds:
            return self._registers(self._second())[self.index]
        if self.index == A:
            soon = not holds and self._now() % SECOND >= SECOND - ANNOUNCED
            return self.memory[A] | UPDATING * soon
        if self.index == C:
            self._look()
            happened, self.memory[C] = self.memory[C], 0
            self._interrupt()
            return happened
        return self.memory[self.index]

    def write(self, port: int, value: int) -> None:
        """Bit 7 of the index masks NMIs, of which there are none."""
        if port == INDEX:
            self.index = value & SIZE - 1
        elif self.index == A:
            self.memory[A] = value & ~UPDATING
            self.seen_period = self._period()
            self._schedule()
        elif self.index == B:
            self._control(value)
        elif self.index in TIME and not self.memory[B] & SET:
            self._hold()
            self.memory[self.index] = value
            self._start()
            self._schedule()
        elif self.index not in (C, D):
            self.memory[self.index] = value

    def _control(self, value: int) -> None:
        self._look()
        before = self.memory[B]
        if value & SET:
            value &= ~UPDATE
            if not before & SET:
                self._hold()
        self.memory[B] = value
        if before & SET and not value & SET:
            self._start()
        self._interrupt()

    def save(self) -> dict[str, Any]:
        return {"memory": self.memory.hex(), "index": self.index, "offset": self.offset}

    def load(self, state: dict[str, Any]) -> None:
        """The world's time has gone on."""
        self.memory[:] = bytes.fromhex(state["memory"])
        self.index, self.offset = state["index"], state["offset"]
        self.seen_second, self.seen_period = self._second(), self._period()
        self._interrupt()


LAST_SECOND = timegm((LAST_YEAR, 12, 31, 23, 59, 59))
