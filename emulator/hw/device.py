"""What every chip is: ports, time, reset, save and load; and the bus that finds the chip of a port.

A chip talks to the outside through what it is given when it is made: a line (a function of bool) to the interrupt
controller, a function for its output. Times are nanoseconds of the machine's clock, and `next_event` says when a chip
wants `run_events` to be called; the bus asks again after each write to a chip that overrides it, and `Bus.update` is
for all that changes it otherwise.

Most chips are eight bits wide. A wider one overrides `read_wide` and `write_wide`; a chip in memory overrides
`read_memory` and `write_memory`, and is put there by `Bus.place`. What an access calls is found once for each port and
size (`reader` and `writer`); a chip that is accessed often gives functions that do no more than this access.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulator.softmmu.space import AddressSpace, Region

Line = Callable[[bool], None]
Clock = Callable[[], int]
Reader = Callable[[], int]
Writer = Callable[[int], None]

NOBODY = (1 << 32) - 1  # what a port reads without a chip
SIZE_BITS = 3  # of the key of an access: the port, and below it the size
MASKS = {size: (1 << 8 * size) - 1 for size in (1, 2, 4)}


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

    def reader(self, port: int, size: int) -> Reader:
        """What reads 1, 2 or 4 bytes from a port of this chip on; more bits than these are cut off."""
        return partial(self.read, port) if size == 1 else partial(self.read_wide, port, size)

    def writer(self, port: int, size: int) -> Writer:
        """What writes them."""
        return partial(self.write, port) if size == 1 else partial(self.write_wide, port, size)

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
        """When the chip has something to do, or None. A chip whose class does not override this is never asked."""
        return None

    @classmethod
    def has_events(cls) -> bool:
        return cls.next_event is not Device.next_event

    def run_events(self, now: int) -> None:
        """Do all that is due."""

    def save(self) -> dict[str, Any]:
        """The state as JSON has it: what `load` takes."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """The counterpart of `save`."""


NOTHING = Device()  # has the ports that nobody has


class Bus:
    """The I/O ports of a machine, and when its chips have something to do: `on_due` hears when that changes."""

    def __init__(self, on_due: Callable[[int | None], None] = lambda due: None) -> None:
        self.on_due = on_due
        self.devices: list[Device] = []
        self._by_port: dict[int, Device] = {}
        self._readers: dict[int, Reader] = {}  # by port and size, as they are used first
        self._writers: dict[int, Writer] = {}
        self._with_events: list[Device] = []
        self._due: dict[Device, int] = {}

    def _enter(self, device: Device) -> None:
        self.devices.append(device)
        if device.has_events():
            self._with_events = [*self._with_events, device]

    def add(self, device: Device) -> None:
        self._enter(device)
        for port in device.ports:
            assert port not in self._by_port, f"two chips at port {port:#x}"
            self._by_port[port] = device
        self._forget_accesses()

    def remove(self, device: Device) -> None:
        """Its ports are nobody's again."""
        self.devices.remove(device)
        self._with_events = [other for other in self._with_events if other is not device]
        self._due.pop(device, None)
        self._by_port = {port: other for port, other in self._by_port.items() if other is not device}
        self._forget_accesses()

    def _forget_accesses(self) -> None:
        self._readers.clear()
        self._writers.clear()

    def has(self, port: int) -> bool:
        """Whether a port is somebody's."""
        return port in self._by_port

    def place(self, device: Device, space: AddressSpace, first: int, size: int, **options: Any) -> Region:
        """Put a chip's registers into memory."""
        if device not in self.devices:
            self._enter(device)
        return space.add_mmio(first, size, device.read_memory, self.watched(device, device.write_memory), **options)

    def watched(self, device: Device, write: Callable[..., None]) -> Callable[..., None]:
        """What writes to a chip, and asks behind it for the next event if the chip has any."""
        if not device.has_events():
            return write
        update = self.update

        def write_and_update(*access: int) -> None:
            write(*access)
            update(device)

        return write_and_update

    def read(self, port: int, size: int) -> int:
        """1, 2 or 4 bytes, from one chip or each from its own port."""
        reader = self._readers.get(port << SIZE_BITS | size) or self._find_reader(port, size)
        return reader() & MASKS[size]

    def write(self, port: int, size: int, value: int) -> None:
        writer = self._writers.get(port << SIZE_BITS | size) or self._find_writer(port, size)
        writer(value & MASKS[size])

    def _owner(self, port: int, size: int) -> Device | None:
        """The chip that has all of an access, None if each byte is another one's."""
        device = self._by_port.get(port)
        if size == 1:
            return device or NOTHING
        return device if device is self._by_port.get(port + size - 1) else None

    def _find_reader(self, port: int, size: int) -> Reader:
        device = self._owner(port, size)
        if device is None:
            return lambda: sum(self.read(port + number & 0xFFFF, 1) << 8 * number for number in range(size))
        reader = device.reader(port, size)
        if device is not NOTHING:
            self._readers[port << SIZE_BITS | size] = reader
        return reader

    def _find_writer(self, port: int, size: int) -> Writer:
        device = self._owner(port, size)
        if device is None:
            return partial(self._write_bytes, port, size)
        writer = self.watched(device, device.writer(port, size))
        if device is not NOTHING:
            self._writers[port << SIZE_BITS | size] = writer
        return writer

    def _write_bytes(self, port: int, size: int, value: int) -> None:
        for number in range(size):
            self.write(port + number & 0xFFFF, 1, value >> 8 * number)

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
        for device in self._with_events:
            device.run_events(now)
            self.update(device)

    def reset(self) -> None:
        for device in tuple(self.devices):  # a card's windows go with its reset
            device.reset()
            self.update(device)
