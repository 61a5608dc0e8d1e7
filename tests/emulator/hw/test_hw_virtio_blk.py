"""virtio-blk, driven by a driver on rings in guest memory, over each transport."""

from __future__ import annotations

import json
import random
from errno import ENOSPC
from struct import pack

import pytest
from virtio_driver import F_EVENT_INDEX, F_INDIRECT, TRANSPORTS, WRITE, Disk, Machine, ranges

import imgtools
from emulator.hw.medium import Medium
from emulator.hw.virtio.blk import VirtioBlk
from emulator.hw.virtio.pci import VirtioPci
from imgtools import Node
from imgtools.block.node import Filter
from imgtools.block.protocols.memory import MemoryNode
from imgtools.errors import BadOption, InputOutput

SIZE = 8 << 20
IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES = 0, 1, 4, 8, 11, 13
OK, IO_ERROR, UNSUPPORTED = 0, 1, 2
F_WRITE_CACHE, F_FLUSH, F_READ_ONLY = 1 << 11, 1 << 9, 1 << 5


@pytest.fixture(params=["raw", "qcow2"])
def node(request, tmp_path):
    path = str(tmp_path / f"disk.{request.param}")
    imgtools.create_image(path, SIZE, format=request.param)
    with imgtools.open(path, format=request.param, writable=True) as node:
        yield node


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("wanted", [0, F_INDIRECT, F_EVENT_INDEX, F_INDIRECT | F_EVENT_INDEX])
def test_random_requests(node, transport, wanted):
    """Reads, writes and zeroes by several queues, in pieces; the disk is what a bytearray says."""
    rng = random.Random(transport)
    disk = Disk(VirtioBlk(Medium(node)), transport, wanted=wanted, queues=3)
    model = bytearray(SIZE)
    for turn in range(60):
        count = rng.choice([1, 8, 100, 512])
        sector = rng.randrange(SIZE // 512 - count)
        place, size = sector * 512, count * 512
        cuts = sorted(rng.sample(range(1, size), rng.choice([0, 1, 5])))
        how = {"cuts": cuts, "queue": rng.randrange(3), "indirect": bool(disk.features & F_INDIRECT and turn % 2)}
        match rng.choice([IN, OUT, WRITE_ZEROES]):
            case 0:
                assert disk.ask(IN, sector, size, **how) == (OK, bytes(model[place : place + size]))
                assert disk.length == size + 1
            case 1:
                data = rng.randbytes(size)
                assert disk.ask(OUT, sector, data, **how)[0] == OK
                assert disk.length == 1
                model[place : place + size] = data
            case _:
                assert disk.ask(WRITE_ZEROES, 0, ranges((sector, count, turn % 2)))[0] == OK
                model[place : place + size] = bytes(size)
    assert node.read(0, SIZE) == model
    assert disk.transport.interrupt_status() == 1 and not disk.machine.high


class Watched(Filter):
    """Counts flushes, and fails as often as it is told to."""

    def __init__(self, child: Node) -> None:
        super().__init__(child)
        self.flushes = self.failures = 0

    def fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise InputOutput("no space left on device", errno=ENOSPC)

    def flush(self) -> None:
        self.flushes += 1
        super().flush()

    def write(self, offset, data) -> None:
        self.fail()
        super().write(offset, data)

    def readinto(self, offset, buffer) -> None:
        self.fail()
        super().readinto(offset, buffer)


@pytest.fixture
def watched():
    return Watched(MemoryNode(content=random.Random(1).randbytes(SIZE)))


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_configuration(watched, transport):
    disk = Disk(VirtioBlk(Medium(watched), "serial-number", queues=2), transport)
    assert [disk.transport.configuration(place, 4) for place in (0, 4, 12, 20)] == [SIZE // 512, 0, 254, 512]
    assert [disk.transport.configuration(place, size) for place, size in ((32, 1), (34, 2), (56, 1))] == [1, 2, 1]
    assert disk.ask(GET_ID, 0, 20) == (OK, b"serial-number".ljust(20, b"\0"))


def test_more_cards_than_slots(watched):
    machine = Machine()
    with pytest.raises(BadOption, match="32 slots"):
        for _ in range(33):
            machine.pci.add(VirtioPci(VirtioBlk(Medium(watched), "\udcff" * 30)))


def test_flushes(watched):
    """Writes are durable after a flush, or at once where the driver wants that (5.2.6.2)."""
    disk = Disk(VirtioBlk(Medium(watched)), wanted=F_WRITE_CACHE | F_FLUSH)
    disk.ask(OUT, 0, bytes(512))
    assert watched.flushes == 0
    assert disk.ask(FLUSH, 0, b"")[0] == OK and watched.flushes == 1
    disk.transport.configure(32, 1, 0)
    assert watched.flushes == 2 and disk.transport.configuration(32, 1) == 0
    disk.ask(OUT, 0, bytes(512))
    assert watched.flushes == 3
    disk.ask(WRITE_ZEROES, 0, ranges((0, 1, 0)))
    assert watched.flushes == 4
    disk.start(0, 1, 64)
    disk.ask(OUT, 0, bytes(512))
    assert watched.flushes == 5
    disk.start(F_FLUSH, 1, 64)
    disk.ask(OUT, 0, bytes(512))
    assert watched.flushes == 5


@pytest.mark.parametrize(
    ("kind", "sector", "data", "status"),
    [
        (IN, SIZE // 512, 512, IO_ERROR),
        (IN, SIZE // 512 - 1, 1024, IO_ERROR),
        (IN, (1 << 64) - 1, 512, IO_ERROR),
        (IN, 0, 100, IO_ERROR),
        (OUT, SIZE // 512 - 1, bytes(1024), IO_ERROR),
        (OUT, 0, bytes(100), IO_ERROR),
        (2, 0, 512, UNSUPPORTED),
        (0xFFFFFFFF, 0, b"", UNSUPPORTED),
        (DISCARD, 0, ranges((SIZE // 512 - 1, 2, 0)), IO_ERROR),
        (DISCARD, 0, ranges((0, 1, 1)), UNSUPPORTED),
        (DISCARD, 0, ranges((0, 1, 0))[:-1], UNSUPPORTED),
        (DISCARD, 0, ranges((0, 0xFFFFFFFF, 0)), IO_ERROR),
        (DISCARD, 0, ranges(*[(0, 1, 0)] * 33), UNSUPPORTED),
        (WRITE_ZEROES, 0, ranges((0, 1, 2)), UNSUPPORTED),
        (WRITE_ZEROES, 0, ranges(((1 << 64) - 1, 1, 0)), IO_ERROR),
    ],
)
def test_requests_that_fail(watched, kind, sector, data, status):
    before = watched.read(0, SIZE)
    disk = Disk(VirtioBlk(Medium(watched)))
    assert disk.ask(kind, sector, data)[0] == status
    assert watched.read(0, SIZE) == before and not disk.device.failure


def test_a_read_only_disk(watched):
    before = watched.read(0, SIZE)
    disk = Disk(VirtioBlk(Medium(watched, read_only=True)), wanted=F_READ_ONLY)
    assert disk.features & F_READ_ONLY
    for kind, data in ((OUT, bytes(512)), (DISCARD, ranges((0, 1, 0))), (WRITE_ZEROES, ranges((0, 1, 0)))):
        assert disk.ask(kind, 0, data)[0] == IO_ERROR
    assert disk.ask(IN, 1, 512) == (OK, before[512:1024]) and watched.read(0, SIZE) == before


def test_errors_of_the_image(watched):
    """The guest gets them, unless somebody has it tried again."""
    disk = Disk(VirtioBlk(Medium(watched)))
    watched.failures = 100
    assert disk.ask(OUT, 0, bytes(512))[0] == IO_ERROR and disk.ask(IN, 0, 512)[0] == IO_ERROR
    watched.failures = 0
    assert disk.ask(OUT, 0, bytes(512))[0] == OK
    seen = []
    disk.device.medium.on_error = lambda error: seen.append(error.errno) or True
    watched.failures = 3
    assert disk.ask(OUT, 0, b"x" * 512)[0] == OK and seen == [ENOSPC] * 3
    assert watched.read(0, 512) == b"x" * 512


def test_many_requests_at_once(node):
    """A driver may make many available and tell of them once; work is done in turns, so that the machine goes on."""
    disk = Disk(VirtioBlk(Medium(node)), wanted=F_INDIRECT)
    ring, size = disk.rings[0], 2 << 20
    node.write(0, random.Random(2).randbytes(size))
    for number in range(60):
        header = disk.header + 32 * number
        disk.memory[header : header + 16] = pack("<IIQ", IN, 0, 0)
        ring.add([(header, 16, 0), (disk.data, size, WRITE), (header + 16, 1, WRITE)], disk.table + 48 * number)
    ring.kick()
    first = ring.finished()
    assert 0 < len(first) < 60 and disk.machine.bus.next_event() is not None
    disk.run_events()
    assert len(first) + len(ring.finished()) == 60
    assert disk.memory[disk.data : disk.data + size] == node.read(0, size)


def test_save_and_load(watched):
    """A machine's state goes on in another one."""
    disk = Disk(VirtioBlk(Medium(watched)), "modern", wanted=F_EVENT_INDEX | F_INDIRECT | F_WRITE_CACHE)
    disk.transport.configure(32, 1, 0)
    disk.ask(OUT, 3, b"a" * 512)
    other = Disk(VirtioBlk(Medium(watched)), "modern")
    other.memory[:] = disk.memory
    other.transport.card.load(json.loads(json.dumps(disk.transport.card.save())))
    disk.device, disk.machine, disk.memory = other.device, other.machine, other.memory
    disk.transport.machine, disk.rings[0].memory = other.machine, other.memory
    assert disk.ask(IN, 3, 512, indirect=True) == (OK, b"a" * 512)
    assert disk.transport.configuration(32, 1) == 0 and disk.transport.interrupt_status() == 1
