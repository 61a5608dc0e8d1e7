"""Stores (Intel SDM Vol. 1, section 8.3.3). One that faults changes nothing, neither flags nor the stack."""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache

from emulator.native import (
    Array,
    Function,
    Ptr,
    addressof,
    function,
    i16,
    i32,
    i64,
    u8,
    u32,
    u64,
    unlikely,
)
from emulator.x86.notation import Form

from ...control import faulted, raised
from ...core import MF, Core, Op
from ...softfloat.integers import to_integer
from ...softfloat.number import (
    INVALID,
    OVERFLOW,
    TRUNCATE,
    UNDERFLOW,
    Context,
    Exact,
    Number,
    pack32,
    pack64,
    set_exact,
)
from ...softfloat.rounding import round_exact
from ..simd.operands import write_image
from .stack import (
    C1,
    begin,
    clear_up,
    error_pending,
    is_empty,
    is_nan,
    note,
    operand,
    pop,
    propagate,
    set_indefinite,
    set_register,
    set_tag,
    stack,
    underflow,
)

UNIT = "x87"


WORD_SIZES = {"m16int": i16, "m32int": i32, "m64int": i64}


@function
def converted(core: Ptr[Core], op: Ptr[Op], single: bool, out: Ptr[u64]) -> bool:
    """ST(0) as the bits of single or double precision; false if an exception forbids the store."""
    if is_empty(core, 0):
        out[0] = u64(0xFFC0_0000 if single else 0xFFF8_0000_0000_0000)
        return underflow(core, op)
    value = Number()
    context = Context()
    result = Exact()
    clear_up(core)
    operand(core, 0, value)
    begin(core, context)
    context.precision = 24 if single else 53
    context.smallest = -126 if single else -1022
    context.largest = 127 if single else 1023
    context.wrap = 0
    if is_nan(value):
        propagate(context, value, value, result)
    else:
        set_exact(value, result)
        round_exact(context, result)
    forbids = context.flags & (INVALID | OVERFLOW | UNDERFLOW) & ~u32(core.cpu.x87_control)
    if forbids:
        context.flags &= INVALID | OVERFLOW | UNDERFLOW
    elif context.up:
        core.cpu.x87_status |= C1
    note(core, op, context.flags)
    out[0] = u64(pack32(result)) if single else pack64(result)
    return forbids == 0


@cache
def store(single: bool, pops: bool) -> Function:
    """FST, FSTP of single and double precision. The store may fault: then there is no exception, nor a pop."""
    size = 4 if single else 8

    @function(symbol=f"emulator.tcg.x87.store{size}.{int(pops)}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if unlikely(error_pending(core)):
            return raised(core, op, MF, 0)
        status = core.cpu.x87_status
        bits = Array[u64, 1]()
        if not converted(core, op, single, Ptr[u64](addressof(bits))):
            return op + 1
        if not write_image(core, op, 0, Ptr[u8](addressof(bits)), size, 0):
            core.cpu.x87_status = status
            return faulted(core, op)
        if pops:
            pop(core)
        return op + 1

    return handler


@function
def store_extended(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """FSTP m80fp."""
    if unlikely(error_pending(core)):
        return raised(core, op, MF, 0)
    status = core.cpu.x87_status
    clear_up(core)
    if is_empty(core, 0):
        if not underflow(core, op):
            return op + 1
        set_indefinite(stack(core, 0))
    if not write_image(core, op, 0, Ptr[u8](stack(core, 0)), 10, 0):
        core.cpu.x87_status = status
        return faulted(core, op)
    pop(core)
    return op + 1


@cache
def store_register(pops: bool) -> Function:
    """FST, FSTP ST(i)."""

    @function(symbol=f"emulator.tcg.x87.store_register.{int(pops)}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if unlikely(error_pending(core)):
            return raised(core, op, MF, 0)
        target = stack(core, op.a)
        clear_up(core)
        if is_empty(core, 0):
            if not underflow(core, op):
                return op + 1
            set_indefinite(target)
        else:
            source = stack(core, 0)
            set_register(target, source.significand, source.exponent)
        set_tag(core, op.a, 0)
        if pops:
            pop(core)
        return op + 1

    return handler


@cache
def store_integer(kind: type, truncate: bool, pops: bool) -> Function:
    """FIST, FISTP, FISTTP."""
    bits, size = kind.bits, kind.size
    wanted = TRUNCATE if truncate else 4

    @function(symbol=f"emulator.tcg.x87.store.{kind}.{int(truncate)}{int(pops)}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if unlikely(error_pending(core)):
            return raised(core, op, MF, 0)
        status = core.cpu.x87_status
        out = Array[i64, 1]()
        if not as_integer(core, op, bits, wanted, Ptr[i64](addressof(out))):
            return op + 1
        if not write_image(core, op, 0, Ptr[u8](addressof(out)), size, 0):
            core.cpu.x87_status = status
            return faulted(core, op)
        if pops:
            pop(core)
        return op + 1

    return handler


@function(inline="never")
def as_integer(core: Ptr[Core], op: Ptr[Op], bits: u32, mode: u32, out: Ptr[i64]) -> bool:
    """ST(0) as an integer; false if an exception forbids the store."""
    out[0] = i64(-1) << (bits - 1)
    if is_empty(core, 0):
        return underflow(core, op)
    value = Number()
    context = Context()
    exact = Exact()
    clear_up(core)
    operand(core, 0, value)
    begin(core, context)
    if mode <= TRUNCATE:
        context.mode = mode
    set_exact(value, exact)
    out[0] = to_integer(context, exact, bits)
    if context.up:
        core.cpu.x87_status |= C1
    note(core, op, context.flags)
    return not context.flags & INVALID & ~u32(core.cpu.x87_control)


# -- packed BCD ---------------------------------------------------------------------------------------------

DIGITS = 18
BCD_LIMIT = 10**DIGITS


@function
def store_bcd(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """FBSTP."""
    if unlikely(error_pending(core)):
        return raised(core, op, MF, 0)
    status = core.cpu.x87_status
    number = Array[i64, 1]()
    allowed = as_integer(core, op, 64, 4, Ptr[i64](addressof(number)))
    value = number[0]
    out = Array[u8, 16]()
    negative = stack(core, 0).exponent >> 15 != 0
    magnitude = u64(0) - u64(value) if value < 0 else u64(value)
    if magnitude >= BCD_LIMIT:
        core.cpu.x87_status = status
        clear_up(core)
        allowed = underflow(core, op) if is_empty(core, 0) else note(core, op, INVALID)
        out[7] = 0xC0  # the packed BCD indefinite (SDM Vol. 1, section 4.7)
        out[8] = 0xFF
        out[9] = 0xFF
    else:
        for i in range(9):
            out[i] = u8(magnitude % 10 | magnitude // 10 % 10 << 4)
            magnitude = magnitude // 100
        out[9] = u8(0x80 if negative else 0)
    if not allowed:
        return op + 1
    if not write_image(core, op, 0, Ptr[u8](addressof(out)), 10, 0):
        core.cpu.x87_status = status
        return faulted(core, op)
    pop(core)
    return op + 1


def fst(form: Form, size: int, memory: bool) -> Function:
    name, pops = form.operands[0].text, form.mnemonic == "FSTP"
    if name == "STi":
        return store_register(pops)
    return store_extended if name == "m80fp" else store(name == "m32fp", pops)


def fist(form: Form, size: int, memory: bool) -> Function:
    return store_integer(WORD_SIZES[form.operands[0].text], form.mnemonic == "FISTTP", form.mnemonic != "FIST")


HANDLERS = dict.fromkeys(("FST", "FSTP"), fst) | dict.fromkeys(("FIST", "FISTP", "FISTTP"), fist)
HANDLERS |= {"FBSTP": lambda form, size, memory: store_bcd}
