"""An IDE channel: the ports that lead to two units, and their interrupt (ATA8-APT, chapter 10; ATA/ATAPI-7 Vol. 2, 8).

What the host writes goes to both units, what it reads comes from the one that the device register selects. A unit that
is not there reads as zeroes, as in QEMU.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ..device import Device, Line, Reader, Writer
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
        self.control = 0
        self.high = False  # the interrupt line
        self._select(OBSOLETE)

    def attach(self, number: int, unit: Unit) -> None:
        self.units[number] = unit
        unit.changed = self.update_line
        unit.dma_ready = self.move_data
        self._select(self.device)

    def _select(self, device: int) -> None:
        """The device register."""
        self.device = device
        self.selected = self.units[bool(device & DEV)]

    def reset(self) -> None:
        self.control = 0
        self._restart()
        self.update_line()

    def _restart(self) -> None:
        """Both units do, and the first is selected."""
        self._select(OBSOLETE)
        for unit in filter(None, self.units):
            unit.reset()

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

    def reader(self, port: int, size: int) -> Reader:
        if size > 1:
            return super().reader(port, size)
        if port == self.control_port:
            return self._read_alternate_status
        register = port - self.base
        return self._read_status if register == STATUS else partial(self._read_register, register)

    def read(self, port: int) -> int:
        return self.reader(port, 1)()

    def _read_alternate_status(self) -> int:
        unit = self.selected
        if unit is None:
            return 0
        return BSY if self.control & RESET else unit.status

    def _read_status(self) -> int:
        value = self._read_alternate_status()
        if self.selected is not None and self.selected.pending:
            self.selected.acknowledge()
        return value

    def _read_register(self, register: int) -> int:
        unit = self.selected
        if unit is None:
            return 0
        if register == DATA:
            return unit.read_data(1)
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

    def writer(self, port: int, size: int) -> Writer:
        if size > 1:
            return super().writer(port, size)
        return self._control if port == self.control_port else partial(self._write_register, port - self.base)

    def write(self, port: int, value: int) -> None:
        self.writer(port, 1)(value)

    def _write_register(self, register: int, value: int) -> None:
        if self.control & RESET:
            return
        if register == DATA:
            if self.selected is not None:
                self.selected.write_data(1, value)
            return
        self.control &= ~PREVIOUS
        if register == COMMAND:
            self._command(value)
            return
        for unit in self.units:
            if unit is not None:
                unit.write_register(register, value)
        if register == DEVICE and value != self.device:
            self._select(value)
            self.update_line()

    def _control(self, value: int) -> None:
        if value & RESET and not self.control & RESET:
            self._restart()
        self.control = value
        self.update_line()

    def _command(self, code: int) -> None:
        if code == DIAGNOSE:
            self._diagnose()
        elif self.selected is not None:
            self.selected.execute(code)

    def _diagnose(self) -> None:
        """EXECUTE DEVICE DIAGNOSTIC: both units do, and unit 0 answers."""
        self._restart()
        if self.units[0] is not None:
            self.units[0].interrupt()

    # -- state ----------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        units = [unit and unit.save() for unit in self.units]
        return {"device": self.device, "control": self.control, "units": units}

    def load(self, state: dict[str, Any]) -> None:
        self._select(state["device"])
        self.control = state["control"]
        for unit, saved in zip(self.units, state["units"], strict=True):
            if unit is not None:
                unit.load(saved)
        self.update_line()
