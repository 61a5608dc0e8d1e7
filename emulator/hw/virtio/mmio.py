"""Virtio over MMIO (section 4.2): registers in memory and an interrupt line; the driver has to be told where (4.2.1).

Version 2 of the registers, or version 1, which is the legacy interface (4.2.4). They are 32 bits wide, except the
device's own from 100h on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emulator.hw.device import Device, Line

from .device import ANY_LAYOUT, WORD, VirtioDevice

if TYPE_CHECKING:
    from emulator.softmmu.space import AddressSpace

    from .ring import Queue

FIRST, STEP, SIZE = 0xFED80000, 0x1000, 0x200  # where a PC has them
PINS = range(16, 24)  # of the I/O APIC, that no ISA interrupt leads to
MAGIC, VENDOR = 0x74726976, 0x1AF4  # "virt"
USED_BUFFER, CONFIG_CHANGE = 1, 2  # interrupt status
MAX_ALIGN = 1 << 16  # of a legacy ring
FIELDS = ("selected", "device_word", "driver_word", "page_size", "align", "pending")


# Of a queue's addresses: which, and where in it the 32 bits are
ADDRESSES = {
    0x80: ("descriptors", 0), 0x84: ("descriptors", 32), 0x90: ("available", 0), 0x94: ("available", 32),
    0xA0: ("used", 0), 0xA4: ("used", 32),
}  # fmt: skip


class Register:
    """Offsets."""

    MAGIC, VERSION, DEVICE_ID, VENDOR_ID = 0x00, 0x04, 0x08, 0x0C
    DEVICE_FEATURES, DEVICE_FEATURES_SELECT, DRIVER_FEATURES, DRIVER_FEATURES_SELECT = 0x10, 0x14, 0x20, 0x24
    PAGE_SIZE, QUEUE_ALIGN, QUEUE_PAGE = 0x28, 0x3C, 0x40  # legacy
    QUEUE_SELECT, QUEUE_SIZE_MAX, QUEUE_SIZE, QUEUE_READY, QUEUE_NOTIFY = 0x30, 0x34, 0x38, 0x44, 0x50
    INTERRUPT_STATUS, INTERRUPT_ACK, STATUS = 0x60, 0x64, 0x70
    SHARED_MEMORY_LENGTH_LOW, SHARED_MEMORY_LENGTH_HIGH, GENERATION, CONFIGURATION = 0xB0, 0xB4, 0xFC, 0x100


class VirtioMmio(Device):
    """A device's registers, to be put into memory by `Bus.place`."""

    def __init__(self, device: VirtioDevice, space: AddressSpace, line: Line, *, legacy: bool = False) -> None:
        self.device = device
        self.space = space
        self.line = line
        self.legacy = legacy
        device.attach(self)
        self.reset()

    def reset(self) -> None:
        self.device.reset()
        self.selected = self.device_word = self.driver_word = 0
        self.page_size = self.align = 4096
        self._set_pending(0)

    @property
    def queue(self) -> Queue | None:
        """The one that is selected."""
        queues = self.device.queues
        return queues[self.selected] if self.selected < len(queues) else None

    # -- registers ------------------------------------------------------------------------------------------

    def read_memory(self, offset: int, size: int) -> int:
        if offset >= Register.CONFIGURATION:
            return self.device.read_configuration(offset - Register.CONFIGURATION, size)
        return self._read(offset) if size == 4 else 0

    def _read(self, register: int) -> int:
        queue = self.queue
        match register:
            case Register.INTERRUPT_STATUS:
                return self.pending
            case Register.MAGIC:
                return MAGIC
            case Register.VERSION:
                return 1 if self.legacy else 2
            case Register.DEVICE_ID:
                return self.device.device_id
            case Register.VENDOR_ID:
                return VENDOR
            case Register.DEVICE_FEATURES:
                offered = self.device.offered & WORD | ANY_LAYOUT if self.legacy else self.device.offered
                return offered >> 32 * min(self.device_word, 2) & WORD
            case Register.QUEUE_SIZE_MAX:
                return queue.maximum if queue is not None else 0
            case Register.QUEUE_PAGE if self.legacy:
                return queue.descriptors // self.page_size if queue is not None else 0
            case Register.QUEUE_READY:
                return queue is not None and queue.ready
            case Register.STATUS:
                return self.device.status
            case Register.SHARED_MEMORY_LENGTH_LOW | Register.SHARED_MEMORY_LENGTH_HIGH:
                return WORD  # there is none
            case Register.GENERATION:
                return self.device.generation
        return 0

    def write_memory(self, offset: int, size: int, value: int) -> None:
        if offset >= Register.CONFIGURATION:
            self.device.change_configuration(offset - Register.CONFIGURATION, size, value)
        elif size == 4:
            self._write(offset, value & WORD)

    def _write(self, register: int, value: int) -> None:
        match register:
            case Register.QUEUE_NOTIFY:
                self.device.notify(value)
            case Register.INTERRUPT_ACK:
                self._set_pending(self.pending & ~value)
            case Register.STATUS if value & 0xFF:
                self.device.set_status(value & 0xFF)
            case Register.STATUS:
                self.reset()
            case Register.DEVICE_FEATURES_SELECT:
                self.device_word = value
            case Register.DRIVER_FEATURES_SELECT:
                self.driver_word = value
            case Register.DRIVER_FEATURES if self.legacy:
                self.device.accept(value & self.device.offered if not self.driver_word else self.device.accepted)
            case Register.DRIVER_FEATURES if self.driver_word < 2:
                self.device.accept_word(self.driver_word, value)
            case Register.QUEUE_SELECT:
                self.selected = value
            case Register.PAGE_SIZE if value and not value & value - 1:
                self.page_size = value
            case _ if self.queue is not None:
                if self.legacy:
                    self._set_up_legacy(self.queue, register, value)
                else:
                    self._set_up(self.queue, register, value)

    def _set_up(self, queue: Queue, register: int, value: int) -> None:
        match register:
            case Register.QUEUE_SIZE:
                queue.set_size(value)
            case Register.QUEUE_READY:
                queue.ready = bool(value & 1)
            case _ if register in ADDRESSES:
                queue.set_address(*ADDRESSES[register], value)

    def _set_up_legacy(self, queue: Queue, register: int, value: int) -> None:
        match register:
            case Register.QUEUE_SIZE:
                queue.set_size(value)
            case Register.QUEUE_ALIGN if 0 < value <= MAX_ALIGN and not value & value - 1:
                self.align = value
            case Register.QUEUE_PAGE:
                queue.place_legacy(value * self.page_size, self.align)

    # -- interrupts -----------------------------------------------------------------------------------------

    def signal(self, queue: Queue) -> None:
        self._set_pending(self.pending | USED_BUFFER)

    def signal_configuration(self) -> None:
        self._set_pending(self.pending | CONFIG_CHANGE)

    def _set_pending(self, pending: int) -> None:
        """A line that waits for edges gets one when something is left after an acknowledgement."""
        self.pending = pending
        self.line(False)
        if pending:
            self.line(True)

    # -- time and state -------------------------------------------------------------------------------------

    def next_event(self) -> int | None:
        return 0 if self.device.unfinished else None

    def run_events(self, now: int) -> None:
        self.device.go_on()

    def save(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in FIELDS} | {"device": self.device.save()}

    def load(self, state: dict[str, Any]) -> None:
        self.device.load(state["device"])
        vars(self).update({name: state[name] for name in FIELDS})
        self._set_pending(self.pending)
