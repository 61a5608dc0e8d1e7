"""Rounding a result to a format, with overflow and underflow (Intel SDM Vol. 1, sections 4.8.4, 4.9.1.4 to 4.9.1.6).

Tininess is detected after rounding: a result is tiny if, rounded as if exponents had no limit, it is below the smallest
normal number.
"""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, function, i32, u32, u128

from .number import (
    DOWN,
    FINITE,
    INEXACT,
    INFINITE,
    NEAREST,
    OVERFLOW,
    UNDERFLOW,
    UP,
    ZERO,
    Context,
    Exact,
    set_special,
)

ONE = 1 << 127


@function(inline="always")
def shift_right_sticky(value: u128, count: u32) -> u128:
    """What is shifted out remains as bit 0."""
    if count == 0:
        return value
    if count > 127:
        return u128(value != 0)
    return value >> count | u128(value << (128 - count) != 0)


@function(inline="always")
def rounds_up(mode: u32, sign: u32, value: u128, spare: u32) -> bool:
    """Whether the magnitude grows when the low `spare` bits go."""
    rest = value & (u128(1) << spare) - 1
    if mode == NEAREST:
        half = u128(1) << (spare - 1)
        return rest > half or (rest == half and value >> spare & 1 != 0)
    return rest != 0 and mode == (DOWN if sign else UP)


@function
def is_tiny(context: Ptr[Context], result: Ptr[Exact]) -> bool:
    """Of a result below the smallest normal number before it is rounded."""
    if result.exponent < context.smallest - 1:
        return True
    spare = 128 - context.precision
    ones = result.significand >> spare == (u128(1) << context.precision) - 1
    return not (ones and rounds_up(context.mode, result.sign, result.significand, spare))


@function
def round_exact(context: Ptr[Context], result: Ptr[Exact]) -> None:
    """Round a finite result in place, in the range of the format; others stay as they are."""
    context.up = 0
    if result.kind != FINITE:
        return
    tiny = result.exponent < context.smallest and is_tiny(context, result)
    if tiny and context.unmasked & UNDERFLOW:
        context.flags |= UNDERFLOW
        result.exponent += context.wrap
        tiny = False
        if context.wrap and result.exponent < context.smallest:  # FSCALE can go that far
            context.flags |= INEXACT
            set_special(ZERO, result.sign, result)
            return
    elif tiny and context.flush:
        context.flags |= UNDERFLOW | INEXACT
        set_special(ZERO, result.sign, result)
        return
    if result.exponent < context.smallest:
        distance = u32(context.smallest - result.exponent)
        result.significand = shift_right_sticky(result.significand, distance)
        result.exponent = context.smallest
    if round_significand(context, result):
        context.flags |= INEXACT
        if tiny:
            context.flags |= UNDERFLOW
    if result.significand == 0:
        result.kind = ZERO
    elif result.exponent > context.largest:
        overflow(context, result)


@function(inline="always")
def round_significand(context: Ptr[Context], result: Ptr[Exact]) -> bool:
    """To the precision; whether it was inexact."""
    spare = 128 - context.precision
    value = result.significand
    kept = value >> spare << spare
    if rounds_up(context.mode, result.sign, value, spare):
        context.up = 1
        total = kept + (u128(1) << spare)
        if total < kept:
            total = u128(1) << 127
            result.exponent += 1
        result.significand = total
    else:
        result.significand = kept
    return kept != value


@function
def overflow(context: Ptr[Context], result: Ptr[Exact]) -> None:
    """Infinity or the largest number, by the rounding mode; or a result in range, if the exception is unmasked.

    What even that does not bring into the range (FSCALE) is infinite.
    """
    context.flags |= OVERFLOW
    if context.unmasked & OVERFLOW:
        result.exponent -= context.wrap
        if result.exponent <= context.largest:
            return
    context.flags |= INEXACT
    away = context.mode == NEAREST or context.mode == (DOWN if result.sign else UP)
    if away or context.unmasked & OVERFLOW:
        result.kind = INFINITE
        result.significand = u128(1) << 127
        context.up = 1
    else:
        result.exponent = context.largest
        result.significand = ~u128(0) << (128 - context.precision)
        context.up = 0


@function
def round_to_integer(context: Ptr[Context], value: Ptr[Exact]) -> bool:
    """A finite value to an integer in the same representation; whether that was inexact."""
    context.up = 0
    if value.exponent >= 127:
        return False
    spare = u32(min(127 - value.exponent, i32(130)))
    significand = value.significand
    kept = significand >> spare << spare
    if kept == significand:
        return False
    value.significand = kept
    if grows(context.mode, value.sign, significand, spare):
        context.up = 1
        total = kept + (u128(1) << spare)
        if kept == 0:
            value.exponent = 0
        elif total < kept:
            value.exponent += 1
        value.significand = total if total > kept and kept else u128(1) << 127
    elif kept == 0:
        value.kind = ZERO
    return True


@function
def grows(mode: u32, sign: u32, value: u128, spare: u32) -> bool:
    """`rounds_up` for values below 1, too: of 128 bits or more that go, only those above a half reach 1."""
    if spare < 128:
        return rounds_up(mode, sign, value, spare)
    if mode == NEAREST:
        return spare == 128 and value > u128(1) << 127
    return mode == (DOWN if sign else UP)
