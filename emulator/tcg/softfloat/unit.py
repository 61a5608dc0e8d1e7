"""The arithmetic as a unit of its own, which those of SSE and x87 call."""

from __future__ import annotations

from functools import cache

from emulator.native import Unit

from . import arithmetic, functions, integers, number, rounding

EXPORTED = (
    number.set_extended,
    number.unpack32,
    number.unpack64,
    number.pack32,
    number.pack64,
    number.extended_exponent,
    number.set_exact,
    number.set_special,
    number.set_invalid,
    arithmetic.add,
    arithmetic.multiply,
    arithmetic.divide,
    arithmetic.square_root,
    arithmetic.compare,
    integers.from_integer,
    integers.to_integer,
    rounding.round_exact,
    rounding.round_to_integer,
    functions.power_minus_one,
    functions.logarithm,
    functions.logarithm_of_sum,
    functions.arc_tangent,
    functions.sine_and_cosine,
    functions.set_constant,
    functions.wide_multiply,
    functions.wide_divide,
)


@cache
def unit() -> Unit:
    return Unit("softfloat", EXPORTED)
