"""Local APIC and I/O APIC by their registers, on a clock that the test moves."""

from __future__ import annotations

import random

import pytest

from emulator.hw.apic_bus import ApicBus
from emulator.hw.ioapic import EOI, LEVEL, MASKED, REMOTE_IRR, SELECT, WINDOW, IoApic
from emulator.hw.lapic import DEADLINE, ENABLED, LINT0, TIMER, LocalApic, Register

EXTERNAL_VECTOR = 0x20
SECOND = 1_000_000_000


class Apics:
    """One of each; the 8259A's vector is always the same."""

    def __init__(self, *, start: int = 0) -> None:
        self.now = start
        self.high = False
        self.nmis = 0
        self.priority = 0
        self.bus = ApicBus()
        self.io = IoApic(self.bus)
        self.local = LocalApic(
            0,
            self.bus,
            self.set,
            clock=lambda: self.now,
            tsc=lambda: self.now + 1000,
            external=lambda: EXTERNAL_VECTOR,
            nmi=self.nmi,
            priority_changed=self.set_priority,
        )

    def set(self, high: bool) -> None:
        self.high = high

    def nmi(self) -> None:
        self.nmis += 1

    def set_priority(self, value: int) -> None:
        self.priority = value

    def write(self, register: int, value: int) -> None:
        self.local.write_memory(register, 4, value)

    def read(self, register: int) -> int:
        return self.local.read_memory(register, 4)

    def send(self, vector: int) -> None:
        """To itself."""
        self.write(Register.COMMAND, 0x40000 | vector)

    def redirect(self, pin: int, entry: int) -> None:
        for half in range(2):
            self.io.write_memory(SELECT, 4, 0x10 + 2 * pin + half)
            self.io.write_memory(WINDOW, 4, entry >> 32 * half & 0xFFFFFFFF)

    def entry(self, pin: int) -> int:
        self.io.write_memory(SELECT, 4, 0x10 + 2 * pin)
        return self.io.read_memory(WINDOW, 4)

    def wait(self, nanoseconds: int) -> None:
        self.now += nanoseconds
        self.local.run_events(self.now)


@pytest.fixture
def apics() -> Apics:
    made = Apics()
    made.write(Register.SPURIOUS, 0x1FF)
    return made


def test_priorities(apics: Apics) -> None:
    """A higher class interrupts a lower one, the same class waits for EOI."""
    apics.send(0x51)
    assert apics.high and apics.local.acknowledge() == 0x51 and not apics.high
    apics.send(0x52)
    assert not apics.high and apics.read(Register.REQUESTS + 0x20) == 1 << 0x12
    apics.send(0x61)
    assert apics.high and apics.local.acknowledge() == 0x61
    assert apics.read(Register.IN_SERVICE + 0x20) == 1 << 0x11 and apics.read(Register.PROCESSOR_PRIORITY) == 0x60
    apics.write(Register.EOI, 0)
    assert not apics.high
    apics.write(Register.EOI, 0)
    assert apics.high and apics.local.acknowledge() == 0x52


def test_task_priority(apics: Apics) -> None:
    """The register and CR8 are one thing."""
    apics.write(Register.TASK_PRIORITY, 0x60)
    assert apics.priority == 6
    apics.send(0x6F)
    assert not apics.high
    apics.local.set_priority(5)
    assert apics.high and apics.read(Register.TASK_PRIORITY) == 0x50


def test_disabled(apics: Apics) -> None:
    """A disabled APIC takes nothing, and masks its local interrupts."""
    apics.write(TIMER, 0x40)
    apics.write(Register.SPURIOUS, 0xFF)
    assert apics.read(TIMER) == MASKED | 0x40
    apics.send(0x40)
    assert not apics.high and apics.local.acknowledge() == 0xFF


def test_virtual_wire(apics: Apics) -> None:
    """The 8259A goes through LINT0 whatever the priority, until it is masked."""
    apics = Apics()
    apics.local.set_external(True)
    assert apics.high and apics.local.acknowledge() == EXTERNAL_VECTOR
    apics.write(LINT0, MASKED | 0x700)
    assert not apics.high and apics.local.acknowledge() == 0xFF
    assert apics.local.set_base(0xFEE00100) and apics.high  # without an APIC the line is the processor's
    assert apics.local.set_base(0xFEE00000 | ENABLED) and not apics.high
    assert not apics.local.set_base(0xFEE00C00)


def test_one_shot(apics: Apics) -> None:
    apics.write(TIMER, 0x40)
    apics.write(Register.DIVIDE, 3)  # 16
    apics.write(Register.INITIAL_COUNT, 1000)
    assert apics.local.next_event() == 16000
    apics.wait(8000)
    assert apics.read(Register.CURRENT_COUNT) == 500
    apics.write(Register.DIVIDE, 11)  # 1
    assert apics.read(Register.CURRENT_COUNT) == 500 and apics.local.next_event() == 8500
    apics.wait(500)
    assert apics.local.acknowledge() == 0x40
    assert apics.read(Register.CURRENT_COUNT) == 0 and apics.local.next_event() is None


def test_periodic(apics: Apics) -> None:
    apics.write(TIMER, 1 << 17 | 0x40)
    apics.write(Register.DIVIDE, 11)
    apics.write(Register.INITIAL_COUNT, 1000)
    for turn in range(1, 4):
        assert apics.local.next_event() == 1000 * turn
        apics.wait(1000)
        assert apics.local.acknowledge() == 0x40
        apics.write(Register.EOI, 0)
    apics.wait(SECOND + 10)  # the host slept: one interrupt, and the next in step
    assert apics.local.next_event() == SECOND + 4000 and apics.local.acknowledge() == 0x40
    apics.write(Register.EOI, 0)
    assert not apics.high
    apics.write(Register.INITIAL_COUNT, 0)
    assert apics.local.next_event() is None


def test_deadline(apics: Apics) -> None:
    """In time stamps; one that has passed is due at once."""
    apics.local.set_deadline(5000)
    assert apics.local.next_event() is None  # not in this mode
    apics.write(TIMER, DEADLINE << 17 | 0x40)
    apics.local.set_deadline(5000)
    assert apics.local.next_event() == 4000
    apics.wait(4000)
    assert apics.high and apics.local.deadline == 0 and apics.local.next_event() is None
    apics.local.set_deadline(1)
    assert apics.local.next_event() == apics.now
    apics.local.set_deadline(0)
    assert apics.local.next_event() is None


def test_errors(apics: Apics) -> None:
    """A vector below 16, and a register that does not exist; the register shows them after it was written."""
    apics.write(0x370, 0xFE)
    apics.send(5)
    assert apics.high and apics.local.acknowledge() == 0xFE
    apics.write(0x2F0, 0)
    assert apics.read(Register.ERRORS) == 0
    apics.write(Register.ERRORS, 0)
    assert apics.read(Register.ERRORS) == 0xA0


def test_nmi(apics: Apics) -> None:
    apics.write(Register.COMMAND, 0x80400)  # to all
    assert apics.nmis == 1


def test_edge(apics: Apics) -> None:
    """Each rise is an interrupt; one on a masked pin is lost."""
    apics.redirect(4, 0x41)
    apics.io.set_line(4, True)
    assert apics.local.acknowledge() == 0x41
    apics.write(Register.EOI, 0)
    assert not apics.high
    apics.redirect(4, MASKED | 0x41)
    apics.io.set_line(4, False)
    apics.io.set_line(4, True)
    apics.redirect(4, 0x41)
    assert not apics.high


def test_level(apics: Apics) -> None:
    """It comes again after EOI while the line is asserted, and as soon as it is unmasked."""
    apics.redirect(10, LEVEL | MASKED | 0x51)
    apics.io.set_line(10, True)
    assert not apics.high
    apics.redirect(10, LEVEL | 0x51)
    assert apics.local.acknowledge() == 0x51 and apics.entry(10) & REMOTE_IRR
    assert not apics.high
    apics.write(Register.EOI, 0)
    assert apics.high and apics.local.acknowledge() == 0x51
    apics.io.set_line(10, False)
    apics.write(Register.EOI, 0)
    assert not apics.high and not apics.entry(10) & REMOTE_IRR


def test_own_end_of_interrupt(apics: Apics) -> None:
    """A system may suppress the broadcast, and write to the I/O APIC itself."""
    apics.write(Register.SPURIOUS, 0x11FF)
    apics.redirect(10, LEVEL | 0x51)
    apics.io.set_line(10, True)
    apics.local.acknowledge()
    apics.write(Register.EOI, 0)
    assert not apics.high and apics.entry(10) & REMOTE_IRR
    apics.io.write_memory(EOI, 4, 0x51)
    assert apics.high


def test_destinations(apics: Apics) -> None:
    """Physical and logical, flat and cluster; nobody gets what is for nobody."""
    apics.write(Register.LOGICAL, 0x02000000)
    apics.bus.message(0xFEE00000 | 1 << 12, 0x41)
    apics.bus.message(0xFEE00004 | 5 << 12, 0x41)
    assert not apics.high
    apics.bus.message(0xFEE00004 | 3 << 12, 0x142)  # lowest priority
    assert apics.local.acknowledge() == 0x42
    apics.write(Register.FORMAT, 0x0FFFFFFF)
    apics.write(Register.LOGICAL, 0x12000000)
    apics.bus.message(0xFEE00004 | 0x22 << 12, 0x61)
    assert not apics.high
    apics.bus.message(0xFEE00004 | 0x13 << 12, 0x61)
    assert apics.high


def test_save_and_load(apics: Apics) -> None:
    apics.write(TIMER, 1 << 17 | 0x40)
    apics.write(Register.INITIAL_COUNT, 1000)
    apics.redirect(10, LEVEL | 0x51)
    apics.io.set_line(10, True)
    apics.local.acknowledge()
    other = Apics(start=7777)
    other.local.load(apics.local.save())
    other.io.load(apics.io.save())
    assert other.local.next_event() == 7777 + 2000
    other.write(Register.EOI, 0)
    assert other.local.acknowledge() == 0x51


@pytest.mark.parametrize("seed", range(5))
def test_anything(seed: int) -> None:
    choose = random.Random(seed)
    apics = Apics()
    for _ in range(4000):
        value = choose.choice((choose.getrandbits(32), choose.getrandbits(9), 1 << choose.randrange(32)))
        match choose.randrange(8):
            case 0:
                apics.local.write_memory(choose.randrange(0x1000), choose.choice((1, 2, 4, 8)), value)
            case 1 | 2:
                apics.write(choose.randrange(0, 0x400, 16), value)
            case 3:
                apics.local.read_memory(choose.randrange(0x1000), choose.choice((1, 2, 4, 8)))
            case 4:
                apics.redirect(choose.randrange(24), choose.getrandbits(64))
            case 5:
                apics.io.set_line(choose.randrange(24), choose.random() < 0.5)
            case 6:
                apics.wait(choose.getrandbits(choose.randrange(40)))
                apics.local.set_base(choose.getrandbits(64))
            case _:
                apics.local.set_deadline(choose.getrandbits(64))
                assert 0 <= apics.local.acknowledge() <= 0xFF
