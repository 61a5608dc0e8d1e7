"""The keyboard controller, keyboard and mouse by their ports."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest

from emulator.hw import keys
from emulator.hw.i8042 import STROKE_TIME, KeyboardController
from emulator.hw.ps2 import MAX_QUEUE

DATA, STATUS = 0x60, 0x64
FULL, FROM_MOUSE = 1, 0x20


class Board:
    """A controller, and what its lines do."""

    def __init__(self) -> None:
        self.now = 0
        self.keyboard_interrupts = self.mouse_interrupts = self.resets = 0
        self.a20: bool | None = None
        self.levels = [False, False]
        self.chip = KeyboardController(self._line(0), self._line(1), self._set_a20, self._reset, lambda: self.now)

    def _line(self, number: int) -> Callable[[bool], None]:
        def set_line(high: bool) -> None:
            if high and not self.levels[number]:
                if number:
                    self.mouse_interrupts += 1
                else:
                    self.keyboard_interrupts += 1
            self.levels[number] = high

        return set_line

    def _set_a20(self, on: bool) -> None:
        self.a20 = on

    def _reset(self) -> None:
        self.resets += 1

    def command(self, value: int, *data: int) -> None:
        self.chip.write(STATUS, value)
        for byte in data:
            self.chip.write(DATA, byte)

    def received(self) -> list[int]:
        found = []
        while self.chip.read(STATUS) & FULL:
            found.append(self.chip.read(DATA))
        return found


@pytest.fixture
def board() -> Board:
    return Board()


def test_self_tests(board: Board) -> None:
    for command, answer in ((0xAA, 0x55), (0xAB, 0), (0xA9, 0)):
        board.command(command)
        assert board.received() == [answer]
    assert board.chip.read(STATUS) & 4


def test_command_byte(board: Board) -> None:
    board.command(0x60, 0x47)
    board.command(0x20)
    assert board.received() == [0x47]
    board.command(0xAD)
    board.command(0x20)
    assert board.received() == [0x57]


def test_translation(board: Board) -> None:
    """Set 2 comes as set 1 while bit 6 is set, and an interrupt for each byte."""
    board.chip.keyboard.key(0x1E, True)
    board.chip.keyboard.key(0x1E, False)
    board.chip.keyboard.key(keys.UP, True)
    assert board.received() == [0x1E, 0x9E, 0xE0, 0x48]
    assert board.keyboard_interrupts == 4
    board.command(0x60, 0x01)
    board.chip.keyboard.key(0x1E, True)
    board.chip.keyboard.key(0x1E, False)
    assert board.received() == [0x1C, 0xF0, 0x1C]


def test_every_key(board: Board) -> None:
    """What the controller makes of each key is the key: the two tables belong together."""
    for key in keys.SET_2:
        board.chip.keyboard.key(key, True)
        board.chip.keyboard.key(key, False)
        assert board.received() == [key, key | 0x80], hex(key)
    assert len(set(keys.SET_2.values())) == len(keys.SET_2)


def test_disabled_keyboard(board: Board) -> None:
    board.command(0xAD)
    board.chip.keyboard.key(0x1E, True)
    assert board.received() == [] and board.keyboard_interrupts == 0
    board.command(0xAE)
    assert board.received() == [0x1E]


def test_keyboard_commands(board: Board) -> None:
    for data, answer in (
        ((0xFF,), [0xFA, 0xAA]),
        ((0xF2,), [0xFA, 0xAB, 0x41]),  # 83h, translated
        ((0xED, 7), [0xFA, 0xFA]),
        ((0xF0, 0), [0xFA, 0xFA, 0x41]),  # set 2, translated
        ((0xEE,), [0xEE]),
        ((0x01,), [0xFE]),
    ):
        for value in data:
            board.chip.write(DATA, value)
        assert board.received() == answer, data
    assert board.chip.keyboard.lights == 7


def test_parameter_is_a_command(board: Board) -> None:
    """A command in place of a parameter is executed."""
    board.chip.write(DATA, 0xED)
    board.chip.write(DATA, 0xF2)
    assert board.received() == [0xFA, 0xFA, 0xAB, 0x41]


def test_mouse(board: Board) -> None:
    board.command(0x60, 0x43)
    board.command(0xD4, 0xFF)
    assert board.received() == [0xFA, 0xAA, 0]
    board.chip.mouse.move(5, 5, 0)
    assert board.received() == []  # it sends when it is told to
    board.command(0xD4, 0xF4)
    assert board.chip.read(STATUS) & FROM_MOUSE
    assert board.received() == [0xFA]
    interrupts = board.mouse_interrupts
    board.chip.mouse.move(5, 3, 1)
    assert board.received() == [0x29, 5, 0xFD]
    assert board.mouse_interrupts == interrupts + 3
    board.chip.mouse.move(-1000, 0, 0)
    assert board.received() == [0x18, 1, 0]


def test_wheel(board: Board) -> None:
    board.command(0x60, 0x43)
    for rate in (200, 100, 80):
        board.command(0xD4, 0xF3)
        board.command(0xD4, rate)
    board.command(0xD4, 0xF2)
    assert board.received() == [0xFA] * 7 + [3]
    board.command(0xD4, 0xF4)
    board.chip.mouse.move(0, 0, 0, wheel=-1)
    assert board.received() == [0xFA, 8, 0, 0, 0xFF]


def test_output_port(board: Board) -> None:
    board.command(0xD1, 0xDD)
    assert board.a20 is False
    board.command(0xDF)
    assert board.a20 is True and board.resets == 0
    board.command(0xFE)
    board.command(0xD1, 0xDE)
    assert board.resets == 2


def test_typing(board: Board) -> None:
    """Characters come one after the other, with time in between."""
    board.command(0xAE)
    board.chip.type_text("aB\x1b[A\x03")
    codes = []
    while (due := board.chip.next_event()) is not None:
        board.now = max(board.now, due)
        board.chip.run_events(board.now)
        codes.append(board.received())
    assert codes == [[0x1E, 0x9E], [0x2A, 0x30, 0xB0, 0xAA], [0xE0, 0x48, 0xE0, 0xC8], [0x1D, 0x2E, 0xAE, 0x9D]]
    assert board.now >= 3 * STROKE_TIME


def type_out(board: Board) -> list[int]:
    """What comes while time goes by."""
    codes = []
    for _ in range(10):
        board.now += STROKE_TIME
        board.chip.run_events(board.now)
        codes += board.received()
    return codes


def test_typing_waits_for_a_firmware(board: Board) -> None:
    """Keys are kept until the keyboard has been tested, as SeaBIOS does it, and is in use."""
    board.chip.type_text("ab")
    assert type_out(board) == [] and board.chip.next_event() is None
    board.command(0xAA)
    board.command(0xAB)
    board.command(0x60, 0x20)  # the keyboard without its interrupt
    board.chip.write(DATA, 0xFF)
    board.chip.write(DATA, 0xF5)
    assert type_out(board) == [0x55, 0, 0xFA, 0xAA, 0xFA]
    board.command(0x60, 0x61)
    assert type_out(board) == []  # the keyboard is off
    board.chip.write(DATA, 0xF4)
    assert type_out(board) == [0xFA, 0x1E, 0x9E, 0x30, 0xB0]
    board.chip.reset()
    board.chip.type_text("a")
    assert type_out(board) == []
    board.command(0xAE)
    assert type_out(board) == [0x1E, 0x9E]


def test_typing_waits_for_the_reader(board: Board) -> None:
    board.command(0xAE)
    board.chip.type_text("ab")
    for _ in range(10):
        board.now += STROKE_TIME
        board.chip.run_events(board.now)
    assert board.received() == [0x1E, 0x9E]


def test_layout_has_all_of_ascii() -> None:
    for character in map(chr, range(32, 127)):
        assert list(keys.strokes(character)), character


def test_save(board: Board) -> None:
    board.chip.type_text("xyz")
    board.command(0xD4, 0xF4)
    board.chip.keyboard.key(0x1E, True)
    state = json.loads(json.dumps(board.chip.save()))
    other = Board()
    other.chip.load(state)
    assert json.loads(json.dumps(other.chip.save())) == state
    assert other.received() == board.received()


@pytest.mark.parametrize("seed", range(20))
def test_hostile(board: Board, seed: int) -> None:
    """Any sequence of accesses: nothing is raised, queues stay small."""
    random_values = random.Random(seed)
    for _ in range(3000):
        port = random_values.choice((DATA, STATUS))
        match random_values.randrange(4):
            case 0:
                assert 0 <= board.chip.read(port) <= 0xFF
            case 1:
                board.chip.keyboard.key(random_values.choice(list(keys.SET_2)), random_values.random() < 0.5)
                board.chip.mouse.move(random_values.randrange(-300, 300), 0, random_values.randrange(8))
            case _:
                board.chip.write(port, random_values.randrange(256))
    devices = board.chip.keyboard, board.chip.mouse
    assert all(len(device.queue) <= MAX_QUEUE for device in devices)
