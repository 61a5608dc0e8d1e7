"""I/O ports: who may use them (Intel SDM Vol. 1, section 19.5), and the way to the machine's devices."""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Array, Ptr, addressof, function, u32, u64

from .core import GP, PROTECTED, Core
from .operands import fault
from .protection.memory import read_system

MAP_BASE = 102  # in a TSS: where its I/O permission map begins
TSS_32, BUSY_TSS_32 = 0b1001, 0b1011  # in IA-32e mode those of the 64-bit TSS
TYPE = 15
IOPL_SHIFT = 12


@function
def port_allowed(core: Ptr[Core], port: u32, size: u32) -> bool:
    """Whether the current program may use a port; false is #GP(0)."""
    virtual = core.cpu.rflags >> 17 & 1
    if not virtual and (not core.code_kind & PROTECTED or core.cpl <= core.cpu.rflags >> IOPL_SHIFT & 3):
        return True
    task = core.cpu.tr
    if task.attributes & TYPE not in (TSS_32, BUSY_TSS_32) or task.limit < MAP_BASE + 1:
        return fault(core, GP, 0)
    word = Array[u64, 1]()
    if not read_system(core, task.base + MAP_BASE, 2, addressof(word[0])):
        return False
    place = word[0] + (port >> 3)
    if place + 1 > task.limit:
        return fault(core, GP, 0)
    if not read_system(core, task.base + place, 2, addressof(word[0])):
        return False
    wanted = (u64(1) << size) - 1 << (port & 7)
    return word[0] & wanted == 0 or fault(core, GP, 0)


@function
def read_port(core: Ptr[Core], port: u32, size: u32) -> u64:
    return core.port_in(u64(core), port, size) & (~u64(0) >> (64 - size * 8))


@function
def write_port(core: Ptr[Core], port: u32, size: u32, value: u64) -> None:
    core.port_out(u64(core), port, size, value & (~u64(0) >> (64 - size * 8)))
