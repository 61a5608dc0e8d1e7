"""The operations of IEEE 754 on numbers that are no NaNs, exact but for a sticky bit (IEEE 754-2019, section 5.4.1)."""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, clz, function, i32, struct, u32, u64, u128

from .number import (
    DOWN,
    FINITE,
    INFINITE,
    ZERO,
    ZERO_DIVIDE,
    Context,
    Exact,
    Number,
    set_exact,
    set_invalid,
    set_special,
)
from .rounding import shift_right_sticky


@struct
class Quotient:
    quotient: u64
    remainder: u64


@function
def add(context: Ptr[Context], a: Ptr[Number], b: Ptr[Number], subtract: u32, out: Ptr[Exact]) -> None:
    """a + b, or a - b if `subtract` is 1."""
    sign = b.sign ^ subtract
    if a.kind == INFINITE or b.kind == INFINITE:
        if a.kind == b.kind and a.sign != sign:
            set_invalid(context, out)
        else:
            set_special(INFINITE, a.sign if a.kind == INFINITE else sign, out)
    elif b.kind == ZERO:
        set_exact(a, out)
        if a.kind == ZERO and a.sign != sign:
            out.sign = u32(context.mode == DOWN)
    elif a.kind == ZERO:
        set_exact(b, out)
        out.sign = sign
    elif a.exponent > b.exponent or (a.exponent == b.exponent and a.significand >= b.significand):
        add_finite(context, a, b, a.sign, a.sign != sign, out)
    else:
        add_finite(context, b, a, sign, a.sign != sign, out)


@function(inline="always")
def add_finite(
    context: Ptr[Context], large: Ptr[Number], small: Ptr[Number], sign: u32, differ: bool, out: Ptr[Exact]
) -> None:
    """The sum or the difference of two magnitudes, with one bit of room above."""
    a = u128(large.significand) << 63
    b = shift_right_sticky(u128(small.significand) << 63, u32(large.exponent - small.exponent))
    total = a - b if differ else a + b
    if total == 0:
        set_special(ZERO, u32(context.mode == DOWN), out)
        return
    shift = clz(total)
    out.significand = total << shift
    out.exponent = large.exponent + 1 - i32(shift)
    out.sign = sign
    out.kind = FINITE


@function
def multiply(context: Ptr[Context], a: Ptr[Number], b: Ptr[Number], out: Ptr[Exact]) -> None:
    sign = a.sign ^ b.sign
    if a.kind == FINITE and b.kind == FINITE:
        product = u128(a.significand) * u128(b.significand)
        out.exponent = a.exponent + b.exponent
        out.sign = sign
        out.kind = FINITE
        if product >> 127:
            out.exponent += 1
        else:
            product <<= 1
        out.significand = product
    elif a.kind == INFINITE or b.kind == INFINITE:
        if a.kind == ZERO or b.kind == ZERO:
            set_invalid(context, out)
        else:
            set_special(INFINITE, sign, out)
    else:
        set_special(ZERO, sign, out)


@function
def divide(context: Ptr[Context], a: Ptr[Number], b: Ptr[Number], out: Ptr[Exact]) -> None:
    sign = a.sign ^ b.sign
    if a.kind == b.kind != FINITE:
        set_invalid(context, out)
    elif a.kind == INFINITE or b.kind == ZERO:
        if a.kind == FINITE:
            context.flags |= ZERO_DIVIDE
        set_special(INFINITE, sign, out)
    elif a.kind == ZERO or b.kind == INFINITE:
        set_special(ZERO, sign, out)
    else:
        parts = Quotient()
        divide_words(a.significand >> 1, a.significand << 63, b.significand, parts)
        high = parts.quotient
        divide_words(parts.remainder, 0, b.significand, parts)
        quotient = u128(high) << 64 | parts.quotient | u128(parts.remainder != 0)
        shift = clz(quotient)
        out.significand = quotient << shift
        out.exponent = a.exponent - b.exponent - i32(shift)
        out.sign = sign
        out.kind = FINITE


@function
def divide_words(high: u64, low: u64, divisor: u64, out: Ptr[Quotient]) -> None:
    """high:low by a divisor above `high` whose highest bit is set, digit by digit of 32 bits (Knuth, 4.3.1, D)."""
    rest = high
    quotient: u64 = 0
    for i in range(2):
        digit = low >> 32 if i == 0 else low & 0xFFFF_FFFF
        guess = min(rest // (divisor >> 32), u64(0xFFFF_FFFF))
        taken = u128(guess) * divisor
        whole = u128(rest) << 32 | digit
        while taken > whole:  # at most twice
            guess -= 1
            taken -= divisor
        rest = u64(whole - taken)
        quotient = quotient << 32 | guess
    out.quotient = quotient
    out.remainder = rest


@function
def square_root(context: Ptr[Context], a: Ptr[Number], out: Ptr[Exact]) -> None:
    if a.kind == ZERO or (a.kind == INFINITE and not a.sign):
        set_exact(a, out)
    elif a.sign:
        set_invalid(context, out)
    else:
        odd = u32(a.exponent & 1)
        radicand = u128(a.significand) << (63 + odd)
        root = integer_root(radicand)
        rest = radicand - u128(root) * u128(root)
        # (root + 1/2)**2 is root**2 + root + 1/4: whether the rest is above root is the next bit of the root
        out.significand = u128(root) << 64 | u128(rest > root) << 63 | u128(rest != 0)
        out.exponent = (a.exponent - i32(odd)) >> 1
        out.sign = 0
        out.kind = FINITE


@function
def integer_root(radicand: u128) -> u64:
    """The largest integer whose square is not above; bit by bit."""
    root: u64 = 0
    rest = u128(0)
    value = radicand
    for _ in range(64):
        rest = rest << 2 | value >> 126
        value <<= 2
        trial = u128(root) << 2 | 1
        root <<= 1
        if rest >= trial:
            rest -= trial
            root |= 1
    return root


LESS, EQUAL, GREATER, UNORDERED = range(4)


@function
def compare(a: Ptr[Number], b: Ptr[Number]) -> u32:
    """Of two numbers that are no NaNs."""
    if a.kind == ZERO and b.kind == ZERO:
        return EQUAL
    if a.kind == ZERO:
        return GREATER if b.sign else LESS
    if b.kind == ZERO or a.sign != b.sign:
        return LESS if a.sign else GREATER
    order = compare_magnitudes(a, b)
    return order if not a.sign else GREATER - order


@function
def compare_magnitudes(a: Ptr[Number], b: Ptr[Number]) -> u32:
    if a.kind == INFINITE or b.kind == INFINITE:
        return EQUAL if a.kind == b.kind else GREATER if a.kind == INFINITE else LESS
    if a.exponent != b.exponent:
        return GREATER if a.exponent > b.exponent else LESS
    if a.significand != b.significand:
        return GREATER if a.significand > b.significand else LESS
    return EQUAL
