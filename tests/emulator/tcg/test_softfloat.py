"""The soft-float against fractions: every operation, format and rounding mode, rounded once from the exact result.

What instructions make of it is compared with the host's processor in test_tcg_float.py; this needs no such host.
"""

from __future__ import annotations

import ctypes
from fractions import Fraction
from math import isqrt
from random import Random
from typing import Any

import pytest

from emulator.tcg.softfloat.number import (
    DOWN,
    FINITE,
    INEXACT,
    INFINITE,
    NEAREST,
    OVERFLOW,
    TRUNCATE,
    UNDERFLOW,
    UP,
    ZERO,
    Context,
    Exact,
    Number,
)
from emulator.tcg.softfloat.unit import unit

FORMATS = {"single": (24, -126, 127), "double": (53, -1022, 1023), "extended": (64, -16382, 16383)}
OPERATIONS = ("add", "subtract", "multiply", "divide", "square_root")


def random_number(random: Random, precision: int, smallest: int, largest: int) -> Any:
    """A finite number of the format: few bits or many, near 1 or near the ends."""
    bits = random.choice((1, 4, precision // 2, precision))
    exponent = random.choice((random.randrange(-4, 5), smallest + random.randrange(5), largest - random.randrange(5)))
    significand = (random.getrandbits(bits) | 1 << bits - 1) << 64 - bits
    return Number(significand=significand, exponent=exponent, sign=random.getrandbits(1), kind=FINITE)


def value(number: Any, significand: int) -> Fraction:
    magnitude = (
        Fraction(significand, 1 << 63) * Fraction(2) ** number.exponent if number.kind == FINITE else Fraction(0)
    )
    return -magnitude if number.sign else magnitude


def exact_result(operation: str, a: Fraction, b: Fraction) -> Fraction:
    """For a square root a number between the same neighbours as the root."""
    match operation:
        case "add":
            return a + b
        case "subtract":
            return a - b
        case "multiply":
            return a * b
        case "divide":
            return a / b
    shift = 200 - (a.numerator.bit_length() - a.denominator.bit_length()) // 2
    scaled = a * Fraction(4) ** shift
    root = isqrt(int(scaled))
    exact = root * root == scaled
    return (Fraction(root) if exact else Fraction(2 * root + 1, 2)) / Fraction(2) ** shift


def rounded(exact: Fraction, mode: int, precision: int, smallest: int) -> Fraction:
    """To a multiple of the unit in the last place, as if exponents had no upper limit."""
    magnitude = abs(exact)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if Fraction(2) ** exponent > magnitude:
        exponent -= 1
    unit_ = Fraction(2) ** (max(exponent, smallest) - precision + 1)
    lower = magnitude // unit_
    rest = magnitude / unit_ - lower
    away = {
        NEAREST: rest > Fraction(1, 2) or (rest == Fraction(1, 2) and lower & 1 == 1),
        DOWN: rest > 0 and exact < 0,
        UP: rest > 0 and exact > 0,
        TRUNCATE: False,
    }[mode]
    result = (lower + away) * unit_
    return -result if exact < 0 else result


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation(operation: str, native: bool) -> None:
    library: Any = unit().load() if native else unit().reference()
    random = Random(operation)
    for _ in range(600 if native else 60):
        name = random.choice(list(FORMATS))
        precision, smallest, largest = FORMATS[name]
        mode = random.choice((NEAREST, DOWN, UP, TRUNCATE))
        a, b = (random_number(random, precision, smallest, largest) for _ in range(2))
        if operation == "square_root":
            a.sign = 0
        context = Context(mode=mode, precision=precision, smallest=smallest, largest=largest)
        result = Exact()
        arguments = [ctypes.byref(item) for item in (context, a, b, result)]
        if operation in ("add", "subtract"):
            library.add(*arguments[:3], int(operation == "subtract"), arguments[3])
        elif operation == "square_root":
            library.square_root(arguments[0], arguments[1], arguments[3])
        else:
            getattr(library, operation)(*arguments)
        library.round_exact(arguments[0], arguments[3])
        exact = exact_result(operation, value(a, a.significand), value(b, b.significand))
        check(exact, context, result, mode, precision, smallest, largest)


def check(exact: Fraction, context: Any, result: Any, mode: int, precision: int, smallest: int, largest: int) -> None:
    expected = rounded(exact, mode, precision, smallest) if exact else Fraction(0)
    inexact = expected != exact
    if abs(expected) >= Fraction(2) ** (largest + 1):
        assert context.flags == OVERFLOW | INEXACT
        limited = mode == TRUNCATE or mode == (UP if exact < 0 else DOWN)
        assert result.kind == (FINITE if limited else INFINITE)
        return
    significand = result.significand[1] if result.kind == FINITE else 0
    assert value(result, significand) == expected
    assert result.kind == (FINITE if expected else ZERO)
    assert bool(context.flags & INEXACT) == inexact
    unlimited = abs(rounded(exact, mode, precision, -100000)) if exact else Fraction(0)
    tiny = 0 < unlimited < Fraction(2) ** smallest
    assert bool(context.flags & UNDERFLOW) == (tiny and inexact)
