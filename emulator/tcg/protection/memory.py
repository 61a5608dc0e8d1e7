"""The processor's own accesses to descriptor tables and task state: with the rights of a supervisor, whatever the
privilege level is (Intel SDM Vol. 3, section 4.6, "implicit supervisor-mode accesses")."""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, function, u32, u64
from emulator.softmmu.access import can_access, read_slow, write_slow
from emulator.softmmu.structs import READ, SUPERVISOR, WRITE
from emulator.x86.instruction import DS

from ..core import Core
from ..operands import memory_fault


@function
def read_system(core: Ptr[Core], address: u64, size: u32, out: Ptr[u64]) -> bool:
    out[0] = read_slow(core.mmu, READ, SUPERVISOR, address & core.mmu.linear_mask, size)
    return core.mmu.fault == 0 or memory_fault(core, DS)


@function
def write_system(core: Ptr[Core], address: u64, size: u32, value: u64) -> bool:
    done = write_slow(core.mmu, SUPERVISOR, address & core.mmu.linear_mask, size, value)
    return done or memory_fault(core, DS)


@function
def can_write_system(core: Ptr[Core], address: u64, size: u32) -> bool:
    """Whether all of a range of up to a page can be written."""
    return can_access(core.mmu, WRITE, SUPERVISOR, address & core.mmu.linear_mask, size) or memory_fault(core, DS)
