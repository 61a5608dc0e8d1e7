"""What every chip is: ports, time, reset, save and load; and the bus that finds the chip of a port.

A chip talks to the outside through what it is given when it is made: a line (a function of bool) to the interrupt
controller, a function for its output. Times are nanoseconds of the machine's clock, and `next_event` says when a chip
wants `run_events` to be called; the bus asks again after each write to the chip, and `Bus.update` is for all that
changes it otherwise.

Most chips are eight bits wide. A wider one overrides `read_wide` and `write_wide`; a chip in memory overrides
`read_memory` and `write_memory`, and is put there by `Bus.place`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulator.softmmu.space import AddressSpace, Region

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

    def read_wide(self, port: int, size: int) -> int:
        """2 or 4 bytes, all from ports of this chip."""
        return sum((self.read(port + number) & 0xFF) << 8 * number for number in range(size))

    def write_wide(self, port: int, size: int, value: int) -> None:
        """The same to write."""
        for number in range(size):
            self.write(port + number, value >> 8 * number & 0xFF)

    def read_many(self, port: int, size: int, count: int) -> bytes:
        """Elements of 1, 2 or 4 bytes for a string instruction: as many as the chip has at once, none if it has not."""
        return b""

    def write_many(self, port: int, size: int, data: bytes) -> int:
        """The same to write: how many bytes, in whole elements, the chip takes at once."""
        return 0

    def read_memory(self, offset: int, size: int) -> int:
        """1, 2, 4 or 8 bytes of the chip's registers in memory."""
        return NOBODY

    def write_memory(self, offset: int, size: int, value: int) -> None:
        """The same to write."""

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
    """The I/O ports of a machine, and when its chips have something to do: `on_due` hears when that changes."""

    def __init__(self, on_due: Callable[[int | None], None] = lambda due: None) -> None:
        self.on_due = on_due
        self.devices: list[Device] = []
        self._by_port: dict[int, Device] = {}
        self._due: dict[Device, int] = {}

    def add(self, device: Device) -> None:
        self.devices.append(device)
        for port in device.ports:
            assert port not in self._by_port, f"two chips at port {port:#x}"
            self._by_port[port] = device

    def remove(self, device: Device) -> None:
        """Its ports are nobody's again."""
        self.devices.remove(device)
        self._due.pop(device, None)
        self._by_port = {port: other for port, other in self._by_port.items() if other is not device}

    def has(self, port: int) -> bool:
        """Whether a port is somebody's."""
        return port in self._by_port

    def place(self, device: Device, space: AddressSpace, first: int, size: int, **options: Any) -> Region:
        """Put a chip's registers into memory."""

        def write(offset: int, width: int, value: int) -> None:
            device.write_memory(offset, width, value)
            self.update(device)

        if device not in self.devices:
            self.devices.append(device)
        return space.add_mmio(first, size, device.read_memory, write, **options)

    def read(self, port: int, size: int) -> int:
        """1, 2 or 4 bytes, from one chip or each from its own port."""
        device = self._by_port.get(port)
        if size == 1:
            return NOBODY & 0xFF if device is None else device.read(port) & 0xFF
        if device is not None and self._by_port.get(port + size - 1) is device:
            return device.read_wide(port, size)
        return sum(self.read(port + number & 0xFFFF, 1) << 8 * number for number in range(size))

    def write(self, port: int, size: int, value: int) -> None:
        device = self._by_port.get(port)
        if size == 1:
            if device is None:
                return
            device.write(port, value & 0xFF)
        elif device is not None and self._by_port.get(port + size - 1) is device:
            device.write_wide(port, size, value)
        else:
            for number in range(size):
                self.write(port + number & 0xFFFF, 1, value >> 8 * number & 0xFF)
            return
        self.update(device)

    def read_many(self, port: int, size: int, count: int) -> bytes:
        """Elements of a string instruction."""
        device = self._by_port.get(port)
        return b"" if device is None else device.read_many(port, size, count)

    def write_many(self, port: int, size: int, data: bytes) -> int:
        device = self._by_port.get(port)
        if device is None:
            return 0
        written = device.write_many(port, size, data)
        self.update(device)
        return written

    def update(self, device: Device) -> None:
        """Ask a chip when its next event is."""
        due = device.next_event()
        if due == self._due.get(device):
            return
        if due is not None:
            self._due[device] = due
        else:
            del self._due[device]
        self.on_due(self.next_event())

    def next_event(self) -> int | None:
        """When the first of the chips has something to do."""
        return min(self._due.values(), default=None)

    def run_events(self, now: int) -> None:
        for device in self.devices:
            device.run_events(now)
            self.update(device)

    def reset(self) -> None:
        for device in tuple(self.devices):  # a card's windows go with its reset
            device.reset()
            self.update(device)
