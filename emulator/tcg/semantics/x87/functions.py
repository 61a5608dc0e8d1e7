"""FSIN, FCOS, FSINCOS, FPTAN, FPATAN, F2XM1, FYL2X and FYL2XP1 (Intel SDM Vol. 1, section 8.3.7).

Results are rounded once, to 64 bits; what is not a special case counts as inexact.
"""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache

from emulator.native import Function, Ptr, clz, function, i32, u16, u32, u128, unlikely

from ...control import raised
from ...core import MF, Core, Op
from ...softfloat.functions import (
    PI_HIGH,
    PI_LOW,
    arc_tangent,
    logarithm,
    logarithm_of_sum,
    power_minus_one,
    set_constant,
    sine_and_cosine,
    wide_divide,
    wide_multiply,
)
from ...softfloat.number import (
    FINITE,
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
from .arithmetic import empty_result, on_top
from .stack import (
    C1,
    C2,
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
    pop,
    propagate,
    set_indefinite,
    stack,
)

UNIT = "x87"
TOO_LARGE = 63  # exponents from here on set C2
SMALL = -62  # below, what the series add to the first term is beyond the last bit


# -- trigonometric ------------------------------------------------------------------------------------------


@function
def angle(core: Ptr[Core], op: Ptr[Op], a: Ptr[Number], sine: Ptr[Exact], cosine: Ptr[Exact]) -> bool:
    """Sine and cosine of ST(0); false if it is too large, which C2 says."""
    core.cpu.x87_status &= ~u16(C2)
    if a.kind == FINITE and a.exponent >= TOO_LARGE:
        core.cpu.x87_status |= C2
        return False
    if a.kind == ZERO:
        set_special(ZERO, a.sign, sine)
        set_one(cosine)
    elif a.kind == FINITE:
        sine_and_cosine(a, sine, cosine)
        sine.significand |= u128(1)
        cosine.significand |= u128(1)
    return True


@function
def set_one(out: Ptr[Exact]) -> None:
    out.kind = FINITE
    out.sign = 0
    out.exponent = 0
    out.significand = u128(1) << 127


@function
def special_angle(context: Ptr[Context], a: Ptr[Number], out: Ptr[Exact]) -> bool:
    """The result for a NaN and an infinity."""
    if is_nan(a):
        propagate(context, a, a, out)
    elif a.kind == INFINITE:
        set_invalid(context, out)
    else:
        return False
    return True


@function
def one_angle(core: Ptr[Core], op: Ptr[Op], a: Ptr[Number], wants_cosine: bool) -> None:
    context = Context()
    sine = Exact()
    cosine = Exact()
    begin(core, context)
    context.precision = 64
    if not angle(core, op, a, sine, cosine):
        return
    if special_angle(context, a, sine):
        finish(core, op, context, 0, sine, 0)
    elif wants_cosine:
        finish(core, op, context, a.denormal, cosine, 0)
    else:
        finish(core, op, context, a.denormal, sine, 0)


@function
def sine(core: Ptr[Core], op: Ptr[Op], a: Ptr[Number]) -> None:
    one_angle(core, op, a, False)


@function
def cosine(core: Ptr[Core], op: Ptr[Op], a: Ptr[Number]) -> None:
    one_angle(core, op, a, True)


@function
def two_results(core: Ptr[Core], op: Ptr[Op], a: Ptr[Number], tangent: bool) -> None:
    """FSINCOS: the sine, then the cosine. FPTAN: the tangent, then 1."""
    context = Context()
    first = Exact()
    second = Exact()
    begin(core, context)
    context.precision = 64
    if not is_empty(core, 7):
        core.cpu.x87_status |= C1
        if note(core, op, INVALID | STACK_FAULT):
            set_indefinite(stack(core, 0))
            move_top(core, 7)
            set_indefinite(stack(core, 0))
        return
    if not angle(core, op, a, first, second):
        return
    if special_angle(context, a, first):
        special_angle(context, a, second)
    elif tangent:
        if a.kind == FINITE and a.exponent < SMALL:  # the angle itself, and a little more
            set_exact(a, first)
        elif first.kind != ZERO:
            wide_divide(first, second, first)
        if first.kind == FINITE:
            first.significand |= u128(1)
        set_one(second)
    if finish(core, op, context, a.denormal, first, 0):
        move_top(core, 7)
        context.flags = 0
        finish(core, op, context, 0, second, 0)


@function
def sine_cosine(core: Ptr[Core], op: Ptr[Op], a: Ptr[Number]) -> None:
    two_results(core, op, a, False)


@function
def tangent(core: Ptr[Core], op: Ptr[Op], a: Ptr[Number]) -> None:
    two_results(core, op, a, True)


# -- exponential --------------------------------------------------------------------------------------------


@function
def power(core: Ptr[Core], op: Ptr[Op], a: Ptr[Number]) -> None:
    """F2XM1; outside -1 to 1 the result is undefined, here the operand."""
    context = Context()
    result = Exact()
    begin(core, context)
    context.precision = 64
    set_exact(a, result)
    if is_nan(a):
        propagate(context, a, a, result)
    elif a.kind == INFINITE:
        if a.sign:
            set_one(result)
            result.sign = 1
    elif a.kind == FINITE and a.exponent < 0:
        power_minus_one(a, result)
        result.significand |= u128(1)
    elif a.kind == FINITE and a.sign and a.exponent == 0 and a.significand << 1 == 0:
        result.exponent = -1
    finish(core, op, context, a.denormal, result, 0)


# -- logarithms and arc tangent: ST(1) = f(ST(1), ST(0)), and pop -------------------------------------------


@cache
def popping(compute: Function) -> Function:
    """`compute(context, y, x, out)` with y = ST(1) and x = ST(0)."""

    @function(symbol=f"{compute.symbol}.popping")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if unlikely(error_pending(core)):
            return raised(core, op, MF, 0)
        if unlikely(is_empty(core, 0) or is_empty(core, 1)):
            if empty_result(core, op, 1):
                pop(core)
            return op + 1
        x = Number()
        y = Number()
        context = Context()
        result = Exact()
        operand(core, 0, x)
        operand(core, 1, y)
        clear_up(core)
        begin(core, context)
        context.precision = 64
        denormal = x.denormal | y.denormal
        if is_nan(x) or is_nan(y):
            propagate(context, x, y, result)
            denormal = 0
        else:
            compute(context, y, x, result)
        if finish(core, op, context, denormal, result, 1):
            pop(core)
        return op + 1

    return handler


@function
def scale_logarithm(context: Ptr[Context], y: Ptr[Number], log: Ptr[Exact], out: Ptr[Exact]) -> None:
    """y * log, where log is a zero, infinite, or what was computed."""
    sign = y.sign ^ log.sign
    if y.kind == FINITE and log.kind == FINITE:
        factor = Exact()
        set_exact(y, factor)
        wide_multiply(factor, log, out)
        out.significand |= u128(1)
    elif y.kind == INFINITE or log.kind == INFINITE:
        if y.kind == ZERO or log.kind == ZERO:
            set_invalid(context, out)
        else:
            set_special(INFINITE, sign, out)
    else:
        set_special(ZERO, sign, out)


@function
def times_logarithm(context: Ptr[Context], y: Ptr[Number], x: Ptr[Number], out: Ptr[Exact]) -> None:
    """FYL2X: y * log2(x)."""
    log = Exact()
    if x.sign and x.kind != ZERO:
        set_invalid(context, out)
        return
    if x.kind == ZERO:
        set_special(INFINITE, 1, log)
        if y.kind == FINITE:
            context.flags |= ZERO_DIVIDE
    elif x.kind == INFINITE:
        set_special(INFINITE, 0, log)
    else:
        logarithm(x, log)
    scale_logarithm(context, y, log, out)
    if is_power_of_two(x) and out.kind == FINITE:
        exact_product(y, x.exponent, out)


@function
def is_power_of_two(x: Ptr[Number]) -> bool:
    return x.kind == FINITE and x.significand << 1 == 0


@function
def exact_product(y: Ptr[Number], factor: i32, out: Ptr[Exact]) -> None:
    """y times an integer other than 0, without a rounding error."""
    magnitude = u128(u32(0 - factor)) if factor < 0 else u128(u32(factor))
    product = magnitude * u128(y.significand)
    shift = clz(product)
    out.significand = product << shift
    out.exponent = y.exponent + 64 - i32(shift)


@function
def times_logarithm_of_sum(context: Ptr[Context], y: Ptr[Number], x: Ptr[Number], out: Ptr[Exact]) -> None:
    """FYL2XP1: y * log2(x + 1); outside sqrt(1/2) - 1 to sqrt(2) - 1 the result is undefined."""
    log = Exact()
    if x.kind == ZERO:
        set_special(ZERO, x.sign, log)
    elif x.kind == INFINITE:
        if x.sign:
            set_invalid(context, out)
            return
        set_special(INFINITE, 0, log)
    elif x.exponent < -1:
        logarithm_of_sum(x, log)
    else:
        set_exact(x, log)
    scale_logarithm(context, y, log, out)


@function
def angle_of_point(context: Ptr[Context], y: Ptr[Number], x: Ptr[Number], out: Ptr[Exact]) -> None:
    """FPATAN: the angle of (x, y), from -pi to pi (SDM Vol. 2, table 3-31)."""
    if y.kind == FINITE and x.kind == FINITE:
        arc_tangent(y, x, out)
    elif y.kind == ZERO or (x.kind == INFINITE and y.kind == FINITE):
        if x.sign == 0:
            set_special(ZERO, 0, out)
        else:
            set_constant(PI_HIGH, PI_LOW, 1, out)
    elif y.kind == INFINITE and x.kind == INFINITE:
        set_constant(PI_HIGH, PI_LOW, -1, out)
        if x.sign:  # three quarters of pi
            out.significand = (out.significand >> 2) * 3
            out.exponent = 1
    else:
        set_constant(PI_HIGH, PI_LOW, 0, out)
    out.sign = y.sign
    if out.kind == FINITE:
        out.significand |= u128(1)


HANDLERS = {
    "FSIN": lambda form, size, memory: on_top(sine),
    "FCOS": lambda form, size, memory: on_top(cosine),
    "FSINCOS": lambda form, size, memory: on_top(sine_cosine),
    "FPTAN": lambda form, size, memory: on_top(tangent),
    "F2XM1": lambda form, size, memory: on_top(power),
    "FYL2X": lambda form, size, memory: popping(times_logarithm),
    "FYL2XP1": lambda form, size, memory: popping(times_logarithm_of_sum),
    "FPATAN": lambda form, size, memory: popping(angle_of_point),
}
