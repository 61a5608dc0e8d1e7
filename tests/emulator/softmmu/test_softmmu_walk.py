"""Page walks over random tables, in both modes of the compiled functions, against the independent walker."""

from __future__ import annotations

import random

import page_walker
import pytest

from emulator.softmmu.mmu import SoftMmu
from emulator.softmmu.space import AddressSpace
from emulator.softmmu.structs import NO_FAULT, NOT_CANONICAL, PAGE_FAULT

PAGES = 48
MEMORY = PAGES * 4096
ACCESSES, MODES = "rwx", ["user", "supervisor", "ac"]
PG, WP = 1 << 31, 1 << 16
PSE, PAE, PGE, SMEP, SMAP = 1 << 4, 1 << 5, 1 << 7, 1 << 20, 1 << 21
LMA, NXE = 1 << 10, 1 << 11


def random_entry(rng, size):
    """An entry that mostly leads somewhere, with every flag and now and then a reserved bit."""
    entry = rng.randrange(PAGES) << 12 | rng.choice([0x07, 0x67, 0x03, 0x27, 0x05, 0x01, rng.randrange(0x1000)])
    if rng.random() < 0.9:
        entry |= 1
    if rng.random() < 0.2:
        entry |= 0x80
    if rng.random() < 0.1:
        entry |= 0x100
    if size == 8 and rng.random() < 0.15:
        entry |= 1 << 63
    if size == 4 and rng.random() < 0.05:
        entry |= 0x20_0080
    if rng.random() < 0.1:
        entry |= 1 << rng.randrange(size * 8)
    if rng.random() < 0.02:
        entry = rng.randrange(1 << size * 8)
    return entry


def random_memory(rng, size):
    pool = [random_entry(rng, size).to_bytes(size, "little") for _ in range(400)]
    return b"".join(rng.choices(pool, k=MEMORY // size))


def random_registers(rng, kind):
    maybe = lambda bit: bit if rng.random() < 0.5 else 0  # noqa: E731
    regs = page_walker.Registers(cr0=PG | maybe(WP), cr4=maybe(PSE) | maybe(PGE) | maybe(SMEP) | maybe(SMAP))
    regs.cr3 = rng.randrange(PAGES) << 12 | rng.randrange(4096)
    if kind == "none":
        regs.cr0 &= ~PG
    if kind in ("pae", "long"):
        regs.cr4 |= PAE
        regs.efer = maybe(NXE) | (LMA if kind == "long" else 0)
        regs.pdpte = [rng.randrange(PAGES) << 12 | (rng.random() < 0.9) for _ in range(4)]
    return regs


def random_address(rng, kind):
    if kind != "long":
        return rng.randrange(1 << 32)
    address = rng.randrange(1 << 48)
    if address >> 47:
        address |= 0xFFFF << 48
    return address ^ (1 << rng.randrange(47, 64) if rng.random() < 0.05 else 0)


class World:
    """Memory full of random tables, and an MMU over it."""

    def __init__(self, rng, kind, native):
        self.space = AddressSpace()
        self.ram = self.space.add_ram(0, MEMORY)
        self.ram.memory[:] = random_memory(rng, 4 if kind == "two" else 8)
        self.mmu = SoftMmu(self.space, native=native)

    def read(self, place, size):
        return int.from_bytes(self.space.read(place, size), "little")

    def set(self, regs):
        state = self.mmu.state
        state.cr0, state.cr3, state.cr4, state.efer = regs.cr0, regs.cr3, regs.cr4, regs.efer
        state.pdpte[:] = regs.pdpte

    def walk(self, address, access, mode):
        state = self.mmu.state
        state.fault = NO_FAULT
        if self.mmu.code.walk(self.mmu.address, address, ACCESSES.index(access), MODES.index(mode)):
            assert state.fault == NO_FAULT
            return state.walk_physical, state.walk_shift, bool(state.walk_global)
        assert state.fault_address == address
        return {NOT_CANONICAL: None, PAGE_FAULT: state.fault_code}[state.fault]


def compare(kind, seed, rounds, native):
    rng = random.Random(f"{kind} {seed}")
    world = World(rng, kind, native)
    outcomes = set()
    for _ in range(rounds):
        regs = random_registers(rng, kind)
        world.set(regs)
        for _ in range(5):
            address, access, mode = random_address(rng, kind), rng.choice(ACCESSES), rng.choice(MODES)
            wanted = page_walker.walk(regs, world.read, address, access, mode)
            memory = bytearray(world.ram.memory[:])
            found = world.walk(address, access, mode)
            if isinstance(wanted, page_walker.Fault):
                assert found == wanted.code
                outcomes.add(wanted.code)
            else:
                assert found == (wanted.physical, wanted.shift, wanted.is_global)
                outcomes.add(wanted.shift)
                for place, size, new in wanted.updates:
                    memory[place : place + size] = new.to_bytes(size, "little")
            assert world.ram.memory[:] == memory
    return outcomes


KINDS = {
    "none": {12},
    "two": {12, 22, 0, 1, 3, 7, 9},
    "pae": {12, 21, 0, 1, 9, 17},
    "long": {12, 21, 30, 0, 1, 9, 17, None},
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_native_walk(kind, seed):
    outcomes = compare(kind, seed, 400, native=True)
    assert outcomes >= KINDS[kind], "the random tables did not reach every outcome"


@pytest.mark.parametrize("kind", KINDS)
def test_python_walk(kind):
    compare(kind, "python", 40, native=False)


@pytest.mark.parametrize("native", [True, False])
def test_loading_the_pdpte_registers(native):
    world = World(random.Random(1), "pae", native)
    state, good = world.mmu.state, [0x1001, 0x2000, 0x3E19, 0x5001]
    state.cr3 = 0x7FE0 | 0x1F  # the lowest 5 bits do not count

    def load(entries):
        world.space.write(0x7FE0, b"".join(entry.to_bytes(8, "little") for entry in entries))
        return bool(world.mmu.code.load_pdptes(world.mmu.address))

    assert load(good)
    assert list(state.pdpte) == good
    for bit in [1, 2, 5, 6, 7, 8, *range(page_walker.MAXPHYADDR, 64)]:
        assert not load([0x9001 | 1 << bit, *good[1:]]), bit
        assert list(state.pdpte) == good
    assert load([0x9000 | 1 << 63, *good[1:]])  # not present: nothing is reserved


def test_no_table_is_where_there_is_no_memory():
    world = World(random.Random(2), "long", True)
    world.set(page_walker.Registers(cr0=PG, cr3=MEMORY, cr4=PAE, efer=LMA | NXE))
    assert world.walk(0x1234, "r", "user") == 1 | 4 | 8  # ones: present, and all reserved bits
