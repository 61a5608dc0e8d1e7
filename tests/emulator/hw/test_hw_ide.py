"""The IDE controller and ATA disks, by their registers alone: what ATA8-ACS and the bus master's specification say."""

from __future__ import annotations

import random
from pathlib import Path
from struct import pack, unpack

import pytest
from ide_host import ABRT, BSY, DRQ, ERR, IDNF, MASTER, MEMORY, SECTOR, TABLE, UNC, Host, image, pattern

from imgtools import ImageError, Node
from imgtools.block.node import Filter

SECTORS = 4096
CONTENT = pattern(SECTORS)
ACTIVE, FAILED, INTERRUPT = 1, 2, 4


@pytest.fixture(params=["raw", "qcow2"])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Node:
    return image(tmp_path / "disk", CONTENT, request.param)


@pytest.fixture
def host(node: Node) -> Host:
    return Host(node)


def sectors(first: int, count: int) -> bytes:
    return CONTENT[first * SECTOR : (first + count) * SECTOR]


def words_of(host: Host) -> tuple[int, ...]:
    assert host.command(0xEC) & DRQ
    return unpack("<256H", host.take())


# -- PIO ------------------------------------------------------------------------------------------------------


def test_pio_reads(host: Host) -> None:
    assert host.read(0x20, 5, 3) == sectors(5, 3)
    assert host.read(0x20, 7, 256) == sectors(7, 256)  # a count of 0
    assert host.read(0x24, 1000, 300, extended=True) == sectors(1000, 300)
    host.put(2, 8)
    assert not host.command(0xC6) & ERR
    assert host.read(0xC4, 30, 20, block=8) == sectors(30, 20)
    assert host.read(0x29, 3, 9, block=8, extended=True) == sectors(3, 9)


def test_pio_writes(host: Host, node: Node) -> None:
    data = random.Random(1).randbytes(20 * SECTOR)
    assert host.write(0x30, 9, data) == 0x50
    assert host.write(0x34, 2000, data[:SECTOR], extended=True) == 0x50
    host.put(2, 16)
    host.command(0xC6)
    assert host.write(0xC5, 3000, data, block=16) == 0x50
    expected = bytearray(CONTENT)
    for place in (9, 3000):
        expected[place * SECTOR : place * SECTOR + len(data)] = data
    expected[2000 * SECTOR : 2001 * SECTOR] = data[:SECTOR]
    assert node.read(0, node.size) == expected


def test_string_instructions(host: Host, node: Node) -> None:
    """Many elements at once end where the sector does, and not in the middle of an element."""
    host.address(5, 2)
    host.put(7, 0x20)
    assert host.bus.read_many(0x1F2, 2, 1) == b"" == host.bus.read_many(0x80, 1, 1)
    assert host.bus.read_many(0x1F0, 2, 3) == sectors(5, 1)[:6]
    assert host.bus.read_many(0x1F0, 4, 1000) == sectors(5, 1)[6:510]
    assert host.bus.read(0x1F0, 2) == int.from_bytes(sectors(5, 1)[510:], "little")
    assert host.get(7) & DRQ and host.bus.read_many(0x1F0, 2, 256) == sectors(6, 1)
    assert host.bus.read_many(0x1F0, 2, 256) == b""
    host.address(9, 1)
    host.put(7, 0x30)
    assert host.bus.write_many(0x1F0, 4, b"abcd" * 200) == SECTOR and host.bus.write_many(0x1F0, 4, b"abcd") == 0
    assert node.read(9 * SECTOR, SECTOR) == b"abcd" * 128


def test_cylinders(host: Host) -> None:
    """CHS addresses, in the geometry that is told and in another one."""

    def read(cylinder: int, head: int, number: int) -> bytes:
        for register, value in ((2, 1), (3, number), (4, cylinder & 0xFF), (5, cylinder >> 8), (6, 0xA0 | head)):
            host.put(register, value)
        assert host.command(0x20) & DRQ
        return host.take()

    assert read(1, 2, 3) == sectors((1 * 16 + 2) * 63 + 2, 1)
    host.put(2, 32)
    host.put(6, 0xA0 | 7)
    assert not host.command(0x91) & ERR
    assert words_of(host)[54:57] == (16, 8, 32)
    assert read(10, 7, 32) == sectors((10 * 8 + 7) * 32 + 31, 1)
    host.put(3, 33)
    assert host.command(0x20) & ERR and host.error == IDNF


def test_outside(host: Host) -> None:
    """A range that leaves the disk is refused, with the first sector that is not there."""
    for code, extended in ((0x20, False), (0x24, True), (0x30, False), (0xC8, False), (0x25, True), (0x42, True)):
        host.address(SECTORS - 2, 3, extended=extended)
        assert host.command(code) & (ERR | DRQ) == ERR, hex(code)
        assert host.error == IDNF and host.found(extended=extended) == SECTORS
    host.address((1 << 48) - 1, 1, extended=True)
    assert host.command(0x24) & ERR and host.found(extended=True) == (1 << 48) - 1


def test_selection(tmp_path: Path) -> None:
    """Two units have registers of their own, and one that is not there reads as zeroes."""
    host = Host(image(tmp_path / "one", CONTENT), image(tmp_path / "two", CONTENT[::-1]))
    host.address(1, 1, unit=1)
    assert host.command(0x20) & DRQ and host.take() == CONTENT[::-1][SECTOR : 2 * SECTOR]
    host.put(6, 0xE0)
    assert host.status == 0x50
    host.second()
    host.put(3, 0x55)
    assert host.get(3) == host.status == 0
    assert host.command(0xEC) == 0 and not host.line


def test_reset(host: Host) -> None:
    """SRST gives the signature; the drive is busy as long as it is set."""
    host.address(5, 7)
    host.put(7, 0x20)
    host.bus.write(0x3F6, 1, 4)
    assert host.status & BSY and not host.line
    host.bus.write(0x3F6, 1, 0)
    assert [host.get(n) for n in range(1, 8)] == [1, 1, 1, 0, 0, 0xA0, 0x50]
    host.address(5, 7)
    host.put(7, 0x90)
    assert host.line and [host.get(n) for n in range(1, 7)] == [1, 1, 1, 0, 0, 0xA0]


def test_interrupts(host: Host) -> None:
    """nIEN holds the line down; the alternate status leaves it as it is; only reading the status takes it back."""
    host.bus.write(0x3F6, 1, 2)
    host.put(7, 0xE7)
    assert not host.line
    host.bus.write(0x3F6, 1, 0)
    assert host.line and host.status == 0x50 and host.line
    host.put(6, 0xB0)  # the other unit has no interrupt
    assert not host.line
    host.put(6, 0xA0)
    assert host.line and host.get(7) == 0x50 and not host.line
    assert host.bus.read(MASTER + 2, 1) & INTERRUPT


# -- DMA ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_pieces", [False, True])
def test_dma(host: Host, node: Node, in_pieces: bool) -> None:
    """Reads and writes, through one region and through many that are apart and of odd sizes."""
    rng = random.Random(in_pieces)
    count = 700
    regions, place = [], 0x100000
    left = count * SECTOR
    while left:
        size = min(left, rng.choice((2, 30, 512, 4096, 8190, 65536)) if in_pieces else 65536)
        regions.append((place, size))
        place += size + (rng.choice((0, 2, 4096)) if in_pieces else 0)
        left -= size
    host.table(*regions)
    host.address(11, count, extended=True)
    assert host.start(0x25) & 7 == INTERRUPT
    read = b"".join(host.space.read(address, size) for address, size in regions)
    assert read == sectors(11, count)
    data = rng.randbytes(count * SECTOR)
    position = 0
    for address, size in regions:
        host.space.write(address, data[position : position + size])
        position += size
    host.address(2001, count, extended=True)
    assert host.start(0x35, to_memory=False) & 7 == INTERRUPT
    assert node.read(2001 * SECTOR, len(data)) == data


def test_dma_order(host: Host) -> None:
    """START may come before the command."""
    host.table((0x20000, 2 * SECTOR))
    host.address(8, 2)
    host.bus.write(MASTER, 1, 9)
    assert host.bus.read(MASTER + 2, 1) & 7 == ACTIVE
    host.put(7, 0xC8)
    assert host.end() & 7 == INTERRUPT and host.space.read(0x20000, 2 * SECTOR) == sectors(8, 2)


def test_table_sizes(host: Host) -> None:
    """More room than data leaves ACTIVE, less room gives no interrupt (specification, 3.1)."""
    host.table((0x20000, 4 * SECTOR))
    host.address(8, 2)
    assert host.start(0xC8) & 7 == ACTIVE | INTERRUPT
    host.table((0x20000, SECTOR + 2), (0x30000, SECTOR - 4))
    host.address(8, 2)
    assert host.start(0xC8) & 7 == 0
    host.table((0x20000, SECTOR), (0x30000, SECTOR), (0x40000, 0), end=False)
    host.address(8, 2)
    assert host.start(0xC8) & 7 == ACTIVE | INTERRUPT
    assert host.space.read(0x30000, SECTOR) == sectors(9, 1)


def test_hostile_tables(host: Host) -> None:
    """Wild addresses are errors of the controller; tables without end, and tables in nowhere, come to an end."""
    for address in (MEMORY - SECTOR, MEMORY, 0xFFFFF000, 0xFFFFFFFE):
        for code in (0xC8, 0xCA):
            host.table((0x30000, SECTOR), (address, 3 * SECTOR))
            host.address(0, 4)
            assert host.start(code, to_memory=code == 0xC8) & 7 == FAILED
    host.table((0x30001, SECTOR | 1))  # odd ones are even
    host.address(3, 1)
    assert host.start(0xC8) & 7 == INTERRUPT and host.space.read(0x30000, SECTOR) == sectors(3, 1)
    host.space.write(TABLE & ~0xFFFF, pack("<II", 0x200000, 2) * 8192)  # up to the border, and no further
    host.bus.write(MASTER + 4, 4, TABLE)
    host.address(0, 256)
    assert host.start(0xC8) & 7 == 0
    for where in (MEMORY, 0xFFFFFFFC, 0xFFFF0004):
        host.bus.write(MASTER + 4, 4, where)
        host.address(0, 256)
        host.start(0xC8)
        host.address(0, 256)
        host.start(0xCA, to_memory=False)


# -- other commands -------------------------------------------------------------------------------------------


def test_identify(host: Host) -> None:
    words = words_of(host)
    assert words[0] == 0x40 and (words[1], words[3], words[6]) == (SECTORS // 1008, 16, 63)
    assert pack(">20H", *words[27:47]).decode().strip() == "IMGTOOLS HARDDISK"
    assert pack(">10H", *words[10:20]).decode().strip() == "IM00001"
    assert words[60] | words[61] << 16 == words[100] | words[101] << 16 == SECTORS
    assert words[88] == 0x203F and words[63] == 7
    assert sum(pack("<256H", *words)) & 0xFF == 0 and words[255] & 0xFF == 0xA5
    for mode, expected in ((0x22, (0x407, 0x3F)), (0x42, (7, 0x43F)), (0x0C, (7, 0x43F))):
        host.put(1, 3)
        host.put(2, mode)
        assert not host.command(0xEF) & ERR
        words = words_of(host)
        assert (words[63], words[88]) == expected
    host.put(2, 0x47)  # UDMA 7
    assert host.command(0xEF) & ERR and host.error == ABRT


def test_write_cache(node: Node) -> None:
    """Without the cache, and with FUA, a write has been flushed when it ends."""
    flushed: list[int] = []

    class Counted(Filter):
        def flush(self) -> None:
            flushed.append(1)
            super().flush()

    host = Host(Counted(node))
    host.write(0x30, 1, bytes(SECTOR))
    assert not flushed
    host.put(1, 0x82)
    host.command(0xEF)
    count = len(flushed)
    host.write(0x30, 1, bytes(SECTOR))
    assert len(flushed) == count + 1
    assert not words_of(host)[85] & 1 << 5
    host.put(1, 2)
    host.command(0xEF)
    host.table((0x20000, SECTOR))
    host.address(1, 1, extended=True)
    assert host.start(0x3D, to_memory=False) & INTERRUPT and len(flushed) == count + 2
    assert host.command(0xEA) == 0x50 and len(flushed) == count + 3


def test_trim(host: Host, node: Node) -> None:
    host.space.write(0x20000, pack("<4Q", 128 | 128 << 48, 0, 512 | 1024 << 48, 7).ljust(SECTOR, b"\0"))
    host.table((0x20000, SECTOR))
    host.put(1, 1)
    host.address(0, 1, extended=True)
    host.put(1, 1)
    assert host.start(6, to_memory=False) & 7 == INTERRUPT
    assert node.read(256 * SECTOR, 256 * SECTOR) == sectors(256, 256)
    assert node.read(128 * SECTOR, 128 * SECTOR) == bytes(128 * SECTOR)
    assert node.read(512 * SECTOR, 1024 * SECTOR) == bytes(1024 * SECTOR)
    host.space.write(0x20000, pack("<Q", SECTORS - 1 | 2 << 48))
    host.put(1, 1)
    host.start(6, to_memory=False)
    assert host.status & ERR and host.error == IDNF
    assert node.read((SECTORS - 1) * SECTOR, SECTOR) == sectors(SECTORS - 1, 1)


def test_smart_and_power(host: Host) -> None:
    def smart(feature: int, low: int = 0, count: int = 1) -> int:
        for register, value in ((1, feature), (2, count), (3, low), (4, 0x4F), (5, 0xC2)):
            host.put(register, value)
        return host.command(0xB0)

    for feature, low in ((0xD0, 0), (0xD1, 0), (0xD5, 1), (0xD5, 6)):
        assert smart(feature, low) & DRQ and sum(host.take()) & 0xFF == 0
    assert smart(0xDA) == 0x50 and (host.get(4), host.get(5)) == (0x4F, 0xC2)
    assert smart(0xD9) == 0x50 and smart(0xDA) & ERR and smart(0xD8) == smart(0xDA) == 0x50
    assert host.command(0xE0) == 0x50 and host.command(0xE5) == 0x50 and host.get(2) == 0
    assert host.command(0xE1) == 0x50 and host.command(0xE5) == 0x50 and host.get(2) == 0xFF


def test_unknown_commands(host: Host) -> None:
    for code in (0x00, 0x26, 0x45, 0x60, 0xA0, 0xA1, 0xF1, 0xFF):
        assert host.command(code) & (ERR | DRQ) == ERR and host.error == ABRT, hex(code)


# -- errors ---------------------------------------------------------------------------------------------------


class Broken(Filter):
    """A disk with a sector that can be neither read nor written."""

    bad = 37

    def _check(self, offset: int, length: int) -> None:
        if offset <= self.bad * SECTOR < offset + length:
            raise ImageError("broken")

    def readinto(self, offset: int, buffer: memoryview) -> None:
        self._check(offset, len(buffer))
        super().readinto(offset, buffer)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        self._check(offset, len(data))
        super().write(offset, data)


def test_bad_sector(node: Node) -> None:
    """The address of the bad sector, and all that lies before it."""
    host = Host(Broken(node))
    host.table((0x20000, 16 * SECTOR))
    host.address(30, 16)
    assert host.start(0xC8) & 7 == INTERRUPT
    assert host.status & ERR and host.error == UNC and host.found() == 37
    assert host.space.read(0x20000, 7 * SECTOR) == sectors(30, 7)
    host.address(30, 16)
    assert host.command(0x40) & ERR and host.found() == 37
    host.address(36, 2)
    assert host.command(0x20) & DRQ and host.take() == sectors(36, 1)
    assert host.get(7) & (ERR | DRQ) == ERR and host.error == UNC and host.found() == 37
    host.address(37, 1)
    host.put(7, 0x30)
    host.give(bytes(SECTOR))
    assert host.get(7) & ERR and host.error == ABRT and host.found() == 37


def test_retry(node: Node) -> None:
    """Who is asked about an error may have the disk try again."""
    disk = Broken(node)

    def repair(error: ImageError) -> bool:
        disk.bad = -1
        return True

    host = Host(disk, on_error=repair)
    assert host.read(0x20, 37, 1) == sectors(37, 1)


def test_read_only(tmp_path: Path) -> None:
    host = Host(image(tmp_path / "disk", CONTENT, writable=False))
    for code in (0x30, 0xC5, 0xCA, 0x34):
        host.put(6, 0xE0)
        assert host.command(code) & ERR and host.error == ABRT
    assert host.command(0xE7) == 0x50


# -- state, and nonsense --------------------------------------------------------------------------------------


def test_save_and_load(node: Node) -> None:
    """A command goes on in the middle of its data."""
    host, other = Host(node), Host(node)
    host.address(100, 2)
    host.put(7, 0x20)
    host.get(7)
    assert host.take(200) == sectors(100, 1)[:200]
    other.controller.channels[0].load(host.controller.channels[0].save())
    assert other.take(SECTOR - 200) == sectors(100, 1)[200:]
    assert other.line and other.get(7) & DRQ and other.take() == sectors(101, 1)


@pytest.mark.parametrize("seed", range(8))
def test_nonsense(seed: int, tmp_path: Path) -> None:
    """Whatever the guest writes to whatever port, the controller does not raise."""
    rng = random.Random(seed)
    host = Host(image(tmp_path / "one", CONTENT[: 64 * SECTOR]), image(tmp_path / "two", CONTENT[: 64 * SECTOR]))
    ports = [*range(0x1F0, 0x1F8), 0x3F6, *range(MASTER, MASTER + 16), 0x1F7, 0x1F7, MASTER, MASTER + 4]
    codes = [*host.controller.channels[0].units[0].commands, 0x90, 0x45]  # type: ignore[union-attr]
    for _ in range(6000):
        port = rng.choice(ports)
        size = rng.choice((1, 1, 1, 2, 4))
        if rng.random() < 0.4:
            host.bus.read(port, size)
            continue
        value = rng.getrandbits(8 * size) if rng.random() < 0.5 else rng.choice((0, 1, 9, 0x50, 0xE0, 0x20000))
        if port == 0x1F7:
            size, value = 1, rng.choice(codes)
        elif port == 0x1F6 and rng.random() < 0.8:
            value = 0xE0
        host.bus.write(port, size, value & (1 << 8 * size) - 1)
        if rng.random() < 0.1:
            host.bus.read(0x1F0, 4)
            host.space.write(rng.randrange(MEMORY), rng.randbytes(64))
    host.controller.channels[0].save()
