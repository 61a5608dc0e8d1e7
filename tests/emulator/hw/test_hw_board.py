"""The board's bridges by their registers: shadow RAM, interrupt routing, the ways to a reset."""

from __future__ import annotations

import random

import pytest

from emulator.hw.device import Bus
from emulator.hw.i440fx import HostBridge
from emulator.hw.pci import ADDRESS, DATA, ENABLE, PciBus, PciFunction
from emulator.hw.piix3 import IsaBridge
from emulator.hw.port92 import SystemControl
from emulator.softmmu.space import AddressSpace

MIB = 1 << 20
ROM = b"\xaa" * 0x20000


class Card(PciFunction):
    vendor_id, device_id, interrupt_pin = 0x1234, 0x5678, 1


class Board:
    def __init__(self) -> None:
        self.space, self.bus = AddressSpace(), Bus()
        self.ram = self.space.add_ram(0, 2 * MIB)
        self.space.add_rom(0xE0000, ROM)
        self.irqs: dict[int, bool] = {}
        self.resets = 0
        self.isa = IsaBridge(self.irqs.__setitem__, self.reset)
        self.pci = PciBus(self.bus, self.space, self.isa.interrupt_from)
        self.pci.add(HostBridge(self.space, self.ram), 0)
        self.pci.add(self.isa, 1)

    def reset(self) -> None:
        self.resets += 1

    def configure(self, slot: int, offset: int, value: int, size: int = 1) -> None:
        self.bus.write(ADDRESS, 4, ENABLE | slot << 11 | offset & 0xFC)
        self.bus.write(DATA + (offset & 3), size, value)

    def read_configuration(self, slot: int, offset: int, size: int = 1) -> int:
        self.bus.write(ADDRESS, 4, ENABLE | slot << 11 | offset & 0xFC)
        return self.bus.read(DATA + (offset & 3), size)


@pytest.fixture
def board() -> Board:
    return Board()


def test_identity(board: Board) -> None:
    assert board.read_configuration(0, 0, 4) == 0x12378086
    assert board.read_configuration(1, 0, 4) == 0x70008086 and board.read_configuration(1, 0x0E) == 0x80


def test_shadow_ram(board: Board) -> None:
    """A piece is the ROM, RAM to read and write, and RAM that is protected."""
    space = board.space
    assert space.read(0xF0000, 1) == b"\xaa"
    board.configure(0, 0x59, 0x30)
    space.write(0xF0000, b"RAM")
    assert space.read(0xF0000, 3) == b"RAM" and space.read(0xE0000, 1) == b"\xaa"
    board.configure(0, 0x59, 0x10)
    space.write(0xF0000, b"xxx")
    assert space.read(0xF0000, 3) == b"RAM" and board.ram.view is not None and board.ram.view[0xF0000] == ord("R")
    board.configure(0, 0x59, 0)
    assert space.read(0xF0000, 1) == b"\xaa"
    board.configure(0, 0x5F, 0x33)
    space.write(0xE8000, b"R")
    space.write(0xEC000, b"S")
    assert space.read(0xE8000, 1) == b"R" and space.read(0xEC000, 1) == b"S" and space.read(0xE4000, 1) == b"\xaa"
    board.bus.reset()
    assert space.read(0xE8000, 1) == b"\xaa"


def test_writes_behind_the_rom(board: Board) -> None:
    """Reads from ROM, writes to RAM: how firmware copies itself in place."""
    board.configure(0, 0x59, 0x20)
    region = next(piece for piece in board.space.regions if piece.name == "shadow RAM to write")
    read, write = region.read, region.write
    assert read(0, 16, 4) == 0xAAAAAAAA
    write(0, 16, 2, 0x1234)
    assert board.ram.view is not None and board.ram.view[0xF0010:0xF0012] == b"\x34\x12"


def test_translated_code_goes_with_its_memory(board: Board) -> None:
    told: list[tuple[int, int]] = []
    board.space.code_listeners.append(lambda first, size: told.append((first, size)))
    board.configure(0, 0x59, 0x30)
    assert told == [(0xF0000, 0x10000)]


def test_routing(board: Board) -> None:
    """Two cards share a line, which is high while one of them asks; the register moves it to another interrupt."""
    cards = [Card(), Card()]
    for card, slot in zip(cards, (3, 7), strict=True):  # both lead to the third line
        board.pci.add(card, slot)
    cards[0].interrupt(True)
    assert not board.irqs
    board.configure(1, 0x62, 11)
    assert board.irqs == {11: True}
    cards[1].interrupt(True)
    cards[0].interrupt(False)
    assert board.irqs == {11: True}
    board.configure(1, 0x62, 10)
    assert board.irqs == {11: False, 10: True}
    cards[1].interrupt(False)
    assert board.irqs == {11: False, 10: False}


def test_reset_ports(board: Board) -> None:
    board.bus.write(0xCF9, 1, 2)
    assert board.resets == 0
    board.bus.write(0xCF9, 1, 6)
    board.bus.write(0xCF9, 1, 6)
    assert board.resets == 1 and board.bus.read(0xCF9, 1) == 6
    gate: list[bool] = []
    control = SystemControl(gate.append, board.reset)
    control.write(0x92, 0)
    control.write(0x92, 3)
    assert gate == [False, True] and board.resets == 2 and control.read(0x92) == 3


def test_save_and_load(board: Board) -> None:
    board.configure(0, 0x59, 0x30)
    board.configure(1, 0x60, 5)
    other = Board()
    for chip, copy in zip(board.bus.devices, other.bus.devices, strict=True):
        copy.load(chip.save())
    assert other.read_configuration(1, 0x60) == 5
    other.space.write(0xF0000, b"R")
    assert other.space.read(0xF0000, 1) == b"R"


@pytest.mark.parametrize("seed", range(5))
def test_any_configuration(board: Board, seed: int) -> None:
    choose = random.Random(seed)
    board.pci.add(Card(), 3)
    for _ in range(2000):
        size = choose.choice((1, 2, 4))
        offset = choose.randrange(0, 256, size)
        board.configure(choose.choice((0, 1, 3)), offset, choose.getrandbits(8 * size), size)
        board.read_configuration(choose.choice((0, 1, 3, 4)), offset, size)
        board.isa.interrupt_from(choose.randrange(32), choose.randrange(4), choose.random() < 0.5)
    board.bus.reset()
    assert board.read_configuration(0, 0x59) == 0
