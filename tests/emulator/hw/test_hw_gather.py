"""Lists of guest pages: what a disk's chips make of the tables in memory, beside what the specifications say of each
descriptor; and what is marked as written."""

from __future__ import annotations

import random
from struct import pack, unpack_from

import pytest
from ide_host import ERR, SECTOR, Host
from virtio_driver import BUFFERS, F_INDIRECT, INDIRECT, NEXT, WRITE, Disk

from emulator.hw.gather import Gather, WildAddress
from emulator.hw.ide.bus_master import BusMaster
from emulator.hw.medium import Medium
from emulator.hw.virtio.blk import VirtioBlk
from emulator.hw.virtio.ring import RingError
from emulator.softmmu.space import AddressSpace
from emulator.softmmu.structs import CODE, DIRTY
from imgtools.block.protocols.memory import MemoryNode

PAGE = 4096
RAM, HIGH, ROM, SIZE = 64 * PAGE, 128 * PAGE, 256 * PAGE, 32 * PAGE
CONTENT = random.Random(1).randbytes(1 << 20)


@pytest.fixture
def space() -> AddressSpace:
    """RAM at two places, and ROM."""
    space = AddressSpace()
    space.add_ram(RAM, SIZE)
    space.add_ram(HIGH, SIZE)
    space.add_rom(ROM, bytes(PAGE))
    return space


def pieces_of(chance: random.Random, firsts: tuple[int, ...]) -> list[tuple[int, int]]:
    """Anything that lies in RAM: pages, parts of them, several at once, some twice, none at all."""
    pieces = []
    for _ in range(chance.randrange(1, 12)):
        first, length = chance.choice(firsts), chance.choice((0, 1, 512, PAGE, PAGE, PAGE, 3 * PAGE))
        place = chance.randrange(0, SIZE - length + 1, chance.choice((1, PAGE)))
        pieces.append((first + place, length))
    return pieces


@pytest.mark.parametrize("firsts", [(RAM,), (HIGH,), (RAM, HIGH)])
def test_what_is_read_lies_in_the_pages_and_they_are_dirty(space: AddressSpace, firsts: tuple[int, ...]) -> None:
    chance = random.Random(2)
    told: list[tuple[int, int]] = []
    space.code_listeners.append(lambda first, size: told.append((first, size)))
    regions = {region.first: region for region in space.regions}
    for _ in range(200):
        memory = {first: bytearray(space.read(first, SIZE)) for first in (RAM, HIGH)}
        flags = {first: bytearray(chance.choices((0, DIRTY, DIRTY, DIRTY | CODE), k=32)) for first in (RAM, HIGH)}
        for first, values in flags.items():
            regions[first].flag_view[:] = values
        pieces = pieces_of(chance, firsts)
        offset = chance.randrange(1000)
        Gather(space, pieces).read_from(MemoryNode(content=CONTENT), offset)
        touched = set()
        for address, length in pieces:
            first = HIGH if address >= HIGH else RAM
            memory[first][address - first : address - first + length] = CONTENT[offset : offset + length]
            offset += length
            if length:
                touched.update(range(address // PAGE, (address + length - 1) // PAGE + 1))
        for first in (RAM, HIGH):
            assert space.read(first, SIZE) == memory[first]
            for number, before in enumerate(flags[first]):
                page = first // PAGE + number
                assert regions[first].flag_view[number] == (before | DIRTY if page in touched else before)
                told_of = any(start // PAGE <= page <= (start + size - 1) // PAGE for start, size in told)
                assert told_of or page not in touched or not before & CODE
        told.clear()


@pytest.mark.parametrize(
    "wild", [0, RAM - 1, RAM + SIZE - PAGE + 1, RAM + SIZE, HIGH + SIZE - 1, ROM, ROM + PAGE, 1 << 51, (1 << 64) - 1]
)
@pytest.mark.parametrize("others", [0, 1, 40])
def test_a_piece_outside_of_ram(space: AddressSpace, wild: int, others: int) -> None:
    pages = [(RAM + PAGE * number % SIZE, PAGE) for number in range(others)]
    for pieces in ([*pages, (wild, PAGE)], [(wild, PAGE), *pages]):
        with pytest.raises(WildAddress):
            Gather(space, pieces).read_from(MemoryNode(content=CONTENT), 0)
    assert not any(space.read(RAM, SIZE))


def test_split() -> None:
    chance = random.Random(3)
    for _ in range(500):
        pieces = [(chance.randrange(1 << 32), chance.choice((0, 1, 16, PAGE))) for _ in range(chance.randrange(6))]
        whole = Gather(AddressSpace(), pieces)
        place = chance.randrange(-1, whole.size + 3)
        head, tail = whole.split(place)
        assert bytes_of(head) + bytes_of(tail) == bytes_of(whole)
        assert len(bytes_of(head)) == head.size == max(0, min(place, whole.size))
        assert len(bytes_of(tail)) == tail.size


def bytes_of(gather: Gather) -> list[int]:
    return [address + number for address, length in gather.pieces for number in range(length)]


# -- tables of the bus master -----------------------------------------------------------------------------------


def plain_regions(data: bytes, length: int) -> tuple[list[int], bool]:
    """Addresses of all bytes of a transfer, and whether the table has more: one descriptor after the other."""
    found: list[int] = []
    for place in range(0, len(data) - 7, 8):
        address, count = unpack_from("<II", data, place)
        size, last = count & 0xFFFE or 0x10000, bool(count >> 31)
        found += range(address & ~1, (address & ~1) + min(size, length - len(found)))
        if len(found) == length:
            return found, not last or size > length - (len(found) - min(size, length))
        if last:
            break
    return found, False


def test_tables_of_the_bus_master() -> None:
    chance = random.Random(4)
    space = AddressSpace()
    ram = space.add_ram(0, 1 << 20)
    master = BusMaster(space)
    for _ in range(300):
        count = chance.choice((1, 2, 5, 127, 128, 129, 300))
        ends = {count - 1} if chance.random() < 0.7 else {chance.randrange(count)}
        data = b"".join(
            pack("<II", chance.randrange(1 << 32), chance.choice((2, 512, 513, PAGE, PAGE, 0)) | (number in ends) << 31
                 | chance.getrandbits(15) << 16)
            for number in range(count)
        )  # fmt: skip
        master.table = chance.choice((0x20000, 0x30000 - len(data) & ~3, 0x2FFF0))
        ram.view[master.table : master.table + len(data)] = data
        seen = bytes(ram.view[master.table : 0x30000])
        length = chance.choice((2, 512, 5 * PAGE, 128 * PAGE, 128 * PAGE + 2))
        memory, more = master._memory(master._read_table(), length)
        expected, left = plain_regions(seen, length)
        assert bytes_of(memory) == expected and memory.size == len(expected)
        assert memory.size < length or more == left


# -- chains of virtio -------------------------------------------------------------------------------------------


def chain_of(chance: random.Random) -> bytearray:
    """An indirect table as drivers make it, and often something wrong in it."""
    reads, writes = chance.choice(((1, 2), (1, 255), (1, 300), (2, 1), (40, 1), (2, 40), (3, 0), (0, 3)))
    count = reads + writes
    table = bytearray()
    for number in range(count):
        flags = (WRITE if number >= reads else 0) | (NEXT if number + 1 < count else 0)
        table += pack("<QIHH", BUFFERS + chance.randrange(1 << 20), chance.choice((0, 16, PAGE)), flags, number + 1)
    for _ in range(chance.choice((0, 0, 1, 2))):
        place = 16 * chance.randrange(count) + chance.choice((12, 12, 13, 14, 15))
        table[place] = chance.choice((0, 1, 2, 3, 4, 5, 128, 255))
    return table


def test_chains() -> None:
    """The quick way for tables in order gives what following each descriptor gives, or nothing."""
    chance = random.Random(5)
    disk = Disk(VirtioBlk(Medium(MemoryNode(content=CONTENT))), wanted=F_INDIRECT)
    queue = disk.device.queues[0]
    queue.space = disk.machine.space
    quick = 0
    for _ in range(1000):
        table = chain_of(chance)
        disk.machine.ram.view[BUFFERS : BUFFERS + len(table)] = table
        flags = chance.choice((INDIRECT, INDIRECT, INDIRECT, INDIRECT | NEXT, INDIRECT | 0x100, 0))
        size = len(table) + chance.choice((0, 0, 0, 8, -16))
        descriptor = pack("<QIHH", BUFFERS, size, flags, 0)
        disk.machine.ram.view[queue.descriptors : queue.descriptors + 16] = descriptor
        try:
            found = queue._in_order(0)
        except RingError:
            found = None
        if found is not None:
            quick += 1
            expected = queue._one_by_one(0)
            assert [gather.pieces for gather in found] == [gather.pieces for gather in expected]
    assert quick > 50
    assert queue._in_order(queue.size) is None


# -- both, to the end -------------------------------------------------------------------------------------------


def test_reads_by_scattered_pages() -> None:
    """A page of the list is named twice, and the order is not that of memory."""
    pages = [0x400000 + PAGE * number for number in (9, 3, 7, 3, 100, 5)]
    host = Host(MemoryNode(content=CONTENT))
    host.table(*((page, PAGE) for page in pages))
    host.address(3, 8 * len(pages))
    host.start(0xC8)
    assert not host.status & ERR
    for number, page in enumerate(pages):
        if pages.index(page) == number or number == 3:
            expected = 3 if page == pages[3] else number
            assert host.space.read(page, PAGE) == CONTENT[3 * SECTOR + expected * PAGE :][:PAGE]
