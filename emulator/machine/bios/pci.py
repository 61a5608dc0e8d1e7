"""INT 1Ah, AH = B1h: finding cards and their registers ("PCI BIOS Specification", revision 2.1), and what a BIOS does
for cards before booting: windows, interrupts, bus mastering.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.hw.pci import BARS, BUS_MASTER, COMMAND, INTERRUPT_LINE, IO_SPACE, MEMORY_SPACE, ROM_BAR, PciBus
from emulator.machine.firmware import CARRY, Method, Service, call

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.hw.pci import PciFunction
    from emulator.machine.firmware import Firmware

SIGNATURE = 0x20494350  # "PCI "
SUCCESS, UNSUPPORTED, BAD_VENDOR, NOT_FOUND, BAD_REGISTER = 0, 0x81, 0x83, 0x86, 0x87
ADDRESS, DATA, ENABLE = 0xCF8, 0xCFC, 1 << 31
FIRST_PORT, FIRST_WINDOW, WIDE_LIMIT = 0xC000, 0xE0000000, 0xFEC00000
PIRQ, ELCR = 0x60, 0x4D0
ROUTES = (10, 10, 11, 11)  # the ISA interrupts of the four PIRQs
BRIDGE_SLOT = 1


class Pci(Service):
    def __init__(self, firmware: Firmware, pci: PciBus) -> None:
        super().__init__(firmware)
        self.pci = pci

    # -- before booting -------------------------------------------------------------------------------------

    def set_up(self) -> None:
        """Give each window a place, the largest first, so that each is aligned by itself; and each pin an interrupt."""
        next_place = {True: FIRST_PORT, False: FIRST_WINDOW}
        windows = [
            (bar.size, card, number) for card in self.pci.functions.values() for number, bar in card.bars.items()
        ]
        for size, card, number in sorted(windows, key=lambda window: -window[0]):
            bar = card.bars[number]
            place = -(-next_place[bar.io] // size) * size
            if place + size > (0x10000 if bar.io else WIDE_LIMIT):
                continue  # no room: the window stays closed
            next_place[bar.io] = place + size
            card.write_config(ROM_BAR if number == 6 else BARS + 4 * number, 4, place)
            if bar.wide:
                card.write_config(BARS + 4 * number + 4, 4, 0)
        for (slot, _), card in self.pci.functions.items():
            kinds = [IO_SPACE if bar.io else MEMORY_SPACE for number, bar in card.bars.items() if number != 6]
            if kinds:
                card.write_config(COMMAND, 2, card.command | BUS_MASTER | sum(set(kinds)))
            if card.interrupt_pin:
                card.write_config(INTERRUPT_LINE, 1, ROUTES[slot - 1 + card.interrupt_pin - 1 & 3])
        bridge = self.pci.functions[BRIDGE_SLOT, 0]
        for line, route in enumerate(ROUTES):
            bridge.write_config(PIRQ + line, 1, route)
        levels = sum(1 << route for route in set(ROUTES))
        self.firmware.out(ELCR, 0)
        self.firmware.out(ELCR + 1, levels >> 8)

    # -- INT 1Ah --------------------------------------------------------------------------------------------

    def perform(self, method: Method) -> None:
        """All return a status: into AH and the carry flag."""
        status = method()
        self.caller.ah = status
        self.caller.set_flag(CARRY, status != SUCCESS)

    @call(0x1A, 0xB101)
    def present(self) -> int:
        caller = self.caller
        caller.edx, caller.bx = SIGNATURE, 0x0210
        caller.al, caller.cl = 1, 0  # configuration mechanism 1, one bus
        return SUCCESS

    def _find(self, matches: Callable[[PciFunction], bool]) -> int:
        """The card with number SI of those that match."""
        found = [place for place, card in sorted(self.pci.functions.items()) if matches(card)]
        if self.caller.si >= len(found):
            return NOT_FOUND
        slot, number = found[self.caller.si]
        self.caller.bx = slot << 3 | number
        return SUCCESS

    @call(0x1A, 0xB102)
    def find_device(self) -> int:
        vendor, device = self.caller.dx, self.caller.cx
        if vendor == 0xFFFF:
            return BAD_VENDOR
        return self._find(lambda card: (card.vendor_id, card.device_id) == (vendor, device))

    @call(0x1A, 0xB103)
    def find_class(self) -> int:
        wanted = self.caller.ecx & 0xFFFFFF
        return self._find(lambda card: card.class_code == wanted)

    def _port(self, size: int) -> int | None:
        """Choose the register DI of the card BX: the port of its data, None if there cannot be such a register."""
        offset = self.caller.di
        if offset % size or offset > 0xFF:
            return None
        self.firmware.machine.bus.write(ADDRESS, 4, ENABLE | self.caller.bx << 8 | offset & 0xFC)
        return DATA + (offset & 3)

    @call(0x1A, 0xB108, 0xB109, 0xB10A)
    def read_register(self) -> int:
        """1, 2 or 4 bytes into ECX."""
        size = 1 << self.caller.al - 8
        port = self._port(size)
        if port is None:
            return BAD_REGISTER
        keep = -1 << 8 * size
        self.caller.ecx = self.caller.ecx & keep | self.firmware.machine.bus.read(port, size)
        return SUCCESS

    @call(0x1A, 0xB10B, 0xB10C, 0xB10D)
    def write_register(self) -> int:
        size = 1 << self.caller.al - 0xB
        port = self._port(size)
        if port is None:
            return BAD_REGISTER
        self.firmware.machine.bus.write(port, size, self.caller.ecx & (1 << 8 * size) - 1)
        return SUCCESS
