"""The real-time clock by its registers, on clocks that the test moves."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from emulator.hw.rtc import DATA, INDEX, A, B, C, RealTimeClock

SECOND = 1_000_000_000
START = int(datetime(2024, 2, 29, 23, 59, 58, tzinfo=UTC).timestamp()) * SECOND


class Time:
    def __init__(self) -> None:
        self.now = 0
        self.high = False
        self.chip = RealTimeClock(self.set, lambda: self.now, lambda: START + self.now, {0x3D: 0x21})

    def set(self, high: bool) -> None:
        self.high = high

    def read(self, place: int) -> int:
        self.chip.write(INDEX, place)
        return self.chip.read(DATA)

    def write(self, place: int, value: int) -> None:
        self.chip.write(INDEX, place | 0x80)
        self.chip.write(DATA, value)

    def date(self) -> list[int]:
        return [self.read(place) for place in (0x32, 9, 8, 7, 6, 4, 2, 0)]

    def run(self, until: int) -> int:
        """The number of interrupts until a time, each of which is seen."""
        count = 0
        while (due := self.chip.next_event()) is not None and due <= until:
            self.now = max(due, self.now)
            self.chip.run_events(self.now)
            count += self.high
            self.read(C)
        self.now = until
        return count


@pytest.fixture
def time() -> Time:
    return Time()


def test_date(time: Time) -> None:
    """BCD, binary, 12 hours; a leap year's end of February."""
    assert time.date() == [0x20, 0x24, 0x02, 0x29, 5, 0x23, 0x59, 0x58]
    time.write(B, 6)
    assert time.date() == [20, 24, 2, 29, 5, 23, 59, 58]
    time.write(B, 0)
    assert time.read(4) == 0x91  # 11 p.m.
    time.now += 2 * SECOND
    time.write(B, 2)
    assert time.date() == [0x20, 0x24, 0x03, 0x01, 6, 0, 0, 0]
    time.write(B, 0)
    assert time.read(4) == 0x12  # midnight


def test_setting(time: Time) -> None:
    """While SET is on, nothing moves; afterwards it goes on from there."""
    time.write(B, 0x82)
    for place, value in ((0x32, 0x19), (9, 0x99), (8, 0x12), (7, 0x31), (4, 0x23), (2, 0x59), (0, 0x59)):
        time.write(place, value)
    time.now += 100 * SECOND
    assert time.read(0) == 0x59
    time.write(B, 2)
    assert time.date() == [0x19, 0x99, 0x12, 0x31, 6, 0x23, 0x59, 0x59]
    time.now += SECOND
    assert time.date() == [0x20, 0, 1, 1, 7, 0, 0, 0]


def test_update(time: Time) -> None:
    """Announced 244 us before; an interrupt every second; a flag without one."""
    time.write(A, 0x20)
    assert not time.read(A) & 0x80
    time.now = SECOND - 100_000
    assert time.read(A) & 0x80 and not time.read(C)
    time.now = SECOND
    assert time.read(C) == 0x10 and time.read(C) == 0 and time.chip.next_event() is None
    time.write(B, 0x12)
    assert time.run(5 * SECOND) == 4


def test_alarm(time: Time) -> None:
    for place, value in ((1, 0x05), (3, 0xFF), (5, 0xC0)):  # at second 5 of every minute
        time.write(place, value)
    time.write(B, 0x22)
    assert time.run(6 * SECOND) == 0
    assert time.run(67 * SECOND) == 2 and time.read(0) == 5


def test_periodic(time: Time) -> None:
    """1024 Hz, and the rates that are not in the row."""
    time.write(B, 0x42)
    assert time.run(SECOND) == 1024
    time.write(A, 0x21)
    assert time.run(2 * SECOND) == 256
    time.write(A, 0x20)
    assert time.chip.next_event() is None


def test_interrupt_waits(time: Time) -> None:
    """The line stays high until C is read, and C says why."""
    time.write(A, 0x20)
    time.write(B, 0x12)
    time.now = SECOND
    time.chip.run_events(time.now)
    assert time.high and time.chip.next_event() is None
    assert time.read(C) == 0x90 and not time.high and time.chip.next_event() == 2 * SECOND
    time.now = 2 * SECOND
    time.chip.run_events(time.now)
    time.chip.reset()
    assert not time.high


def test_memory(time: Time) -> None:
    assert time.read(0x3D) == 0x21 and time.read(13) == 0x80
    time.write(0x50, 0xAB)
    copy = Time()
    copy.chip.load(time.chip.save())
    assert copy.read(0x50) == 0xAB


@pytest.mark.parametrize("seed", range(5))
def test_anything(seed: int) -> None:
    choose = random.Random(seed)
    time = Time()
    for _ in range(3000):
        place = choose.choice((*range(14), 0x32, choose.randrange(256)))
        if choose.random() < 0.5:
            time.write(place, choose.getrandbits(8))
        assert 0 <= time.read(place) <= 0xFF
        time.now += choose.getrandbits(choose.randrange(32))
        time.chip.run_events(time.now)
