"""The register stack of the x87 unit, its exceptions, and how a result gets into a register (Intel SDM Vol. 1, sections
8.1 and 8.5).

ST(i) is the physical register (TOP + i) modulo 8; a tag of 3 says that a register is empty. Other tags are kept as 0
and found from what the register holds when an image of the state is stored.

An exception sets its flag in the status word. If it is masked, the instruction goes on with the masked response; if
not, the summary bit is set, and the next instruction that waits raises #MF.
"""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, addressof, function, u16, u32, u64
from emulator.x86.instruction import CS
from emulator.x86.state import Extended

from ...core import IN_MEMORY, PROTECTED, Core, Op
from ...operands import effective_address, linear_address
from ...softfloat.number import (
    DENORMAL,
    INDEFINITE,
    INVALID,
    OVERFLOW,
    QUIET,
    QUIET_BIT,
    SIGNALING,
    UNDERFLOW,
    UNSUPPORTED,
    ZERO_DIVIDE,
    Context,
    Exact,
    Number,
    extended_exponent,
    set_extended,
)
from ...softfloat.rounding import round_exact

# The status word (SDM Vol. 1, figure 8-4)
C0, C1, C2, C3 = 1 << 8, 1 << 9, 1 << 10, 1 << 14
CONDITIONS = C0 | C1 | C2 | C3
TOP_SHIFT, TOP_MASK = 11, 7 << 11
SUMMARY, STACK_FAULT, BUSY = 1 << 7, 1 << 6, 1 << 15
EXCEPTIONS = 0x3F
NUMERIC_ERROR = 1 << 5  # CR0.NE

EMPTY = 3  # a tag
ALL_EMPTY = 0xFFFF
BEFORE_COMPUTATION = INVALID | DENORMAL | ZERO_DIVIDE
WRAP = 24576  # how far an unmasked overflow or underflow moves an exponent (SDM Vol. 1, section 8.5.4)


@function(inline="always")
def error_pending(core: Ptr[Core]) -> bool:
    """Whether an x87 exception is to be delivered now as #MF; without CR0.NE it goes to the interrupt controller."""
    return core.cpu.x87_status & SUMMARY != 0 and report_error(core)


@function(inline="never")
def report_error(core: Ptr[Core]) -> bool:
    if core.cpu.cr0 & NUMERIC_ERROR:
        return True
    core.float_error = 1
    return False


# -- registers ----------------------------------------------------------------------------------------------


@function(inline="always")
def physical(core: Ptr[Core], number: u32) -> u32:
    """The register that is ST(number)."""
    return (u32(core.cpu.x87_status) >> TOP_SHIFT) + number & 7


@function(inline="always")
def stack(core: Ptr[Core], number: u32) -> Ptr[Extended]:
    return addressof(core.cpu.x87[physical(core, number)])


@function(inline="always")
def is_empty(core: Ptr[Core], number: u32) -> bool:
    return u32(core.cpu.x87_tags) >> (2 * physical(core, number)) & EMPTY == EMPTY


@function(inline="always")
def set_tag(core: Ptr[Core], number: u32, tag: u16) -> None:
    shift = 2 * physical(core, number)
    core.cpu.x87_tags = core.cpu.x87_tags & ~(u16(EMPTY) << shift) | tag << shift


@function(inline="always")
def move_top(core: Ptr[Core], by: u32) -> None:
    """Add to TOP, modulo 8."""
    status = core.cpu.x87_status
    core.cpu.x87_status = status & ~u16(TOP_MASK) | u16(physical(core, by) << TOP_SHIFT)


@function
def pop(core: Ptr[Core]) -> None:
    set_tag(core, 0, EMPTY)
    move_top(core, 1)


@function
def set_register(target: Ptr[Extended], significand: u64, exponent: u16) -> None:
    target.significand = significand
    target.exponent = exponent


@function
def set_indefinite(target: Ptr[Extended]) -> None:
    set_register(target, INDEFINITE, 0xFFFF)


@function
def operand(core: Ptr[Core], number: u32, out: Ptr[Number]) -> None:
    """ST(number) as a number to compute with."""
    register = stack(core, number)
    set_extended(register.significand, register.exponent, out)


# -- exceptions ---------------------------------------------------------------------------------------------


@function(inline="always")
def clear_up(core: Ptr[Core]) -> None:
    """C1 is 0 unless an instruction sets it."""
    core.cpu.x87_status &= ~u16(C1)


@function
def note(core: Ptr[Core], op: Ptr[Op], flags: u32) -> bool:
    """Set exception flags; false if one of them is not masked."""
    core.cpu.x87_status |= u16(flags)
    if flags & EXCEPTIONS & ~u32(core.cpu.x87_control):
        core.cpu.x87_status |= SUMMARY | BUSY
        note_pointers(core, op)
        return False
    return True


@function(inline="never")
def note_pointers(core: Ptr[Core], op: Ptr[Op]) -> None:
    """Where the instruction and its operand are: offsets, but linear addresses in real and virtual-8086 mode."""
    linear = not core.code_kind & PROTECTED
    core.cpu.x87_instruction = op.rip + (core.cpu.segments[CS].base if linear else 0)
    core.cpu.x87_operand = 0
    if op.flags & IN_MEMORY:
        core.cpu.x87_operand = linear_address(core, op) if linear else effective_address(core, op)


@function(inline="never")
def underflow(core: Ptr[Core], op: Ptr[Op]) -> bool:
    """A register that is read is empty; false if nothing more is to happen."""
    clear_up(core)
    return note(core, op, INVALID | STACK_FAULT)


@function(inline="never")
def begin_push(core: Ptr[Core], op: Ptr[Op]) -> bool:
    """Make room for a new ST(0); false if nothing is to be loaded: at an overflow that has its response already."""
    clear_up(core)
    if is_empty(core, 7):
        move_top(core, 7)
        set_tag(core, 0, 0)
        return True
    core.cpu.x87_status |= C1
    if note(core, op, INVALID | STACK_FAULT):
        move_top(core, 7)
        set_tag(core, 0, 0)
        set_indefinite(stack(core, 0))
    return False


# -- results ------------------------------------------------------------------------------------------------


@function
def begin(core: Ptr[Core], context: Ptr[Context]) -> None:
    """Rounding as the control word says (SDM Vol. 1, section 8.1.5), in the exponent range of registers."""
    control = u32(core.cpu.x87_control)
    control_precision = control >> 8 & 3
    context.mode = control >> 10 & 3
    context.precision = 24 if control_precision == 0 else 53 if control_precision == 2 else 64
    context.smallest = -16382
    context.largest = 16383
    context.unmasked = ~control & (OVERFLOW | UNDERFLOW)
    context.wrap = WRAP


@function
def finish(core: Ptr[Core], op: Ptr[Op], context: Ptr[Context], denormal: u32, result: Ptr[Exact], number: u32) -> bool:
    """Round a result and put it into ST(number); false if an operand's exception forbids that."""
    if denormal and context.flags & (INVALID | ZERO_DIVIDE) == 0:
        context.flags |= DENORMAL
    before = context.flags & BEFORE_COMPUTATION
    if before and not note(core, op, before):
        return False
    round_exact(context, result)
    if context.up:
        core.cpu.x87_status |= C1
    note(core, op, context.flags)
    set_tag(core, number, 0)
    set_register(stack(core, number), u64(result.significand >> 64), extended_exponent(result))
    return True


# -- NaNs ---------------------------------------------------------------------------------------------------


@function
def is_nan(value: Ptr[Number]) -> bool:
    return value.kind >= QUIET


@function
def propagate(context: Ptr[Context], a: Ptr[Number], b: Ptr[Number], out: Ptr[Exact]) -> None:
    """The result of an operation with a NaN among its operands (SDM Vol. 1, table 4-7).

    Of two quiet or two signaling ones the larger significand counts, of equal ones the positive; a quiet NaN comes
    before a signaling one.
    """
    if a.kind == UNSUPPORTED or b.kind == UNSUPPORTED:
        context.flags |= INVALID
        set_nan(INDEFINITE, 1, out)
        return
    if a.kind == SIGNALING or b.kind == SIGNALING:
        context.flags |= INVALID
    first = is_nan(a)
    if is_nan(a) and is_nan(b):
        if a.kind != b.kind:
            first = a.kind == QUIET
        elif a.significand != b.significand:
            first = a.significand > b.significand
        else:
            first = a.sign == 0
    if first:
        set_nan(a.significand | QUIET_BIT, a.sign, out)
    else:
        set_nan(b.significand | QUIET_BIT, b.sign, out)


@function
def set_nan(significand: u64, sign: u32, out: Ptr[Exact]) -> None:
    out.kind = QUIET
    out.sign = sign
    out.exponent = 0
    out.significand = 0
    Ptr[u64](addressof(out.significand))[1] = significand
