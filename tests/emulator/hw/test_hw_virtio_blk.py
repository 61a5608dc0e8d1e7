"""virtio-blk, driven by a driver on rings in guest memory, over each transport."""

from __future__ import annotations

import random

import pytest
from virtio_driver import F_EVENT_INDEX, F_INDIRECT, TRANSPORTS, Disk, ranges

import imgtools
from emulator.hw.virtio.blk import VirtioBlk

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
    disk = Disk(VirtioBlk(node), transport, wanted=wanted, queues=3)
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
