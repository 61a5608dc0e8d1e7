"""Power management by its registers, on a clock that the test moves."""

from __future__ import annotations

import random

import pytest

from emulator.hw.device import Bus
from emulator.hw.pci import ADDRESS, DATA, ENABLE, PciBus
from emulator.hw.pm import PowerManagement
from emulator.softmmu.space import AddressSpace

SECOND = 1_000_000_000
BASE = 0x600


class Board:
    def __init__(self, *, enabled: bool = True) -> None:
        self.now = 0
        self.high = False
        self.offs = 0
        self.bus = Bus()
        self.pci = PciBus(self.bus, AddressSpace(), lambda slot, pin, asserted: None)
        self.chip = PowerManagement(self.sci, self.off, lambda: self.now)
        self.pci.add(self.chip, 1, 3)
        if enabled:
            self.configure(0x40, BASE | 1, 4)
            self.configure(0x80, 1)

    def sci(self, high: bool) -> None:
        self.high = high

    def off(self) -> None:
        self.offs += 1

    def configure(self, offset: int, value: int, size: int = 1) -> None:
        self.bus.write(ADDRESS, 4, ENABLE | 1 << 11 | 3 << 8 | offset & 0xFC)
        self.bus.write(DATA + (offset & 3), size, value)

    def wait(self, until: int) -> None:
        self.now = until
        self.bus.run_events(self.now)


@pytest.fixture
def board() -> Board:
    return Board()


def test_window(board: Board) -> None:
    """The registers are where the base says, and only when they are enabled; another chip's ports stay its own."""
    fresh = Board(enabled=False)
    fresh.now = SECOND
    assert fresh.bus.read(BASE + 8, 4) == 0xFFFFFFFF
    board.now = SECOND
    assert board.bus.read(BASE + 8, 4) == 3_579_545
    board.configure(0x40, 0xB000, 4)
    assert board.bus.read(BASE + 8, 4) == 0xFFFFFFFF and board.bus.read(0xB008, 4) == 3_579_545
    board.configure(0x40, 0x80, 2)  # ports 80h to BFh would be among them
    assert board.bus.read(0xB2, 1) == 0
    board.bus.reset()
    assert board.bus.read(0xB008, 4) == 0xFFFFFFFF


def test_power_button(board: Board) -> None:
    """An interrupt as soon as ACPI is on and wants it; it ends when the status is cleared."""
    board.bus.write(BASE + 2, 2, 0x100)
    board.chip.press_power_button()
    assert not board.high and board.bus.read(BASE, 2) == 0x100
    board.bus.write(0xB2, 1, 0xF1)
    assert board.high and board.bus.read(BASE + 4, 2) == 1
    board.bus.write(BASE, 2, 0x100)
    assert not board.high and board.bus.read(BASE, 2) == 0
    board.bus.write(0xB2, 1, 0xF0)
    assert board.bus.read(BASE + 4, 2) == 0


def test_power_off(board: Board) -> None:
    board.bus.write(BASE + 4, 2, 0x0401)  # a type alone
    board.bus.write(BASE + 4, 2, 0x2401)  # S3, which there is not
    assert board.offs == 0
    board.bus.write(BASE + 4, 2, 0x2001)
    assert board.offs == 1


def test_timer(board: Board) -> None:
    """24 bits; a change of the highest one is an event."""
    board.bus.write(0xB2, 1, 0xF1)
    board.wait(3 * SECOND)
    assert board.bus.read(BASE, 2) == 1 and not board.high
    board.bus.write(BASE, 2, 1)
    board.bus.write(BASE + 2, 2, 1)
    due = board.bus.next_event()
    assert due is not None and abs(due - (2 << 23) * SECOND // 3_579_545) <= 1
    board.wait(due)
    assert board.high and board.bus.next_event() is None and board.bus.read(BASE + 8, 4) == 0
    board.bus.write(BASE, 2, 1)
    assert not board.high and board.bus.next_event() is not None


def test_no_smi_to_set_up(board: Board) -> None:
    board.bus.write(ADDRESS, 4, ENABLE | 1 << 11 | 3 << 8 | 0x58)
    assert board.bus.read(DATA, 4) & 1 << 25


def test_save_and_load(board: Board) -> None:
    board.bus.write(BASE + 2, 2, 0x100)
    board.bus.write(0xB2, 1, 0xF1)
    board.chip.press_power_button()
    copy = Board(enabled=False)
    copy.chip.load(board.chip.save())
    assert copy.high and copy.bus.read(BASE, 2) == 0x100


@pytest.mark.parametrize("seed", range(5))
def test_anything(board: Board, seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(3000):
        size = choose.choice((1, 2, 4))
        place = choose.choice((BASE, 0xAFE0 - 8, 0xB0, 0xB000)) + choose.randrange(64)
        board.bus.write(place, size, choose.getrandbits(8 * size))
        board.bus.read(place, size)
        if choose.random() < 0.1:
            board.configure(choose.choice((0x40, 0x40, 0x80, 4)), choose.getrandbits(16), 2)
        board.wait(board.now + choose.getrandbits(choose.randrange(32)))
