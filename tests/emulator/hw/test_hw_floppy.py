"""The DMA controllers and the floppy controller by their registers: what the 8237A's and 82078's data sheets say."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from ide_host import image, pattern

from emulator.hw import floppy
from emulator.hw.device import Bus
from emulator.hw.dma import FROM_MEMORY, TO_MEMORY, DmaControllers
from emulator.hw.medium import Medium
from emulator.machine.config import Drive
from emulator.softmmu.space import AddressSpace
from imgtools import ImageError, Node
from imgtools.block.node import Filter

SECTOR = 512
MEMORY = 1 << 20
BUFFER = 0x20000
CONTENT = pattern(2880)  # 1.44 MB
READ, WRITE = 0xE6, 0xC5


class Host:
    """A driver of the first drive."""

    def __init__(self, *nodes: Node) -> None:
        self.space = AddressSpace()
        self.space.add_ram(0, MEMORY)
        self.bus = Bus()
        self.line = False
        self.dma = DmaControllers(self.space)
        self.bus.add(self.dma)
        self.controller = floppy.attach(self.bus, self._set, self.dma, [Drive(node) for node in nodes])

    def _set(self, high: bool) -> None:
        self.line = high

    def start(self, rate: int = 0) -> None:
        """Reset, motor on, rate, at track 0, with DMA."""
        self.bus.write(0x3F2, 1, 0)
        self.bus.write(0x3F2, 1, 0x1C)
        assert self.line
        assert [self.sense()[0] for _ in range(4)] == [0xC0, 0xC1, 0xC2, 0xC3] and not self.line
        self.bus.write(0x3F7, 1, rate)
        self.send(3, 0xDF, 2)
        self.send(7, 0)
        assert self.line and self.sense() == [0x20, 0]

    def send(self, *data: int) -> list[int]:
        """A command: its result, if that is there already."""
        for byte in data:
            assert self.bus.read(0x3F4, 1) & 0xC0 == 0x80
            self.bus.write(0x3F5, 1, byte)
        return self.result()

    def result(self) -> list[int]:
        result = []
        while self.bus.read(0x3F4, 1) & 0xF0 == 0xD0:
            result.append(self.bus.read(0x3F5, 1))
        return result

    def sense(self) -> list[int]:
        return self.send(8)

    def seek(self, track: int, head: int = 0) -> None:
        self.send(0x0F, head << 2, track)
        assert self.sense() == [0x20 | head << 2, track]

    def channel(self, mode: int, size: int, address: int = BUFFER) -> None:
        """Set channel 2 up."""
        for port, value in (
            (0x0A, 6),
            (0x0C, 0),
            (0x0B, mode | 2),
            (4, address & 0xFF),
            (4, address >> 8 & 0xFF),
            (5, size - 1 & 0xFF),
            (5, size - 1 >> 8),
            (0x81, address >> 16),
            (0x0A, 2),
        ):
            self.bus.write(port, 1, value)

    def read(self, track: int, head: int, sector: int, count: int, code: int = READ, last: int = 18) -> list[int]:
        self.channel(0x44, count * SECTOR)
        return self.send(code, head << 2, track, head, sector, 2, last, 0x1B, 0xFF)

    def write(self, track: int, head: int, sector: int, data: bytes, last: int = 18) -> list[int]:
        self.space.write(BUFFER, data)
        self.channel(0x48, len(data))
        return self.send(WRITE, head << 2, track, head, sector, 2, last, 0x1B, 0xFF)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return image(tmp_path / "disk", CONTENT)


@pytest.fixture
def host(node: Node) -> Host:
    host = Host(node)
    host.start()
    return host


def sectors(track: int, head: int, sector: int, count: int, of_track: int = 18) -> bytes:
    first = (track * 2 + head) * of_track + sector - 1
    return CONTENT[first * SECTOR : (first + count) * SECTOR]


# -- the DMA controllers --------------------------------------------------------------------------------------


def test_dma_channels() -> None:
    """Byte channels wrap in 64 KiB and word channels in 128 KiB; the count ends them, or starts them again."""
    space = AddressSpace()
    space.add_ram(0, MEMORY)
    dma = DmaControllers(space)

    def setup(port: int, address: int, count: int) -> None:
        step = 2 if port >= 0xC0 else 1
        base = 0xC0 if port >= 0xC0 else 0
        dma.write(base + 12 * step, 0)
        for value in (address & 0xFF, address >> 8):
            dma.write(port, value)
        for value in (count & 0xFF, count >> 8):
            dma.write(port + step, value)

    setup(6, 0xFFFE, 5)  # channel 3
    dma.write(0x82, 3)
    dma.write(0x0B, 0x47)
    assert dma.room(3, TO_MEMORY) == 0
    dma.write(0x0A, 3)
    assert dma.room(3, TO_MEMORY) == 6 and dma.room(3, FROM_MEMORY) == 0
    dma.give(3, b"abcdef")
    assert space.read(0x3FFFE, 2) == b"ab" and space.read(0x30000, 4) == b"cdef"
    assert dma.room(3, TO_MEMORY) == 0 and dma.read(8) == 8 and dma.read(8) == 0
    dma.write(0x0B, 0x5B)  # AUTOMATIC, from memory
    setup(6, 0xFFFE, 3)
    dma.write(0x0E, 0)
    assert dma.take(3, 4) == b"abcd" == dma.take(3, 4)
    setup(0xC4, 0xFFFF, 1)  # channel 5: words
    dma.write(0x8B, 5)
    dma.write(0xD6, 0x45)
    dma.write(0xD4, 1)
    assert dma.room(5, TO_MEMORY) == 4
    dma.give(5, b"wxyz")
    assert space.read(0x5FFFE, 2) == b"wx" and space.read(0x40000, 2) == b"yz"
    dma.write(0x0B, 0x67)  # DOWN
    setup(6, 1, 2)
    dma.write(0x0A, 3)
    dma.give(3, b"123")
    assert space.read(0x30000, 2) == b"21" and space.read(0x3FFFF, 1) == b"3"
    dma.write(0x0F, 5)
    assert dma.read(0x0F) == 0xF5
    other = DmaControllers(space)
    other.load(dma.save())
    assert other.read(0x82) == 3 and other.read(0x0F) == 0xF5


# -- commands without data ------------------------------------------------------------------------------------


def test_commands(host: Host) -> None:
    assert host.send(0x10) == [0x90] and host.send(0x18) == [0x41]
    assert host.send(0x94) == [0x10] and host.send(0x14) == [0]
    host.send(0x13, 0, 0x57, 7)
    host.seek(5)
    assert host.send(0x0E) == [5, 0, 0, 0, 0xDF, 2, 0, 0, 0x57, 7]
    assert host.send(4, 4) == [0x2C] and host.send(0x1F) == [0x80] and host.sense() == [0x80]
    host.send(0xCF, 0, 3)
    assert host.sense() == [0x20, 8]
    host.send(0x0F, 1, 3)  # there is no second drive
    assert host.sense() == [0x71, 0]


def test_change_line(host: Host, node: Node) -> None:
    assert not host.bus.read(0x3F7, 1) & 0x80
    host.controller.drives[0].insert(Medium(node))
    assert host.bus.read(0x3F7, 1) & 0x80
    host.seek(1)
    assert not host.bus.read(0x3F7, 1) & 0x80
    host.controller.drives[0].insert(None)
    host.seek(2)
    assert host.bus.read(0x3F7, 1) & 0x80
    assert host.read(2, 0, 1, 1)[:2] == [0x40, 1]


def test_gate(host: Host) -> None:
    """Without GATE, interrupts stay inside."""
    host.bus.write(0x3F2, 1, 0x14)
    host.send(7, 0)
    assert not host.line
    host.bus.write(0x3F2, 1, 0x1C)
    assert host.line and host.sense() == [0x20, 0]


# -- data -----------------------------------------------------------------------------------------------------


def test_dma_read(host: Host) -> None:
    """By the count of the DMA controller, over to the other side, and at most to the end of the track."""
    host.seek(10)
    assert host.read(10, 0, 3, 4) == [0, 0, 0, 10, 0, 7, 2] and not host.line
    assert host.space.read(BUFFER, 4 * SECTOR) == sectors(10, 0, 3, 4)
    assert host.read(10, 0, 17, 2) == [0, 0, 0, 10, 1, 1, 2]
    assert host.read(10, 0, 17, 5) == [0, 0, 0, 10, 1, 4, 2]
    assert host.space.read(BUFFER, 5 * SECTOR) == sectors(10, 0, 17, 5)
    assert host.read(10, 1, 18, 1) == [4, 0, 0, 11, 0, 1, 2]
    assert host.read(10, 1, 17, 3) == [0x44, 0x80, 0, 11, 0, 1, 2]
    assert host.read(10, 0, 18, 1, code=0x46) == [0, 0, 0, 11, 0, 1, 2]
    assert host.read(10, 0, 18, 3, code=0x46) == [0x40, 0x80, 0, 11, 0, 1, 2]
    assert host.read(10, 0, 3, 20, last=5) == [0x40, 0x80, 0, 11, 0, 1, 2]
    assert host.send(0x4A, 4) == [4, 0, 0, 10, 1, 1, 2]


def test_dma_write(host: Host, node: Node) -> None:
    data = random.Random(2).randbytes(20 * SECTOR)
    host.seek(79)
    assert host.write(79, 0, 5, data) == [0, 0, 0, 79, 1, 7, 2]
    first = (79 * 36 + 4) * SECTOR
    assert node.read(first, len(data)) == data
    assert host.write(79, 1, 18, b"x" * 100) == [4, 0, 0, 80, 0, 1, 2]
    assert node.read(len(CONTENT) - SECTOR, SECTOR) == b"x" * 100 + bytes(412)
    expected = CONTENT[:first] + data + CONTENT[first + len(data) : -SECTOR]
    assert node.read(0, len(CONTENT) - SECTOR) == expected


def test_pio(host: Host, node: Node) -> None:
    """Without DMA, each byte has its interrupt, and the end of the track ends all."""
    host.send(3, 0xDF, 3)
    host.send(0x46, 0, 0, 0, 17, 2, 18, 0x1B, 0xFF)
    data = b""
    while host.bus.read(0x3F4, 1) & 0x20:
        assert host.line
        data += bytes((host.bus.read(0x3F5, 1),))
    assert data == sectors(0, 0, 17, 2) and host.line and host.result() == [0x40, 0x80, 0, 1, 0, 1, 2]
    host.send(0x45, 0, 0, 0, 18, 2, 18, 0x1B, 0xFF)
    for number in range(SECTOR):
        assert host.bus.read(0x3F4, 1) & 0xF0 == 0xB0
        host.bus.write(0x3F5, 1, number & 0xFF)
    assert host.result()[:2] == [0x40, 0x80] and node.read(17 * SECTOR, SECTOR) == bytes(range(256)) * 2


def test_format(host: Host, node: Node) -> None:
    host.seek(3)
    host.space.write(BUFFER, b"".join(bytes((3, 1, sector, 2)) for sector in range(1, 19)))
    host.channel(0x48, 72)
    assert host.send(0x4D, 4, 2, 18, 0x54, 0xF6)[:3] == [4, 0, 0]
    assert node.read((3 * 2 + 1) * 18 * SECTOR, 18 * SECTOR) == b"\xf6" * 18 * SECTOR
    assert node.read(3 * 36 * SECTOR, 18 * SECTOR) == sectors(3, 0, 1, 18)


def test_not_found(host: Host) -> None:
    """Another track, side, sector, size or data rate than there is."""
    assert host.read(1, 0, 1, 1)[:3] == [0x40, 4, 0x10]
    assert host.read(0, 0, 19, 1, last=21)[:2] == [0x40, 4]
    assert host.send(READ, 0, 0, 1, 1, 2, 18, 0x1B, 0xFF)[:2] == [0x40, 4]
    assert host.send(READ, 0, 0, 0, 1, 3, 18, 0x1B, 0xFF)[:2] == [0x40, 4]
    host.bus.write(0x3F7, 1, 2)
    assert host.read(0, 0, 1, 1)[:2] == [0x40, 1]
    host.bus.write(0x3F7, 1, 0)
    host.send(0x13, 0, 0x57, 0)  # with implied seeks the track is found
    assert host.read(70, 0, 1, 1) == [0, 0, 0, 70, 0, 2, 2]


@pytest.mark.parametrize(
    ("size", "rate", "last", "kind"),
    [(360, 2, 9, 1), (720, 2, 9, 4), (1200, 0, 15, 2), (1440, 0, 18, 4), (2880, 3, 36, 5), (1000, 0, 15, 2)],
)
def test_formats(tmp_path: Path, size: int, rate: int, last: int, kind: int) -> None:
    content = (CONTENT * 2)[: size << 10]
    host = Host(image(tmp_path / "disk", content))
    host.start(rate)
    host.seek(2)
    assert host.read(2, 1, 2, 1, last=last)[:3] == [4, 0, 0]
    assert host.space.read(BUFFER, SECTOR) == content[((2 * 2 + 1) * last + 1) * SECTOR :][:SECTOR]
    assert host.controller.drives[0].kind == kind
    host.bus.write(0x3F7, 1, 1 if rate != 2 else 0)
    assert host.read(2, 1, 2, 1, last=last)[:3] == [0x44, 1, 0]


def test_errors(tmp_path: Path, node: Node) -> None:
    """A disk that is not writable, and one that is broken."""
    host = Host(image(tmp_path / "other", CONTENT, writable=False))
    host.start()
    assert host.write(0, 0, 1, bytes(SECTOR))[:2] == [0x40, 2] and host.send(4, 0)[0] & 0x40

    class Broken(Filter):
        def readinto(self, offset: int, buffer: memoryview) -> None:
            raise ImageError("broken")

    host = Host(Broken(node))
    host.start()
    assert host.read(0, 0, 1, 1)[:3] == [0x40, 0x20, 0x20]
    with pytest.raises(ImageError, match="more than a floppy disk holds"):
        Host(image(tmp_path / "large", bytes(4 << 20)))


def test_save_and_load(host: Host, node: Node) -> None:
    host.send(3, 0xDF, 3)
    host.send(0x46, 0, 0, 0, 17, 2, 18, 0x1B, 0xFF)
    first = bytes(host.bus.read(0x3F5, 1) for _ in range(100))
    other = Host(node)
    other.controller.load(host.controller.save())
    rest = bytes(other.bus.read(0x3F5, 1) for _ in range(2 * SECTOR - 100))
    assert other.line and first + rest == sectors(0, 0, 17, 2) and len(other.result()) == 7


@pytest.mark.parametrize("seed", range(8))
def test_nonsense(seed: int, tmp_path: Path) -> None:
    """Whatever the guest writes to whatever port, neither controller raises."""
    rng = random.Random(seed)
    host = Host(image(tmp_path / "one", CONTENT), image(tmp_path / "two", CONTENT[: 720 << 10]))
    ports = [*range(0x3F0, 0x3F6), 0x3F7, *[0x3F5] * 20, 4, 5, 8, 9, 0xA, 0xB, 0xC, 0xD, 0xE, 0xF, 0x81, 0xD0, 0xD6]
    likely = (0, 0, 1, 2, 4, 5, 9, 18, 36, 0x1C, 0x2D, 0x46, 0xC5, 0x4D, 0x4A, 0x44, 0x48, 255)
    for _ in range(8000):
        port = rng.choice(ports)
        if rng.random() < 0.3:
            host.bus.read(port, rng.choice((1, 2, 4)))
        else:
            host.bus.write(port, 1, rng.choice(likely) if rng.random() < 0.8 else rng.randrange(256))
        if rng.random() < 0.02:
            host.bus.write(0x3F2, 1, 0x1C)
            host.channel(rng.choice((0x44, 0x48, 0x40, 0x54)), rng.randrange(1, 0x10000))
    host.controller.load(host.controller.save())
