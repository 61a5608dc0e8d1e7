"""A guest's side of virtio, for tests: rings in an address space, over each of the transports."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from struct import pack, pack_into, unpack_from

from emulator.hw.device import Bus
from emulator.hw.pci import PciBus
from emulator.hw.virtio.device import VirtioDevice
from emulator.hw.virtio.mmio import VirtioMmio
from emulator.hw.virtio.pci import VirtioPci
from emulator.softmmu.space import AddressSpace

NEXT, WRITE, INDIRECT = 1, 2, 4
F_INDIRECT, F_EVENT_INDEX, F_VERSION_1 = 1 << 28, 1 << 29, 1 << 32
ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET = 1, 2, 4, 8, 64
MEMORY = 16 << 20
RINGS, BUFFERS = 1 << 20, 4 << 20  # where the driver keeps them
RING_SPACE = 64 << 10
BAR0, BAR4 = 0xC000, 0xFEBF0000
MMIO = 0xFEB00000


class Machine:
    """Memory, a bus, and the interrupt of one device."""

    def __init__(self) -> None:
        self.space = AddressSpace()
        self.ram = self.space.add_ram(0, MEMORY)
        self.bus = Bus()
        self.high = False
        self.rises = 0
        self.pci = PciBus(self.bus, self.space, lambda slot, pin, high: self.line(high))
        self.regions: list[object] = []

    def line(self, high: bool) -> None:
        self.rises += high and not self.high
        self.high = high

    def memory_access(self, address: int):
        for first, last, region in self.space.flatten():
            if first <= address <= last:
                return region, address - first
        raise AssertionError(f"nothing at {address:#x}")

    def read_memory(self, address: int, size: int) -> int:
        region, offset = self.memory_access(address)
        value = region.read(0, offset, size)
        self.space.check()
        return value & (1 << 8 * size) - 1

    def write_memory(self, address: int, size: int, value: int) -> None:
        region, offset = self.memory_access(address)
        region.write(0, offset, size, value)
        self.space.check()


class PciTransport:
    """What both interfaces of the card have in common."""

    def __init__(self, machine: Machine, device: VirtioDevice) -> None:
        self.machine = machine
        self.card = VirtioPci(device)
        machine.pci.add(self.card, 3)
        self.config_write(0x10, 4, BAR0)
        self.config_write(0x20, 4, BAR4)
        self.config_write(4, 2, 7)

    def config_write(self, offset: int, size: int, value: int) -> None:
        self.machine.bus.write(0xCF8, 4, 1 << 31 | 3 << 11 | offset & 0xFC)
        self.machine.bus.write(0xCFC + offset % 4, size, value)

    def config_read(self, offset: int, size: int) -> int:
        self.machine.bus.write(0xCF8, 4, 1 << 31 | 3 << 11 | offset & 0xFC)
        return self.machine.bus.read(0xCFC + offset % 4, size)


class Legacy(PciTransport):
    """The ports of a transitional card."""

    modern = False

    def get(self, offset: int, size: int) -> int:
        return self.machine.bus.read(BAR0 + offset, size)

    def put(self, offset: int, size: int, value: int) -> None:
        self.machine.bus.write(BAR0 + offset, size, value)

    def status(self) -> int:
        return self.get(18, 1)

    def set_status(self, value: int) -> None:
        self.put(18, 1, value)

    def features(self) -> int:
        return self.get(0, 4)

    def accept(self, features: int) -> None:
        self.put(4, 4, features)

    def set_up(self, number: int, size: int, address: int) -> tuple[int, int, int, int]:
        self.put(14, 2, number)
        size = self.get(12, 2)
        self.put(8, 4, address >> 12)
        available = address + 16 * size
        return size, address, available, available + 6 + 2 * size + 4095 & ~4095

    def notify(self, number: int) -> None:
        self.put(16, 2, number)

    def interrupt_status(self) -> int:
        return self.get(19, 1)

    def configuration(self, offset: int, size: int) -> int:
        return self.get(20 + offset, size)

    def configure(self, offset: int, size: int, value: int) -> None:
        self.put(20 + offset, size, value)


class Modern(PciTransport):
    """The structures that capabilities point at."""

    modern = True

    def __init__(self, machine: Machine, device: VirtioDevice) -> None:
        super().__init__(machine, device)
        self.places: dict[int, int] = {}
        self.capabilities: dict[int, int] = {}
        place = self.config_read(0x34, 1)
        while place:
            kind, offset = self.config_read(place + 3, 1), self.config_read(place + 8, 4)
            if self.config_read(place, 1) == 9:
                self.places[kind] = BAR4 + offset
                self.capabilities[kind] = place
                if kind == 2:
                    self.step = self.config_read(place + 16, 4)
            place = self.config_read(place + 1, 1)

    def get(self, offset: int, size: int, kind: int = 1) -> int:
        return self.machine.read_memory(self.places[kind] + offset, size)

    def put(self, offset: int, size: int, value: int, kind: int = 1) -> None:
        self.machine.write_memory(self.places[kind] + offset, size, value)

    def status(self) -> int:
        return self.get(0x14, 1)

    def set_status(self, value: int) -> None:
        self.put(0x14, 1, value)

    def features(self) -> int:
        words = []
        for number in range(2):
            self.put(0, 4, number)
            words.append(self.get(4, 4))
        return words[0] | words[1] << 32

    def accept(self, features: int) -> None:
        for number in range(2):
            self.put(8, 4, number)
            self.put(0xC, 4, features >> 32 * number & 0xFFFFFFFF)

    def set_up(self, number: int, size: int, address: int) -> tuple[int, int, int, int]:
        self.put(0x16, 2, number)
        self.put(0x18, 2, size)
        assert self.get(0x18, 2) == size
        places = address, address + 0x4000, address + 0x8000
        for offset, place in zip((0x20, 0x28, 0x30), places, strict=True):
            self.put(offset, 4, place & 0xFFFFFFFF)
            self.put(offset + 4, 4, place >> 32)
        self.put(0x1C, 2, 1)
        return size, *places

    def notify(self, number: int) -> None:
        self.put(0x16, 2, number)
        self.put(self.get(0x1E, 2) * self.step, 2, number, 2)

    def interrupt_status(self) -> int:
        return self.get(0, 1, 3)

    def configuration(self, offset: int, size: int) -> int:
        return self.get(offset, size, 4)

    def configure(self, offset: int, size: int, value: int) -> None:
        self.put(offset, size, value, 4)


class Mmio:
    """Version 2 of the registers in memory."""

    modern = True
    version = 2

    def __init__(self, machine: Machine, device: VirtioDevice) -> None:
        self.machine = machine
        self.card = VirtioMmio(device, machine.space, machine.line, legacy=self.version == 1)
        machine.bus.place(self.card, machine.space, MMIO, 0x200)
        assert self.get(0) == 0x74726976 and self.get(4) == self.version and self.get(8) == device.device_id

    def get(self, offset: int, size: int = 4) -> int:
        return self.machine.read_memory(MMIO + offset, size)

    def put(self, offset: int, value: int, size: int = 4) -> None:
        self.machine.write_memory(MMIO + offset, size, value)

    def status(self) -> int:
        return self.get(0x70)

    def set_status(self, value: int) -> None:
        self.put(0x70, value)

    def features(self) -> int:
        words = []
        for number in range(2):
            self.put(0x14, number)
            words.append(self.get(0x10))
        return words[0] | words[1] << 32

    def accept(self, features: int) -> None:
        for number in range(2):
            self.put(0x24, number)
            self.put(0x20, features >> 32 * number & 0xFFFFFFFF)

    def set_up(self, number: int, size: int, address: int) -> tuple[int, int, int, int]:
        self.put(0x30, number)
        assert size <= self.get(0x34) and not self.get(0x44)
        self.put(0x38, size)
        places = address, address + 0x4000, address + 0x8000
        for offset, place in zip((0x80, 0x90, 0xA0), places, strict=True):
            self.put(offset, place & 0xFFFFFFFF)
            self.put(offset + 4, place >> 32)
        self.put(0x44, 1)
        return size, *places

    def notify(self, number: int) -> None:
        self.put(0x50, number)

    def interrupt_status(self) -> int:
        pending = self.get(0x60)
        self.put(0x64, pending)
        return pending

    def configuration(self, offset: int, size: int) -> int:
        return self.get(0x100 + offset, size)

    def configure(self, offset: int, size: int, value: int) -> None:
        self.put(0x100 + offset, value, size)


class LegacyMmio(Mmio):
    """Version 1."""

    modern = False
    version = 1

    def features(self) -> int:
        self.put(0x14, 0)
        return self.get(0x10)

    def accept(self, features: int) -> None:
        self.put(0x24, 0)
        self.put(0x20, features)

    def set_up(self, number: int, size: int, address: int) -> tuple[int, int, int, int]:
        self.put(0x28, 4096)
        self.put(0x30, number)
        assert size <= self.get(0x34) and not self.get(0x40)
        self.put(0x38, size)
        self.put(0x3C, 4096)
        self.put(0x40, address >> 12)
        available = address + 16 * size
        return size, address, available, available + 6 + 2 * size + 4095 & ~4095


TRANSPORTS = {"legacy": Legacy, "modern": Modern, "mmio": Mmio, "mmio-legacy": LegacyMmio}


class Ring:
    """A virtqueue as its driver has it."""

    def __init__(self, driver: Driver, number: int, size: int) -> None:
        self.driver, self.number = driver, number
        address = RINGS + number * RING_SPACE
        self.size, *places = driver.transport.set_up(number, size, address)
        self.descriptors, self.available, self.used = places
        self.memory = driver.machine.ram.view
        self.memory[address : address + RING_SPACE] = bytes(RING_SPACE)
        self.free = list(range(self.size))
        self.added = self.seen = 0
        self.chains: dict[int, list[int]] = {}

    def half(self, address: int) -> int:
        return unpack_from("<H", self.memory, address)[0]

    def put_half(self, address: int, value: int) -> None:
        pack_into("<H", self.memory, address, value & 0xFFFF)

    def put_descriptor(self, table: int, index: int, address: int, length: int, flags: int, following: int) -> None:
        pack_into("<QIHH", self.memory, table + 16 * index, address & (1 << 64) - 1, length, flags, following)

    def add(self, pieces: Sequence[tuple[int, int, int]], indirect: int | None = None) -> int:
        """Make a buffer of (address, length, flags) available, by a table at `indirect` if given: its head."""
        if indirect is not None:
            self.put_chain(indirect, range(len(pieces)), pieces)
            pieces = [(indirect, 16 * len(pieces), INDIRECT)]
        indexes = [self.free.pop() for _ in pieces]
        self.put_chain(self.descriptors, indexes, pieces)
        self.chains[indexes[0]] = indexes
        self.offer(indexes[0])
        return indexes[0]

    def put_chain(self, table: int, indexes: Sequence[int], pieces: Sequence[tuple[int, int, int]]) -> None:
        for place, (address, length, flags) in enumerate(pieces):
            last = place + 1 == len(pieces)
            following = 0 if last else indexes[place + 1]
            self.put_descriptor(table, indexes[place], address, length, flags | (0 if last else NEXT), following)

    def offer(self, head: int) -> None:
        self.put_half(self.available + 4 + 2 * (self.added % self.size), head)
        self.added += 1
        self.put_half(self.available + 2, self.added)

    def kick(self) -> None:
        self.driver.transport.notify(self.number)

    def finished(self) -> list[tuple[int, int]]:
        """Heads and lengths that were given back since the last time."""
        found = []
        while self.seen & 0xFFFF != self.half(self.used + 2):
            place = self.used + 4 + 8 * (self.seen % self.size)
            head, length = unpack_from("<II", self.memory, place)
            self.free += self.chains.pop(head)
            self.seen += 1
            found.append((head, length))
        return found


class Driver:
    """Starts a device, with features as wanted."""

    def __init__(
        self, device: VirtioDevice, transport: str = "modern", *, wanted: int = 0, queues: int = 1, size: int = 64
    ) -> None:
        self.machine = Machine()
        self.memory = self.machine.ram.view
        self.device = device
        self.transport = TRANSPORTS[transport](self.machine, device)
        self.start(wanted, queues, size)

    def start(self, wanted: int, queues: int, size: int) -> None:
        transport = self.transport
        transport.set_status(0)
        assert transport.status() == 0
        transport.set_status(ACKNOWLEDGE | DRIVER)
        self.offered = transport.features()
        self.features = self.offered & (wanted | F_VERSION_1)
        transport.accept(self.features)
        status = ACKNOWLEDGE | DRIVER
        if transport.modern:
            status |= FEATURES_OK
            transport.set_status(status)
            assert transport.status() == status
        self.rings = [Ring(self, number, size) for number in range(queues)]
        transport.set_status(status | DRIVER_OK)

    def run_events(self) -> None:
        """As the machine does between two runs of the processor."""
        turns = 0
        while self.machine.bus.next_event() is not None:
            self.machine.bus.run_events(0)
            turns += 1
            assert turns < 1000


def request(kind: int, sector: int) -> bytes:
    """The header of a request of virtio-blk."""
    return pack("<IIQ", kind, 0, sector)


class Disk(Driver):
    """A driver of virtio-blk."""

    header, status_place, data, table = BUFFERS, BUFFERS + 0x1000, BUFFERS + 0x10000, BUFFERS + 0x2000

    def ask(
        self,
        kind: int,
        sector: int,
        data: bytes | int,
        *,
        cuts: Sequence[int] = (),
        queue: int = 0,
        indirect: bool = False,
    ) -> tuple[int, bytes]:
        """Write bytes or read as many as said, in pieces that end at `cuts`: status and data."""
        writing = isinstance(data, bytes)
        size = len(data) if isinstance(data, bytes) else data
        if isinstance(data, bytes):
            self.memory[self.data : self.data + size] = data
        self.memory[self.header : self.header + 16] = request(kind, sector)
        self.memory[self.status_place] = 0xEE
        edges = [0, *cuts, size]
        body = [
            (self.data + first, last - first, 0 if writing else WRITE)
            for first, last in pairwise(edges)
            if last > first
        ]
        pieces = [(self.header, 16, 0), *body, (self.status_place, 1, WRITE)]
        ring = self.rings[queue]
        head = ring.add(pieces, self.table if indirect else None)
        ring.kick()
        self.run_events()
        ((done, self.length),) = ring.finished()
        assert done == head
        return self.memory[self.status_place], bytes(self.memory[self.data : self.data + size])


def ranges(*items: tuple[int, int, int]) -> bytes:
    """What discard and write zeroes take: sector, sectors, flags."""
    return b"".join(pack("<QII", *item) for item in items)
