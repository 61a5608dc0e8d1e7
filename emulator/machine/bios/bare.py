"""The BIOS of the bare machine, for boot sectors: one disk, a console without a screen, no keyboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.hw.medium import report
from emulator.machine.config import Drive
from emulator.machine.firmware import RDX, ROM, RSP, ZERO, Firmware, Service, call

from . import data
from .clock import Clock
from .disk import Disk
from .drives import Drives
from .post import INTERRUPT_CONTROLLERS, RETURN, TIMER
from .system import MEBIBYTE, RAM, RESERVED, System

if TYPE_CHECKING:
    from emulator.machine.bare import BareMachine
    from imgtools import Node

HARD_DISK = 0x80
TIMER_ALONE = 0xFE  # of the first controller's lines


class Console(Service):
    """INT 10h and 16h, as far as a machine without screen and keyboard has them."""

    @call(0x10, 0x0E)
    def teletype(self) -> None:
        self.firmware.machine.output(bytes((self.caller.al,)))

    @call(0x10, 0x0F)
    def mode(self) -> None:
        self.caller.ax = 80 << 8 | 3

    @call(0x10)
    def nothing(self) -> None:
        """There is no screen."""

    @call(0x16)
    def no_key(self) -> None:
        self.caller.set_flag(ZERO, True)
        self.caller.ax = 0


class BareBios(Firmware):
    """The services, and the disk that the boot sector is on."""

    def __init__(self, machine: BareMachine, disk: Node) -> None:
        super().__init__(machine)
        self.disk = disk
        memory_map = [
            (0, data.EBDA, RAM),
            (data.EBDA, 1024 * data.EBDA_SIZE_KILOBYTES, RESERVED),
            (ROM, 0x10000, RESERVED),
            (MEBIBYTE, machine.ram.size - MEBIBYTE, RAM),
        ]
        services = Console(self), Clock(self), Disk(self, Drives([Drive(disk)], report)), System(self, memory_map)
        self.install(services)

    def start(self, sector: bytes) -> None:
        """The machine as the BIOS leaves it to a boot sector."""
        default = self.add_code(RETURN)
        self.write_vectors(default, {})
        self.space.add_rom(ROM, bytes(self.rom))
        self.space.write(data.MEMORY_KILOBYTES, data.LOW_KILOBYTES.to_bytes(2, "little"))
        self.space.write(data.EQUIPMENT, b"\x20\x02")
        self.space.write(data.BOOT_ADDRESS, sector)
        for port, value in (*INTERRUPT_CONTROLLERS, (0x21, TIMER_ALONE), (0xA1, 0xFF), *TIMER):
            self.out(port, value)
        cpu = self.machine.processor.cpu
        for segment in cpu.segments:
            segment.selector = segment.base = 0
        cpu.rip = data.BOOT_ADDRESS
        cpu.registers[RSP] = data.BOOT_ADDRESS
        cpu.registers[RDX] = HARD_DISK
        self.machine.processor.rflags = 0x202

    def close(self) -> None:
        self.disk.close()
