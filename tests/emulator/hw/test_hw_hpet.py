"""The HPET by its registers, on a clock that the test moves."""

from __future__ import annotations

import random

import pytest

from emulator.hw.hpet import COUNTER, STATUS, Hpet

MICROSECOND = 1000
PERIODIC, LEVEL, INTERRUPTS, SET_VALUE, NARROW = 8, 2, 4, 0x40, 0x100
PIN_20 = 20 << 9


class Timer:
    def __init__(self, now: int = 0) -> None:
        self.now = now
        self.rises: list[int] = []
        self.lines: dict[int, bool] = {}
        self.chip = Hpet(self.set_irq, lambda: self.now)

    def set_irq(self, number: int, high: bool) -> None:
        if high and not self.lines.get(number):
            self.rises.append(number)
        self.lines[number] = high

    def write(self, offset: int, value: int, size: int = 8) -> None:
        self.chip.write_memory(offset, size, value)

    def read(self, offset: int, size: int = 8) -> int:
        return self.chip.read_memory(offset, size)

    def wait(self, until: int) -> None:
        self.now = until
        self.chip.run_events(until)


@pytest.fixture
def timer() -> Timer:
    return Timer()


def test_counter(timer: Timer) -> None:
    """10 ns a tick; it stands still while it is disabled, and may be set."""
    assert timer.read(0) == 0x00989680_8086A201
    timer.now = 1005
    assert timer.read(COUNTER) == 0
    timer.write(0x10, 1)
    timer.now += MICROSECOND
    assert timer.read(COUNTER) == 100
    timer.write(0x10, 0)
    timer.now += MICROSECOND
    assert timer.read(COUNTER) == 100
    timer.write(COUNTER, 5 << 32)
    timer.write(0x10, 1)
    timer.now += MICROSECOND
    assert timer.read(COUNTER + 4, 4) == 5 and timer.read(COUNTER, 4) == 100


def test_one_shot(timer: Timer) -> None:
    timer.write(0x10, 1)
    timer.write(0x140, INTERRUPTS | PIN_20)
    timer.write(0x148, 50)
    assert timer.chip.next_event() == 500
    timer.wait(499)
    assert not timer.rises
    timer.wait(500)
    assert timer.rises == [20] and not timer.lines[20] and timer.chip.next_event() is None


def test_periodic(timer: Timer) -> None:
    """As Linux sets it up: the first time by VAL_SET, the period by a second write; replacing the 8254."""
    timer.write(0x10, 3)
    timer.write(0x100, INTERRUPTS | PERIODIC | SET_VALUE | NARROW)
    timer.write(0x108, 30, 4)
    timer.write(0x108, 100, 4)
    assert timer.chip.legacy and timer.chip.next_event() == 300
    for turn in range(3):
        timer.wait(300 + 1000 * turn)
    assert timer.rises == [0, 0, 0] and timer.read(0x108) == 330
    timer.wait(1_000_005)
    assert timer.rises == [0] * 4 and timer.chip.next_event() == 1_000_300


def test_without_interrupts(timer: Timer) -> None:
    """A periodic comparator that nobody hears makes no events, and is in step when somebody does."""
    timer.write(0x10, 1)
    timer.write(0x100, PERIODIC | SET_VALUE)
    timer.write(0x108, 100)
    assert timer.chip.next_event() is None
    timer.wait(5005)
    assert timer.read(0x108) == 600 and not timer.rises
    timer.write(0x100, PERIODIC | INTERRUPTS | PIN_20)
    assert timer.chip.next_event() == 6000


def test_replacement() -> None:
    heard: list[bool] = []
    chip = Hpet(lambda number, high: None, lambda: 0, heard.append)
    chip.write_memory(0x10, 4, 2)
    chip.write_memory(0x10, 4, 1)
    assert heard == [False, True, False]


def test_level(timer: Timer) -> None:
    timer.write(0x10, 1)
    timer.write(0x120, INTERRUPTS | LEVEL | PIN_20)
    timer.write(0x128, 10)
    timer.wait(100)
    assert timer.lines[20] and timer.read(STATUS) == 2
    timer.write(STATUS, 2)
    assert not timer.lines[20] and timer.read(STATUS) == 0


def test_no_route(timer: Timer) -> None:
    """A pin that it cannot have."""
    timer.write(0x10, 1)
    timer.write(0x100, INTERRUPTS | 5 << 9)
    timer.write(0x108, 10)
    timer.wait(100)
    assert not timer.rises


def test_save_and_load(timer: Timer) -> None:
    timer.write(0x10, 1)
    timer.write(0x100, INTERRUPTS | PIN_20)
    timer.write(0x108, 100)
    copy = Timer(now=12340)
    copy.chip.load(timer.chip.save())
    assert copy.chip.next_event() == 12340 + 1000


@pytest.mark.parametrize("seed", range(5))
def test_anything(timer: Timer, seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(4000):
        size = choose.choice((1, 2, 4, 8))
        offset = choose.choice((0x10, 0x20, 0xF0, 0x100, 0x108, 0x120, choose.randrange(0x400))) + 4 * (size == 4)
        timer.write(offset, choose.getrandbits(choose.randrange(8 * size + 1)), size)
        timer.read(offset, size)
        timer.wait(timer.now + choose.getrandbits(choose.randrange(34)))
        due = timer.chip.next_event()
        assert due is None or due > timer.now - 10
