"""Physical memory: the flat view against a map of single bytes, devices, and refusals."""

from __future__ import annotations

import ctypes
import itertools
import random

import pytest

from emulator.native import Ptr, Unit, function, struct, u32, u64
from emulator.softmmu.mmu import SoftMmu
from emulator.softmmu.space import AddressSpace
from emulator.softmmu.structs import READ, TLB_SLOTS


@pytest.fixture
def space():
    return AddressSpace()


def physical(mmu, verb, *arguments):
    return getattr(mmu.code, f"physical_{verb}")(mmu.address, *arguments)


@pytest.mark.parametrize("seed", range(20))
def test_the_flat_view(space, seed):
    rng = random.Random(seed)
    regions = []
    for n in range(rng.randrange(1, 9)):
        first, size = rng.randrange(40), rng.randrange(1, 20)
        regions.append(space.add_native_mmio(first, size, n, 0, 0, priority=rng.randrange(3), name=str(n)))
    if len(regions) > 4:
        space.remove(regions.pop(2))
    seen = {}
    for region in sorted(regions, key=lambda r: r.priority):
        seen |= dict.fromkeys(range(region.first, region.last + 1), region)
    flat = {place: region for first, last, region in space.flatten() for place in range(first, last + 1)}
    assert flat == seen
    pieces = list(space.flatten())
    assert all(a[1] < b[0] for a, b in itertools.pairwise(pieces))
    mmu = SoftMmu(space)
    found = {}
    ranges = [space.ranges[n] for n in range(space.count)]
    for place in range(70):
        for piece in ranges:
            if piece.first <= place <= piece.last:
                found[place] = (piece.device, piece.offset + place - piece.first)
    assert found == {place: (int(region.name), place - region.first) for place, region in seen.items()}
    assert mmu.state.range_count == space.count


@pytest.mark.parametrize("native", [True, False])
def test_devices(space, native):
    log = []
    space.add_ram(0, 0x2000)
    space.add_mmio(0x1010, 8, lambda offset, size: log.append((offset, size)) or 0xAABBCCDD, lambda *w: log.append(w))
    mmu = SoftMmu(space, native=native)
    physical(mmu, "write", 0x1008, 8, 0x1111)
    assert physical(mmu, "read", 0x1008, 8) == 0x1111
    assert log == []
    assert physical(mmu, "read", 0x1014, 2) == 0xCCDD
    physical(mmu, "write", 0x1010, 4, 0x1_2345_6789)
    assert log == [(4, 2), (0, 4, 0x2345_6789)]
    log.clear()
    assert physical(mmu, "read", 0x100E, 4) == 0xDDDD_0000  # byte by byte over the border
    assert log == [(0, 1), (1, 1)]
    log.clear()
    assert physical(mmu, "read", 0x1011, 3) == 0xDDDDDD  # no device has registers of 3 bytes
    physical(mmu, "write", 0x1012, 3, 0x030201)
    assert log == [(1, 1), (2, 1), (3, 1), (2, 1, 1), (3, 1, 2), (4, 1, 3)]
    entry = mmu.code.translate(mmu.address, READ, 1, 0x1000)
    assert entry
    assert mmu.state.tlb[(READ * 3 + 1) * TLB_SLOTS + 1].tag != 0x1000  # a page with a device in it has no direct way
    assert mmu.code.translate(mmu.address, READ, 1, 0)
    assert mmu.state.tlb[(READ * 3 + 1) * TLB_SLOTS].tag == 0


def test_an_exception_in_a_device_is_kept(space):
    def broken(*_):
        raise RuntimeError("device on fire")

    space.add_mmio(0, 16, broken, broken)
    mmu = SoftMmu(space)
    assert physical(mmu, "read", 0, 4) == 0xFFFF_FFFF
    with pytest.raises(RuntimeError, match="on fire"):
        space.check()
    space.check()
    physical(mmu, "write", 0, 4, 1)
    with pytest.raises(RuntimeError, match="on fire"):
        space.check()


@struct
class Latch:
    value: u64


@function
def latch_read(device: u64, offset: u64, size: u32) -> u64:
    return Ptr[Latch](device).value + offset


@function
def latch_write(device: u64, offset: u64, size: u32, value: u64) -> None:
    Ptr[Latch](device).value = value * size


def test_compiled_devices(space):
    library, latch = Unit("latch", [latch_read, latch_write]).load(), Latch()
    places = library.address("latch_read"), library.address("latch_write")
    space.add_native_mmio(0x100, 0x100, ctypes.addressof(latch), *places)
    mmu = SoftMmu(space)
    physical(mmu, "write", 0x110, 2, 21)
    assert latch.value == 42
    assert physical(mmu, "read", 0x110, 8) == 42 + 0x10


def test_rom_and_nothing(space):
    rom = space.add_rom(0xF000, b"BIOS")
    mmu = SoftMmu(space)
    physical(mmu, "write", 0xF000, 4, 0)
    assert physical(mmu, "read", 0xF000, 8) == int.from_bytes(b"BIOS", "little")
    assert physical(mmu, "read", 0xEFFE, 4) == int.from_bytes(b"\xff\xffBI", "little")
    assert physical(mmu, "read", 1 << 51, 8) == physical(mmu, "read", 2**64 - 4, 8) == 2**64 - 1
    assert space.read(0xEFFE, 4) == b"\xff\xffBI"
    space.write(0xF000, b"X")
    space.remove(rom)
    assert physical(mmu, "read", 0xF000, 4) == 0xFFFF_FFFF


def test_wild_physical_addresses(space):
    ram = space.add_ram(0x4000, 0x3000)
    mmu, rng = SoftMmu(space), random.Random(3)
    for _ in range(3000):
        place = rng.choice([rng.randrange(2**64), rng.randrange(0x3FF0, 0x4010), rng.randrange(0x6FF0, 0x7010)])
        size = rng.choice([1, 2, 3, 4, 8])
        value = rng.randrange(1 << 8 * size)
        physical(mmu, "write", place, size, value)
        inside = [0x4000 <= (place + n) % 2**64 < 0x7000 for n in range(size)]
        wanted = bytes(value >> 8 * n & 255 if inside[n] else 255 for n in range(size))
        assert physical(mmu, "read", place, size) == int.from_bytes(wanted, "little"), hex(place)
    assert ram.size == 0x3000


def test_refusals(space):
    with pytest.raises(ValueError, match="whole pages"):
        space.add_ram(0x10, 4096)
    with pytest.raises(ValueError, match="whole pages"):
        space.add_ram(0, 100)
    with pytest.raises(ValueError, match="not in physical memory"):
        space.add_ram((1 << 52) - 4096, 8192)
    with pytest.raises(ValueError, match="not in physical memory"):
        space.add_mmio(0, 0, int, int)


def test_writes_of_devices_make_pages_dirty(space):
    ram, mmu = space.add_ram(0x10000, 0x8000), SoftMmu(space)
    space.write(0x11FFE, bytes(0x1004))
    assert mmu.take_dirty(ram) == [1, 2, 3]
    space.write(0xFFF0, b"x" * 16)  # the last bytes before it
    assert mmu.take_dirty(ram) == []


def test_a_device_may_move_itself(space):
    places = [0x1000 * n for n in range(1, 9)]
    log = []

    def moving(offset, size, value):
        log.append((offset, value))
        space.remove(regions.pop())
        regions.append(space.add_mmio(places[len(log)], 16, lambda *_: 0, moving))

    regions = [space.add_mmio(places[0], 16, lambda *_: 0, moving)]
    mmu = SoftMmu(space)
    for n in range(6):
        mmu.code.write_slow(mmu.address, 1, places[n] + 4, 8, n)
        mmu.code.write_slow(mmu.address, 1, places[n] + 4, 8, 99)  # nobody is there any more
    assert log == [(4, n) for n in range(6)]
    space.check()


def test_ram_stays_where_it_is(space):
    ram = space.add_ram(0, 0x1000)
    with pytest.raises(BufferError):
        ram.memory.close()


def test_windows_over_several_pieces(space):
    """What is shown piece by piece is one window where it is one in memory."""
    ram = space.add_ram(0, 0x10000)
    space.add_rom(0x4000, bytes(0x4000))
    assert space.window(0x3000, 0x2000) is None
    for place in (0x4000, 0x5000, 0x7000):
        space.add_alias(ram, place, 0x1000, priority=2)
    space.add_alias(ram, 0x6000, 0x1000, writable=False, priority=2)
    ram.view[0x2800:0x6800] = bytes(range(256)) * 64
    assert space.window(0x2800, 0x4000) == ram.view[0x2800:0x6800]
    assert space.window(0x2800, 0x3800, writable=True) is not None
    assert space.window(0x2800, 0x3801, writable=True) is None
    assert space.window(0xF000, 0x1001) is None and space.window(0x10000, 1) is None
    space.add_mmio(0x5800, 16, lambda *_: 0, lambda *_: None, priority=3)
    assert space.window(0x5000, 0x800) is not None and space.window(0x5000, 0x801) is None
