"""An IDE channel: the ports that lead to two units, and their interrupt (ATA8-APT, chapter 10; ATA/ATAPI-7 Vol. 2, 8).

What the host writes goes to both units, what it reads comes from the one that the device register selects. A unit that
is not there reads as zeroes, as in QEMU.
"""

from __future__ import annotations

from typing import Any

from ..device import Device, Line
from .bus_master import BusMaster
from .unit import BSY, COMMAND, DATA, DEV, DEVICE, OBSOLETE, STATUS, Unit

DIAGNOSE = 0x90
DISABLE_INTERRUPT, RESET, PREVIOUS = 0x02, 0x04, 0x80  # device control: nIEN, SRST, HOB


class Channel(Device):
    """Two places for units at a range of eight ports and a port of its own."""

    def __init__(self, base: int, control_port: int, line: Line, master: BusMaster) -> None:
        self.base, self.control_port = base, control_port
        self.ports = (*range(base, base + 8), control_port)
        self.line = line
        self.master = master
        self.units: list[Unit | None] = [None, None]
        self.device = OBSOLETE
        self.control = 0
        self.high = False  # the interrupt line

    def attach(self, number: int, unit: Unit) -> None:
        self.units[number] = unit
        unit.changed = self.update_line
        unit.dma_ready = self.move_data

    @property
    def selected(self) -> Unit | None:
        return self.units[bool(self.device & DEV)]

    def reset(self) -> None:
        self.device, self.control = OBSOLETE, 0
        for unit in filter(None, self.units):
            unit.reset()
        self.update_line()

    def update_line(self) -> None:
        unit = self.selected
        high = unit is not None and unit.pending and not self.control & DISABLE_INTERRUPT
        if high == self.high:
            return
        self.high = high
        if high:
            self.master.interrupted()
        self.line(high)

    def move_data(self) -> None:
        """The bus master, or a unit, has become ready; when both are, the data is moved."""
        unit = self.selected
        if unit is not None and unit.dma is not None and self.master.active:
            self.master.transfer(unit)

    # -- ports ----------------------------------------------------------------------------------------------

    def read(self, port: int) -> int:
        unit = self.selected
        if unit is None:
            return 0
        if port == self.control_port:
            return BSY if self.control & RESET else unit.status
        register = port - self.base
        if register == DATA:
            return unit.read_data(1)
        if register == STATUS:
            value = BSY if self.control & RESET else unit.status
            unit.acknowledge()
            return value
        return unit.read_register(register, bool(self.control & PREVIOUS))

    def read_wide(self, port: int, size: int) -> int:
        if port != self.base:
            return super().read_wide(port, size)
        unit = self.selected
        return 0 if unit is None else unit.read_data(size)

    def read_many(self, port: int, size: int, count: int) -> bytes:
        unit = self.selected
        return b"" if unit is None or port != self.base else unit.read_block(size, count)

    def write_many(self, port: int, size: int, data: bytes) -> int:
        unit = self.selected
        return 0 if unit is None or port != self.base else unit.write_block(size, data)

    def write_wide(self, port: int, size: int, value: int) -> None:
        if port != self.base:
            super().write_wide(port, size, value)
        elif self.selected is not None:
            self.selected.write_data(size, value)

    def write(self, port: int, value: int) -> None:
        if port == self.control_port:
            self._control(value)
        elif not self.control & RESET:
            self._write_register(port - self.base, value)

    def _write_register(self, register: int, value: int) -> None:
        if register == DATA:
            if self.selected is not None:
                self.selected.write_data(1, value)
            return
        self.control &= ~PREVIOUS
        if register == COMMAND:
            self._command(value)
            return
        for unit in filter(None, self.units):
            unit.write_register(register, value)
        if register == DEVICE and value != self.device:
            self.device = value
            self.update_line()

    def _control(self, value: int) -> None:
        if value & RESET and not self.control & RESET:
            self.device = OBSOLETE
            for unit in filter(None, self.units):
                unit.reset()
        self.control = value
        self.update_line()

    def _command(self, code: int) -> None:
        if code == DIAGNOSE:
            self._diagnose()
        elif self.selected is not None:
            self.selected.execute(code)

    def _diagnose(self) -> None:
        """EXECUTE DEVICE DIAGNOSTIC: both units do, and unit 0 answers."""
        self.device = OBSOLETE
        for unit in filter(None, self.units):
            unit.reset()
        if self.units[0] is not None:
            self.units[0].interrupt()

    # -- state ----------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        units = [unit and unit.save() for unit in self.units]
        return {"device": self.device, "control": self.control, "units": units}

    def load(self, state: dict[str, Any]) -> None:
        self.device, self.control = state["device"], state["control"]
        for unit, saved in zip(self.units, state["units"], strict=True):
            if unit is not None:
                unit.load(saved)
        self.update_line()
