"""Firmware for boot sectors: the BIOS services that they call, in Python.

Each vector leads to a stub in ROM, `OUT port, AL; IRET`; the port of a vector calls the service here, which sees the
caller's registers and changes them, and the flags in the frame on its stack. (Ralf Brown's list describes the services
by number; INT 13h extensions are "BIOS Enhanced Disk Drive Specification", 3.0.)
"""

from __future__ import annotations

from collections.abc import Callable
from struct import pack, unpack
from typing import TYPE_CHECKING

from emulator.hw.device import Device
from emulator.x86.instruction import DS, ES, SS
from imgtools import ImageError

if TYPE_CHECKING:
    from imgtools import Node

    from .bare import BareMachine

ROM = 0xF0000
STUBS = 0xE000  # within the ROM
FIRST_PORT = 0xC0
SECTOR = 512
BOOT_ADDRESS = 0x7C00
HARD_DISK = 0x80
HEADS, TRACK_SECTORS = 16, 63
MAX_CYLINDERS = 1024
MAX_SECTORS = 128  # of one transfer
TICKS = 0x46C  # in the BIOS data area: timer interrupts since midnight
MEMORY_SIZE = 0x413
LOW_KILOBYTES = 639
CARRY, ZERO = 1, 1 << 6
RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI = range(8)
MAP_SIGNATURE = 0x534D4150  # "SMAP"
OK, BAD_COMMAND, NOT_FOUND, BAD_DISK = 0, 1, 4, 0x80


class Firmware(Device):
    """The services of one machine, and its disk."""

    def __init__(self, machine: BareMachine, disk: Node) -> None:
        self.machine = machine
        self.disk = disk
        self.sectors = disk.size // SECTOR
        self.cpu = machine.processor.core.cpu
        self.status = OK  # of the last call of the disk
        self.services: dict[int, Callable[[], None]] = {
            0x08: self.timer, 0x10: self.video, 0x11: self.equipment, 0x12: self.memory, 0x13: self.call_disk,
            0x15: self.system, 0x16: self.keyboard, 0x1A: self.time,
        }  # fmt: skip
        self.vectors = tuple(self.services)
        self.ports = range(FIRST_PORT, FIRST_PORT + len(self.vectors))
        machine.bus.add(self)

    def start(self, sector: bytes) -> None:
        """The machine as the BIOS leaves it to a boot sector."""
        rom = bytearray(b"\xf4" * 0x10000)
        default = STUBS - 1
        rom[default] = 0xCF  # IRET
        table = [ROM << 12 | default] * 256
        for number, vector in enumerate(self.vectors):
            place = STUBS + number * 4
            rom[place : place + 3] = bytes((0xE6, FIRST_PORT + number, 0xCF))
            table[vector] = ROM << 12 | place
        space = self.machine.space
        space.add_rom(ROM, bytes(rom))
        space.write(0, pack("<256I", *table))
        space.write(MEMORY_SIZE, pack("<H", LOW_KILOBYTES))
        space.write(BOOT_ADDRESS, sector)
        for port, value in ((0x20, 0x11), (0x21, 8), (0x21, 4), (0x21, 1), (0x21, 0xFE)):
            self.machine.bus.write(port, 1, value)
        for port, value in ((0xA0, 0x11), (0xA1, 0x70), (0xA1, 2), (0xA1, 1), (0xA1, 0xFF)):
            self.machine.bus.write(port, 1, value)
        for port, value in ((0x43, 0x36), (0x40, 0), (0x40, 0)):
            self.machine.bus.write(port, 1, value)
        cpu = self.cpu
        for segment in cpu.segments:
            segment.selector = segment.base = 0
        cpu.rip = BOOT_ADDRESS
        cpu.registers[RSP] = BOOT_ADDRESS
        cpu.registers[RDX] = HARD_DISK
        self.machine.processor.rflags = 0x202

    def close(self) -> None:
        self.disk.close()

    def write(self, port: int, value: int) -> None:
        self.services[self.vectors[port - FIRST_PORT]]()

    # -- registers ------------------------------------------------------------------------------------------

    def get(self, number: int, bits: int = 16) -> int:
        return int(self.cpu.registers[number]) & (1 << bits) - 1

    def put(self, number: int, value: int, bits: int = 16) -> None:
        mask = (1 << bits) - 1
        self.cpu.registers[number] = self.cpu.registers[number] & ~mask | value & mask

    @property
    def function(self) -> int:
        """AH."""
        return self.get(RAX) >> 8

    def set_high(self, value: int) -> None:
        """AH."""
        self.put(RAX, self.get(RAX) & 0xFF | value << 8)

    def set_flag(self, flag: int, on: bool) -> None:
        """A flag of the caller: in the frame on the stack."""
        place = self.cpu.segments[SS].base + (self.get(RSP) + 4 & 0xFFFF)
        flags = unpack("<H", self.machine.space.read(place, 2))[0]
        self.machine.space.write(place, pack("<H", flags | flag if on else flags & ~flag))

    # -- services -------------------------------------------------------------------------------------------

    def timer(self) -> None:
        """INT 08h, line 0."""
        ticks = unpack("<I", self.machine.space.read(TICKS, 4))[0]
        self.machine.space.write(TICKS, pack("<I", ticks + 1 & 0xFFFFFFFF))
        self.machine.bus.write(0x20, 1, 0x20)

    def video(self) -> None:
        """INT 10h: teletype output goes to the console, the rest is nothing."""
        if self.function == 0x0E:
            self.machine.output(bytes((self.get(RAX) & 0xFF,)))
        elif self.function == 0x0F:
            self.put(RAX, 80 << 8 | 3)

    def equipment(self) -> None:
        """INT 11h."""
        self.put(RAX, 0x0220)

    def memory(self) -> None:
        """INT 12h."""
        self.put(RAX, LOW_KILOBYTES)

    def keyboard(self) -> None:
        """INT 16h: there is none."""
        self.set_flag(ZERO, True)
        self.put(RAX, 0)

    def time(self) -> None:
        """INT 1Ah: ticks since midnight."""
        if self.function == 0:
            ticks = unpack("<I", self.machine.space.read(TICKS, 4))[0]
            self.put(RCX, ticks >> 16)
            self.put(RDX, ticks)
            self.put(RAX, 0)
        else:
            self.set_flag(CARRY, True)

    def system(self) -> None:
        """INT 15h: the memory map, and the A20 gate, which is open."""
        function = self.get(RAX)
        extended = self.machine.ram.size - (1 << 20)
        failed = False
        if function == 0xE820 and self.get(RDX, 32) == MAP_SIGNATURE:
            self._memory_map(extended)
        elif function >> 8 == 0x88:
            self.put(RAX, min(extended >> 10, 0xFFFF))
        elif function == 0xE801:
            below, above = min(extended, 15 << 20) >> 10, max(0, extended - (15 << 20)) >> 16
            for low, value in ((RAX, below), (RCX, below), (RBX, above), (RDX, above)):
                self.put(low, value)
        elif function in (0x2400, 0x2401):
            self.set_high(0)
        else:
            failed = True
            self.set_high(0x86)
        self.set_flag(CARRY, failed)

    def _memory_map(self, extended: int) -> None:
        regions = (
            (0, LOW_KILOBYTES << 10, 1),
            (LOW_KILOBYTES << 10, 1024, 2),
            (ROM, 0x10000, 2),
            (1 << 20, extended, 1),
        )
        number = min(self.get(RBX), len(regions) - 1)
        self.machine.space.write(self.cpu.segments[ES].base + self.get(RDI), pack("<QQI", *regions[number]))
        self.put(RBX, (number + 1) % len(regions), 32)
        self.put(RAX, MAP_SIGNATURE, 32)
        self.put(RCX, 20, 32)

    # -- INT 13h --------------------------------------------------------------------------------------------

    def call_disk(self) -> None:
        """The first hard disk; writes are refused."""
        functions = {
            0x00: lambda: OK, 0x01: lambda: self.status, 0x02: self._read_by_geometry, 0x08: self._geometry,
            0x15: self._type, 0x41: self._has_extensions, 0x42: self._read_packet, 0x48: self._parameters,
        }  # fmt: skip
        function = functions.get(self.function)
        if self.get(RDX) & 0xFF != HARD_DISK:
            status = BAD_DISK
        else:
            status = function() if function is not None else BAD_COMMAND
        self.status = status
        if self.function not in (0x15, 0x41) or status:
            self.set_high(status)
        self.set_flag(CARRY, status != OK)

    def _transfer(self, first: int, count: int, address: int) -> int:
        if count > MAX_SECTORS or first + count > self.sectors:
            return NOT_FOUND
        try:
            self.machine.space.write(address, self.disk.read(first * SECTOR, count * SECTOR))
        except ImageError:
            return BAD_DISK
        return OK

    def _read_by_geometry(self) -> int:
        """AH = 02h: cylinder, head, sector."""
        position, head = self.get(RCX), self.get(RDX) >> 8
        cylinder = position >> 8 | (position & 0xC0) << 2
        sector = position & 0x3F
        if not sector or head >= HEADS:
            return BAD_COMMAND
        first = (cylinder * HEADS + head) * TRACK_SECTORS + sector - 1
        return self._transfer(first, self.get(RAX) & 0xFF, self.cpu.segments[ES].base + self.get(RBX))

    @property
    def cylinders(self) -> int:
        return min(MAX_CYLINDERS, -(-self.sectors // (HEADS * TRACK_SECTORS)))

    def _geometry(self) -> int:
        """AH = 08h."""
        last = self.cylinders - 1
        self.put(RCX, (last & 0xFF) << 8 | last >> 2 & 0xC0 | TRACK_SECTORS)
        self.put(RDX, HEADS - 1 << 8 | 1)
        return OK

    def _type(self) -> int:
        """AH = 15h: a hard disk and its size."""
        self.set_high(3)
        self.put(RCX, self.sectors >> 16)
        self.put(RDX, self.sectors)
        return OK

    def _has_extensions(self) -> int:
        """AH = 41h."""
        if self.get(RBX) != 0x55AA:
            return BAD_COMMAND
        self.put(RBX, 0xAA55)
        self.put(RCX, 1)
        self.set_high(0x30)
        return OK

    def _packet(self) -> int:
        return int(self.cpu.segments[DS].base) + self.get(RSI)

    def _read_packet(self) -> int:
        """AH = 42h: the packet says what and where to."""
        size, count, offset, segment, first = unpack("<BxHHHQ", self.machine.space.read(self._packet(), 16))
        return BAD_COMMAND if size < 16 else self._transfer(first, count, segment * 16 + offset)

    def _parameters(self) -> int:
        """AH = 48h."""
        data = pack("<HHIIIQH", 26, 2, self.cylinders, HEADS, TRACK_SECTORS, self.sectors, SECTOR)
        self.machine.space.write(self._packet(), data)
        return OK
