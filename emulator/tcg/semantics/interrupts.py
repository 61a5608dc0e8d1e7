"""Software interrupts, IRET, RFLAGS, HLT (Intel SDM Vol. 1, sections 6.5, 7.3.13; Vol. 3, sections 6.4, 6.8, 20.3)."""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache

from emulator.native import Array, Function, Ptr, addressof, function, i16, i32, u16, u32, u64
from emulator.x86.instruction import CS

from ..control import enter, faulted, following, raised, resume
from ..core import AFTER_STI, BP, BR, DB, GP, OF, PROTECTED, UD, Core, Op
from ..flags import get_rflags, overflow_flag
from ..operands import TYPES, access, effective_address, fault, fetch, set_stack_pointer
from ..protection.delivery import FROM_PROGRAM, deliver, deliver_fault
from ..protection.descriptors import install_real
from ..protection.memory import read_system
from ..protection.returns import CR4_VME, interrupt_return
from ..protection.rflags import IF, IOPL, NT, RF, TF, VIF, VIP, VM, change_flags, loadable
from ..protection.stack import Stack, adopt, push, push_return, use_current
from ..state import update_access, update_mode
from .data import always
from .rare import attempt, made, then_resume, transfer

UNIT = "system"
RSP = 4
CR4_PVI = 2
MAP_BASE = 102  # in a TSS: where its I/O permission map begins, before which lies the interrupt redirection map
REDIRECTION_BYTES = 32


# -- INT ----------------------------------------------------------------------------------------------------


@function(inline="never")
def software_interrupt(core: Ptr[Core], op: Ptr[Op], vector: u32) -> Ptr[Op]:
    """RIP stays at the instruction until the handler is reached, in case that fails."""
    if core.stop_on_exceptions:
        core.cpu.rip = following(op)
        fault(core, vector, 0)
        deliver_fault(core)
    else:
        core.cpu.rip = op.rip
        deliver(core, vector, FROM_PROGRAM, following(op))
    return enter(core)


@function
def interrupt(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """INT n. In virtual-8086 mode it needs IOPL 3, or VME sends it to the program's own IVT."""
    vector = u32(op.immediate) & 0xFF
    if core.cpu.rflags & VM:
        if core.cpu.cr4 & CR4_VME:
            own = Array[u64, 1]()
            if not redirected(core, vector, addressof(own[0])):
                return faulted(core, op)
            if own[0]:
                return enter(core) if interrupt_virtual(core, op, vector) else faulted(core, op)
        if core.cpu.rflags & IOPL != IOPL:
            return raised(core, op, GP, 0)
    return software_interrupt(core, op, vector)


@function
def redirected(core: Ptr[Core], vector: u32, out: Ptr[u64]) -> bool:
    """Whether the redirection map of the TSS leaves an INT n to the program (SDM Vol. 3, section 20.3.3)."""
    if not read_system(core, core.cpu.tr.base + MAP_BASE, 2, out):
        return False
    if not read_system(core, core.cpu.tr.base + out[0] - REDIRECTION_BYTES + (vector >> 3), 1, out):
        return False
    out[0] = out[0] >> (vector & 7) & 1 ^ 1
    return True


@function
def interrupt_virtual(core: Ptr[Core], op: Ptr[Op], vector: u32) -> bool:
    """Through the IVT at linear address 0; without IOPL 3 the program's IF is VIF."""
    entry = Array[u64, 1]()
    stack = Stack()
    use_current(core, stack)
    owns_interrupts = core.cpu.rflags & IOPL == IOPL
    if not read_system(core, vector * 4, 4, addressof(entry[0])):
        return False
    if not push(core, stack, 2, virtual_image(core)) or not push_return(core, stack, 2, following(op)):
        return False
    adopt(core, stack)
    core.cpu.rflags &= ~u64(TF | NT)
    core.cpu.rflags &= ~u64(IF) if owns_interrupts else ~u64(VIF)
    install_real(core, CS, u32(entry[0] >> 16) & 0xFFFF)
    core.cpu.rip = entry[0] & 0xFFFF
    update_mode(core)
    return True


@function
def virtual_image(core: Ptr[Core]) -> u64:
    """RFLAGS as a program of virtual-8086 mode with VME sees them: IOPL 3, and its own IF."""
    flags = get_rflags(core)
    if flags & IOPL == IOPL:
        return flags
    return flags & ~u64(IF) | IOPL | (IF if flags & VIF else 0)


@function
def breakpoint_trap(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    return software_interrupt(core, op, BP)


@function
def overflow_trap(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    return software_interrupt(core, op, OF) if overflow_flag(core) else op + 1


@function
def debug_trap(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """INT1: a #DB like one of the processor, without looking at the gate's DPL."""
    core.cpu.rip = following(op)
    fault(core, DB, 0)
    deliver_fault(core)
    return enter(core)


@function
def undefined_instruction(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    return raised(core, op, UD, 0)


@function
def check_bound(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    """BOUND: signed, both bounds included."""
    bounds = Array[u64, 2]()
    place = effective_address(core, op)
    if not fetch(core, op.segment, place, size, addressof(bounds[0])):
        return False
    if not fetch(core, op.segment, place + size & op.mask, size, addressof(bounds[1])):
        return False
    register = Ptr[u32](u64(core) + op.a)[0]
    value = i32(i16(u16(register))) if size == 2 else i32(register)
    low = i32(i16(u16(bounds[0]))) if size == 2 else i32(u32(bounds[0]))
    high = i32(i16(u16(bounds[1]))) if size == 2 else i32(u32(bounds[1]))
    return low <= value <= high or fault(core, BR, 0)


@function
def return_from_interrupt(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    return interrupt_return(core, size, following(op))


# -- RFLAGS -------------------------------------------------------------------------------------------------


@function
def flags_image(core: Ptr[Core], size: u32, out: Ptr[u64]) -> bool:
    """What PUSHF pushes; false is #GP(0) of virtual-8086 mode."""
    out[0] = get_rflags(core) & ~u64(VM | RF)
    if core.cpu.rflags & VM and core.cpu.rflags & IOPL != IOPL:
        if size != 2 or not core.cpu.cr4 & CR4_VME:
            return fault(core, GP, 0)
        out[0] = virtual_image(core)
    return True


@cache
def _push_flags(size: int) -> Function:
    kind, push_value = TYPES[size], access(TYPES[size]).push

    @function(symbol=f"emulator.tcg.pushf{size}")
    def push_flags(core: Ptr[Core], op: Ptr[Op], bytes_: u32) -> bool:
        image = Array[u64, 1]()
        return flags_image(core, bytes_, addressof(image[0])) and push_value(core, kind(image[0]))

    return attempt(push_flags, size // 8)


@cache
def _pop_flags(size: int) -> Function:
    kind, peek = TYPES[size], access(TYPES[size]).peek

    @function(symbol=f"emulator.tcg.popf{size}")
    def pop_flags(core: Ptr[Core], op: Ptr[Op], bytes_: u32) -> bool:
        place = peek(core, core.cpu.registers[RSP])
        if not place:
            return False
        if not set_flags(core, u64(Ptr[kind](place)[0]), bytes_):
            return False
        set_stack_pointer(core, core.cpu.registers[RSP] + bytes_)
        return True

    return then_resume(pop_flags, size // 8)


@function
def set_flags(core: Ptr[Core], image: u64, size: u32) -> bool:
    """POPF: what may be changed depends on the level and IOPL (SDM Vol. 2, POPF, table 4-15)."""
    mask = loadable(core)
    if size == 2:
        mask &= 0xFFFF
    virtual = core.cpu.rflags & VM and core.cpu.rflags & IOPL != IOPL
    if virtual:
        if size != 2 or not core.cpu.cr4 & CR4_VME or image & TF or (image & IF and core.cpu.rflags & VIP):
            return fault(core, GP, 0)
        if image & IF:
            image |= VIF
        mask |= VIF
    elif size > 2:
        image &= ~u64(RF)
        mask |= RF
    change_flags(core, image, mask)
    update_access(core)
    return True


@function
def virtualizes(core: Ptr[Core]) -> bool:
    """Whether CLI and STI change VIF instead of IF: VME in virtual-8086 mode, PVI at level 3."""
    if core.cpu.rflags & VM:
        return core.cpu.cr4 & CR4_VME != 0
    return core.code_kind & PROTECTED != 0 and core.cpl == 3 and core.cpu.cr4 & CR4_PVI != 0


@function
def clear_interrupts(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    if core.cpl <= core.cpu.rflags >> 12 & 3:
        core.cpu.rflags &= ~u64(IF)
    elif virtualizes(core):
        core.cpu.rflags &= ~u64(VIF)
    else:
        return fault(core, GP, 0)
    return True


@function
def set_interrupts(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    """The instruction behind STI is not interrupted, if interrupts were masked before (SDM Vol. 2, STI)."""
    if core.cpl <= core.cpu.rflags >> 12 & 3:
        if not core.cpu.rflags & IF:
            core.cpu.interrupt_shadow = AFTER_STI
        core.cpu.rflags |= IF
    elif virtualizes(core) and not core.cpu.rflags & VIP:
        core.cpu.rflags |= VIF
    else:
        return fault(core, GP, 0)
    return True


@function
def halt(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """HLT ends with the next interrupt; `enter` leaves the interpreter if there is none yet."""
    core.cpu.halted = 1
    return resume(core, op)


HANDLERS = {
    "INT": always(interrupt),
    "INT3": always(breakpoint_trap),
    "INTO": always(overflow_trap),
    "INT1": always(debug_trap),
    "UD0": always(undefined_instruction),
    "UD1": always(undefined_instruction),
    "UD2": always(undefined_instruction),
    "BOUND": made(attempt, check_bound),
    "IRET": made(transfer, return_from_interrupt),
    "PUSHF": lambda form, size, memory: _push_flags(size),
    "POPF": lambda form, size, memory: _pop_flags(size),
    "CLI": made(attempt, clear_interrupts),
    "STI": made(then_resume, set_interrupts),
    "HLT": always(halt),
}
