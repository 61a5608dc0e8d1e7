"""What a driver does with the IDE controller: registers, PIO, tables for the bus master. Its memory is 16 MiB."""

from __future__ import annotations

from pathlib import Path
from struct import pack

import imgtools
from emulator.hw import ide
from emulator.hw.device import Bus
from emulator.hw.medium import OnError, report
from emulator.hw.pci import COMMAND, PciBus
from emulator.machine.config import DISK, Drive
from emulator.softmmu.space import AddressSpace
from imgtools import Node, create_image

MEMORY = 16 << 20
SECTOR = 512
TABLE = 0x10000  # of physical regions
MASTER = 0xC000
BSY, DRDY, DF, DSC, DRQ, ERR = 0x80, 0x40, 0x20, 0x10, 0x08, 0x01
ABRT, IDNF, UNC = 0x04, 0x10, 0x40
LBA = 0x40


def pattern(sectors: int) -> bytes:
    """Sectors that begin with their number."""
    return b"".join(pack("<Q", number) * 64 for number in range(sectors))


def image(path: Path, content: bytes, format: str = "raw", *, writable: bool = True) -> Node:
    """A new disk image with a content."""
    create_image(path, len(content), format=format)
    with imgtools.open(path, format=format, writable=True) as node:
        node.write(0, content)
        node.flush()
    return imgtools.open(path, format=format, writable=writable)


class Host:
    """A controller with drives, and a driver for the first channel."""

    def __init__(self, *nodes: Node, media: str = DISK, on_error: OnError = report) -> None:
        self.space = AddressSpace()
        self.space.add_ram(0, MEMORY)
        self.bus = Bus()
        self.lines = [False] * 16
        pci = PciBus(self.bus, self.space, lambda slot, pin, high: None)
        drives = [Drive(node, media=media) for node in nodes]
        self.controller = ide.attach(pci, lambda number: lambda high: self._set(number, high), drives, on_error)
        self.controller.write_config(0x20, 4, MASTER)
        self.controller.write_config(COMMAND, 2, 5)
        self.base, self.control, self.master, self.number = 0x1F0, 0x3F6, MASTER, 14

    def second(self) -> None:
        """Go on with the second channel."""
        self.base, self.control, self.master, self.number = 0x170, 0x376, MASTER + 8, 15

    def _set(self, number: int, high: bool) -> None:
        self.lines[number] = high

    @property
    def line(self) -> bool:
        return self.lines[self.number]

    # -- registers --------------------------------------------------------------------------------------------

    def get(self, register: int) -> int:
        return self.bus.read(self.base + register, 1)

    def put(self, register: int, value: int) -> None:
        self.bus.write(self.base + register, 1, value)

    @property
    def status(self) -> int:
        return self.bus.read(self.control, 1)

    @property
    def error(self) -> int:
        return self.get(1)

    def address(self, sector: int, count: int, *, unit: int = 0, extended: bool = False) -> None:
        if extended:
            for register, value in ((2, count >> 8), (3, sector >> 24), (4, sector >> 32), (5, sector >> 40)):
                self.put(register, value & 0xFF)
        for register, value in ((2, count), (3, sector), (4, sector >> 8), (5, sector >> 16)):
            self.put(register, value & 0xFF)
        self.put(6, 0xE0 | unit << 4 | (0 if extended else sector >> 24 & 15))

    def found(self, *, extended: bool = False) -> int:
        """The address in the registers."""
        value = self.get(3) | self.get(4) << 8 | self.get(5) << 16
        if not extended:
            return value | (self.get(6) & 15) << 24
        self.bus.write(self.control, 1, 0x80)
        return value | self.get(3) << 24 | self.get(4) << 32 | self.get(5) << 40

    # -- PIO --------------------------------------------------------------------------------------------------

    def command(self, code: int) -> int:
        """The status, whose reading takes the interrupt back."""
        self.put(7, code)
        return self.get(7)

    def take(self, size: int = SECTOR, width: int = 2) -> bytes:
        """Read data, which has to be there."""
        assert self.status & DRQ
        return b"".join(self.bus.read(self.base, width).to_bytes(width, "little") for _ in range(0, size, width))

    def give(self, data: bytes, width: int = 2) -> None:
        assert self.status & DRQ
        for place in range(0, len(data), width):
            self.bus.write(self.base, width, int.from_bytes(data[place : place + width], "little"))

    def read(self, code: int, sector: int, count: int, *, block: int = 1, extended: bool = False) -> bytes:
        """By PIO, with an interrupt for each block."""
        self.address(sector, count, extended=extended)
        self.put(7, code)
        data = b""
        while len(data) < count * SECTOR:
            assert self.line and not self.get(7) & ERR and not self.line
            data += self.take(min(block * SECTOR, count * SECTOR - len(data)))
        assert not self.line and not self.status & (DRQ | ERR | BSY)
        return data

    def write(self, code: int, sector: int, data: bytes, *, block: int = 1, extended: bool = False) -> int:
        """By PIO: the status at the end."""
        self.address(sector, len(data) // SECTOR, extended=extended)
        self.put(7, code)
        assert not self.line
        for place in range(0, len(data), block * SECTOR):
            self.give(data[place : place + block * SECTOR], width=4)
            assert self.line
            status = self.get(7)
        return status

    # -- DMA --------------------------------------------------------------------------------------------------

    def table(self, *regions: tuple[int, int], end: bool = True) -> None:
        """Regions by address and size; 64 KiB are a count of 0."""
        entries = [pack("<II", address, size & 0xFFFF) for address, size in regions]
        data = bytearray(b"".join(entries))
        if end:
            data[-1] |= 0x80
        self.space.write(TABLE, data)
        self.bus.write(self.master + 4, 4, TABLE)

    def start(self, code: int, *, to_memory: bool = True) -> int:
        """A command by the bus master: its status then, of which everything is taken back."""
        self.bus.write(self.master, 1, 8 * to_memory)
        self.bus.write(self.master + 2, 1, 6)
        self.put(7, code)
        self.bus.write(self.master, 1, 8 * to_memory | 1)
        return self.end()

    def end(self) -> int:
        status = self.bus.read(self.master + 2, 1)
        self.bus.write(self.master, 1, 0)
        self.bus.write(self.master + 2, 1, 6)
        self.get(7)
        return status
