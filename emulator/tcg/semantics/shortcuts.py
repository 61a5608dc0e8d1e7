"""Handlers for special cases: without flags, with a conditional branch behind (`peephole`), for simple addresses.

Only of what compiled programs are full of: each costs time to build.
"""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache

from emulator.native import Function, Ptr, function

from ..control import branch
from ..core import Core, Op
from ..flags import SIGNED
from ..operands import TYPES
from .arithmetic import operation
from .data import conversion
from .shifts import shift
from .stack import LONG
from .templates import ANYWHERE, INDEXED, NEAR, binary, compare, stores, unary

WIDTHS = (32, 64)


@cache
def silent_operation(name: str, bits: int) -> Function:
    """The result alone."""
    return OPERATIONS[name](TYPES[bits], f"emulator.tcg.{name}{bits}.silent")


def _add(kind, symbol):
    @function(symbol=symbol, inline="always")
    def add(core: Ptr[Core], a: kind, b: kind) -> kind:
        return kind(a + b)

    return add


def _sub(kind, symbol):
    @function(symbol=symbol, inline="always")
    def sub(core: Ptr[Core], a: kind, b: kind) -> kind:
        return kind(a - b)

    return sub


def _and(kind, symbol):
    @function(symbol=symbol, inline="always")
    def and_(core: Ptr[Core], a: kind, b: kind) -> kind:
        return kind(a & b)

    return and_


def _or(kind, symbol):
    @function(symbol=symbol, inline="always")
    def or_(core: Ptr[Core], a: kind, b: kind) -> kind:
        return kind(a | b)

    return or_


def _xor(kind, symbol):
    @function(symbol=symbol, inline="always")
    def xor(core: Ptr[Core], a: kind, b: kind) -> kind:
        return kind(a ^ b)

    return xor


def _inc(kind, symbol):
    @function(symbol=symbol, inline="always")
    def inc(core: Ptr[Core], a: kind) -> kind:
        return kind(a + 1)

    return inc


def _dec(kind, symbol):
    @function(symbol=symbol, inline="always")
    def dec(core: Ptr[Core], a: kind) -> kind:
        return kind(a - 1)

    return dec


def _shl(kind, symbol):
    bits = kind.bits

    @function(symbol=symbol, inline="always")
    def shl(core: Ptr[Core], a: kind, b: kind) -> kind:
        return kind(a << (b & (bits - 1)))

    return shl


def _shr(kind, symbol):
    bits = kind.bits

    @function(symbol=symbol, inline="always")
    def shr(core: Ptr[Core], a: kind, b: kind) -> kind:
        return kind(a >> (b & (bits - 1)))

    return shr


def _sar(kind, symbol):
    signed, bits = SIGNED[kind], kind.bits

    @function(symbol=symbol, inline="always")
    def sar(core: Ptr[Core], a: kind, b: kind) -> kind:
        return kind(signed(a) >> (b & (bits - 1)))

    return sar


OPERATIONS = {
    "ADD": _add, "SUB": _sub, "AND": _and, "OR": _or, "XOR": _xor, "INC": _inc, "DEC": _dec,
    "SHL": _shl, "SHR": _shr, "SAR": _sar,
}  # fmt: skip


def _silent() -> dict[Function, Function]:
    """Handlers by the one that computes flags, too."""
    found = {}
    for bits in WIDTHS:
        for name in ("ADD", "SUB", "AND", "OR", "XOR"):
            for shape, reach in (("rr", ANYWHERE), ("ri", ANYWHERE), ("rm", NEAR), ("rm", INDEXED)):
                plain = binary(operation(name, bits), shape, bits, 0, reach)
                found[plain] = binary(silent_operation(name, bits), shape, bits, 0, reach)
        for name in ("INC", "DEC"):
            found[unary(operation(name, bits), "r", bits)] = unary(silent_operation(name, bits), "r", bits)
        for name in ("SHL", "SHR", "SAR"):
            found[binary(shift(name, bits), "ri", bits, 8)] = binary(silent_operation(name, bits), "ri", bits)
    return found


def _fusible() -> set[Function]:
    """What comes before conditional branches."""
    found = {compare(operation("SUB", bits), shape, bits) for bits in WIDTHS for shape in ("rr", "ri")}
    found |= {compare(operation("SUB", bits), shape, bits, NEAR) for bits in WIDTHS for shape in ("rm", "mi", "mr")}
    found |= {compare(operation("SUB", 8), "ri", 8), compare(operation("SUB", 8), "mi", 8, NEAR)}
    found |= {compare(operation("AND", bits), shape, bits) for bits in (8, *WIDTHS) for shape in ("rr",)}
    found |= {compare(operation("AND", 8), "ri", 8)}
    return found | {unary(operation("DEC", bits), "r", bits) for bits in WIDTHS}


def _simple(reach: int) -> dict[Function, Function]:
    """Handlers for 64-bit mode and memory within a reach, by the general one."""
    found = {}
    for bits in (8, *WIDTHS):
        for source in "ri":
            found[stores(source, bits)] = stores(source, bits, reach)
        load = conversion(bits, bits, False)
        found[binary(load, "rm", bits)] = binary(load, "rm", bits, 0, reach)
        for shape in ("rm", "mr", "mi"):
            sub = operation("SUB", bits)
            found[compare(sub, shape, bits)] = compare(sub, shape, bits, reach)
    for bits, source, signed in ((32, 8, False), (32, 16, False), (32, 8, True), (64, 32, True)):
        load = conversion(bits, source, signed)
        found[binary(load, "rm", bits, source)] = binary(load, "rm", bits, source, reach)
    for bits in WIDTHS:
        for name in ("ADD", "SUB", "AND", "OR", "XOR"):
            f = operation(name, bits)
            found[binary(f, "rm", bits)] = binary(f, "rm", bits, 0, reach)
        for shape in ("mr", "mi"):
            add = operation("ADD", bits)
            found[binary(add, shape, bits)] = binary(add, shape, bits, 0, reach)
    return found


NEAR_HANDLERS = LONG | _simple(NEAR)
INDEXED_HANDLERS = LONG | _simple(INDEXED)
SILENT = _silent()
FUSIBLE = _fusible()


@cache
def with_branch(plain: Function, condition: Function) -> Function:
    """A handler and the branch behind it, which is the next op."""

    @function(symbol=f"{plain.symbol}.{condition.symbol}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        following = plain(core, op)
        if following != op + 1:
            return following
        if condition(core):
            return branch(core, op + 1)
        return op + 2

    return handler
