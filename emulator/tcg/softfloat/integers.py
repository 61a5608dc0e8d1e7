"""Integers and floating-point numbers (Intel SDM Vol. 1, sections 4.2.1 and 4.8.4)."""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, clz, function, i32, i64, u32, u64, u128

from .number import FINITE, INEXACT, INVALID, ZERO, Context, Exact, set_special
from .rounding import round_to_integer


@function
def from_integer(value: i64, out: Ptr[Exact]) -> None:
    if value == 0:
        set_special(ZERO, 0, out)
        return
    magnitude = u64(0) - u64(value) if value < 0 else u64(value)
    shift = clz(magnitude)
    out.significand = u128(magnitude) << (64 + shift)
    out.exponent = 63 - i32(shift)
    out.sign = u32(value < 0)
    out.kind = FINITE


@function
def to_integer(context: Ptr[Context], value: Ptr[Exact], bits: u32) -> i64:
    """A signed integer of this many bits; what has none is invalid and becomes -2**(bits - 1)."""
    context.up = 0
    inexact = value.kind == FINITE and round_to_integer(context, value)
    if value.kind == ZERO:
        context.flags |= INEXACT if inexact else u32(0)
        return 0
    limit = i32(bits) - 1
    minimum = value.sign != 0 and value.exponent == limit and value.significand == u128(1) << 127
    if value.kind != FINITE or (value.exponent >= limit and not minimum):
        context.flags |= INVALID
        context.up = 0
        return i64(-1) << (bits - 1)
    if inexact:
        context.flags |= INEXACT
    magnitude = i64(u64(value.significand >> u32(127 - value.exponent)))
    return 0 - magnitude if value.sign else magnitude
