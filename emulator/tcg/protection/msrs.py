"""Model-specific registers (Intel SDM Vol. 4, section 2.1). The processor's own; all others are the machine's."""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, function, table, u16, u32, u64
from emulator.x86.instruction import FS, GS
from emulator.x86.state import MSR_FIELDS, Cpu

from ..core import GP, Core
from ..operands import fault
from .control_registers import set_efer

TSC, EFER, FS_BASE, GS_BASE, PAT = 0x10, 0xC0000080, 0xC0000100, 0xC0000101, 0x277
# Those that hold linear addresses
SYSENTER_ESP, SYSENTER_EIP, LSTAR, CSTAR, KERNEL_GS_BASE = 0x175, 0x176, 0xC0000082, 0xC0000083, 0xC0000102
NUMBERS = table(u32, list(MSR_FIELDS))
PLACES = table(u16, [Cpu.offset(name) for name in MSR_FIELDS.values()])


@function
def is_canonical(address: u64) -> bool:
    return address + (1 << 47) >> 48 == 0


@function
def time_stamp(core: Ptr[Core]) -> u64:
    return core.clock(u64(core)) + core.cpu.tsc_offset


@function
def read_msr(core: Ptr[Core], number: u32, out: Ptr[u64]) -> bool:
    match number:
        case 0x10:
            out[0] = time_stamp(core)
            return True
        case 0xC0000100:
            out[0] = core.cpu.segments[FS].base
            return True
        case 0xC0000101:
            out[0] = core.cpu.segments[GS].base
            return True
    for index in range(len(NUMBERS)):
        if NUMBERS[index] == number:
            out[0] = Ptr[u64](u64(core) + PLACES[index])[0]
            return True
    return core.read_msr(u64(core), number, out) != 0 or fault(core, GP, 0)


@function
def write_msr(core: Ptr[Core], number: u32, value: u64) -> bool:
    linear = number in (FS_BASE, GS_BASE, SYSENTER_ESP, SYSENTER_EIP, LSTAR, CSTAR, KERNEL_GS_BASE)
    if (linear and not is_canonical(value)) or (number == PAT and not valid_types(value)):
        return fault(core, GP, 0)
    match number:
        case 0x10:
            core.cpu.tsc_offset = value - core.clock(u64(core))
            return True
        case 0xC0000080:
            return set_efer(core, value)
        case 0xC0000100:
            core.cpu.segments[FS].base = value
            return True
        case 0xC0000101:
            core.cpu.segments[GS].base = value
            return True
    for index in range(len(NUMBERS)):
        if NUMBERS[index] == number:
            Ptr[u64](u64(core) + PLACES[index])[0] = value
            return True
    return core.write_msr(u64(core), number, value) != 0 or fault(core, GP, 0)


@function
def valid_types(value: u64) -> bool:
    """Whether all eight memory types of IA32_PAT exist (SDM Vol. 3, section 11.12.2)."""
    valid = True
    for number in range(8):
        valid = valid and value >> (number * 8) & 0xFF in (0, 1, 4, 5, 6, 7)
    return valid
