"""Firmware configuration by its ports and its DMA."""

from __future__ import annotations

import random
from struct import pack, unpack, unpack_from

import pytest

from emulator.hw.device import Bus
from emulator.hw.fw_cfg import FirmwareConfiguration
from emulator.softmmu.space import AddressSpace

READ, SKIP, SELECT, WRITE = 2, 4, 8, 16
CONTROL = 0x1000


class Board:
    def __init__(self) -> None:
        self.space, self.bus = AddressSpace(), Bus()
        self.space.add_ram(0, 1 << 20)
        self.made = 0
        self.chip = FirmwareConfiguration(self.space)
        self.chip.add(5, b"\1\0")
        self.chip.add_file("one", b"first file")
        self.chip.add_file("etc/two", self.make)
        self.bus.add(self.chip)

    def make(self) -> bytes:
        self.made += 1
        return b"made %d" % self.made

    def read(self, key: int, size: int) -> bytes:
        self.bus.write(0x510, 2, key)
        return bytes(self.bus.read(0x511, 1) for _ in range(size))

    def transfer(self, control: int, size: int, address: int = 0x2000) -> int:
        """By DMA: the control word afterwards."""
        self.space.write(CONTROL, pack(">IIQ", control, size, address))
        self.bus.write(0x514, 4, 0)
        self.bus.write(0x518, 4, int.from_bytes(CONTROL.to_bytes(4, "big"), "little"))
        return int.from_bytes(self.space.read(CONTROL, 4), "big")


@pytest.fixture
def board() -> Board:
    return Board()


def test_items(board: Board) -> None:
    """What is behind the end, or does not exist, is zeros."""
    assert board.read(0, 4) == b"QEMU" and unpack("<I", board.read(1, 4)) == (3,)
    assert board.read(5, 4) == b"\1\0\0\0" and board.read(0x3FFF, 2) == b"\0\0"
    assert board.bus.read(0x514, 4) == int.from_bytes(b"QEMU", "little") and board.bus.read(0x518, 4) != 0


def test_files(board: Board) -> None:
    """By the directory, for which what is made is made once, and then for good until a reset."""
    directory = board.read(0x19, 4 + 2 * 64)
    assert unpack_from(">I", directory) == (2,)
    files = {}
    for number in range(2):
        size, key, _, name = unpack_from(">IHH56s", directory, 4 + 64 * number)
        files[name.rstrip(b"\0").decode()] = board.read(key, size)
    assert files == {"one": b"first file", "etc/two": b"made 2"}
    assert board.read(0x21, 6) == b"made 2"
    board.bus.reset()
    assert board.read(0x21, 6) == b"made 3"


def test_dma(board: Board) -> None:
    assert board.transfer(SELECT | READ | 0x20 << 16, 5) == 0
    assert board.space.read(0x2000, 5) == b"first"
    assert board.transfer(SKIP, 1) == 0 and board.transfer(READ, 8) == 0
    assert board.space.read(0x2000, 8) == b"file\0\0\0\0"
    assert board.transfer(WRITE, 4) == 1


@pytest.mark.parametrize("seed", range(5))
def test_anything(board: Board, seed: int) -> None:
    """Among it transfers to everywhere, and longer than memory."""
    choose = random.Random(seed)
    for _ in range(300):
        key = choose.choice((0, 1, 5, 0x19, 0x20, 0x21, choose.getrandbits(16)))
        address = choose.choice((choose.getrandbits(20), choose.getrandbits(64)))
        board.transfer(key << 16 | choose.getrandbits(16), choose.getrandbits(choose.randrange(27)), address)
        place, size = choose.randrange(0x50E, 0x51E), choose.choice((1, 2, 4))
        board.bus.write(place, size, choose.getrandbits(8 * size))
        board.bus.read(place, size)
