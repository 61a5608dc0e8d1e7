"""The IDE function of the PIIX3 (82371SB data sheet, 290550, section 2.3 and 3.4): two channels at their old ports.

The ports are always decoded, as in QEMU, whatever the command register says; base address 4 has the bus masters.
"""

from __future__ import annotations

from typing import Any

from emulator.softmmu.space import AddressSpace

from ..device import Bus, Line
from ..pci import Bar, PciFunction
from .bus_master import TABLE, BusMaster
from .channel import Channel
from .unit import Unit

PORTS = ((0x1F0, 0x3F6), (0x170, 0x376))
TIMING = 0x40  # a word for each channel; bit 15 switches it on
TIMING_END = 0x45
CHANNEL_ON = 0x80
MASTER_BAR, MASTER_SIZE = 4, 8


class IdeController(PciFunction):
    """Two channels with two units each, numbered 0 to 3."""

    vendor_id, device_id, class_code = 0x8086, 0x7010, 0x010180

    def __init__(self, space: AddressSpace, lines: tuple[Line, Line]) -> None:
        super().__init__(bars={MASTER_BAR: Bar(2 * MASTER_SIZE, io=True, read=self._read, write=self._write)})
        self.masters = [BusMaster(space) for _ in PORTS]
        self.channels = [
            Channel(base, control, line, master)
            for (base, control), line, master in zip(PORTS, lines, self.masters, strict=True)
        ]
        self.writable[TIMING:TIMING_END] = b"\xff" * (TIMING_END - TIMING)
        self._switch_on()

    def _switch_on(self) -> None:
        """Both channels are on from the start, for systems that are started without a firmware."""
        self.config[TIMING:TIMING_END] = bytes((0, CHANNEL_ON, 0, CHANNEL_ON, 0))

    def attach(self, number: int, unit: Unit) -> None:
        self.channels[number // 2].attach(number % 2, unit)

    def place(self, bus: Bus) -> None:
        """Put the channels' ports onto the bus."""
        for channel in self.channels:
            bus.add(channel)

    def reset(self) -> None:
        super().reset()
        self._switch_on()
        for master in self.masters:
            master.reset()

    def _read(self, offset: int, size: int) -> int:
        if size == 1:
            return self.masters[offset // MASTER_SIZE].read(offset % MASTER_SIZE)
        return sum(self._read(offset + number, 1) << 8 * number for number in range(size))

    def _write(self, offset: int, size: int, value: int) -> None:
        which, place = divmod(offset, MASTER_SIZE)
        if size == 1:
            if self.masters[which].write(place, value):
                self.channels[which].move_data()
        elif size == 4 and place == TABLE:
            self.masters[which].set_table(value)
        else:
            for number in range(size):
                self._write(offset + number, 1, value >> 8 * number & 0xFF)

    def save(self) -> dict[str, Any]:
        return super().save() | {"masters": [master.save() for master in self.masters]}

    def load(self, state: dict[str, Any]) -> None:
        super().load(state)
        for master, saved in zip(self.masters, state["masters"], strict=True):
            master.load(saved)
