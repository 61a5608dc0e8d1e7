"""What every chip is: ports, time, reset, save and load; and the bus that finds the chip of a port.

A chip talks to the outside through what it is given when it is made: a line (a function of bool) to the interrupt
controller, a function for its output. Times are nanoseconds of the machine's clock, and `next_event` says when a chip
wants `run_events` to be called; it may have changed after any access to its ports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Line = Callable[[bool], None]
Clock = Callable[[], int]

NOBODY = (1 << 32) - 1  # what a port reads without a chip


class Device:
    """A chip; what it does not override does nothing."""

    ports: Iterable[int] = ()

    def read(self, port: int) -> int:
        """A byte."""
        return 0xFF

    def write(self, port: int, value: int) -> None:
        """A byte."""

    def reset(self) -> None:
        """The state after power-on."""

    def next_event(self) -> int | None:
        """When the chip has something to do, or None."""
        return None

    def run_events(self, now: int) -> None:
        """Do all that is due."""

    def save(self) -> dict[str, Any]:
        """The state as JSON has it: what `load` takes."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """The counterpart of `save`."""


class Bus:
    """The I/O ports of a machine."""

    def __init__(self) -> None:
        self.devices: list[Device] = []
        self._by_port: dict[int, Device] = {}

    def add(self, device: Device) -> None:
        self.devices.append(device)
        for port in device.ports:
            assert port not in self._by_port, f"two chips at port {port:#x}"
            self._by_port[port] = device

    def read(self, port: int, size: int) -> int:
        """1, 2 or 4 bytes, each from its own port."""
        value = 0
        for number in range(size):
            device = self._by_port.get(port + number & 0xFFFF)
            byte = NOBODY if device is None else device.read(port + number)
            value |= (byte & 0xFF) << 8 * number
        return value

    def write(self, port: int, size: int, value: int) -> None:
        for number in range(size):
            device = self._by_port.get(port + number & 0xFFFF)
            if device is not None:
                device.write(port + number, value >> 8 * number & 0xFF)

    def next_event(self) -> int | None:
        """When the first of the chips has something to do."""
        return min((time for device in self.devices if (time := device.next_event()) is not None), default=None)

    def run_events(self, now: int) -> None:
        for device in self.devices:
            device.run_events(now)

    def reset(self) -> None:
        for device in self.devices:
            device.reset()
