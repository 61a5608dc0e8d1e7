"""The BIOS of a PC: all services together, and its ROM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.machine.firmware import ROM, Firmware

from .boot import Boot
from .clock import Clock
from .disk import Disk
from .drives import Drives
from .keyboard import Keyboard
from .palette import Palette
from .pci import Pci
from .ports import Ports
from .post import Post
from .system import System
from .vbe import Vbe
from .video import Video

if TYPE_CHECKING:
    from emulator.machine.pc import Pc

HIGH_ROM = 0xFFFF0000
ROOT_POINTER = 0xFF00  # in the ROM, a multiple of 16
ROOT_POINTER_SIZE = 36


class Bios(Firmware):
    """In the ROM of a machine, which starts at its reset vector."""

    def __init__(self, machine: Pc) -> None:
        super().__init__(machine)
        config = machine.config
        self.drives = Drives(config.drives, config.on_error)
        self.pci = Pci(self, machine.pci)
        self.keyboard = Keyboard(self)
        self.video = Video(self, machine.vga, config.teletype)
        self.clock = Clock(self)
        self.system = System(self, machine.memory_map())
        boot, disk = Boot(self, self.drives, config.boot_order), Disk(self, self.drives)
        self.post, vbe = Post(self), Vbe(self, machine.vga, self.video)
        services = (
            self.clock,
            self.pci,
            self.keyboard,
            self.video,
            self.system,
            boot,
            disk,
            Palette(self),
            Ports(self),
        )
        self.install((*services, vbe, self.post))
        self.post.finish_rom()
        pointer = machine.acpi_tables().at(machine.acpi_root)[:ROOT_POINTER_SIZE]
        self.rom[ROOT_POINTER : ROOT_POINTER + ROOT_POINTER_SIZE] = pointer
        for place in (ROM, HIGH_ROM):
            machine.space.add_rom(place, bytes(self.rom))
