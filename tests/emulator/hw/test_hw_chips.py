"""The chips by themselves: what their data sheets say, on a clock that the test moves."""

from __future__ import annotations

import random

import pytest

from emulator.hw.device import Bus, Device
from emulator.hw.pic import InterruptControllers
from emulator.hw.pit import FREQUENCY, IntervalTimer
from emulator.hw.uart import SerialPort

SECOND = 1_000_000_000


class Wire:
    """A line, and how often it went up."""

    def __init__(self) -> None:
        self.high = False
        self.rises = 0

    def __call__(self, high: bool) -> None:
        self.rises += high and not self.high
        self.high = high


class Clock:
    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def controllers() -> tuple[InterruptControllers, Wire]:
    """Two controllers as PCs set them up: vectors 20h and 28h, nothing masked."""
    wire = Wire()
    chip = InterruptControllers(wire)
    for port, value in (
        (0x20, 0x11),
        (0x21, 0x20),
        (0x21, 4),
        (0x21, 1),
        (0xA0, 0x11),
        (0xA1, 0x28),
        (0xA1, 2),
        (0xA1, 1),
    ):
        chip.write(port, value)
    return chip, wire


def test_priorities(controllers: tuple[InterruptControllers, Wire]) -> None:
    """A higher line interrupts a lower one in service, a lower one waits for EOI."""
    chip, wire = controllers
    chip.set_line(4, True)
    assert wire.high and chip.acknowledge() == 0x24
    chip.set_line(6, True)
    assert not wire.high
    chip.set_line(1, True)
    assert wire.high and chip.acknowledge() == 0x21
    chip.write(0x20, 0x20)
    assert not wire.high
    chip.write(0x20, 0x20)
    assert wire.high and chip.acknowledge() == 0x26


def test_cascade(controllers: tuple[InterruptControllers, Wire]) -> None:
    chip, wire = controllers
    chip.set_line(12, True)
    assert wire.high and chip.acknowledge() == 0x2C
    chip.set_line(3, True)
    assert not wire.high  # line 2, of the second controller, is in service
    chip.write(0xA0, 0x20)
    chip.write(0x20, 0x20)
    assert chip.acknowledge() == 0x23


def test_edge_and_level(controllers: tuple[InterruptControllers, Wire]) -> None:
    """An edge is one request; a level asks again after EOI, and no more when it is gone."""
    chip, wire = controllers
    chip.set_line(5, True)
    chip.acknowledge()
    chip.write(0x20, 0x20)
    assert not wire.high
    chip.set_line(5, False)
    chip.write(0x4D0, 0x20)
    chip.set_line(5, True)
    chip.acknowledge()
    chip.write(0x20, 0x20)
    assert wire.high
    chip.set_line(5, False)
    assert not wire.high and chip.acknowledge() == 0x27  # spurious


def test_mask_and_rotation(controllers: tuple[InterruptControllers, Wire]) -> None:
    chip, wire = controllers
    chip.write(0x21, 0x10)
    chip.set_line(4, True)
    assert not wire.high and chip.read(0x20) == 0x10
    chip.write(0x21, 0)
    assert wire.high
    chip.write(0x20, 0xC4)  # line 4 becomes the lowest
    chip.set_line(6, True)
    assert chip.acknowledge() == 0x26


def test_periodic_timer() -> None:
    clock, wire = Clock(), Wire()
    chip = IntervalTimer(wire, clock)
    for port, value in ((0x43, 0x34), (0x40, 0xA9), (0x40, 0x04)):  # 1193: about a millisecond
        chip.write(port, value)
    for turn in range(1, 4):
        due = chip.next_event()
        assert due is not None and abs(due - turn * 1193 * SECOND // FREQUENCY) <= 1
        clock.now = due
        chip.run_events(clock.now)
        assert wire.rises == turn
    clock.now += 10 * SECOND  # the host slept: one interrupt, and the next in step
    chip.run_events(clock.now)
    assert wire.rises == 4 and chip.next_event() is not None and chip.next_event() > clock.now  # type: ignore[operator]


def test_counting() -> None:
    clock = Clock()
    chip = IntervalTimer(Wire(), clock)
    for port, value in ((0x43, 0xB0), (0x42, 0xE8), (0x42, 0x03), (0x61, 1)):  # counter 2, mode 0, 1000
        chip.write(port, value)
    clock.now = 400 * SECOND // FREQUENCY + 1
    chip.write(0x43, 0x80)  # latched
    clock.now += SECOND
    assert chip.read(0x42) | chip.read(0x42) << 8 == 600
    assert chip.read(0x61) & 0x20  # the end was reached


def test_one_shot_and_read_back() -> None:
    clock, wire = Clock(), Wire()
    chip = IntervalTimer(wire, clock)
    for port, value in ((0x43, 0x30), (0x40, 100), (0x40, 0)):
        chip.write(port, value)
    chip.write(0x43, 0xE2)  # the status of counter 0
    assert chip.read(0x40) == 0x30
    clock.now = SECOND
    chip.run_events(clock.now)
    assert wire.rises == 1 and chip.next_event() is None
    chip.write(0x43, 0xE2)
    assert chip.read(0x40) == 0xB0


def test_serial_port() -> None:
    sent, wire = bytearray(), Wire()
    port = SerialPort(sent.extend, wire)
    port.write(0x3FC, 8)
    port.write(0x3F9, 3)
    assert wire.high and port.read(0x3FA) == 2 and not wire.high  # the transmitter is empty
    port.write(0x3F8, ord("x"))
    assert sent == b"x" and port.read(0x3FA) == 2
    port.receive(b"ab")
    assert port.read(0x3FA) == 4 and port.read(0x3FD) & 1
    assert bytes((port.read(0x3F8), port.read(0x3F8))) == b"ab" and not wire.high
    port.write(0x3FB, 0x83)
    port.write(0x3F8, 1)
    port.write(0x3F9, 2)
    assert port.divisor == 0x201
    port.write(0x3FB, 3)
    port.write(0x3FC, 0x1B)
    port.write(0x3F8, ord("y"))  # loopback
    assert sent == b"x" and port.read(0x3F8) == ord("y") and port.read(0x3FE) == 0xB0


def test_save_and_load(controllers: tuple[InterruptControllers, Wire]) -> None:
    """Every chip goes on where it was saved."""
    chip, _ = controllers
    chip.set_line(4, True)
    chip.acknowledge()
    wire = Wire()
    copy = InterruptControllers(wire)
    copy.load(chip.save())
    copy.set_line(1, True)
    assert wire.high and copy.acknowledge() == 0x21
    clock = Clock()
    timer, other = (IntervalTimer(Wire(), clock) for _ in range(2))
    for port, value in ((0x43, 0x34), (0x40, 0), (0x40, 1)):
        timer.write(port, value)
    state = timer.save()
    clock.now = 5 * SECOND
    other.load(state)
    assert other.next_event() == 5 * SECOND + timer.next_event()  # type: ignore[operator]
    port = SerialPort(lambda data: None, Wire())
    port.receive(b"abc")
    fresh = SerialPort(lambda data: None, Wire())
    fresh.load(port.save())
    assert fresh.read(0x3F8) == ord("a")


def test_bus() -> None:
    class Echo(Device):
        ports = (0x10, 0x11)

        def __init__(self) -> None:
            self.written: list[tuple[int, int]] = []

        def read(self, port: int) -> int:
            return port

        def write(self, port: int, value: int) -> None:
            self.written.append((port, value))

    bus, echo = Bus(), Echo()
    bus.add(echo)
    assert bus.read(0x10, 2) == 0x1110 and bus.read(0x11, 2) == 0xFF11 and bus.read(0x80, 4) == 0xFFFFFFFF
    bus.write(0x0F, 4, 0x44332211)
    assert echo.written == [(0x10, 0x22), (0x11, 0x33)]


@pytest.mark.parametrize("seed", range(5))
def test_anything(seed: int) -> None:
    """Whatever is written, no chip raises, and events are not before now."""
    choose = random.Random(seed)
    clock = Clock()
    controllers = InterruptControllers(Wire())
    timer = IntervalTimer(controllers.line(0), clock)
    serial = SerialPort(lambda data: None, controllers.line(4))
    bus = Bus()
    for chip in (controllers, timer, serial):
        bus.add(chip)
    ports = [port for chip in bus.devices for port in chip.ports]
    for _ in range(5000):
        place, size = choose.choice(ports), choose.choice((1, 1, 1, 2, 4))
        bus.write(place, size, choose.getrandbits(8 * size))
        bus.read(choose.choice(ports), size)
        controllers.set_line(choose.randrange(16), choose.random() < 0.5)
        if choose.random() < 0.3:
            assert 0 <= controllers.acknowledge() <= 0xFF
        serial.receive(choose.randbytes(choose.randrange(3)))
        clock.now += choose.getrandbits(choose.randrange(32))
        bus.run_events(clock.now)
        due = timer.next_event()
        assert due is None or due > clock.now
