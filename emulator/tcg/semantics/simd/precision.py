"""Single and double precision under MXCSR: what is particular to each, and operations on one lane.

The exceptions of a lane are added to `Core.float_flags`.
"""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

from emulator.native import Ptr, f32, f64, float_from_bits, function, likely, u32, u64

from ...core import Core
from ...softfloat.arithmetic import EQUAL, GREATER, LESS, UNORDERED, add, divide, multiply, square_root
from ...softfloat.arithmetic import compare as compare_numbers
from ...softfloat.number import (
    DENORMAL,
    FINITE,
    INEXACT,
    INVALID,
    QUIET,
    SIGNALING,
    ZERO,
    ZERO_DIVIDE,
    Context,
    Exact,
    Number,
    pack32,
    pack64,
    set_exact,
    unpack32,
    unpack64,
)
from ...softfloat.rounding import round_exact, round_to_integer
from .exceptions import begin

ADD, SUB, MUL, DIV = range(4)
SUPPRESS_INEXACT = 8  # in the immediate of ROUND


@cache
def precision(bits: int) -> SimpleNamespace:
    """What is particular to a format: the type of its bits, and functions on one lane."""
    kind, host = (u32, f32) if bits == 32 else (u64, f64)
    fraction_bits, exponent_bits = (23, 8) if bits == 32 else (52, 11)
    significant, largest = fraction_bits + 1, (1 << exponent_bits - 1) - 1
    smallest = 1 - largest
    exponents = (1 << exponent_bits) - 1
    quiet_bit = 1 << fraction_bits - 1
    unpack, pack = (unpack32, pack32) if bits == 32 else (unpack64, pack64)
    name = f"emulator.tcg.float{bits}.%s"

    @function(symbol=name % "is_simple", inline="always")
    def is_simple(value: kind) -> bool:
        """A normal number or zero."""
        return (kind(value) >> fraction_bits) + 1 & exponents > 1 or value << 1 == 0

    @function(symbol=name % "is_safe", inline="always")
    def is_safe(value: kind) -> bool:
        """A normal number, and not the smallest one, to which a tiny number may have been rounded."""
        return (kind(value) >> fraction_bits) + 1 & exponents > 2

    @function(symbol=name % "begin")
    def begin_lane(core: Ptr[Core], context: Ptr[Context]) -> None:
        begin(core, context)
        context.precision = significant
        context.smallest = smallest
        context.largest = largest

    @function(symbol=name % "operand")
    def operand(context: Ptr[Context], value: kind, out: Ptr[Number]) -> None:
        unpack(kind(value), out)
        if out.denormal and context.ignore_denormals:
            out.kind = ZERO
            out.denormal = 0

    @function(symbol=name % "nan")
    def chosen_nan(core: Ptr[Core], a: kind, x: Ptr[Number], b: kind, y: Ptr[Number]) -> kind:
        """The first NaN of two operands, quiet (SDM Vol. 1, table 4-7)."""
        if x.kind == SIGNALING or y.kind == SIGNALING:
            core.float_flags |= INVALID
        return (kind(a) if x.kind >= QUIET else b) | quiet_bit

    @function(symbol=name % "finish")
    def finish(core: Ptr[Core], context: Ptr[Context], denormal: u32, result: Ptr[Exact]) -> kind:
        if denormal and context.flags & (INVALID | ZERO_DIVIDE) == 0:
            context.flags |= DENORMAL
        round_exact(context, result)
        core.float_flags |= context.flags
        return kind(pack(result))

    @function(symbol=name % "binary", inline="never")
    def binary(core: Ptr[Core], operation: u32, a: kind, b: kind) -> kind:
        """An operation of one lane, exactly."""
        context = Context()
        x = Number()
        y = Number()
        result = Exact()
        begin_lane(core, context)
        operand(context, a, x)
        operand(context, kind(b), y)
        if x.kind >= QUIET or y.kind >= QUIET:
            return chosen_nan(core, a, x, b, y)
        match operation:
            case 2:
                multiply(context, x, y, result)
            case 3:
                divide(context, x, y, result)
            case _:
                add(context, x, y, operation, result)
        return finish(core, context, x.denormal | y.denormal, result)

    @function(symbol=name % "root", inline="never")
    def root(core: Ptr[Core], value: kind) -> kind:
        context = Context()
        x = Number()
        result = Exact()
        begin_lane(core, context)
        operand(context, kind(value), x)
        if x.kind >= QUIET:
            return chosen_nan(core, value, x, value, x)
        square_root(context, x, result)
        return finish(core, context, x.denormal, result)

    @function(symbol=name % "order")
    def order(core: Ptr[Core], a: kind, b: kind, quiet: u32) -> u32:
        """Comparison of one lane; a quiet NaN is invalid too unless `quiet`."""
        if likely(is_simple(a) and is_simple(b)):
            left = float_from_bits(kind(a))
            right = float_from_bits(kind(b))
            return LESS if left < right else GREATER if left > right else u32(EQUAL)
        context = Context()
        x = Number()
        y = Number()
        begin_lane(core, context)
        operand(context, kind(a), x)
        operand(context, kind(b), y)
        if x.kind >= QUIET or y.kind >= QUIET:
            if x.kind == SIGNALING or y.kind == SIGNALING or not quiet:
                core.float_flags |= INVALID
            return UNORDERED
        if x.denormal | y.denormal:
            core.float_flags |= DENORMAL
        return compare_numbers(x, y)

    @function(symbol=name % "integral", inline="never")
    def integral(core: Ptr[Core], value: kind, immediate: u32) -> kind:
        """ROUND: to an integer, in the mode of the immediate or of MXCSR."""
        context = Context()
        x = Number()
        result = Exact()
        begin_lane(core, context)
        operand(context, kind(value), x)
        if x.kind >= QUIET:
            return chosen_nan(core, value, x, value, x)
        if immediate & 4 == 0:
            context.mode = immediate & 3
        set_exact(x, result)
        if x.kind == FINITE and round_to_integer(context, result) and immediate & SUPPRESS_INEXACT == 0:
            core.float_flags |= INEXACT
        return kind(pack(result))

    return SimpleNamespace(**locals())
