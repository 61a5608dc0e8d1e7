"""PCI: configuration space, base addresses and interrupt pins (PCI Local Bus Specification 3.0, chapter 6; section
3.2.2.3.2 for the ports of configuration mechanism #1).

A card derives from `PciFunction`: its identity is declared in the class, its windows are `Bar`s, whose functions see
offsets. The bus maps a window where the guest puts it, while the command register says so.

    class Card(PciFunction):
        vendor_id, device_id, class_code = 0x1AF4, 0x1001, 0x010000
        interrupt_pin = 1

        def __init__(self) -> None:
            super().__init__(bars={0: Bar(64, io=True, read=self.read_port, write=self.write_port)})
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from struct import pack_into, unpack_from
from typing import Any

from emulator.softmmu.space import AddressSpace, Region
from imgtools.errors import BadOption

from .device import NOBODY, Bus, Device, Reader, Writer

CONFIG_SIZE = 256
SLOTS = 32
ADDRESS, DATA = 0xCF8, 0xCFC
RESET_CONTROL = 0xCF9  # the south bridge's, between those
ENABLE = 1 << 31

# Registers
VENDOR, COMMAND, STATUS, REVISION, HEADER_TYPE = 0x00, 0x04, 0x06, 0x08, 0x0E
BARS, SUBSYSTEM, ROM_BAR, CAPABILITIES, INTERRUPT_LINE, INTERRUPT_PIN = 0x10, 0x2C, 0x30, 0x34, 0x3C, 0x3D
IO_SPACE, MEMORY_SPACE, BUS_MASTER, INTERRUPT_DISABLE = 1, 2, 4, 1 << 10  # COMMAND
INTERRUPT_STATUS, HAS_CAPABILITIES = 1 << 3, 1 << 4  # STATUS

Read = Callable[[int, int], int]
Write = Callable[[int, int, int], None]


@dataclass(eq=False)
class Bar:
    """A window of a card: `size` bytes, a power of two, of ports or of memory.

    A window of memory that is no device is a `region` that exists already and is moved.
    """

    size: int
    io: bool = False
    read: Read | None = None
    write: Write | None = None
    region: Region | None = None
    prefetchable: bool = False
    wide: bool = False  # 64 bits: takes the next BAR, too
    mapped: Any = None  # what the bus made of it, and where
    place: int | None = None

    @property
    def kind(self) -> int:
        """The low bits of the register (section 6.2.5.1)."""
        return 1 if self.io else self.wide << 2 | self.prefetchable << 3


class _Ports(Device):
    """A window of ports, as the bus has it: what reads and writes sees offsets."""

    def __init__(self, first: int, size: int, read: Read | None, write: Write | None) -> None:
        self.first = first
        self.ports = range(first, first + size)
        self._read, self._write = read, write

    def reader(self, port: int, size: int) -> Reader:
        return super().reader(port, size) if self._read is None else partial(self._read, port - self.first, size)

    def writer(self, port: int, size: int) -> Writer:
        return super().writer(port, size) if self._write is None else partial(self._write, port - self.first, size)


class PciFunction(Device):
    """A function of a card. `space` and `bus` are there when the card is on a bus."""

    vendor_id = device_id = 0xFFFF
    class_code = 0  # class, subclass, interface
    revision = 0
    subsystem_vendor_id = subsystem_id = 0
    interrupt_pin = 0  # 1 to 4 are INTA# to INTD#
    multifunction = False

    def __init__(self, bars: Mapping[int, Bar] | None = None) -> None:
        self.bars = dict(bars or {})
        self.config = bytearray(CONFIG_SIZE)
        self.writable = bytearray(CONFIG_SIZE)  # a bit for each that the guest may change
        self._capability_end = 0x40
        self.pci: PciBus | None = None
        self.slot = self.number = 0
        self._asserted = False
        self._declare()

    def _declare(self) -> None:
        pack_into("<HH", self.config, VENDOR, self.vendor_id, self.device_id)
        pack_into("<I", self.config, REVISION, self.class_code << 8 | self.revision)
        pack_into("<HH", self.config, SUBSYSTEM, self.subsystem_vendor_id, self.subsystem_id)
        self.config[HEADER_TYPE] = 0x80 * self.multifunction
        self.config[INTERRUPT_PIN] = self.interrupt_pin
        pack_into("<H", self.writable, COMMAND, IO_SPACE | MEMORY_SPACE | BUS_MASTER | INTERRUPT_DISABLE | 0x100)
        self.writable[INTERRUPT_LINE] = 0xFF
        for number, bar in self.bars.items():
            place = ROM_BAR if number == 6 else BARS + 4 * number
            pack_into("<I", self.config, place, bar.kind)
            pack_into("<I", self.writable, place, (-bar.size | (number == 6)) & 0xFFFFFFFF)
            if bar.wide:
                pack_into("<I", self.writable, place + 4, 0xFFFFFFFF & -bar.size >> 32)

    def add_capability(self, kind: int, body: bytes, writable: bytes = b"") -> int:
        """Add to the list of capabilities (section 6.7): the place of its first byte."""
        place = self._capability_end
        self._capability_end = place + 2 + len(body) + 3 & ~3
        assert self._capability_end <= CONFIG_SIZE, "too many capabilities"
        self.config[place : place + 2 + len(body)] = bytes((kind, self.config[CAPABILITIES])) + body
        self.writable[place + 2 : place + 2 + len(writable)] = writable
        self.config[CAPABILITIES] = place
        self.config[STATUS] |= HAS_CAPABILITIES
        return place

    @property
    def space(self) -> AddressSpace:
        """Memory, for bus masters."""
        assert self.pci is not None, "the card is on no bus"
        return self.pci.space

    @property
    def command(self) -> int:
        return int(unpack_from("<H", self.config, COMMAND)[0])

    def bar_place(self, number: int) -> int | None:
        """Where a window is, None while it is not decoded."""
        bar = self.bars[number]
        place = ROM_BAR if number == 6 else BARS + 4 * number
        if not self.command & (IO_SPACE if bar.io else MEMORY_SPACE):
            return None
        value = int(unpack_from("<Q" if bar.wide else "<I", self.config, place)[0])
        if number == 6 and not value & 1:
            return None
        first = value & -bar.size
        limit = 0x10000 if bar.io else 1 << (40 if bar.wide else 32)
        return first if first > 0 and first + bar.size <= limit else None

    def read_config(self, offset: int, size: int) -> int:
        """What the guest reads; `offset + size` is at most 256."""
        return int.from_bytes(self.config[offset : offset + size], "little")

    def write_config(self, offset: int, size: int, value: int) -> None:
        """The guest writes. A card that has more to do than to remember overrides this, and calls it."""
        for number, byte in enumerate(value.to_bytes(size, "little")):
            mask = self.writable[offset + number]
            self.config[offset + number] = self.config[offset + number] & ~mask | byte & mask
        if self.pci is not None:
            if offset < CAPABILITIES:
                self.pci.map_windows(self)
            if offset < STATUS:
                self.pci.set_pin(self, self._asserted)

    def interrupt(self, asserted: bool) -> None:
        """The card's interrupt pin."""
        if asserted == self._asserted:
            return
        self._asserted = asserted
        self.config[STATUS] = self.config[STATUS] & ~INTERRUPT_STATUS | INTERRUPT_STATUS * asserted
        if self.pci is not None:
            self.pci.set_pin(self, asserted)

    def reset(self) -> None:
        """Cards with registers of their own reset these, too."""
        self.interrupt(False)
        for offset in range(CAPABILITIES):
            self.config[offset] &= ~self.writable[offset] & 0xFF
        if self.pci is not None:
            self.pci.map_windows(self)


class PciBus(Device):
    """Bus 0. `interrupt(slot, pin, asserted)` gets what the cards' pins do; pins are 0 to 3 for INTA# to INTD#."""

    ports = [port for port in range(ADDRESS, DATA + 4) if port != RESET_CONTROL]

    def __init__(self, bus: Bus, space: AddressSpace, interrupt: Callable[[int, int, bool], None]) -> None:
        self.bus, self.space = bus, space
        self.interrupt = interrupt
        self.message: Callable[[int, int], None] = lambda address, data: None  # an interrupt: `data` written to memory
        self.address = 0
        self.functions: dict[tuple[int, int], PciFunction] = {}
        bus.add(self)

    def add(self, card: PciFunction, slot: int | None = None, number: int = 0) -> None:
        """Put a function into a slot, the first free one from 2 on if none is given."""
        if slot is None:
            slot = next((free for free in range(2, SLOTS) if (free, 0) not in self.functions), None)
        if slot is None:
            raise BadOption(f"more cards than fit into the {SLOTS} slots of a PC")
        assert (slot, number) not in self.functions, f"two cards in slot {slot}"
        self.functions[slot, number] = card
        card.pci, card.slot, card.number = self, slot, number
        self.bus.add(card)

    # -- configuration --------------------------------------------------------------------------------------

    def _target(self) -> PciFunction | None:
        if not self.address & ENABLE or self.address >> 16 & 0xFF:
            return None
        return self.functions.get((self.address >> 11 & 31, self.address >> 8 & 7))

    def read(self, port: int) -> int:
        return self.read_wide(port, 1)

    def write(self, port: int, value: int) -> None:
        self.write_wide(port, 1, value)

    def read_wide(self, port: int, size: int) -> int:
        if port < DATA:
            return self.address if (port, size) == (ADDRESS, 4) else NOBODY
        card = self._target()
        offset = self.address & 0xFC | port & 3
        return NOBODY if card is None else card.read_config(offset, min(size, CONFIG_SIZE - offset))

    def write_wide(self, port: int, size: int, value: int) -> None:
        if port < DATA:
            if (port, size) == (ADDRESS, 4):
                self.address = value & ~3
            return
        card = self._target()
        if card is not None:
            card.write_config(self.address & 0xFC | port & 3, size, value)
            self.bus.update(card)

    # -- windows and pins -----------------------------------------------------------------------------------

    def map_windows(self, card: PciFunction) -> None:
        """Put a card's windows where its registers say."""
        for number, bar in card.bars.items():
            place = card.bar_place(number)
            if place == bar.place:
                continue
            if bar.mapped is not None:
                self._unmap(bar)
            bar.place = place
            if place is not None:
                bar.mapped = self._map(card, bar, place)

    def _map(self, card: PciFunction, bar: Bar, place: int) -> Any:
        write = None if bar.write is None else self.bus.watched(card, bar.write)
        if bar.io:
            ports = _Ports(place, bar.size, bar.read, write)
            if any(self.bus.has(port) for port in ports.ports):
                return None  # two windows at one place: the first keeps it
            self.bus.add(ports)
            return ports
        if bar.region is not None:
            return self.space.move(bar.region, place)
        assert bar.read is not None and write is not None
        return self.space.add_mmio(place, bar.size, bar.read, write, name=type(card).__name__)

    def _unmap(self, bar: Bar) -> None:
        if bar.io:
            self.bus.remove(bar.mapped)
        else:
            self.space.remove(bar.mapped)
        bar.mapped = None

    def set_pin(self, card: PciFunction, asserted: bool) -> None:
        if card.interrupt_pin:
            self.interrupt(card.slot, card.interrupt_pin - 1, asserted and not card.command & INTERRUPT_DISABLE)

    def save(self) -> dict[str, Any]:
        return {"address": self.address}

    def load(self, state: dict[str, Any]) -> None:
        self.address = state["address"]
