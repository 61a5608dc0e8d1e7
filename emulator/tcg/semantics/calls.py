"""System calls and their returns (Intel SDM Vol. 3, section 5.8.7 and 5.8.8)."""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, function, u32, u64
from emulator.x86.instruction import CS, SS

from ..control import following
from ..core import GP, UD, Core, Op
from ..flags import get_rflags
from ..operands import LIMIT_32, fault
from ..protection.control_registers import PE, SCE
from ..protection.descriptors import install_flat
from ..protection.msrs import is_canonical
from ..protection.rflags import ALL, IF, RF, VM, change_flags
from ..state import LMA, update_mode
from .rare import made, transfer

UNIT = "system"
RCX, RDX, RSP, R11 = 1, 2, 4, 11
# Attributes of the flat segments that are loaded; the privilege level is added
CODE_64_BIT, CODE_32_BIT, DATA = 0xA09B, 0xC09B, 0xC093


@function
def load_flat(core: Ptr[Core], code: u32, stack: u32, attributes: u32, level: u32, rip: u64) -> None:
    """CS and SS of a system call or its return, and with them the privilege level."""
    install_flat(core.cpu.segments[CS], code & 0xFFFC | level, attributes | level << 5)
    install_flat(core.cpu.segments[SS], stack & 0xFFFC | level, DATA | level << 5)
    core.cpu.rip = rip
    update_mode(core)


@function
def system_call(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    """SYSCALL."""
    if not core.cpu.efer & SCE:
        return fault(core, UD, 0)
    flags = get_rflags(core)
    core.cpu.registers[RCX] = following(op)
    core.cpu.registers[R11] = flags & ~u64(RF)
    change_flags(core, flags & ~core.cpu.fmask, ALL)
    selector = u32(core.cpu.star >> 32) & 0xFFFF
    load_flat(core, selector, selector + 8, CODE_64_BIT, 0, core.cpu.lstar)
    return True


@function
def system_return(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    """SYSRET, to 64-bit code with REX.W, to 32-bit code without."""
    if not core.cpu.efer & SCE:
        return fault(core, UD, 0)
    target = core.cpu.registers[RCX]
    selector = u32(core.cpu.star >> 48)
    if size == 8:
        if not is_canonical(target):
            return fault(core, GP, 0)
        change_flags(core, core.cpu.registers[R11], ALL & ~(RF | VM))
        load_flat(core, selector + 16, selector + 8, CODE_64_BIT, 3, target)
    else:
        change_flags(core, core.cpu.registers[R11], ALL & ~(RF | VM))
        load_flat(core, selector, selector + 8, CODE_32_BIT, 3, target & LIMIT_32)
    return True


@function
def fast_system_call(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    """SYSENTER."""
    selector = u32(core.cpu.sysenter_cs) & 0xFFFC
    if not core.cpu.cr0 & PE or selector == 0:
        return fault(core, GP, 0)
    long = core.cpu.efer & LMA != 0
    mask = ~u64(0) if long else u64(LIMIT_32)
    core.cpu.rflags &= ~u64(IF | RF | VM)
    core.cpu.registers[RSP] = core.cpu.sysenter_esp & mask
    attributes = u32(CODE_64_BIT) if long else u32(CODE_32_BIT)
    load_flat(core, selector, selector + 8, attributes, 0, core.cpu.sysenter_eip & mask)
    return True


@function
def fast_system_return(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    """SYSEXIT."""
    selector = u32(core.cpu.sysenter_cs) & 0xFFFC
    if not core.cpu.cr0 & PE or selector == 0:
        return fault(core, GP, 0)
    target = core.cpu.registers[RDX]
    pointer = core.cpu.registers[RCX]
    if size == 8:
        if not is_canonical(target) or not is_canonical(pointer):
            return fault(core, GP, 0)
        core.cpu.registers[RSP] = pointer
        load_flat(core, selector + 32, selector + 40, CODE_64_BIT, 3, target)
    else:
        core.cpu.registers[RSP] = pointer & LIMIT_32
        load_flat(core, selector + 16, selector + 24, CODE_32_BIT, 3, target & LIMIT_32)
    return True


HANDLERS = {
    "SYSCALL": made(transfer, system_call),
    "SYSRET": made(transfer, system_return),
    "SYSENTER": made(transfer, fast_system_call),
    "SYSEXIT": made(transfer, fast_system_return),
}
