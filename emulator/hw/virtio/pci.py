"""Virtio over PCI (section 4.1), as a transitional card: window 0 has the legacy registers, in ports (4.1.4.10), and
window 4 the structures that capabilities point at (4.1.4), a page each.

Window 1 is the table of MSI-X.

| window 4 | structure |
|---|---|
| 0000h | common configuration |
| 1000h | interrupt status |
| 2000h | the device's own configuration |
| 3000h | notification, 4 bytes a queue |
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import pack, pack_into, unpack_from
from typing import TYPE_CHECKING, Any

from emulator.hw.msix import MessageTable
from emulator.hw.pci import Bar, PciFunction

from .device import ANY_LAYOUT, WORD, VirtioDevice
from .ring import LEGACY_ALIGN

if TYPE_CHECKING:
    from .ring import Queue

VENDOR = 0x1AF4
TRANSITIONAL, MODERN = 0x1000, 0x1040  # device IDs
LEGACY_IDS = {1: 0, 2: 1, 3: 3, 4: 5}  # virtio device ID to what is added to 1000h (4.1.2.1)
LEGACY_BAR, MESSAGE_BAR, MODERN_BAR = 0, 1, 4
PORTS, PAGE = 128, 0x1000
LEGACY_CONFIGURATION = 20  # the device's own registers, among the legacy ones
NO_VECTOR = 0xFFFF
VENDOR_SPECIFIC = 9  # capability ID
COMMON, NOTIFY, INTERRUPT, DEVICE, CONFIG_ACCESS = 1, 2, 3, 4, 5  # kinds of capabilities (4.1.4)
PLACES = {COMMON: 0, INTERRUPT: PAGE, DEVICE: 2 * PAGE, NOTIFY: 3 * PAGE}
NOTIFY_STEP = 4
ACCESS_BAR, ACCESS_OFFSET, ACCESS_LENGTH, ACCESS_DATA = 4, 8, 12, 16  # in the capability CONFIG_ACCESS
USED_BUFFER, CONFIG_CHANGE = 1, 2  # interrupt status
FIELDS = ("selected", "device_word", "driver_word", "pending", "config_vector")


def by_offset(table: Mapping[str, tuple[int, int]]) -> dict[int, tuple[str, int, int]]:
    """For each byte the name, offset and size of its register."""
    return {place: (name, first, size) for name, (first, size) in table.items() for place in range(first, first + size)}


LEGACY = by_offset({
    "device_features": (0, 4), "legacy_features": (4, 4), "legacy_page": (8, 4), "legacy_size": (12, 2),
    "queue_select": (14, 2), "queue_notify": (16, 2), "status": (18, 1), "interrupt_status": (19, 1),
    "config_vector": (20, 2), "queue_vector": (22, 2),
})  # fmt: skip
COMMON_CONFIGURATION = by_offset({
    "device_word": (0x00, 4), "features_word": (0x04, 4), "driver_word": (0x08, 4), "accepted_word": (0x0C, 4),
    "config_vector": (0x10, 2), "queue_count": (0x12, 2), "status": (0x14, 1), "generation": (0x15, 1),
    "queue_select": (0x16, 2), "queue_size": (0x18, 2), "queue_vector": (0x1A, 2), "queue_enable": (0x1C, 2),
    "queue_notify_offset": (0x1E, 2), "descriptors": (0x20, 8), "available": (0x28, 8), "used": (0x30, 8),
})  # fmt: skip


class VirtioPci(PciFunction):
    """The card of a device."""

    vendor_id = subsystem_vendor_id = VENDOR
    interrupt_pin = 1

    def __init__(self, device: VirtioDevice) -> None:
        kind = device.device_id
        self.device = device
        self.device_id = TRANSITIONAL + LEGACY_IDS[kind] if kind in LEGACY_IDS else MODERN + kind
        self.subsystem_id = kind
        self.class_code = device.class_code
        ports = Bar(PORTS, io=True, read=self.read_ports, write=self.write_ports)
        memory = Bar(len(PLACES) * PAGE, read=self.read_window, write=self.write_window)
        self.messages = MessageTable(len(device.queues) + 1)
        super().__init__({LEGACY_BAR: ports, MESSAGE_BAR: self.messages.window, MODERN_BAR: memory})
        self.messages.attach(self, MESSAGE_BAR)
        for structure, place in PLACES.items():
            self._add_structure(structure, place, pack("<I", NOTIFY_STEP) if structure == NOTIFY else b"")
        self.access = self._add_structure(CONFIG_ACCESS, 0, bytes(4))
        for place in (ACCESS_BAR, *range(ACCESS_OFFSET, ACCESS_DATA + 4)):
            self.writable[self.access + place] = 0xFF
        device.attach(self)
        self._restart()

    def _add_structure(self, kind: int, place: int, more: bytes) -> int:
        length = 0 if kind == CONFIG_ACCESS else PAGE
        head = pack("<BBBxxxII", 16 + len(more), kind, 0 if kind == CONFIG_ACCESS else MODERN_BAR, place, length)
        return self.add_capability(VENDOR_SPECIFIC, head + more)

    def reset(self) -> None:
        super().reset()
        self.messages.reset()
        self._restart()

    def _restart(self) -> None:
        """The driver resets the device; what the bus knows of the card remains."""
        self.device.reset()
        self.selected = self.device_word = self.driver_word = 0
        self.config_vector = NO_VECTOR
        self._set_pending(0)

    # -- windows --------------------------------------------------------------------------------------------

    def read_ports(self, offset: int, size: int) -> int:
        own = self._legacy_configuration()
        if offset >= own:
            return self.device.read_configuration(offset - own, size)
        return self._read(LEGACY, offset, size)

    def write_ports(self, offset: int, size: int, value: int) -> None:
        own = self._legacy_configuration()
        if offset >= own:
            self.device.change_configuration(offset - own, size, value)
        else:
            self._write(LEGACY, offset, size, value)

    def _legacy_configuration(self) -> int:
        """Where the device's own registers begin: behind those of MSI-X while that is enabled."""
        return LEGACY_CONFIGURATION + (4 if self.messages.enabled else 0)

    def read_window(self, offset: int, size: int) -> int:
        page, offset = offset - offset % PAGE, offset % PAGE
        if page == PLACES[INTERRUPT]:
            return self._get("interrupt_status") if offset == 0 else 0
        if page == PLACES[DEVICE]:
            return self.device.read_configuration(offset, size)
        return self._read(COMMON_CONFIGURATION, offset, size) if page == PLACES[COMMON] else 0

    def write_window(self, offset: int, size: int, value: int) -> None:
        page, offset = offset - offset % PAGE, offset % PAGE
        if page == PLACES[NOTIFY]:
            self.device.notify(offset // NOTIFY_STEP)
        elif page == PLACES[DEVICE]:
            self.device.change_configuration(offset, size, value)
        elif page == PLACES[COMMON]:
            self._write(COMMON_CONFIGURATION, offset, size, value)

    def read_config(self, offset: int, size: int) -> int:
        data = self.access + ACCESS_DATA
        if data - size < offset < data + 4:
            bar, place, length = self._accessed()
            if bar is not None and bar.read is not None:
                pack_into("<I", self.config, data, bar.read(place, length) & (1 << 8 * length) - 1)
        return super().read_config(offset, size)

    def write_config(self, offset: int, size: int, value: int) -> None:
        super().write_config(offset, size, value)
        self.messages.deliver()
        data = self.access + ACCESS_DATA
        if data - size < offset < data + 4:
            bar, place, length = self._accessed()
            if bar is not None and bar.write is not None:
                bar.write(place, length, int.from_bytes(self.config[data : data + length], "little"))

    def _accessed(self) -> tuple[Bar | None, int, int]:
        """What the window in configuration space is set to (4.1.4.9): None if that is nothing."""
        number = self.config[self.access + ACCESS_BAR]
        place, length = unpack_from("<II", self.config, self.access + ACCESS_OFFSET)
        bar = self.bars.get(number)
        if length not in (1, 2, 4) or place % length or bar is None or place + length > bar.size:
            return None, 0, 0
        return bar, place, length

    # -- registers ------------------------------------------------------------------------------------------

    @property
    def queue(self) -> Queue | None:
        """The one that is selected."""
        queues = self.device.queues
        return queues[self.selected] if self.selected < len(queues) else None

    def _read(self, table: dict[int, tuple[str, int, int]], offset: int, size: int) -> int:
        name, first, _ = table.get(offset, ("", offset, 0))
        return self._get(name) >> 8 * (offset - first) & (1 << 8 * size) - 1

    def _write(self, table: dict[int, tuple[str, int, int]], offset: int, size: int, value: int) -> None:
        name, first, width = table.get(offset, ("", offset, size))
        mask, shift = (1 << 8 * size) - 1, 8 * (offset - first)
        if size < width:
            value = self._get(name) & ~(mask << shift) | (value & mask) << shift
        self._set(name, value & (1 << 8 * width) - 1)

    def _get(self, name: str) -> int:
        device, queue = self.device, self.queue
        match name:
            case "interrupt_status":
                pending = self.pending
                self._set_pending(0)
                return pending
            case "status" | "generation":
                return int(getattr(device, name))
            case "device_word" | "driver_word" | "config_vector":
                return int(getattr(self, name))
            case "device_features":
                return device.offered & WORD | ANY_LAYOUT
            case "legacy_features":
                return device.accepted & WORD
            case "features_word":
                return device.offered >> 32 * min(self.device_word, 2) & WORD
            case "accepted_word":
                return device.accepted >> 32 * min(self.driver_word, 2) & WORD
            case "queue_count":
                return len(device.queues)
            case "queue_select":
                return self.selected
        return 0 if queue is None else self._get_of_queue(queue, name)

    def _get_of_queue(self, queue: Queue, name: str) -> int:
        match name:
            case "descriptors" | "available" | "used":
                return int(getattr(queue, name))
            case "legacy_page":
                return queue.descriptors // LEGACY_ALIGN & WORD
            case "legacy_size" | "queue_size":
                return queue.size
            case "queue_enable":
                return queue.ready
            case "queue_vector":
                return queue.vector
            case "queue_notify_offset":
                return self.selected
        return 0

    def _set(self, name: str, value: int) -> None:
        device, queue = self.device, self.queue
        match name:
            case "queue_notify":
                device.notify(value)
            case "status" if value:
                device.set_status(value)
            case "status":
                self._restart()
            case "device_word" | "driver_word":
                setattr(self, name, value)
            case "config_vector":
                self.config_vector = self._vector(value)
            case "legacy_features":
                device.accept(value & (device.offered & WORD))
            case "accepted_word" if self.driver_word < 2:
                device.accept_word(self.driver_word, value)
            case "queue_select":
                self.selected = value
            case _ if queue is not None:
                self._set_of_queue(queue, name, value)

    def _set_of_queue(self, queue: Queue, name: str, value: int) -> None:
        match name:
            case "legacy_page":
                queue.place_legacy(value * LEGACY_ALIGN)
            case "descriptors" | "available" | "used" if not queue.ready:
                setattr(queue, name, value)
            case "queue_size":
                queue.set_size(value)
            case "queue_enable" if value == 1:
                queue.ready = True
            case "queue_vector":
                queue.vector = self._vector(value)

    def _vector(self, value: int) -> int:
        """What a register of a vector then says (4.1.5.1.2.1)."""
        return value if value < self.messages.vectors else NO_VECTOR

    # -- interrupts -----------------------------------------------------------------------------------------

    def signal(self, queue: Queue) -> None:
        self._signal(queue.vector, USED_BUFFER)

    def signal_configuration(self) -> None:
        self._signal(self.config_vector, CONFIG_CHANGE)

    def _signal(self, vector: int, reason: int) -> None:
        if self.messages.enabled:
            self.messages.interrupt(vector)
        else:
            self._set_pending(self.pending | reason)

    def _set_pending(self, pending: int) -> None:
        self.pending = pending
        self.interrupt(bool(pending))

    # -- time and state -------------------------------------------------------------------------------------

    def next_event(self) -> int | None:
        return 0 if self.device.unfinished else None

    def run_events(self, now: int) -> None:
        self.device.go_on()

    def save(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in FIELDS}
        return own | {"device": self.device.save(), "messages": self.messages.save(), "config": self.config.hex()}

    def load(self, state: dict[str, Any]) -> None:
        self.config[:] = bytes.fromhex(state["config"])
        self.device.load(state["device"])
        self.messages.load(state["messages"])
        vars(self).update({name: state[name] for name in FIELDS})
        self._set_pending(self.pending)
        if self.pci is not None:
            self.pci.map_windows(self)
