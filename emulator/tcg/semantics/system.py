"""Control registers, MSRs, ports, identity (Intel SDM Vol. 3, section 2.8, and Vol. 2)."""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache

from emulator.native import Array, Function, Ptr, addressof, function, u8, u32, u64
from emulator.softmmu.tlb import flush_all, flush_nonglobal, flush_pcid
from emulator.x86.instruction import FS, GS
from emulator.x86.notation import Form

from ..core import GP, UD, Core, Op
from ..operands import LIMIT_32, effective_address, fault, fetch
from ..ports import port_allowed, read_port, write_port
from ..protection.control_registers import (
    FSGSBASE,
    OSXSAVE,
    PCIDE,
    PE,
    TS,
    TSD,
    debug_number,
    get_control,
    set_control,
    set_cr0,
    set_debug,
)
from ..protection.msrs import is_canonical, read_msr, time_stamp, write_msr
from ..protection.rflags import AC
from ..state import flush_jumps, flush_local_jumps, forget_page, update_access, update_mode
from .data import always, nothing
from .rare import attempt, get_sized, made, put_sized, read_operand, then_resume, write_operand

UNIT = "system"
RAX, RCX, RDX, RSP, R11 = 0, 1, 2, 4, 11
XCR0_BITS = 0b11
LOW_CR0 = 0xF  # what LMSW loads


# -- control and debug registers ----------------------------------------------------------------------------


@function
def write_control(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    return set_control(core, op.a, get_sized(core, op.b, size))


@function
def read_control(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    put_sized(core, op.a, size, get_control(core, op.b))
    return True


@function
def write_debug(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    return set_debug(core, op.a, get_sized(core, op.b, size))


@function
def read_debug(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    number = debug_number(core, op.b)
    if core.fault_vector != 0xFFFF:
        return False
    put_sized(core, op.a, size, core.cpu.debug[number])
    return True


def move(form: Form, size: int, memory: bool) -> Function | None:
    """MOV from and to control and debug registers: always of 32 bits outside 64-bit mode, and of 64 in it."""
    target, source = form.operands
    bytes_ = max(size, 32) // 8
    match target.method, source.method:
        case "C", _:
            return then_resume(write_control, bytes_)
        case "D", _:
            return then_resume(write_debug, bytes_)
        case _, "C":
            return attempt(read_control, bytes_)
        case _, "D":
            return attempt(read_debug, bytes_)
    return None


@function
def load_status_word(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    """LMSW cannot clear PE."""
    word = Array[u64, 1]()
    if not read_operand(core, op, op.a, 2, addressof(word[0])):
        return False
    return set_cr0(core, core.cpu.cr0 & ~u64(LOW_CR0 & ~PE) | word[0] & LOW_CR0)


@function
def store_status_word(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    return write_operand(core, op, op.a, size, 2, core.cpu.cr0)


@function
def clear_task_switched(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    core.cpu.cr0 &= ~u64(TS)
    update_mode(core)
    return True


@function
def read_extended_control(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    """XGETBV of XCR0, and of the components in use, which are all."""
    if not core.cpu.cr4 & OSXSAVE:
        return fault(core, UD, 0)
    if core.cpu.registers[RCX] & LIMIT_32 > 1:
        return fault(core, GP, 0)
    core.cpu.registers[RAX] = core.cpu.xcr0 & LIMIT_32
    core.cpu.registers[RDX] = core.cpu.xcr0 >> 32
    return True


@function
def write_extended_control(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    if not core.cpu.cr4 & OSXSAVE:
        return fault(core, UD, 0)
    value = core.cpu.registers[RAX] & LIMIT_32 | core.cpu.registers[RDX] << 32
    if core.cpu.registers[RCX] & LIMIT_32 or not value & 1 or value & ~u64(XCR0_BITS):
        return fault(core, GP, 0)
    core.cpu.xcr0 = value
    return True


@function
def forbid_user_access(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    """CLAC."""
    core.cpu.rflags &= ~u64(AC)
    update_access(core)
    return True


@function
def allow_user_access(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    """STAC."""
    core.cpu.rflags |= AC
    update_access(core)
    return True


# -- the TLB ------------------------------------------------------------------------------------------------


@function
def invalidate_page(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    base = core.cpu.segments[op.segment].base if op.segment >= FS or core.code_bits != 64 else u64(0)
    forget_page(core, effective_address(core, op) + base & core.mmu.linear_mask)
    return True


@function
def invalidate_pcid(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    """INVPCID: of an address, of a PCID, of all, of all that is not global (SDM Vol. 3, section 4.10.4.1)."""
    descriptor = Array[u64, 2]()
    place = effective_address(core, op)
    if not fetch(core, op.segment, place, 8, addressof(descriptor[0])):
        return False
    if not fetch(core, op.segment, place + 8 & op.mask, 8, addressof(descriptor[1])):
        return False
    kind = get_sized(core, op.a, size)
    pcid = descriptor[0]
    wrong_pcid = kind < 2 and pcid != 0 and not core.cpu.cr4 & PCIDE
    if kind > 3 or pcid >> 12 or wrong_pcid or (kind == 0 and not is_canonical(descriptor[1])):
        return fault(core, GP, 0)
    if kind == 0:
        if not core.cpu.cr4 & PCIDE or pcid == core.cpu.cr3 & 0xFFF:
            forget_page(core, descriptor[1])
    elif kind == 2:
        flush_all(core.mmu)
        flush_jumps(core)
    else:
        if kind == 1:
            flush_pcid(core.mmu, pcid)
        else:
            flush_nonglobal(core.mmu)
        flush_local_jumps(core)
    return True


@function
def flush_line(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    """CLFLUSH is checked like a load of a byte."""
    return fetch(core, op.segment, effective_address(core, op), 1, addressof(core.scratch[0]))


# -- MSRs, identity, time -----------------------------------------------------------------------------------


@function
def write_model_specific(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    registers = core.cpu.registers
    return write_msr(core, u32(registers[RCX]), registers[RAX] & LIMIT_32 | registers[RDX] << 32)


@function
def put_pair(core: Ptr[Core], value: u64) -> None:
    """EDX:EAX."""
    core.cpu.registers[RAX] = value & LIMIT_32
    core.cpu.registers[RDX] = value >> 32


@function
def read_model_specific(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    word = Array[u64, 1]()
    if not read_msr(core, u32(core.cpu.registers[RCX]), addressof(word[0])):
        return False
    put_pair(core, word[0])
    return True


@function
def identify(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    core.identify(u64(core))
    return True


@function
def read_time(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    if core.cpu.cr4 & TSD and core.cpl:
        return fault(core, GP, 0)
    put_pair(core, time_stamp(core))
    return True


@function
def read_time_and_processor(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    if not read_time(core, op, size):
        return False
    core.cpu.registers[RCX] = core.cpu.tsc_aux & LIMIT_32
    return True


@function
def no_counters(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    """RDPMC: there are no performance counters."""
    return fault(core, GP, 0)


# -- bases of FS and GS -------------------------------------------------------------------------------------


@function
def swap_base(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    base = core.cpu.segments[GS].base
    core.cpu.segments[GS].base = core.cpu.kernel_gs_base
    core.cpu.kernel_gs_base = base
    return True


@cache
def _base(number: int, writes: bool) -> Function:
    @function(symbol=f"emulator.tcg.{'write' if writes else 'read'}.base{number}")
    def access_base(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
        if not core.cpu.cr4 & FSGSBASE:
            return fault(core, UD, 0)
        if not writes:
            put_sized(core, op.a, size, core.cpu.segments[number].base)
            return True
        base = get_sized(core, op.a, size)
        if not is_canonical(base):
            return fault(core, GP, 0)
        core.cpu.segments[number].base = base
        return True

    return access_base


# -- ports --------------------------------------------------------------------------------------------------


@cache
def _port(inward: bool, immediate: bool, bits: int) -> Function:
    name = f"emulator.tcg.{'in' if inward else 'out'}{'.i' if immediate else ''}{bits}"

    @function(symbol=name)
    def port(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
        number = u32(op.immediate) & 0xFF if immediate else u32(core.cpu.registers[RDX]) & 0xFFFF
        if not port_allowed(core, number, size):
            return False
        if not inward:
            write_port(core, number, size, core.cpu.registers[RAX])
            return True
        value = read_port(core, number, size)
        if size == 1:
            Ptr[u8](core)[0] = u8(value)
        else:
            put_sized(core, 0, size, value)
        return True

    return port


def port(form: Form, size: int, memory: bool) -> Function:
    """IN and OUT end a block: what a device does may change everything."""
    inward = form.mnemonic == "IN"
    data, number = form.operands if inward else reversed(form.operands)
    bits = 8 if data.text == "AL" else min(size, 32)
    return then_resume(_port(inward, number.method == "I", bits), bits // 8)


HANDLERS = {
    "MOV": move,
    "LMSW": made(then_resume, load_status_word),
    "SMSW": made(attempt, store_status_word),
    "CLTS": made(then_resume, clear_task_switched),
    "XGETBV": made(attempt, read_extended_control),
    "XSETBV": made(then_resume, write_extended_control),
    "CLAC": made(then_resume, forbid_user_access),
    "STAC": made(then_resume, allow_user_access),
    "INVLPG": made(then_resume, invalidate_page),
    "INVPCID": made(then_resume, invalidate_pcid),
    "INVD": always(nothing),
    "WBINVD": always(nothing),
    "CLFLUSH": made(attempt, flush_line),
    "WRMSR": made(then_resume, write_model_specific),
    "RDMSR": made(attempt, read_model_specific),
    "CPUID": made(attempt, identify),
    "RDTSC": made(attempt, read_time),
    "RDTSCP": made(attempt, read_time_and_processor),
    "RDPMC": made(attempt, no_counters),
    "SWAPGS": made(attempt, swap_base),
    "RDFSBASE": lambda form, size, memory: attempt(_base(FS, False), size // 8),
    "RDGSBASE": lambda form, size, memory: attempt(_base(GS, False), size // 8),
    "WRFSBASE": lambda form, size, memory: attempt(_base(FS, True), size // 8),
    "WRGSBASE": lambda form, size, memory: attempt(_base(GS, True), size // 8),
    "IN": port,
    "OUT": port,
}
