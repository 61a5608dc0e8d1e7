"""Every operator on every integer type at the edges, against what the language promises: Python's result, wrapped."""

from __future__ import annotations

import ctypes
import itertools
import operator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_programs import compiled, define

from emulator.native import types

NAMES = ["u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"]
UNSIGNED = NAMES[:4]
OPERATORS = ["+", "-", "*", "&", "|", "^", "//", "%"]
COMPARISONS = ["==", "!=", "<", "<=", ">", ">="]


def edges(kind):
    middle = [0, 1, 2, 7, 100, -1, -2, -100, kind.bits, kind.bits - 1, kind.max // 3]
    return sorted({kind.wrap(v) for v in [kind.min, kind.min + 1, kind.max, kind.max - 1, *middle]})


def run_over(body, operand, result, count_type=None):
    """A function that applies `body` to whole arrays: one call for many pairs."""
    text = f"""
@function
def apply(left: Ptr[{operand}], right: Ptr[{count_type or operand}], out: Ptr[{result}], n: u32) -> None:
    for i in range(n):
        x = left[i]
        y = right[i]
        out[i] = {body}
"""
    return define(text)["apply"]


def results(function, operand, count_type, result, pairs, native=True):
    left = (operand.ctype * len(pairs))(*(a for a, _ in pairs))
    right = (count_type.ctype * len(pairs))(*(b for _, b in pairs))
    out = (result.ctype * len(pairs))()
    (compiled(function).apply if native else function)(left, right, out, len(pairs))
    return [bool(v) if result is types.BOOL else v for v in out]


def check(body, operand, expected, pairs, count_type=None, result=None):
    operand, result = getattr(types, operand), result or getattr(types, operand)
    count = getattr(types, count_type) if count_type else operand
    function = run_over(body, operand, result, count_type)
    wanted = [expected(a, b) for a, b in pairs]
    assert results(function, operand, count, result, pairs) == wanted
    assert results(function, operand, count, result, pairs, native=False) == wanted


def promised(sign, kind):
    def result(a, b):
        if b == 0 and sign in ("//", "%"):
            return 0 if sign == "//" else a
        return kind.wrap(eval(f"a {sign} b"))

    return result


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sign", OPERATORS)
def test_operator(name, sign):
    kind = getattr(types, name)
    check(f"x {sign} y", name, promised(sign, kind), list(itertools.product(edges(kind), repeat=2)))


@pytest.mark.parametrize("name", NAMES)
def test_comparison(name):
    kind = getattr(types, name)
    pairs = list(itertools.product(edges(kind), repeat=2))
    body = " | ".join(f"u64(x {sign} y) << {n}" for n, sign in enumerate(COMPARISONS))
    tests = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]
    expected = lambda a, b: sum(test(a, b) << n for n, test in enumerate(tests))  # noqa: E731
    check(body, name, expected, pairs, result=types.u64)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", ["u8", "u64"])
@pytest.mark.parametrize("sign", ["<<", ">>"])
def test_shift(name, count, sign):
    kind = getattr(types, name)
    counts = [0, 1, 7, 8, 15, 16, 31, 32, 63, 64, 65, 127, 128, 255]
    counts += [256, 2**32, 2**64 - 1] if count == "u64" else []
    pairs = list(itertools.product(edges(kind), counts))
    expected = lambda a, n: kind.wrap(a << n if sign == "<<" else a >> n) if n < 300 else _shifted_out(a, sign)  # noqa: E731
    check(f"x {sign} y", name, expected, pairs, count_type=count)


def _shifted_out(value, sign):
    return -1 if sign == ">>" and value < 0 else 0


@pytest.mark.parametrize("source", NAMES)
@pytest.mark.parametrize("target", NAMES)
def test_conversion(source, target):
    kind = getattr(types, target)
    pairs = [(value, 0) for value in edges(getattr(types, source))]
    check(f"{target}(x)", source, lambda a, _: kind.wrap(a), pairs, result=kind)


@pytest.mark.parametrize("name", NAMES)
def test_unary(name):
    kind = getattr(types, name)
    pairs = [(value, 0) for value in edges(kind)]
    check("-x", name, lambda a, _: kind.wrap(-a), pairs)
    check("~x", name, lambda a, _: kind.wrap(~a), pairs)


@pytest.mark.parametrize("name", NAMES)
def test_constant_divisors(name):
    kind = getattr(types, name)
    pairs = [(value, 0) for value in edges(kind)]
    for divisor in (1, 3, 100, *((-1, -7) if kind.signed else ())):
        check(f"x // {divisor}", name, lambda a, _, d=divisor: kind.wrap(a // d), pairs)
        check(f"x % {divisor}", name, lambda a, _, d=divisor: kind.wrap(a % d), pairs)


@pytest.mark.parametrize("name", NAMES)
def test_bit_intrinsics(name):
    kind = getattr(types, name)
    bits, mask = kind.bits, kind.mask
    pairs = list(itertools.product(edges(kind), repeat=2))
    check("popcount(x)", name, lambda a, _: bin(a & mask).count("1"), pairs)
    check("clz(x)", name, lambda a, _: len(f"{a & mask:0{bits}b}".split("1")[0]), pairs)
    check("ctz(x)", name, lambda a, _: len(f"{a & mask:0{bits}b}".split("1")[-1]), pairs)
    check("mulhi(x, y)", name, lambda a, b: kind.wrap(a * b >> bits), pairs)
    check("sign_extend(x, 5)", name, lambda a, _: kind.wrap((a & 31) - (32 if a & 16 else 0)), pairs)
    check("min(x, y)", name, min, pairs)
    check("max(x, y)", name, max, pairs)
    if bits > 8:
        swapped = lambda a, _: kind.wrap(int(f"{a & mask:0{bits // 4}x}"[::-1], 16))  # noqa: E731
        nibbles = "0x" + "0f" * (bits // 8)
        body = f"bswap((x & {nibbles}) << 4 | (x >> 4) & {nibbles})" if not kind.signed else None
        if body:
            check(body, name, swapped, pairs)


@pytest.mark.parametrize("name", NAMES)
def test_rotations(name):
    kind = getattr(types, name)
    bits = kind.bits
    turned = lambda a, n: (text := f"{a & kind.mask:0{bits}b}")[n % bits :] + text[: n % bits]  # noqa: E731
    pairs = list(itertools.product(edges(kind), range(0, 2 * bits + 1, 3)))
    check("rotl(x, y)", name, lambda a, n: kind.wrap(int(turned(a, n), 2)), pairs, count_type="u8")
    check("rotr(x, y)", name, lambda a, n: kind.wrap(int(turned(a, -n), 2)), pairs, count_type="u8")
    double = lambda a, n: f"{a & kind.mask:0{bits}b}{12:0{bits}b}"  # noqa: E731
    left = lambda a, n: kind.wrap(int(double(a, n)[n % bits :][:bits], 2))  # noqa: E731
    right = lambda a, n: kind.wrap(int(double(a, n)[bits - n % bits :][:bits], 2))  # noqa: E731
    check("fshl(x, 12, y)", name, left, pairs, count_type="u8")
    check("fshr(x, 12, y)", name, right, pairs, count_type="u8")


WIDE = define("""
@function
def wide(a: u64, b: u64, c: i64, n: u8, out: Ptr[u128]) -> None:
    x = u128(a) << 64 | b
    y = i128(x) ^ c
    out[0] = x * x + u128(y)
    out[1] = u128(y >> n)
    out[2] = x << n
    out[3] = u128(i128(x) < y) | u128(popcount(x)) << 8 | u128(clz(x)) << 16
    out[4] = rotl(x, n) ^ mulhi(x, u128(y)) ^ bswap(x)
""")["wide"]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(-(2**63), 2**63 - 1), st.integers(0, 255))
def test_128_bits(a, b, c, n):
    native, python = (ctypes.c_uint64 * 10)(), (ctypes.c_uint64 * 10)()
    compiled(WIDE).wide(a, b, c, n, native)
    WIDE(a, b, c, n, python)
    assert list(native) == list(python)
    x, mask = a << 64 | b, 2**128 - 1
    y = types.i128.wrap(x) ^ c
    assert int.from_bytes(bytes(python)[:16], "little") == x * x + y & mask
    assert int.from_bytes(bytes(python)[16:32], "little") == y >> n & mask
