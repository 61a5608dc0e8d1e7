"""Logarithm, exponential and trigonometric functions to about 120 bits, to be rounded to 64 (Intel SDM Vol. 1, 8.3.7).

An `Exact` is computed with here as a number of 128 bits. Series are summed in fixed point, 128 bits below the point:

    1 + c[1] t + c[2] t**2 + ...        0 <= t < 1, 0 < c[k] < 1, signs all positive or by turns

The coefficients are computed from their definitions when this module is imported.
"""

# mypy: ignore-errors

from __future__ import annotations

from fractions import Fraction
from math import factorial

from emulator.native import Ptr, clz, function, i32, mulhi, table, u32, u64, u128

from .number import FINITE, ZERO, Exact, Number, set_exact, set_special
from .rounding import shift_right_sticky

ONE = 1 << 127

# -- coefficients -------------------------------------------------------------------------------------------


def _words(values: list[Fraction]) -> list[int]:
    """Fixed-point numbers as pairs of words, the upper one first."""
    scaled = [int(value * 2**128 + Fraction(1, 2)) for value in values]
    return [word for number in scaled for word in (number >> 64, number & (1 << 64) - 1)]


SINE_TERMS, COSINE_TERMS, POWER_TERMS, AREA_TERMS, ARC_TERMS = 15, 15, 32, 26, 52
SINE = table(u64, _words([Fraction(1, factorial(2 * k + 1)) for k in range(1, SINE_TERMS + 1)]))
COSINE = table(u64, _words([Fraction(1, factorial(2 * k)) for k in range(1, COSINE_TERMS + 1)]))
POWER = table(u64, _words([Fraction(1, factorial(k + 1)) for k in range(1, POWER_TERMS + 1)]))
ODD = table(u64, _words([Fraction(1, 2 * k + 1) for k in range(1, ARC_TERMS + 1)]))

# Significands: ln(2), 2 / ln(2), pi / 4
LN2_HIGH, LN2_LOW = 0xB17217F7D1CF79AB, 0xC9E3B39803F2F6AF
LOG2E_HIGH, LOG2E_LOW = 0xB8AA3B295C17F0BB, 0xBE87FED0691D3E88
PI_HIGH, PI_LOW = 0xC90FDAA22168C234, 0xC4C6628B80DC1CD1
# What reduces arguments is pi to 66 bits, as processors have it: pi / 2 * 2**65
HALF_PI_HIGH, HALF_PI_LOW = 3, 0x243F6A8885A308D3


@function
def sum_series(coefficients: Ptr[u64], count: u32, t: u128, alternate: bool, out: Ptr[Exact]) -> None:
    """1 + c[1] t + ..., between 0 and 2."""
    total: u128 = 0
    for i in range(count):
        k = 2 * (count - 1 - i)
        coefficient = u128(coefficients[k]) << 64 | coefficients[k + 1]
        term = mulhi(total, t)
        total = coefficient - term if alternate else coefficient + term
    total = max(mulhi(total, t) >> 1, 1)  # however small t is, the sum is not 1
    normalized(ONE - total if alternate else ONE + total, 0, 0, out)


# -- numbers of 128 bits ------------------------------------------------------------------------------------


@function
def normalized(significand: u128, exponent: i32, sign: u32, out: Ptr[Exact]) -> None:
    """significand * 2**(exponent - 127)"""
    if significand == 0:
        set_special(ZERO, sign, out)
        return
    shift = clz(significand)
    out.significand = significand << shift
    out.exponent = exponent - i32(shift)
    out.sign = sign
    out.kind = FINITE


@function
def set_constant(high: u64, low: u64, exponent: i32, out: Ptr[Exact]) -> None:
    out.significand = u128(high) << 64 | low
    out.exponent = exponent
    out.sign = 0
    out.kind = FINITE


@function
def wide_multiply(a: Ptr[Exact], b: Ptr[Exact], out: Ptr[Exact]) -> None:
    """Of finite numbers, as the following."""
    normalized(mulhi(a.significand, b.significand), a.exponent + b.exponent + 1, a.sign ^ b.sign, out)


@function
def wide_add(a: Ptr[Exact], b: Ptr[Exact], out: Ptr[Exact]) -> None:
    """a + b; either may be zero."""
    large = a
    small = b
    if a.kind == ZERO or (b.kind != ZERO and b.exponent > a.exponent):
        large = b
        small = a
    if small.kind == ZERO:
        normalized(large.significand, large.exponent, large.sign, out)
        return
    x = large.significand >> 1
    y = shift_right_sticky(small.significand >> 1, u32(large.exponent - small.exponent))
    if large.sign == small.sign:
        normalized(x + y, large.exponent + 1, large.sign, out)
    elif x >= y:
        normalized(x - y, large.exponent + 1, large.sign, out)
    else:
        normalized(y - x, large.exponent + 1, small.sign, out)


@function
def wide_divide(a: Ptr[Exact], b: Ptr[Exact], out: Ptr[Exact]) -> None:
    """Bit by bit."""
    divisor = b.significand
    rest = a.significand
    quotient: u128 = 0
    carry = False  # bit 128 of the rest
    for _ in range(128):
        quotient <<= 1
        if carry or rest >= divisor:
            rest -= divisor
            quotient |= 1
        carry = rest >> 127 != 0
        rest <<= 1
    normalized(quotient, a.exponent - b.exponent, a.sign ^ b.sign, out)


@function
def fixed(value: Ptr[Exact]) -> u128:
    """A magnitude below 1 in fixed point."""
    if value.kind == ZERO or value.exponent < -128:
        return 0
    return value.significand >> u32(-1 - value.exponent)


@function
def fixed_square(value: Ptr[Exact]) -> u128:
    square = Exact()
    if value.kind == ZERO:
        return 0
    wide_multiply(value, value, square)
    return fixed(square)


# -- functions ----------------------------------------------------------------------------------------------


@function
def power_minus_one(x: Ptr[Number], out: Ptr[Exact]) -> None:
    """2**x - 1 for finite x with |x| < 1: t (1 + t/2! + t**2/3! + ...) with t = x ln(2)."""
    argument = Exact()
    factor = Exact()
    total = Exact()
    set_exact(x, argument)
    set_constant(LN2_HIGH, LN2_LOW, -1, factor)
    wide_multiply(argument, factor, argument)
    sum_series(Ptr[u64](POWER), POWER_TERMS, fixed(argument), argument.sign != 0, total)
    wide_multiply(argument, total, out)


@function
def area_logarithm(numerator: Ptr[Exact], denominator: Ptr[Exact], out: Ptr[Exact]) -> None:
    """log2((1 + z) / (1 - z)) = 2 / ln(2) artanh(z) with z the quotient, below 0.18."""
    z = Exact()
    total = Exact()
    if numerator.kind == ZERO:
        set_special(ZERO, numerator.sign, out)
        return
    wide_divide(numerator, denominator, z)
    sum_series(Ptr[u64](ODD), AREA_TERMS, fixed_square(z), False, total)
    wide_multiply(z, total, z)
    set_constant(LOG2E_HIGH, LOG2E_LOW, 1, total)
    wide_multiply(z, total, out)


@function
def logarithm(x: Ptr[Number], out: Ptr[Exact]) -> None:
    """log2(x) of a positive finite number: its exponent and log2 of what is near 1."""
    one = Exact()
    number = Exact()
    numerator = Exact()
    denominator = Exact()
    set_exact(x, number)
    number.exponent = -1 if x.significand > 0xB504F333F9DE6484 else 0  # sqrt(2)
    exponent = x.exponent - number.exponent
    set_constant(u64(1) << 63, 0, 0, one)
    wide_add(number, one, denominator)
    one.sign = 1
    wide_add(number, one, numerator)
    area_logarithm(numerator, denominator, out)
    if exponent:
        magnitude = u64(0 - exponent) if exponent < 0 else u64(exponent)
        normalized(u128(magnitude), 127, u32(exponent < 0), one)
        wide_add(out, one, out)


@function
def logarithm_of_sum(x: Ptr[Number], out: Ptr[Exact]) -> None:
    """log2(1 + x) for finite x not below sqrt(1/2) - 1 nor above sqrt(2) - 1."""
    number = Exact()
    two = Exact()
    denominator = Exact()
    set_exact(x, number)
    set_constant(u64(1) << 63, 0, 1, two)
    wide_add(number, two, denominator)
    area_logarithm(number, denominator, out)


@function
def arc_tangent(y: Ptr[Number], x: Ptr[Number], out: Ptr[Exact]) -> None:
    """The angle of the point (x, y), both finite and not zero, from -pi to pi."""
    a = Exact()
    b = Exact()
    set_exact(y, a)
    set_exact(x, b)
    a.sign = 0
    b.sign = 0
    steep = y.exponent > x.exponent or (y.exponent == x.exponent and y.significand > x.significand)
    if steep:
        arc_tangent_of_quotient(b, a, out)
    else:
        arc_tangent_of_quotient(a, b, out)
    right = Exact()
    if steep:  # pi/2 - the angle
        set_constant(PI_HIGH, PI_LOW, 0, right)
        out.sign ^= 1
        wide_add(right, out, out)
    if x.sign:  # pi - the angle
        set_constant(PI_HIGH, PI_LOW, 1, right)
        out.sign ^= 1
        wide_add(right, out, out)
    out.sign = y.sign


@function
def arc_tangent_of_quotient(a: Ptr[Exact], b: Ptr[Exact], out: Ptr[Exact]) -> None:
    """artan(a / b) of positive numbers, a not above b; above 3/8 as pi/4 + artan((q - 1) / (q + 1))."""
    quotient = Exact()
    above = Exact()
    total = Exact()
    wide_divide(a, b, quotient)
    reduced = quotient.exponent > -2 or (quotient.exponent == -2 and quotient.significand >= 3 << 126)
    if reduced:
        set_constant(u64(1) << 63, 0, 0, above)
        wide_add(quotient, above, total)
        above.sign = 1
        wide_add(quotient, above, above)
        if above.kind != ZERO:
            wide_divide(above, total, quotient)
        else:
            set_special(ZERO, 0, quotient)
    if quotient.kind != ZERO:
        sum_series(Ptr[u64](ODD), ARC_TERMS, fixed_square(quotient), True, total)
        wide_multiply(quotient, total, quotient)
    if reduced:
        set_constant(PI_HIGH, PI_LOW, -1, above)
        wide_add(above, quotient, out)
    else:
        normalized(quotient.significand, quotient.exponent, quotient.sign, out)


@function
def reduce_angle(x: Ptr[Number], out: Ptr[Exact]) -> u32:
    """|x| as a number of right angles, which is returned modulo 4, and a rest of at most half of one."""
    set_exact(x, out)
    out.sign = 0
    if x.exponent < -1:
        return 0
    right = u128(HALF_PI_HIGH) << 64 | HALF_PI_LOW
    rest = u128(x.significand)
    count: u32 = 0
    for _ in range(u32(x.exponent + 2)):
        rest <<= 1
        count <<= 1
        if rest >= right:
            rest -= right
            count |= 1
    sign: u32 = 0
    if rest << 1 > right:
        rest = right - rest
        count += 1
        sign = 1
    normalized(rest, 127 - 65, sign, out)
    return count & 3


@function
def sine_of_rest(rest: Ptr[Exact], out: Ptr[Exact]) -> None:
    total = Exact()
    if rest.kind == ZERO:
        set_special(ZERO, rest.sign, out)
        return
    sum_series(Ptr[u64](SINE), SINE_TERMS, fixed_square(rest), True, total)
    wide_multiply(rest, total, out)


@function
def cosine_of_rest(rest: Ptr[Exact], out: Ptr[Exact]) -> None:
    sum_series(Ptr[u64](COSINE), COSINE_TERMS, fixed_square(rest), True, out)


@function
def sine_and_cosine(x: Ptr[Number], sine: Ptr[Exact], cosine: Ptr[Exact]) -> None:
    """Of a finite number below 2**63."""
    rest = Exact()
    quadrant = reduce_angle(x, rest)
    if quadrant & 1:
        cosine_of_rest(rest, sine)
        sine_of_rest(rest, cosine)
        cosine.sign ^= 1
    else:
        sine_of_rest(rest, sine)
        cosine_of_rest(rest, cosine)
    if quadrant & 2:
        sine.sign ^= 1
        cosine.sign ^= 1
    sine.sign ^= x.sign
