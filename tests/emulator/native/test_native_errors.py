"""Every mistake is one clear message at its place."""

from __future__ import annotations

import textwrap

import pytest
from native_programs import define

from emulator.native import Array, BuildError, CompileError, Ptr, Unit, function, struct, table, u8, u32

TABLE = table(u8, [1, 2, 3])


@struct
class Pair:
    left: u32
    right: Array[u8, 4]


def error(lines, header="def f(a: u8, b: i64, p: Ptr[Pair], q: Ptr[u32], flag: bool) -> u64:"):
    body = textwrap.indent(lines, "    ")
    with pytest.raises(CompileError) as caught:
        _ = define(f"@function\n{header}\n{body}\n", Pair=Pair, TABLE=TABLE)["f"].body
    return caught.value


# statement, what is pointed at, a part of the message, a part of the hint
MISTAKES = [
    ("return a + b", "a + b", "expected u64, found i64", "u64(...)"),
    ("return a + u64(b) + b", "a + u64(b) + b", "u64 and i64 have no common type", "as in u64(...)"),
    ("return a + 256", "a + 256", "the constant 256 does not fit u8 (0 to 255)", "u8(256)"),
    ("return u64(a < -1)", "a < -1", "the constant -1 does not fit u8", ""),
    ("return a << 8", "8", "a u8 shifted by 8 has no bits left", "as in u64(x) << 8"),
    ("return u64(1) << b", "b", "a shift count is unsigned, not i64", "u32(...)"),
    ("return 1 << a", "1 << a", "cannot be shifted", "u64(...)"),
    ("return a / 2", "a / 2", "/ is not defined for u8", "use //"),
    ("return a ** 2", "a ** 2", "the operator Pow cannot be compiled", ""),
    ("return a // 0", "0", "division by the constant 0", ""),
    ("return 1 // 0", "1 // 0", "this constant cannot be computed", ""),
    ("return 1 << 5000", "1 << 5000", "fits no type", ""),
    ("return u128(a) % 3", "u128(a) % 3", "128-bit division", ""),
    ("return ~flag", "~flag", "~ is not defined for bool", "not x"),
    ("return flag + flag", "flag + flag", "+ is not defined for bool", ""),
    ("return flag + 1", "flag + 1", "the constant 1 is not a bool", ""),
    ("return -p", "-p", "- is not defined for Ptr[Pair]", ""),
    ("return p.middle", "p.middle", "struct Pair has no field middle", "left, right"),
    ("return a.left", "a.left", "u8 has no fields", ""),
    ("return p.right[4]", "4", "index 4 is outside the array's 4 elements", ""),
    ("return TABLE[-1]", "-1", "index -1 is outside the array's 3 elements", ""),
    ("return p.right[1:2]", "p.right[1:2]", "slices cannot be compiled", "copy_bytes"),
    ("return a[0]", "a[0]", "u8 cannot be indexed", ""),
    ("return q[flag]", "flag", "an index is an integer", ""),
    ("p.right = q\nreturn 0", "p.right", "a Array[u8, 4] cannot be assigned as a whole", "copy_bytes"),
    ("p.left = b\nreturn 0", "p.left = b", "expected u32, found i64", "u32(...)"),
    ("p.left += b\nreturn 0", "p.left += b", "expected u32, found i64", "u32(...)"),
    ("return p", "p", "expected u64, found Ptr[Pair]", "u64(...)"),
    ("return u32(p)", "u32(p)", "Ptr[Pair] cannot be converted to u32", ""),
    ("r = Ptr[Pair](a)\nreturn 0", "Ptr[Pair](a)", "u8 cannot be converted to Ptr[Pair]", "u64(...)"),
    ("return q + q", "q + q", "cannot be added", ""),
    ("return u64(p == q)", "p == q", "Ptr[Pair] and Ptr[u32] have no common type", ""),
    ("return u64(p is None)", "p is None", "`is` cannot be compiled", "not p"),
    ("return u64(a in p)", "a in p", "tuple of constants", ""),
    ("return u64(a in (1, b))", "b", "expected u8, found i64", ""),
    ("x = 5\nreturn x", "x = 5", "the type of x is not known", "x: u32 = ..."),
    ("x = a\nx = b\nreturn x", "x = b", "expected u8, found i64", "u8(...)"),
    ("x: u32 = a\nx: u8 = a\nreturn x", "x: u8 = a", "x is already a u32", "one type"),
    ("if a:\n    x = a\nreturn x", "x", "x may be used before it has a value", ""),
    ("while a > 3:\n    x = a\n    a -= 1\nreturn x", "x", "x may be used before it has a value", ""),
    ("for i in range(a):\n    pass\nreturn i", "i", "i may be used before it has a value", ""),
    ("match a:\n    case 1:\n        x = a\nreturn x", "x", "x may be used before it has a value", ""),
    ("return y", "y", "y is not defined", ""),
    ("return y(3)", "y", "y is not defined", ""),
    ("return print(3)", "print(3)", "print is not a compiled function", ""),
    ("if flag:\n    return 1", "if flag:", "f may end without returning a u64", ""),
    ("while flag:\n    return 1", "while flag:", "f may end without returning a u64", ""),
    ("return", "return", "f returns a u64", ""),
    ("return [1]", "[1]", "List cannot be compiled", "Array[u8, 4]"),
    ("return 'x'", "'x'", "the constant 'x' cannot be compiled", ""),
    ("return f'{a}'", "f'{a}'", "an f-string cannot be compiled", ""),
    ("return (lambda: 1)()", "lambda: 1", "a lambda cannot be compiled", ""),
    ("try:\n    pass\nfinally:\n    return 1", "try:", "Try statements cannot be compiled", ""),
    ("for i in p.right:\n    pass\nreturn 1", "p.right", "range(...) only", ""),
    ("for i in range(0, 5, a):\n    pass\nreturn 1", "a", "the step of a range is a constant", ""),
    ("for i in range(2):\n    pass\nelse:\n    pass\nreturn 1", "pass", "else after a loop", ""),
    ("x = y = a\nreturn 1", "x = y = a", "chained assignment", ""),
    ("x, y = a\nreturn 1", "x, y = a", "a tuple is assigned from a tuple", ""),
    ("x, y = a, atomic_store(q, 1)\nreturn 1", "atomic_store(q, 1)", "this call returns nothing", ""),
    ("a + 1\nreturn 1", "a + 1", "this expression does nothing", ""),
    ("return f(a)", "f(a)", "f takes 5 arguments, 1 given", ""),
    ("return popcount(flag)", "flag", "popcount takes an integer, not bool", ""),
    ("return popcount(a, a)", "popcount(a, a)", "popcount takes 1 arguments, 2 given", ""),
    ("return bswap(a)", "bswap(a)", "a single byte cannot be swapped", ""),
    ("return sign_extend(a, 9)", "9", "constant from 1 to 8", ""),
    ("return addressof(a)[0]", "a", "the local a has no address", "Array[T, 1]"),
    ("return sizeof(a)", "a", "sizeof takes a type", ""),
    ("return atomic_load(p)", "p", "takes a pointer to an integer", ""),
    ("x: Pair\nreturn 1", "x: Pair", "a variable cannot hold a whole Pair", "x = Pair()"),
    ("x = Pair(1)\nreturn 1", "Pair(1)", "a local Pair starts as zeros", ""),
    ("return Pair().left", "Pair()", "a Pair is not a value", "x = Pair()"),
    ("x = Pair()\nx = Pair()\nx = a\nreturn 1", "x = a", "cannot be assigned as a whole", ""),
    ("match a:\n    case b:\n        pass\nreturn 1", "b", "a case is a constant", "module.NAME"),
    ("match a:\n    case 256:\n        pass\nreturn 1", "256", "does not fit u8", ""),
    ("match flag:\n    case 1:\n        pass\nreturn 1", "flag", "match takes an integer", ""),
    ("__x = a\nreturn 1", None, "the name __x is reserved", ""),
    ("return u8[3](a)", "u8[3]", "this is not a type", ""),
    ("return u8(a, a)", "u8(a, a)", "u8(...) takes one value", ""),
    ("return f(a, b, p, q, flag=flag)", "f(a, b, p, q, flag=flag)", "keyword arguments", "by position"),
    ("return not_there.f(a)", "not_there.f", "not_there.f is not defined", ""),
    ("x: Pair2 = 1\nreturn 1", "Pair2", "this is not a type", ""),
    ("return f64(1.5) + a", "f64(1.5) + a", "f64 and u8 have no common type", ""),
    ("return u8(1.5)", "1.5", "the constant 1.5 is not a u8", ""),
    ("return ~1.5", "~1.5", "~ is not defined for a float", ""),
    ("return f64(1.0) % 2", "f64(1.0) % 2", "% is not defined for f64", ""),
    ("return 3 if flag else unreachable()", "3 if flag else unreachable()", "", ""),
]


@pytest.mark.parametrize(("lines", "pointed", "message", "hint"), MISTAKES, ids=[m[0][:40] for m in MISTAKES])
def test_mistake(lines, pointed, message, hint):
    found = error(lines)
    assert message in found.message
    assert hint in found.hint
    assert bool(hint) <= bool(found.hint)
    if pointed is not None:
        assert found.source_line[found.column : found.column + found.width] == pointed


def test_message_layout():
    found = error("x = a\nif flag:\n    return x + b * 2 ** flag\nreturn 1")
    assert str(found) == (
        f"{found.path}:5:24: the operator Pow cannot be compiled\n"
        "    return x + b * 2 ** flag\n"
        "                   ^^^^^^^^^"
    )
    found = error("x = 'é' if flag else a + 300\nreturn 1")
    assert str(found).splitlines()[2] == " " * 8 + "^^^"
    found = error("x = a\ny = x + 300; z = 'é'; return 1")
    assert str(found).splitlines()[1:] == [
        "    y = x + 300; z = 'é'; return 1",
        "        ^^^^^^^",
        "hint: widen the other operand, or wrap it: u8(300)",
    ]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("def f(a) -> u64:", "a parameter needs a type"),
        ("def f(a: u8 = 3) -> u64:", "parameters are positional, without defaults"),
        ("def f(*a: u8) -> u64:", "parameters are positional, without defaults"),
        ("def f(a: str) -> u64:", "this is not a type of emulator.native"),
        ("def f(a: Unknown) -> u64:", "this is not a type: name 'Unknown' is not defined"),
        ("def f(a: Pair) -> u64:", "a Pair is passed by its address"),
        ("def f(a: None) -> u64:", "this is not a type"),
    ],
)
def test_signatures(header, message):
    assert message in error("return 1", header).message


def test_errors_of_declarations():
    with pytest.raises(TypeError, match=r"field Bad\.x: 'str' is not a type"):

        @struct
        class Bad:
            x: str

    with pytest.raises(TypeError, match="has no fields"):

        @struct
        class Empty:
            pass

    with pytest.raises(ValueError, match="table value 300 at index 1 does not fit u8"):
        table(u8, [1, 300])
    with pytest.raises(TypeError, match="length of an Array is a positive integer"):
        Array[u8, 0]
    with pytest.raises(TypeError, match="is not a type"):
        Ptr[str]


def test_errors_of_units():
    first = define("@function(symbol='same')\ndef f() -> u8:\n    return 1\n")["f"]
    second = define("@function(symbol='same')\ndef g() -> u8:\n    return 2\n")["g"]
    with pytest.raises(BuildError, match="two functions have the symbol same"):
        Unit("twins", [first, second]).ir()
    with pytest.raises(BuildError, match="exports two functions of one name"):
        Unit("twice", [first, first])
    with pytest.raises(TypeError, match="is not a compiled function"):
        Unit("plain", [len])


def test_a_function_without_source():
    names: dict = {"function": function, "u8": u8}
    exec("@function\ndef f(a: u8) -> u8:\n    return a\n", names)
    with pytest.raises(CompileError, match="the source of f is not available"):
        _ = names["f"].body


def test_128_bits_do_not_cross_into_python():
    wide = define("@function\ndef f(a: u128) -> u64:\n    return u64(a)\n")["f"]
    with pytest.raises(CompileError, match="cannot be called from Python with a u128"):
        _ = wide.prototype


def test_intrinsics_in_ordinary_python():
    from emulator.native import popcount

    with pytest.raises(TypeError, match="popcount has a meaning in compiled functions only"):
        popcount(3)
