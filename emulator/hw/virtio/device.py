"""What all virtio devices have in common (chapter 2): features, status, queues, configuration; and what a transport is.

A device overrides `serve`, which takes what the driver has made available in a queue, and `configuration`. Driver and
device take turns, since all chips live in the machine's thread; a turn of a device ends after a while even if there is
more to do, and goes on when the driver has had its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from emulator.hw.gather import WildAddress

from .ring import Queue, RingError

if TYPE_CHECKING:
    from emulator.softmmu.space import AddressSpace

# Device status (2.1)
DRIVER_OK, FEATURES_OK, NEEDS_RESET = 4, 8, 64
# Features of every device (chapter 6); ANY_LAYOUT is said by the legacy interface alone
ANY_LAYOUT, INDIRECT, EVENT_INDEX, VERSION_1 = 1 << 27, 1 << 28, 1 << 29, 1 << 32
COMMON = INDIRECT | EVENT_INDEX | VERSION_1
WORD = (1 << 32) - 1


class Transport(Protocol):
    """How the device reaches its driver."""

    @property
    def space(self) -> AddressSpace: ...

    def signal(self, queue: Queue) -> None:
        """The driver shall look at the used ring of a queue."""

    def signal_configuration(self) -> None:
        """The driver shall look at the configuration and the status."""


class VirtioDevice:
    """A device without its transport, which calls `attach` first."""

    device_id = 0
    class_code = 0  # of the PCI card
    features = 0  # that the device offers on top of the common ones

    def __init__(self, queues: Sequence[int]) -> None:
        self.queues = [Queue(size) for size in queues]
        self.transport: Transport | None = None
        self.reset()

    def attach(self, transport: Transport) -> None:
        self.transport = transport

    # -- for devices to override ----------------------------------------------------------------------------

    def serve(self, number: int) -> bool:
        """Take what is available in a queue. Whether there is more, which is to be served in the next turn."""
        return False

    def configuration(self) -> bytes:
        """The device's own registers (2.5)."""
        return b""

    def write_configuration(self, offset: int, data: bytes) -> None:
        """The driver writes to them."""

    def reset(self) -> None:
        """The state after power-on, and what the driver asks for before anything else."""
        self.status = 0
        self.accepted = 0  # features that the driver wants
        self.generation = 0  # of the configuration
        self.failure = ""  # what the driver did that cannot be made sense of; nothing is done until a reset
        self.unfinished: set[int] = set()  # queues to go on with
        for queue in self.queues:
            queue.reset()

    # -- for transports -------------------------------------------------------------------------------------

    @property
    def offered(self) -> int:
        return self.features | COMMON

    def accept(self, features: int) -> None:
        """The driver says which features it wants; `set_status` answers whether it can have them."""
        if not self.status & FEATURES_OK:
            self.accepted = features
            for queue in self.queues:
                queue.indirect, queue.event_index = bool(features & INDIRECT), bool(features & EVENT_INDEX)

    def accept_word(self, number: int, value: int) -> None:
        """The same, 32 features at a time."""
        shift = 32 * number
        self.accept(self.accepted & ~(WORD << shift) | value << shift)

    def set_status(self, status: int) -> None:
        """The driver writes the status."""
        if not status:
            self.reset()
            return
        if self.accepted & ~self.offered or not self.accepted & VERSION_1:
            status &= ~FEATURES_OK
        started = status & ~self.status & DRIVER_OK
        self.status = status & 0xFF | self.status & NEEDS_RESET
        if started:
            for number in range(len(self.queues)):
                self.notify(number)

    def notify(self, number: int) -> None:
        """There is something in a queue. Legacy drivers may say so before they say that they are ready (3.1.2)."""
        modern = self.accepted & VERSION_1
        if number >= len(self.queues) or self.failure or (modern and not self.status & DRIVER_OK):
            return
        assert self.transport is not None
        queue = self.queues[number]
        queue.space = self.transport.space
        self.unfinished.discard(number)
        try:
            if queue.ready and self.serve(number):
                self.unfinished.add(number)
            if queue.ready and queue.wants_interrupt():
                self.transport.signal(queue)
        except (RingError, WildAddress) as error:
            self.fail(str(error))

    def go_on(self) -> None:
        """The next turn."""
        for number in sorted(self.unfinished):
            self.notify(number)

    def read_configuration(self, offset: int, size: int) -> int:
        return int.from_bytes(self.configuration()[offset : offset + size].ljust(size, b"\0"), "little")

    def change_configuration(self, offset: int, size: int, value: int) -> None:
        self.write_configuration(offset, (value & (1 << 8 * size) - 1).to_bytes(size, "little"))

    # -- for devices ----------------------------------------------------------------------------------------

    def fail(self, what: str) -> None:
        """Nothing works any more until the driver resets the device (2.1.2)."""
        self.failure = what
        self.unfinished.clear()
        if self.accepted & VERSION_1:
            self.status |= NEEDS_RESET
            if self.status & DRIVER_OK:
                self.configuration_changed()

    def configuration_changed(self) -> None:
        self.generation = self.generation + 1 & 0xFF
        if self.transport is not None:
            self.transport.signal_configuration()

    # -- state ----------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        """A device with a state of its own adds it."""
        fields = ("status", "accepted", "generation", "failure")
        return {name: getattr(self, name) for name in fields} | {
            "unfinished": sorted(self.unfinished), "queues": [queue.save() for queue in self.queues],
        }  # fmt: skip

    def load(self, state: dict[str, Any]) -> None:
        self.status = 0
        self.accept(state["accepted"])
        self.status, self.generation, self.failure = state["status"], state["generation"], state["failure"]
        self.unfinished = set(state["unfinished"])
        for queue, fields in zip(self.queues, state["queues"], strict=True):
            queue.load(fields)
