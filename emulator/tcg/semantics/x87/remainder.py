"""Rounding to an integer, remainders, and taking exponents apart (Intel SDM Vol. 1, section 8.3.5)."""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache

from emulator.native import Function, Ptr, clz, function, i32, i64, u16, u32, u64, u128, unlikely

from ...control import raised
from ...core import MF, Core, Op
from ...softfloat.integers import from_integer
from ...softfloat.number import (
    FINITE,
    INEXACT,
    INFINITE,
    INVALID,
    ZERO,
    ZERO_DIVIDE,
    Context,
    Exact,
    Number,
    set_exact,
    set_invalid,
    set_special,
)
from ...softfloat.rounding import round_to_integer
from .arithmetic import empty_result, on_top
from .stack import (
    C1,
    C2,
    CONDITIONS,
    STACK_FAULT,
    begin,
    clear_up,
    error_pending,
    finish,
    is_empty,
    is_nan,
    move_top,
    note,
    operand,
    propagate,
    set_indefinite,
    set_tag,
    stack,
)

UNIT = "x87"


@function
def to_integral(core: Ptr[Core], op: Ptr[Op], a: Ptr[Number]) -> None:
    """FRNDINT."""
    context = Context()
    result = Exact()
    begin(core, context)
    context.precision = 64
    if is_nan(a):
        propagate(context, a, a, result)
        finish(core, op, context, 0, result, 0)
        return
    set_exact(a, result)
    up = u32(0)
    if a.kind == FINITE and round_to_integer(context, result):
        context.flags |= INEXACT
        up = context.up
    if finish(core, op, context, a.denormal, result, 0) and up:
        core.cpu.x87_status |= C1


@function
def extract(core: Ptr[Core], op: Ptr[Op], a: Ptr[Number]) -> None:
    """FXTRACT: the exponent replaces ST(0), the significand is pushed."""
    context = Context()
    exponent = Exact()
    significand = Exact()
    begin(core, context)
    context.precision = 64
    if not is_empty(core, 7):
        core.cpu.x87_status |= C1
        if note(core, op, INVALID | STACK_FAULT):
            set_indefinite(stack(core, 0))
            move_top(core, 7)
            set_tag(core, 0, 0)
            set_indefinite(stack(core, 0))
        return
    set_exact(a, significand)
    if is_nan(a):
        propagate(context, a, a, significand)
        propagate(context, a, a, exponent)
    elif a.kind == INFINITE:
        set_special(INFINITE, 0, exponent)
    elif a.kind == ZERO:
        context.flags |= ZERO_DIVIDE
        set_special(INFINITE, 1, exponent)
    else:
        from_integer(i64(a.exponent), exponent)
        significand.exponent = 0
    if finish(core, op, context, a.denormal, exponent, 0):
        move_top(core, 7)
        context.flags = 0
        finish(core, op, context, 0, significand, 0)


# -- ST(0) by ST(1) -----------------------------------------------------------------------------------------


@cache
def on_two(compute: Function) -> Function:
    """`compute(core, op, a, b)` with ST(0) and ST(1)."""

    @function(symbol=f"{compute.symbol}.two")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if unlikely(error_pending(core)):
            return raised(core, op, MF, 0)
        if unlikely(is_empty(core, 0) or is_empty(core, 1)):
            empty_result(core, op, 0)
            return op + 1
        a = Number()
        b = Number()
        operand(core, 0, a)
        operand(core, 1, b)
        clear_up(core)
        compute(core, op, a, b)
        return op + 1

    return handler


LARGEST_SCALE = 1 << 16


@function
def scale(core: Ptr[Core], op: Ptr[Op], a: Ptr[Number], b: Ptr[Number]) -> None:
    """FSCALE: ST(0) * 2**trunc(ST(1))."""
    context = Context()
    result = Exact()
    begin(core, context)
    context.precision = 64
    set_exact(a, result)
    denormal = a.denormal | b.denormal
    if is_nan(a) or is_nan(b):
        propagate(context, a, b, result)
        denormal = 0
    elif b.kind == INFINITE:
        if (a.kind == ZERO and b.sign == 0) or (a.kind == INFINITE and b.sign == 1):
            set_invalid(context, result)
        else:
            set_special(ZERO if b.sign else INFINITE, a.sign, result)
    elif a.kind == FINITE and b.kind == FINITE and b.exponent >= 0:
        distance = i32(LARGEST_SCALE)
        if b.exponent < 16:
            distance = i32(b.significand >> u32(63 - b.exponent))
        result.exponent += 0 - distance if b.sign else distance
    finish(core, op, context, denormal, result, 0)


@cache
def remainder(nearest: bool) -> Function:
    """FPREM: the quotient truncated; FPREM1: to nearest. Above 2**63 only a part of the quotient is taken off (C2)."""

    @function(symbol=f"emulator.tcg.x87.remainder{int(nearest)}", inline="never")
    def compute(core: Ptr[Core], op: Ptr[Op], a: Ptr[Number], b: Ptr[Number]) -> None:
        context = Context()
        result = Exact()
        begin(core, context)
        context.precision = 64
        core.cpu.x87_status &= ~u16(C2)
        if is_nan(a) or is_nan(b):
            propagate(context, a, b, result)
            finish(core, op, context, 0, result, 0)
            return
        if a.kind == INFINITE or b.kind == ZERO:
            set_invalid(context, result)
            finish(core, op, context, 0, result, 0)
            return
        set_exact(a, result)
        quotient = u64(0)
        partial = False
        if a.kind == FINITE and b.kind == FINITE:
            distance = a.exponent - b.exponent
            partial = distance > 63
            if partial:
                reduce(a, b, u32(distance & 31 | 32), False, result)
            elif distance >= 0:
                quotient = reduce(a, b, u32(distance), nearest, result)
            elif nearest and distance == -1 and a.significand > b.significand:  # more than a half of b
                quotient = 1
                set_rest((b.significand << 1) - a.significand, a.exponent, a.sign ^ 1, result)
        if not finish(core, op, context, a.denormal | b.denormal, result, 0):
            return
        status = u16(quotient >> 2 & 1) << 8 | u16(quotient >> 1 & 1) << 14 | u16(quotient & 1) << 9
        if partial:
            status = C2
        core.cpu.x87_status = core.cpu.x87_status & ~u16(CONDITIONS) | status

    return compute


@function
def reduce(a: Ptr[Number], b: Ptr[Number], steps: u32, nearest: bool, result: Ptr[Exact]) -> u64:
    """Take a quotient of steps + 1 bits off a; the low bits of the quotient."""
    rest = u128(a.significand)
    divisor = b.significand
    quotient: u64 = 0
    sign = a.sign
    for i in range(steps + 1):
        if i:
            rest <<= 1
        quotient <<= 1
        if rest >= divisor:
            rest -= divisor
            quotient |= 1
    if nearest and (rest << 1 > divisor or (rest << 1 == divisor and quotient & 1 != 0)):
        rest = divisor - rest
        quotient += 1
        sign ^= 1
    set_rest(u64(rest), a.exponent - i32(steps), sign, result)
    if rest == 0:
        result.sign = a.sign
    return quotient


@function
def set_rest(rest: u64, exponent: i32, sign: u32, result: Ptr[Exact]) -> None:
    result.sign = sign
    result.kind = ZERO
    result.significand = 0
    if rest:
        shift = clz(rest)
        result.kind = FINITE
        result.significand = u128(rest) << (64 + shift)
        result.exponent = exponent - i32(shift)


HANDLERS = {
    "FRNDINT": lambda form, size, memory: on_top(to_integral),
    "FXTRACT": lambda form, size, memory: on_top(extract),
    "FSCALE": lambda form, size, memory: on_two(scale),
    "FPREM": lambda form, size, memory: on_two(remainder(False)),
    "FPREM1": lambda form, size, memory: on_two(remainder(True)),
}
