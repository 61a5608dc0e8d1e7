"""4-level page walks against another emulator's, where the package `unicorn` is installed.

A one-instruction program reads or writes one byte through random tables, with supervisor rights; compared are the byte,
whether it faults and where, and the accessed and dirty flags.  The error code cannot be seen from outside.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest
from test_softmmu_walk import LMA, MEMORY, PAE, World, random_address, random_registers

unicorn = pytest.importorskip("unicorn")
x86 = pytest.importorskip("unicorn.x86_const")

EFER = 0xC000_0080
LME = 1 << 8
CODE = 0xFFFF_FF80_0000_0000  # the last PML4 entry leads to tables of its own, behind the random ones
TABLES = MEMORY
LOAD, STORE = b"\x8a\x03", b"\x88\x03"  # mov al, [rbx]; mov [rbx], al


class Other:
    """The other emulator, over a copy of the memory of a world."""

    def __init__(self):
        self.cpu = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
        self.cpu.ctl_set_cpu_model(x86.UC_CPU_X86_BROADWELL)  # the default one has no SMAP
        self.cpu.mem_map(0, MEMORY + 0x4000)
        self.faults = []
        self.cpu.hook_add(unicorn.UC_HOOK_INTR, self.interrupted)
        for place, value in [(0, 0x1003), (0x1000, 0x2003)]:
            self.cpu.mem_write(TABLES + place, (TABLES + value | 0x60).to_bytes(8, "little"))
        self.cpu.mem_write(TABLES + 0x2000, (TABLES + 0x3063).to_bytes(8, "little"))
        self.cpu.mem_write(TABLES + 0x3000, LOAD + STORE)

    def interrupted(self, cpu, number, _):
        self.faults.append(number)
        cpu.emu_stop()

    def use(self, regs, memory):
        self.cpu.mem_write(0, memory)
        self.cpu.msr_write(EFER, regs.efer | LME | LMA)
        self.cpu.reg_write(x86.UC_X86_REG_CR4, regs.cr4 | PAE)
        self.cpu.reg_write(x86.UC_X86_REG_CR0, regs.cr0 | 1)
        self.cpu.reg_write(x86.UC_X86_REG_CR3, regs.cr3)

    def access(self, regs, verb, address, alignment_check, value):
        self.faults.clear()
        before = self.cpu.context_save()
        self.cpu.reg_write(x86.UC_X86_REG_CR3, regs.cr3)
        self.cpu.reg_write(x86.UC_X86_REG_EFLAGS, 2 | alignment_check << 18)
        self.cpu.reg_write(x86.UC_X86_REG_RBX, address)
        self.cpu.reg_write(x86.UC_X86_REG_RAX, value)
        begin = CODE + (2 if verb == "write" else 0)
        try:
            self.cpu.emu_start(begin, begin + 2)
        except unicorn.UcError:
            self.cpu.context_restore(before)
            return "outside"  # a table or the page lies where it has no memory
        if self.faults:
            assert self.faults == [14]
            place = self.cpu.reg_read(x86.UC_X86_REG_CR2)
            self.cpu.context_restore(before)  # or the next fault would be a double fault
            return ("fault", place)
        return self.cpu.reg_read(x86.UC_X86_REG_RAX) & 0xFF


def test_walks_agree():
    rng = random.Random(7)
    world, other = World(rng, "long", True), Other()
    state, outcomes = world.mmu.state, Counter()
    for _ in range(80):
        regs = random_registers(rng, "long")
        regs.cr3 &= ~0xFFF
        world.ram.memory[regs.cr3 + 511 * 8 : regs.cr3 + 4096] = (TABLES | 0x63).to_bytes(8, "little")
        world.set(regs)
        other.use(regs, bytes(world.ram.memory[:]))
        for _ in range(12):
            address = random_address(rng, "long")
            if address >> 39 & 511 == 511 or address >> 47 not in (0, (1 << 17) - 1):
                continue
            verb, alignment_check, value = rng.choice(["read", "write"]), rng.randrange(2), rng.randrange(256)
            state.fault = 0
            world.mmu.flush()
            mode = 2 if alignment_check else 1
            if verb == "read":
                found = world.mmu.code.read_slow(world.mmu.address, 0, mode, address, 1)
            else:
                world.mmu.code.write_slow(world.mmu.address, mode, address, 1, value)
                found = value
            found = ("fault", state.fault_address) if state.fault else found
            if not state.fault and state.walk_physical >= MEMORY:
                other.use(regs, bytes(world.ram.memory[:]))  # where only one of the two has memory
                continue
            wanted = other.access(regs, verb, address, alignment_check, value)
            assert wanted in ("outside", found), (verb, hex(address))
            outcomes[wanted == "outside", verb, bool(state.fault)] += 1
            if state.fault or wanted == "outside":
                other.use(regs, bytes(world.ram.memory[:]))  # it marks entries as accessed also when it faults
            else:
                assert bytes(other.cpu.mem_read(0, MEMORY)) == world.ram.memory[:]
    compared = [count for (outside, *_), count in outcomes.items() if not outside]
    assert len(compared) == 4
    assert sum(compared) > 3 * (outcomes.total() - sum(compared))
