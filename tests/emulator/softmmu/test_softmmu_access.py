"""Memory access through the TLB: values, faults, page borders, flushes, and what the TLB may never point at."""

from __future__ import annotations

import ctypes
import random

import page_walker
import pytest
from test_softmmu_walk import MODES, PAE, PG, PGE, SMAP, SMEP, WP, World, random_address, random_entry
from test_softmmu_walk import random_registers as registers

from emulator.native import Ptr, Unit, function, u64
from emulator.softmmu import access
from emulator.softmmu.mmu import UNIT
from emulator.softmmu.structs import MODES as MODE_COUNT
from emulator.softmmu.structs import NO_FAULT, NOT_CANONICAL, READ, TLB_ENTRIES, TLB_SLOTS, VALID, WRITE, Mmu

SIZES = {1: "u8", 2: "u16", 4: "u32", 8: "u64"}
FUNCTIONS = [getattr(access, f"{verb}_{kind}") for verb in ("read", "write") for kind in SIZES.values()]
INLINE = Unit("softmmu-access", FUNCTIONS, uses=[UNIT])


class Machine(World):
    """Random tables with loads and stores, and beside them a model that translates every byte anew."""

    def __init__(self, rng, kind, native):
        super().__init__(rng, kind, native)
        self.native = native
        self.code = INLINE.load() if native else INLINE.reference()
        self.mmu.state.linear_mask = (1 << 64) - 1 if kind == "long" else (1 << 32) - 1
        self.regs = page_walker.Registers()

    def use(self, regs):
        self.regs = regs
        self.set(regs)
        self.mmu.code.flush_all(self.mmu.address)

    def access(self, verb, address, mode, size, value=0):
        state = self.mmu.state
        state.fault = NO_FAULT
        arguments = (value,) if verb == "write" else ()
        call = getattr(self.code, f"{verb}_{SIZES[size]}")
        result = call(self.mmu.address, MODES.index(mode), address, *arguments)
        if state.fault == NO_FAULT:
            return result
        assert not result
        return ("fault", None if state.fault == NOT_CANONICAL else state.fault_code, state.fault_address)

    def expect(self, verb, address, mode, size, value=0):
        """Translate the first byte, and the first of the next page if the access reaches it; then touch bytes."""
        starts = [address]
        if address % 4096 + size > 4096:
            starts.append((address | 4095) + 1 & self.mmu.state.linear_mask)
        pages = []
        for start in starts:
            found = page_walker.walk(self.regs, self.read, start, verb[0], mode)
            if isinstance(found, page_walker.Fault):
                return ("fault", found.code, start)
            for place, width, new in found.updates:
                self.space.write(place, new.to_bytes(width, "little"))
            pages.append(found.physical & ~4095)
        data = bytearray()
        for n in range(size):
            at = address + n
            physical = pages[at // 4096 - address // 4096] | at % 4096
            if verb == "write":
                self.space.write(physical, bytes([value >> 8 * n & 255]))
            data += self.space.read(physical, 1)
        return None if verb == "write" else int.from_bytes(data, "little")


def near_border(rng, address):
    return address & ~4095 | 4096 - rng.randrange(1, 9) if rng.random() < 0.3 else address


def run_both(kind, seed, rounds, native):
    """The same accesses on two worlds that began alike."""
    machine, model = (Machine(random.Random(f"{kind} {seed}"), kind, way) for way in (native, True))
    rng = random.Random(f"accesses {kind} {seed}")
    results = set()
    for _ in range(rounds):
        regs = registers(rng, kind)
        machine.use(regs)
        model.regs = regs
        model.set(regs)
        favourites = [near_border(rng, random_address(rng, kind)) for _ in range(4)]
        for _ in range(12):
            verb, mode, size = rng.choice(["read", "write"]), rng.choice(MODES), rng.choice(list(SIZES))
            address = rng.choice(favourites) ^ rng.randrange(8)
            value = rng.randrange(1 << 8 * size)
            if rng.random() < 0.1:  # change a table and flush what it maps
                entry = rng.randrange(0, len(machine.ram.memory), 8)
                data = random_entry(rng, 8).to_bytes(8, "little")
                for world in (machine, model):
                    world.space.write(entry, data)
                machine.mmu.code.flush_all(machine.mmu.address)
            found = machine.access(verb, address, mode, size, value)
            wanted = model.expect(verb, address, mode, size, value)
            assert found == wanted, (verb, hex(address), mode, size)
            results.add(isinstance(found, tuple))
            machine.mmu.code.flush_all(machine.mmu.address) if verb == "write" else None  # may have hit a table
        assert machine.ram.memory[:] == model.ram.memory[:]
        check_invariants(machine)
    assert results == {True, False}


def check_invariants(machine):
    """A fast entry points at a whole page of RAM, is in the slot of its page, and has a page that is valid."""
    ram, mmu = machine.ram, machine.mmu.state
    for index in range(TLB_ENTRIES):
        entry, slot = mmu.tlb[index], index % TLB_SLOTS
        if entry.tag >> 12 & TLB_SLOTS - 1 != slot:
            continue  # cannot match
        assert entry.tag | VALID == entry.page
        host = entry.host
        assert ram.host <= host <= ram.host + ram.size - 4096
        assert host - ram.host == entry.physical & ~4095
        if index // (MODE_COUNT * TLB_SLOTS) == WRITE:
            assert ram.flags[(host - ram.host) // 4096] & 1


@pytest.mark.parametrize("kind", ["two", "pae", "long"])
def test_native_accesses(kind):
    run_both(kind, 1, 40, native=True)


@pytest.mark.parametrize("kind", ["two", "long"])
def test_python_accesses(kind):
    run_both(kind, 2, 4, native=False)


# -- by hand: a 4-level world with a few known pages --------------------------------------------------------


@pytest.fixture(params=[True, False], ids=["native", "python"])
def mapped(request):
    """Tables at 0x1000; `map` makes 4 KByte pages below 2 MBytes."""
    machine = Machine(random.Random(0), "long", request.param)
    machine.ram.memory[:] = bytes(machine.ram.size)
    for place, value in [(0x1000, 0x2007), (0x2000, 0x3007), (0x3000, 0x4007)]:
        machine.space.write(place, value.to_bytes(8, "little"))
    machine.map = lambda page, entry: machine.space.write(0x4000 + page * 8, entry.to_bytes(8, "little"))
    machine.use(page_walker.Registers(cr0=PG | WP, cr3=0x1000, cr4=PAE | PGE | SMEP | SMAP, efer=1 << 10 | 1 << 11))
    return machine


def random_leaf(rng):
    """An entry for one of 8 pages of data; the tables are elsewhere, so accesses do not change them."""
    flags = rng.choice([0x07, 0x67, 0x05, 0x03, 0x107, 0x163, 0x01, 0x00])
    return 0x20000 + rng.randrange(8) * 4096 | flags | rng.choice([0, 0, 1 << 63, 1 << 45])


def test_many_accesses_between_flushes(mapped):
    """Entries stay in the TLB over many accesses; whatever they answer is what a fresh translation would."""
    rng, seen, pages = random.Random(11), set(), 12
    for page in range(pages):
        mapped.map(page, random_leaf(rng))
    mapped.space.write(0x20000, rng.randbytes(8 * 4096))
    model = Machine(random.Random(0), "long", True)
    for _ in range(1500 if mapped.native else 300):
        verb, mode, size = rng.choice(["read", "write"]), rng.choice(MODES), rng.choice(list(SIZES))
        address, value = rng.randrange(pages * 4096 - 8), rng.randrange(1 << 8 * size)
        address = near_border(rng, address) % (pages * 4096 - 8)
        model.ram.memory[:] = mapped.ram.memory[:]
        model.regs = mapped.regs
        found, wanted = mapped.access(verb, address, mode, size, value), model.expect(verb, address, mode, size, value)
        assert found == wanted, (verb, hex(address), mode, size)
        assert mapped.ram.memory[:] == model.ram.memory[:]
        seen.add((verb, isinstance(found, tuple)))
        if rng.random() < 0.15:
            page = rng.randrange(pages)
            mapped.map(page, random_leaf(rng))
            mapped.mmu.code.flush_page(mapped.mmu.address, page << 12 | rng.randrange(4096))
        if rng.random() < 0.03:
            mapped.mmu.code.flush_nonglobal(mapped.mmu.address)
    assert len(seen) == 4
    check_invariants(mapped)


def test_a_page_stays_until_it_is_flushed(mapped):
    mapped.space.write(0x10000, b"\x11")
    mapped.space.write(0x11000, b"\x22")
    mapped.map(5, 0x10007)
    assert mapped.access("read", 0x5000, "user", 1) == 0x11
    mapped.map(5, 0x11007)
    assert mapped.access("read", 0x5000, "user", 1) == 0x11
    mapped.mmu.code.flush_page(mapped.mmu.address, 0x6000)
    assert mapped.access("read", 0x5000, "user", 1) == 0x11
    mapped.mmu.code.flush_page(mapped.mmu.address, 0x5FFF)
    assert mapped.access("read", 0x5000, "user", 1) == 0x22


def test_global_pages_survive_loading_cr3(mapped):
    mapped.map(5, 0x10007)
    mapped.map(6, 0x10107)
    before = [mapped.access("read", page, "user", 4) for page in (0x5000, 0x6000)]
    assert before == [0, 0]
    mapped.map(5, 0)
    mapped.map(6, 0)
    mapped.mmu.code.flush_nonglobal(mapped.mmu.address)
    assert mapped.access("read", 0x5004, "user", 4) == ("fault", 4, 0x5004)
    assert mapped.access("read", 0x6004, "user", 4) == 0
    mapped.mmu.code.flush_page(mapped.mmu.address, 0x6000)
    assert mapped.access("read", 0x6004, "user", 4) == ("fault", 4, 0x6004)


def test_flushing_a_pcid(mapped):
    mapped.map(5, 0x10007)
    mapped.map(6, 0x10107)
    mapped.mmu.state.cr3 |= 0x123  # ignored, or the PCID
    for pcide, pcid, flushed in [(0, 0x123, False), (0, 0, True), (1, 0, False), (1, 0x123, True)]:
        mapped.mmu.state.cr4 = mapped.regs.cr4 | pcide << 17
        mapped.map(5, 0x10007)
        mapped.mmu.flush()
        for page in (0x5000, 0x6000):
            mapped.access("read", page, "user", 1)
        mapped.map(5, 0)
        mapped.mmu.code.flush_pcid(mapped.mmu.address, pcid)
        assert (mapped.access("read", 0x5000, "user", 1) != 0) == flushed
        assert mapped.access("read", 0x6000, "user", 1) == 0


def test_invlpg_flushes_all_of_a_large_page(mapped):
    mapped.space.write(0x3008, (0x0000E7).to_bytes(8, "little"))  # 2 MBytes at 0x200000, onto physical 0
    assert mapped.access("read", 0x203000, "supervisor", 8) == ("fault", 1, 0x203000)  # SMAP
    assert mapped.access("read", 0x203000, "ac", 8) == mapped.read(0x3000, 8)
    assert mapped.access("read", 0x204000, "user", 8) == mapped.read(0x4000, 8)
    mapped.space.write(0x3008, bytes(8))
    assert mapped.access("read", 0x204000, "user", 8) == mapped.read(0x4000, 8)
    mapped.mmu.code.flush_page(mapped.mmu.address, 0x2FF000)
    assert mapped.access("read", 0x204000, "user", 8) == ("fault", 4, 0x204000)


def test_nothing_is_written_when_the_second_page_faults(mapped):
    mapped.map(5, 0x10007)
    assert mapped.access("write", 0x5FFC, "user", 8, 2**64 - 1) == ("fault", 6, 0x6000)
    assert mapped.space.read(0x10FF8, 8) == bytes(8)
    mapped.map(6, 0x12005)
    assert mapped.access("write", 0x5FFC, "user", 8, 2**64 - 1) == ("fault", 7, 0x6000)
    assert mapped.access("read", 0x5FFC, "user", 8) == 0
    mapped.map(6, 0x12007)
    mapped.mmu.code.flush_page(mapped.mmu.address, 0x6000)
    assert mapped.access("write", 0x5FFC, "user", 8, 0x1122334455667788) is None
    assert mapped.space.read(0x10FFC, 4) == bytes.fromhex("88776655")
    assert mapped.space.read(0x12000, 4) == bytes.fromhex("44332211")
    assert mapped.access("read", 0x5FFC, "user", 8) == 0x1122334455667788


def test_can_access(mapped):
    can = lambda access, address, size: bool(mapped.mmu.code.can_access(mapped.mmu.address, access, 0, address, size))  # noqa: E731
    mapped.map(5, 0x10007)
    mapped.map(6, 0x12005)
    assert can(WRITE, 0x5000, 8)
    assert can(WRITE, 0x5FF8, 8)
    assert can(READ, 0x5FF9, 8)
    assert not can(WRITE, 0x5FF9, 8)
    assert mapped.mmu.state.fault_address == 0x6000
    assert not can(WRITE, 0x6000, 1)


def test_blocks(mapped):
    mapped.map(5, 0x10007)
    mapped.map(6, 0x12007)
    data, out = bytes(range(1, 104)), (ctypes.c_uint8 * 104)()
    for address in (0x5000, 0x5FC7, 0x5FFF):
        assert mapped.mmu.code.write_block(mapped.mmu.address, 0, address, (ctypes.c_uint8 * 103)(*data), 103)
        assert mapped.mmu.code.read_block(mapped.mmu.address, 0, address, out, 103)
        assert bytes(out) == data + b"\0"
    assert mapped.space.read(0x12000, 102) == data[1:]
    assert mapped.space.read(0x12066, 1) == b"\0"
    mapped.map(6, 0x12005)
    mapped.mmu.flush()
    assert not mapped.mmu.code.write_block(mapped.mmu.address, 0, 0x5FC7, out, 103)
    assert mapped.space.read(0x12000, 102) == data[1:]
    assert mapped.space.read(0x10FC7, 3) == data[:3]


@function(symbol="test.copy_128")
def copy_128(mmu: Ptr[Mmu], source: u64, target: u64) -> u64:
    value = access.read_u128(mmu, 0, source)
    access.write_u128(mmu, 0, target, value << 4)
    return u64(access.read_u128(mmu, 0, target) >> 64)


WIDE = Unit("softmmu-wide", [copy_128], uses=[UNIT])


def test_128_bits(mapped):
    mapped.map(5, 0x10007)
    mapped.map(6, 0x12007)
    copy = WIDE.load().copy_128 if mapped.native else copy_128
    value = 0x0123_4567_89AB_CDEF_1122_3344_5566_7788
    for place in (0x5010, 0x5FF9):
        mapped.access("write", place, "user", 8, value & (1 << 64) - 1)
        mapped.access("write", place + 8, "user", 8, value >> 64)
        for target in (0x5100, 0x5FF1):
            assert copy(mapped.mmu.address, place, target) == (value << 4 & (1 << 128) - 1) >> 64
    assert mapped.mmu.state.fault == NO_FAULT
    assert copy(mapped.mmu.address, 0x6FF8, 0x5000) == 0
    assert mapped.mmu.state.fault_address == 0x7000


def test_the_last_address_wraps_to_the_first(mapped):
    mapped.mmu.state.linear_mask = (1 << 32) - 1
    mapped.use(page_walker.Registers())
    mapped.space.write(0, b"\xaa\xbb")
    assert mapped.access("read", 0xFFFF_FFFE, "user", 4) == 0xBBAA_FFFF


def test_a_read_does_not_open_the_page_for_writing(mapped):
    mapped.map(5, 0x10007)
    assert mapped.access("read", 0x5000, "user", 1) == 0
    assert mapped.read(0x4028, 8) == 0x10027
    assert mapped.access("write", 0x5000, "user", 1, 1) is None
    assert mapped.read(0x4028, 8) == 0x10067


def test_dirty_pages(mapped):
    mapped.map(5, 0x10007)
    mapped.mmu.take_dirty(mapped.ram)
    mapped.access("read", 0x5000, "user", 1)
    assert mapped.mmu.take_dirty(mapped.ram) == [1, 2, 3, 4]  # accessed flags
    for _ in range(2):
        mapped.access("write", 0x5123, "user", 4, 7)
        assert 0x10 in mapped.mmu.take_dirty(mapped.ram)
    assert mapped.mmu.take_dirty(mapped.ram) == []
    assert mapped.mmu.code.can_access(mapped.mmu.address, WRITE, 0, 0x5000, 4)  # opens the page without writing
    mapped.access("write", 0x5123, "user", 4, 7)
    assert mapped.mmu.take_dirty(mapped.ram) == [0x10]


def test_writes_to_translated_code_are_reported(mapped):
    seen = []
    mapped.mmu.on_code_write(lambda address, size: seen.append((address, size)))
    mapped.map(5, 0x10007)
    mapped.map(6, 0x10007)
    mapped.map(7, 0x11007)
    for page in (0x5000, 0x6000, 0x7000):
        mapped.access("write", page, "user", 4, 1)
    assert seen == []
    assert mapped.mmu.code.mark_code(mapped.mmu.address, 0x10ABC)
    mapped.access("write", 0x5010, "user", 4, 2)
    mapped.access("write", 0x5014, "user", 2, 2)
    mapped.access("write", 0x6020, "user", 8, 3)
    mapped.access("write", 0x7000, "user", 4, 4)
    mapped.access("read", 0x5000, "user", 4)
    mapped.access("write", 0x6FFE, "user", 4, 4)
    assert seen == [(0x10010, 4), (0x10014, 2), (0x10020, 8), (0x10FFE, 2)]
    mapped.space.write(0xFFF0, bytes(0x20))
    mapped.space.write(0x11000, b"x")
    assert seen[4:] == [(0xFFF0, 0x20)]
    mapped.mmu.code.physical_write(mapped.mmu.address, 0xFFFE, 4, 0)
    assert seen[5:] == [(0xFFFE, 4)]
    mapped.mmu.code.unmark_code(mapped.mmu.address, 0x10000)
    mapped.access("write", 0x5010, "user", 4, 5)
    mapped.access("write", 0x5010, "user", 4, 6)
    assert len(seen) == 6
    assert mapped.mmu.state.tlb[WRITE * 3 * TLB_SLOTS + 5].tag == 0x5000  # direct again
    assert not mapped.mmu.code.mark_code(mapped.mmu.address, 0x9999_9000)


def test_watchpoints(mapped):
    state = mapped.mmu.state
    mapped.map(5, 0x10007)
    mapped.map(6, 0x11007)

    def hits(verb, address, size):
        state.watch_hits = 0
        mapped.access(verb, address, "user", size)
        return state.watch_hits

    assert hits("write", 0x5010, 4) == 0
    mapped.mmu.watch(0, 0x5010, 4, 1)
    mapped.mmu.watch(3, 0x6000, 2, 3)
    assert hits("write", 0x5013, 1) == 1
    assert hits("write", 0x500C, 4) == 0
    assert hits("write", 0x5014, 8) == 0
    assert hits("write", 0x500C, 8) == 1
    assert hits("read", 0x5010, 4) == 0
    assert hits("read", 0x6001, 1) == 8
    assert hits("write", 0x5FFF, 4) == 8
    mapped.mmu.watch(0, 0, 0, 0)
    mapped.mmu.watch(3, 0, 0, 0)
    assert hits("write", 0x5010, 4) == 0
    assert state.watching == 0


def test_a20_gate(mapped):
    mapped.use(page_walker.Registers())
    mapped.space.write(0x100, b"\x77")
    assert mapped.access("read", 0x10_0100, "supervisor", 1) == 0xFF
    mapped.mmu.set_a20(False)
    assert mapped.access("read", 0x10_0100, "supervisor", 1) == 0x77
    mapped.mmu.set_a20(True)
    assert mapped.access("read", 0x10_0100, "supervisor", 1) == 0xFF


def test_rom_is_read_directly_and_never_written(mapped):
    rom = mapped.space.add_rom(0x40000, b"ROM" * 2000)
    mapped.map(5, 0x40007)
    mapped.map(6, 0x41007)
    for _ in range(2):
        assert mapped.access("read", 0x5000, "user", 2) == int.from_bytes(b"RO", "little")
        for page in (0x5000, 0x5FFE, 0x6010):
            assert mapped.access("write", page, "user", 4, 0) is None
    assert mapped.mmu.state.tlb[5].tag == 0x5000
    assert rom.memory[:6000] == b"ROM" * 2000


def test_fetch(mapped):
    mapped.map(5, 0x10007)
    mapped.map(6, 1 << 63 | 0x11007)
    mapped.space.write(0x10FFE, b"\x0f\x05")
    fetch = lambda address: mapped.mmu.code.read_slow(mapped.mmu.address, 2, 0, address, 2)  # noqa: E731
    assert fetch(0x5FFE) == 0x050F
    assert fetch(0x5FFF) == 0
    assert (mapped.mmu.state.fault_code, mapped.mmu.state.fault_address) == (1 | 4 | 16, 0x6000)
