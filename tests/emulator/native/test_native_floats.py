"""Floats: both modes against ctypes and exact fractions, over all kinds of values."""

from __future__ import annotations

import ctypes
import math
import struct
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from native_programs import compiled, define

from emulator.native import types

ARITHMETIC = """
@function
def arithmetic(a: {kind}, b: {kind}, out: Ptr[{kind}]) -> u32:
    out[0] = a + b
    out[1] = a - b
    out[2] = a * b
    out[3] = a / b
    out[4] = -a
    out[5] = sqrt(a)
    out[6] = a if a < b else b
    out[7] = {kind}(f64(a) * 0.5)
    return u32(a < b) | u32(a <= b) << 1 | u32(a == b) << 2 | u32(a != b) << 3 | u32(bool(a)) << 4
"""
TO_INTEGERS = """
@function
def to_integers(x: {kind}, out: Ptr[i64]) -> None:
    out[0] = i8(x)
    out[1] = u8(x)
    out[2] = i16(x)
    out[3] = u16(x)
    out[4] = i32(x)
    out[5] = u32(x)
    out[6] = i64(x)
    out[7] = i64(u64(x))
"""
FROM_INTEGERS = """
@function
def from_integers(u: u64, i: i64, s: i8, single: Ptr[f32], double: Ptr[f64]) -> None:
    single[0] = f32(u)
    single[1] = f32(i)
    single[2] = f32(s)
    single[3] = f32(u32(u))
    double[0] = f64(u)
    double[1] = f64(i)
    double[2] = f64(s)
    double[3] = f64(u > 5)
"""


def bits(values):
    """Values as bits, all NaNs alike: which one an operation gives is not promised."""
    return [struct.pack("<d", value) if not math.isnan(value) else "nan" for value in values]


def floats(kind):
    return st.floats(width=32 if kind == "f32" else 64)


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_arithmetic(kind):
    function = define(ARITHMETIC.format(kind=kind))["arithmetic"]
    native, ctype = compiled(function).arithmetic, getattr(types, kind).ctype

    @settings(max_examples=150, deadline=None)
    @example(0.0, -0.0)
    @example(math.inf, math.inf)
    @example(-1.0, 0.0)
    @example(math.nan, 0.0)
    @given(floats(kind), floats(kind))
    def check(a, b):
        outcomes = []
        for run in (native, function):
            out = (ctype * 8)()
            outcomes.append((run(a, b, out), bits(out)))
        assert outcomes[0] == outcomes[1]
        flags = a < b, a <= b, a == b, a != b, a != 0
        assert outcomes[0][0] == sum(flag << n for n, flag in enumerate(flags))
        assert outcomes[0][1][:3] == bits(ctype(value).value for value in (a + b, a - b, a * b))

    check()


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_to_integers(kind):
    function = define(TO_INTEGERS.format(kind=kind))["to_integers"]
    native = compiled(function).to_integers
    targets = [types.i8, types.u8, types.i16, types.u16, types.i32, types.u32, types.i64, types.u64]

    @settings(max_examples=150, deadline=None)
    @example(math.nan)
    @example(-math.inf)
    @example(127.99)
    @example(-0.99)
    @example(2.0**63)
    @given(st.one_of(floats(kind), st.integers(-(2**24), 2**24).map(lambda n: n / 256)))
    def check(x):
        x = getattr(types, kind)(x)
        wanted = []
        for target in targets:
            value = 0 if math.isnan(x) else math.copysign(2**70, x) if math.isinf(x) else x
            wanted.append(types.i64.wrap(max(target.min, min(target.max, math.trunc(value)))))
        for run in (native, function):
            out = (ctypes.c_int64 * 8)()
            run(x, out)
            assert list(out) == wanted

    check()


def nearest_single(value):
    """The f32 nearest to an integer, ties to even, by exact arithmetic."""
    if value == 0:
        return 0.0
    step = Fraction(2) ** max(0, abs(value).bit_length() - 24)
    return float(round(Fraction(value) / step) * step)


FROM = define(FROM_INTEGERS)["from_integers"]


@settings(max_examples=150, deadline=None)
@example(2**63 + 2**39 + 1, -(2**63), -128)
@example(2**24 + 1, 2**24 + 3, 0)
@example(2**64 - 1, 2**63 - 1, 127)
@given(st.integers(0, 2**64 - 1), st.integers(-(2**63), 2**63 - 1), st.integers(-128, 127))
def test_from_integers(u, i, s):
    for run in (compiled(FROM).from_integers, FROM):
        single, double = (ctypes.c_float * 4)(), (ctypes.c_double * 4)()
        run(u, i, s, single, double)
        assert list(single) == [nearest_single(value) for value in (u, i, s, u % 2**32)]
        assert list(double) == [float(u), float(i), float(s), float(u > 5)]
