"""Rings that break the rules: the device asks to be reset, and nothing else happens. Nothing raises, nothing hangs."""

from __future__ import annotations

import random
from struct import pack

import pytest
from virtio_driver import (
    BUFFERS,
    F_EVENT_INDEX,
    F_INDIRECT,
    INDIRECT,
    MEMORY,
    NEEDS_RESET,
    NEXT,
    TRANSPORTS,
    WRITE,
    Disk,
    Driver,
    request,
)

from emulator.hw.medium import Medium
from emulator.hw.virtio.blk import VirtioBlk
from emulator.hw.virtio.console import VirtioConsole
from emulator.hw.virtio.net import VirtioNet
from emulator.hw.virtio.rng import VirtioRng
from imgtools.block.protocols.memory import MemoryNode

SIZE = 1 << 20
IN, OUT = 0, 1
OK = 0
TABLE = BUFFERS + 0x2000
END = TABLE + 0x1000


class Wire:
    """A network that keeps what it is sent."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.rooms = 0

    def send(self, frame: bytes, *, verified: bool = False) -> None:
        self.frames.append(frame)

    def room(self) -> None:
        self.rooms += 1


DEVICES = {
    "blk": lambda: VirtioBlk(Medium(MemoryNode(content=bytes(SIZE))), queues=2),
    "console": lambda: VirtioConsole(lambda data: None, (80, 25)),
    "net": lambda: VirtioNet(Wire(), b"\x52\x54\x00\x12\x34\x56"),
    "rng": lambda: VirtioRng(),
}


def loop(disk):
    ring = disk.rings[0]
    ring.put_descriptor(ring.descriptors, 0, BUFFERS, 16, NEXT, 1)
    ring.put_descriptor(ring.descriptors, 1, BUFFERS, 512, NEXT, 0)
    ring.offer(0)


def loop_in_table(disk):
    ring = disk.rings[0]
    ring.put_descriptor(TABLE, 0, BUFFERS, 16, NEXT, 1)
    ring.put_descriptor(TABLE, 1, BUFFERS, 512, NEXT, 0)
    ring.put_descriptor(ring.descriptors, 0, TABLE, 32, INDIRECT, 0)
    ring.offer(0)


def head_beyond(disk):
    disk.rings[0].offer(disk.rings[0].size)


def next_beyond(disk):
    disk.rings[0].put_descriptor(disk.rings[0].descriptors, 0, BUFFERS, 16, NEXT, 0xFFFF)
    disk.rings[0].offer(0)


def index_ahead(disk):
    disk.rings[0].put_half(disk.rings[0].available + 2, disk.rings[0].size + 1)


def wild_buffer(disk):
    disk.memory[BUFFERS : BUFFERS + 16] = request(IN, 0)
    disk.rings[0].add([(BUFFERS, 16, 0), (MEMORY - 256, 512, WRITE), (BUFFERS + 64, 1, WRITE)])


def wrapping_buffer(disk):
    disk.memory[BUFFERS : BUFFERS + 16] = request(OUT, 0)
    disk.rings[0].add([(BUFFERS, 16, 0), ((1 << 64) - 256, 512, 0), (BUFFERS + 64, 1, WRITE)])


def wild_table(disk):
    disk.rings[0].add([(MEMORY, 32, INDIRECT)])


def nested_table(disk):
    disk.rings[0].put_descriptor(TABLE, 0, TABLE, 16, INDIRECT, 0)
    disk.rings[0].add([(TABLE, 16, INDIRECT)])


def crooked_table(disk):
    disk.rings[0].add([(TABLE, 24, INDIRECT)])


def empty_table(disk):
    disk.rings[0].add([(TABLE, 0, INDIRECT)])


def table_with_next(disk):
    disk.rings[0].add([(TABLE, 16, INDIRECT), (BUFFERS, 1, WRITE)])


def writable_first(disk):
    disk.rings[0].add([(BUFFERS + 64, 1, WRITE), (BUFFERS, 16, 0)])


def no_status(disk):
    disk.rings[0].add([(BUFFERS, 16, 0)])


def short_header(disk):
    disk.rings[0].add([(BUFFERS, 15, 0), (BUFFERS + 64, 1, WRITE)])


def too_large(disk):
    disk.rings[0].add([(0, 0xFFFFFFFF, 0), (BUFFERS, 16, 0), (0, 0xFFFFFFFF, WRITE)])


CRIMES = [
    loop, loop_in_table, head_beyond, next_beyond, index_ahead, wild_buffer, wrapping_buffer, wild_table, nested_table,
    crooked_table, empty_table, table_with_next, writable_first, no_status, short_header, too_large,
]  # fmt: skip


@pytest.mark.parametrize("crime", CRIMES, ids=lambda crime: crime.__name__)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_crimes(crime, transport):
    """The device stops, says so where the driver can know (2.1.2), and works again after a reset."""
    node = MemoryNode(content=bytes(range(256)) * 4096)
    before = bytes(node.content)
    disk = Disk(VirtioBlk(Medium(node)), transport, wanted=F_INDIRECT)
    crime(disk)
    disk.rings[0].kick()
    assert disk.device.failure
    assert bool(disk.transport.status() & NEEDS_RESET) == disk.transport.modern
    assert disk.transport.interrupt_status() == (2 if disk.transport.modern else 0)
    disk.rings[0].kick()
    disk.run_events()
    assert disk.rings[0].half(disk.rings[0].used + 2) == 0 and node.content == before
    disk.start(F_INDIRECT, 1, 64)
    assert disk.ask(IN, 2, 1024) == (OK, before[:1024])


@pytest.mark.parametrize("place", ["descriptors", "available", "used"])
def test_rings_outside_of_memory(place):
    disk = Disk(VirtioBlk(Medium(MemoryNode(content=bytes(SIZE)))))
    setattr(disk.device.queues[0], place, MEMORY - 1)
    disk.rings[0].add([(BUFFERS, 16, 0), (BUFFERS + 64, 1, WRITE)])
    disk.rings[0].kick()
    assert disk.device.failure and disk.transport.status() & NEEDS_RESET


def test_not_before_the_driver_is_ready():
    """A modern driver's buffers are left alone until DRIVER_OK (3.1.1)."""
    disk = Disk(VirtioBlk(Medium(MemoryNode(content=bytes(SIZE)))))
    transport = disk.transport
    transport.set_status(0)
    transport.set_status(3)
    transport.accept(disk.offered)
    transport.set_status(11)
    disk.rings = [type(disk.rings[0])(disk, 0, 64)]
    disk.rings[0].add([(BUFFERS, 16, 0), (BUFFERS + 64, 1, WRITE)])
    disk.rings[0].kick()
    assert not disk.rings[0].finished()
    transport.set_status(15)
    assert disk.rings[0].finished()


def test_features_that_are_not_offered():
    disk = Disk(VirtioBlk(Medium(MemoryNode(content=bytes(SIZE)))))
    for features in (1 << 60 | 1 << 32, disk.offered & ~(1 << 32)):
        disk.transport.set_status(0)
        disk.transport.set_status(3)
        disk.transport.accept(features)
        disk.transport.set_status(11)
        assert disk.transport.status() == 3


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("event_index", [0, F_EVENT_INDEX])
def test_interrupts(transport, event_index):
    """The driver is told only where it wants to be (2.7.7), and of several buffers once."""
    driver = Driver(VirtioRng(), transport, wanted=event_index, size=8)
    ring = driver.rings[0]

    def ask(count):
        before = driver.machine.rises
        for number in range(count):
            ring.add([(BUFFERS + 64 * number, 64, WRITE)])
        ring.kick()
        assert [length for _, length in ring.finished()] == [64] * count
        told = driver.machine.rises - before
        assert driver.transport.interrupt_status() == told
        return told

    event_place = ring.available + 4 + 2 * ring.size
    state = driver.device.save()
    state["queues"][0] |= dict.fromkeys(("taken", "given", "signalled"), 0xFF00)
    driver.device.load(state)
    ring.added = ring.seen = 0xFF00
    ring.put_half(ring.used + 2, ring.seen)
    for _ in range(100):  # beyond the end of the indexes
        told = ask(7)
        reached = any((ring.seen - back) & 0xFFFF == ring.half(event_place) for back in range(1, 8))
        assert told == (reached if event_index else 1)
    if event_index:
        ring.put_half(event_place, ring.seen + 4)
        assert [ask(3), ask(1), ask(1), ask(3)] == [0, 0, 1, 0]
        assert ring.half(ring.used + 4 + 8 * ring.size) == ring.added & 0xFFFF
    else:
        ring.put_half(ring.available, 1)
        assert ask(3) == 0
        ring.put_half(ring.available, 0)
        assert ask(3) == 1


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("seed", range(8))
def test_fuzz(name, seed):
    """Random rings and registers. Each notification ends, and work is bounded."""
    rng = random.Random(f"{name}{seed}")
    driver = Driver(DEVICES[name](), list(TRANSPORTS)[seed % 4], wanted=-1, queues=2 if name != "rng" else 1, size=16)
    memory, device = driver.memory, driver.device
    places = [
        BUFFERS,
        BUFFERS + 8,
        0,
        MEMORY - 8,
        MEMORY,
        1 << 63,
        (1 << 64) - 1,
        TABLE,
        *(r.used for r in driver.rings),
    ]
    lengths = [0, 1, 16, 512, 4096, 1 << 20, 0xFFFFFFFF]
    done = failed = 0
    for _ in range(300):
        ring = rng.choice(driver.rings)
        kind = rng.choice([0, 1, 4, 8, 11, 13, rng.getrandbits(32)])
        memory[BUFFERS : BUFFERS + 16] = pack("<IIQ", kind, 0, rng.choice([0, 1, 2047, 2048, 1 << 55, (1 << 64) - 1]))
        table = rng.choice([ring.descriptors, TABLE])
        for index, (length, flags) in enumerate([(16, NEXT), (512, NEXT | rng.choice([0, WRITE])), (1, WRITE)]):
            ring.put_descriptor(table, index, BUFFERS + index * 4096, length, flags, index + 1)
        if table == TABLE:
            ring.put_descriptor(ring.descriptors, 0, TABLE, 48, INDIRECT, 0)
        for _ in range(rng.choice([0, 0, 1, 3])):
            flags, following = rng.choice([0, 1, 2, 3, 4, 5, rng.getrandbits(16)]), rng.choice([0, 1, 2, 15, 16, 65535])
            spoilt = rng.choice([ring.descriptors, TABLE]), rng.randrange(4), rng.choice(places)
            ring.put_descriptor(*spoilt, rng.choice(lengths), flags, following)
        ring.offer(rng.choice([0, 0, 0, 0, 1, 15, 16, 65535]))
        if not rng.randrange(20):
            ring.put_half(ring.available + 2, rng.getrandbits(16))
        ring.kick()
        driver.run_events()
        if name == "net":
            device.receive([bytes(rng.randrange(1600))] * rng.randrange(4))
        elif name == "console":
            device.receive(b"text")
        done += ring.half(ring.used + 2) != 0
        if device.failure:
            failed += 1
            memory[BUFFERS:END] = bytes(END - BUFFERS)
            driver.start(-1, len(driver.rings), 16)
    assert done > 20 and failed > 20


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_fuzz_registers(transport):
    """Random accesses to all that a transport shows."""
    rng = random.Random(transport)
    driver = Driver(DEVICES["blk"](), transport, wanted=-1)
    card = driver.transport.card
    for _ in range(10000):
        size, value = rng.choice([1, 2, 4, 8]), rng.choice([0, 1, 2, 15, rng.getrandbits(16), rng.getrandbits(64)])
        if transport.startswith("mmio"):
            offset = rng.randrange(0x200 // size) * size
            card.read_memory(offset, size) if rng.randrange(2) else card.write_memory(offset, size, value)
        elif rng.randrange(2):
            offset = rng.randrange(0x4000 // size) * size if rng.randrange(2) else rng.randrange(0x40)
            size = min(size, 0x4000 - offset)
            card.read_window(offset, size) if rng.randrange(2) else card.write_window(offset, size, value)
        elif rng.randrange(2):
            size = min(size, 4)
            offset = rng.randrange(128 // size) * size
            card.read_ports(offset, size) if rng.randrange(2) else card.write_ports(offset, size, value)
        else:
            size = min(size, 4)
            offset = rng.randrange(256 // size) * size
            if rng.randrange(2):
                card.read_config(offset, size)
            else:
                card.write_config(offset, size, value & (1 << 8 * size) - 1)
        driver.machine.bus.run_events(0)


def test_access_by_configuration_space():
    """Firmware that cannot reach the window has a way by a capability (4.1.4.9)."""
    driver = Driver(VirtioRng(), "modern", size=16)
    transport, place = driver.transport, driver.transport.capabilities[5]

    def aim(bar, offset, length):
        transport.config_write(place + 4, 1, bar)
        transport.config_write(place + 8, 4, offset)
        transport.config_write(place + 12, 4, length)

    aim(4, 0x14, 1)
    assert transport.config_read(place + 16, 1) == 15
    driver.rings[0].add([(BUFFERS, 64, WRITE)])
    aim(4, transport.places[2] - transport.places[1], 2)
    transport.config_write(place + 16, 2, 0)
    assert driver.rings[0].finished()
    aim(4, transport.places[3] - transport.places[1], 1)
    assert transport.config_read(place + 16, 1) == 1 and not driver.machine.high
    for bar, offset, length in ((4, 1 << 20, 4), (4, 2, 4), (4, 0, 3), (7, 0, 4), (4, 0x3FFF, 2)):
        aim(bar, offset, length)
        transport.config_write(place + 16, 4, 0)
        assert transport.config_read(place + 16, 4) == 0


@pytest.mark.parametrize("transport", ["mmio", "mmio-legacy"])
def test_acknowledgement(transport):
    """What is not acknowledged remains, and a line that waits for edges gets one for it."""
    driver = Driver(VirtioRng(), transport, size=16)
    driver.rings[0].add([(BUFFERS, 64, WRITE)])
    driver.rings[0].kick()
    driver.device.configuration_changed()
    before = driver.machine.rises
    driver.transport.put(0x64, 1)
    assert driver.transport.get(0x60) == 2 and driver.machine.high and driver.machine.rises == before + 1
    driver.transport.put(0x64, 2)
    assert driver.transport.get(0x60) == 0 and not driver.machine.high
