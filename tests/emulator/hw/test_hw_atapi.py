"""The CD-ROM drive by its registers: packets and their answers as MMC-6 says, by PIO and by the bus master."""

from __future__ import annotations

import random
from pathlib import Path
from struct import pack, unpack

import pytest
from ide_host import ABRT, DRQ, ERR, Host, image, pattern

from emulator.hw.ide.cdrom import CdRom
from emulator.hw.medium import Medium
from imgtools import ImageError, Node
from imgtools.block.node import Filter

FRAME = 2048
FRAMES = 300
CONTENT = pattern(4 * FRAMES)
COMMAND, TO_HOST, COMPLETE = 1, 2, 3


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return image(tmp_path / "disc.iso", CONTENT, writable=False)


class Drive(Host):
    """A drive that is the second channel's master."""

    def __init__(self, node: Node) -> None:
        super().__init__(node, media="cdrom")
        self.second()
        unit = self.controller.channels[1].units[0]
        assert isinstance(unit, CdRom)
        self.unit = unit

    def send_packet(self, data: bytes, *, limit: int = 0xFFFE, dma: bool = False) -> None:
        for register, value in ((1, dma), (4, limit & 0xFF), (5, limit >> 8)):
            self.put(register, value)
        assert self.command(0xA0) & DRQ and self.get(2) == COMMAND
        self.give(data.ljust(12, b"\0"))

    def packet(self, *data: int, limit: int = 0xFFFE) -> bytes:
        """What comes by PIO; an error is its sense, as an AssertionError."""
        self.send_packet(bytes(data), limit=limit)
        answer = b""
        while (status := self.get(7)) & DRQ:
            assert self.get(2) == TO_HOST
            size = self.get(4) | self.get(5) << 8
            assert size <= limit
            answer += self.take(size + 1 & ~1)[:size]
        assert self.get(2) == COMPLETE
        if status & ERR:
            key = self.error >> 4
            sense = self.packet(0x03, 0, 0, 0, 18)
            assert sense[2] == key
            raise AssertionError(key, sense[12] << 8 | sense[13])
        return answer

    def sense(self, *data: int) -> tuple[int, int]:
        """The error that an operation has to end with."""
        with pytest.raises(AssertionError) as caught:
            self.packet(*data)
        return caught.value.args


@pytest.fixture
def drive(node: Node) -> Drive:
    return Drive(node)


def frames(first: int, count: int) -> bytes:
    return CONTENT[first * FRAME : (first + count) * FRAME]


def test_identity(drive: Drive) -> None:
    """The signature, the refusal to be a disk, and both kinds of names."""
    drive.bus.write(drive.control, 1, 4)
    drive.bus.write(drive.control, 1, 0)
    assert [drive.get(n) for n in range(1, 8)] == [1, 1, 1, 0x14, 0xEB, 0xA0, 0]
    assert drive.command(0xEC) & ERR and drive.error == ABRT and (drive.get(4), drive.get(5)) == (0x14, 0xEB)
    assert drive.command(0xA1) & DRQ
    words = unpack("<256H", drive.take())
    assert words[0] == 0x85C0 and pack(">20H", *words[27:47]).strip() == b"IMGTOOLS CD-ROM"
    inquiry = drive.packet(0x12, 0, 0, 0, 36)
    assert len(inquiry) == 36 and inquiry[:2] == b"\5\x80" and inquiry[8:16] == b"IMGTOOLS"
    assert len(drive.packet(0x12, 0, 0, 0, 5)) == 5


@pytest.mark.parametrize("limit", [0, 2048, 3000, 0xFFFF, 10])
def test_pio_read(drive: Drive, limit: int) -> None:
    assert drive.packet(0x25) == pack(">II", FRAMES - 1, FRAME)
    data = drive.packet(*pack(">BxIxH", 0x28, 17, 40), limit=limit or 0xFFFE)
    assert data == frames(17, 40)
    assert drive.packet(*pack(">BxII", 0xA8, FRAMES - 1, 1)) == frames(FRAMES - 1, 1)
    assert drive.packet(*pack(">BxIxH", 0x28, 17, 0)) == b""


def test_dma_read(drive: Drive) -> None:
    drive.table((0x20000, 65536), (0x30000, 65536))
    drive.send_packet(pack(">BxIxH", 0x28, 100, 64), dma=True)
    drive.bus.write(drive.master, 1, 9)
    assert drive.end() & 7 == 4 and drive.get(2) == COMPLETE and not drive.status & (ERR | DRQ)
    assert drive.space.read(0x20000, 64 * FRAME) == frames(100, 64)
    drive.table((0x20000, 8))
    drive.send_packet(b"\x25", dma=True)
    drive.bus.write(drive.master, 1, 9)
    assert drive.end() & 7 == 4 and drive.space.read(0x20000, 8) == pack(">II", FRAMES - 1, FRAME)


def test_read_cd(drive: Drive) -> None:
    def read(first: int, count: int, what: int) -> bytes:
        return drive.packet(0xBE, 0, *pack(">I", first), *count.to_bytes(3, "big"), what)

    assert read(3, 5, 0x10) == frames(3, 5) and read(3, 5, 0) == b""
    raw = read(74, 3, 0xF8)
    assert len(raw) == 3 * 2352
    for number in range(3):
        frame = raw[number * 2352 : (number + 1) * 2352]
        assert frame[:12] == b"\0" + b"\xff" * 10 + b"\0" and frame[16:2064] == frames(74 + number, 1)
        assert frame[12:16] == bytes((0, (224 + number) // 75, (224 + number) % 75, 1))
    assert drive.packet(0xB9, 0, 0, 0, 2, 5, 0, 2, 7, 0x10) == frames(5, 2)
    assert drive.sense(0xBE, 0, 0, 0, 0, 0, 0, 0, 1, 0x20) == (5, 0x2400)


def test_contents(drive: Drive) -> None:
    toc = drive.packet(0x43, 0, 0, 0, 0, 0, 0, 0, 255)
    assert toc == pack(">HBB", 18, 1, 1) + pack(">BBBBI", 0, 0x14, 1, 0, 0) + pack(">BBBBI", 0, 0x14, 0xAA, 0, FRAMES)
    in_minutes = drive.packet(0x43, 2, 0, 0, 0, 0, 0xAA, 0, 255)
    assert in_minutes == bytes((0, 10, 1, 1, 0, 0x14, 0xAA, 0, 0, 0, 6, 0))
    assert drive.packet(0x43, 0, 1, 0, 0, 0, 0, 0, 12) == bytes((0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0))
    assert drive.packet(0x43, 0, 0, 0, 0, 0, 0, 0, 12, 0x40)[1] == 10  # the format as SFF-8020i has it
    assert drive.sense(0x43, 0, 0, 0, 0, 0, 5, 0, 12) == (5, 0x2400)
    assert drive.packet(0x51, 0, 0, 0, 0, 0, 0, 0, 34)[:3] == bytes((0, 32, 0x0E))
    assert drive.packet(0x52, 0, 0, 0, 0, 0, 0, 0, 36)[24:28] == pack(">I", FRAMES)


def test_configuration(drive: Drive) -> None:
    """A small disc is a CD, a large one a DVD, and none has no profile."""

    def features(kind: int = 0, first: int = 0) -> tuple[int, dict[int, int]]:
        data = drive.packet(0x46, kind, *pack(">H", first), 0, 0, 0, *pack(">H", 1000))
        length, profile = unpack(">IxxH", data[:8])
        assert length == len(data) - 4
        found, place = {}, 8
        while place < len(data):
            number, flags, size = unpack(">HBB", data[place : place + 4])
            found[number] = flags & 1
            place += 4 + size
        return profile, found

    assert features() == (8, {0: 1, 1: 1, 3: 1, 0x10: 1, 0x1E: 1, 0x1F: 0})
    assert features(1) == (8, {0: 1, 1: 1, 3: 1, 0x10: 1, 0x1E: 1})
    assert features(2, 0x1F) == (8, {0x1F: 0}) and features(2, 0x55) == (8, {})
    drive.unit.insert(None)
    assert features(1) == (0, {0: 1, 1: 1, 3: 1})
    drive.unit.insert(Medium(Node("large", 4 << 30), FRAME))
    assert features(1)[0] == 0x10


def test_modes(drive: Drive) -> None:
    page = drive.packet(0x5A, 0, 0x2A, 0, 0, 0, 0, 0, 100)
    assert unpack(">H", page[:2])[0] == len(page) - 2 and page[8] == 0x2A and page[9] == len(page) - 10
    every = drive.packet(0x5A, 0, 0x3F, 0, 0, 0, 0, 1, 0)
    assert [number for number in (1, 0x0E, 0x2A) if number in every[8:]] == [1, 0x0E, 0x2A]
    assert drive.sense(0x5A, 0, 0x22, 0, 0, 0, 0, 0, 100) == (5, 0x2400)
    assert drive.sense(0x5A, 0, 0xEA, 0, 0, 0, 0, 0, 100) == (5, 0x3900)


def test_tray(drive: Drive, node: Node) -> None:
    """Locked, ejected, loaded again: each with its sense, and its event."""

    def event() -> tuple[int, int]:
        data = drive.packet(0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8)
        return data[4], data[5]

    assert drive.packet(0x00) == b"" and event() == (0, 2)
    drive.packet(0x1E, 0, 0, 0, 1)
    assert drive.sense(0x1B, 0, 0, 0, 2) == (5, 0x5302)
    drive.packet(0x1E, 0, 0, 0, 0)
    drive.packet(0x1B, 0, 0, 0, 2)
    assert drive.sense(0x00) == (2, 0x3A02) and event() == (3, 1) and event() == (0, 1)
    drive.packet(0x1B, 0, 0, 0, 3)
    assert event() == (2, 2) and drive.sense(0x00) == (6, 0x2800) and drive.packet(0x00) == b""
    drive.unit.insert(None)
    assert drive.sense(*pack(">BxIxH", 0x28, 0, 1)) == (2, 0x3A01) and drive.sense(0x43) == (2, 0x3A01)
    drive.unit.insert(Medium(node, FRAME))
    assert drive.sense(0x25) == (6, 0x2800) and drive.packet(0x25)


def test_errors(node: Node) -> None:
    class Broken(Filter):
        def readinto(self, offset: int, buffer: memoryview) -> None:
            raise ImageError("broken")

    drive = Drive(Broken(node))
    assert drive.sense(*pack(">BxIxH", 0x28, 5, 1)) == (3, 0x1100)
    drive.table((0x20000, FRAME))
    drive.send_packet(pack(">BxIxH", 0x28, 5, 1), dma=True)
    drive.bus.write(drive.master, 1, 9)
    assert drive.end() & 7 == 4 and drive.status & ERR and drive.error >> 4 == 3
    assert drive.sense(*pack(">BxIxH", 0x28, FRAMES, 1)) == (5, 0x2100)
    assert drive.sense(0x04) == (5, 0x2000)


@pytest.mark.parametrize("seed", range(8))
def test_nonsense(seed: int, drive: Drive) -> None:
    """Random packets, cut short and mixed with registers, raise nothing."""
    rng = random.Random(seed)
    codes = [*CdRom.operations, 0x04, 0xFF]
    for _ in range(1500):
        for register in (1, 4, 5):
            drive.put(register, rng.choice((0, 1, 0xFF, 2, rng.randrange(256))))
        drive.put(7, rng.choice((0xA0, 0xA0, 0xA0, 0xA1, 0xEC, 8)))
        data = bytes((rng.choice(codes),)) + bytes(rng.choice((0, 0, 1, rng.randrange(256))) for _ in range(11))
        for place in range(0, rng.choice((12, 12, 12, 4)), 2):
            drive.bus.write(drive.base, 2, int.from_bytes(data[place : place + 2], "little"))
        for _ in range(rng.randrange(40)):
            drive.bus.read(drive.base, rng.choice((1, 2, 4)))
        drive.bus.write(drive.master, 1, rng.choice((0, 1, 9)))
        if rng.random() < 0.05:
            drive.unit.insert(rng.choice((None, drive.unit.medium)))
        drive.get(7)
    drive.unit.load(drive.unit.save())
