"""From an operation on values to a handler: where the operands come from and where the result goes.

An operation is `f(core, a, b) -> result` and sets flags itself. The shape of a handler is the kinds of its two
operands: r is a register, m memory, i an immediate. Memory is found before the operation, so that a fault leaves
registers and flags as they were.
"""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache

from emulator.native import Function, Ptr, function
from emulator.x86.notation import Form, OperandCode

from ..control import faulted
from ..core import Core, Op
from ..operands import (
    TYPES,
    access,
    finish,
    indexed_address,
    modify_place,
    near_address,
    read_place,
    simple,
    simple_store,
)

MEMORY_OPERANDS = "EMWQO"
# Where memory is: anywhere; or in 64-bit mode without a segment's base, at a base and a displacement, with an index
ANYWHERE, NEAR, INDEXED = range(3)
REACH_NAMES = ("", ".near", ".indexed")
ADDRESSES = (None, near_address, indexed_address)
READERS = (read_place, *(simple(address).read for address in ADDRESSES[1:]))
MODIFIERS = (modify_place, *(simple(address).modify for address in ADDRESSES[1:]))
SIZES = {"b": 8, "bs": 8, "w": 16, "d": 32, "q": 64}


def kind_of(code: OperandCode, memory: bool) -> str:
    """r, m or i."""
    if code.method in "I" or code.text == "1":
        return "i"
    return "m" if memory and code.method in MEMORY_OPERANDS else "r"


def width(code: OperandCode, size: int) -> int:
    """The bits of an operand."""
    if code.method == "fixed":
        return {"AL": 8, "CL": 8, "AX": 16, "DX": 16, "eAX": min(size, 32)}.get(code.text, size)
    if code.type == "z" and code.method == "E":
        return min(size, 32)
    if code.type == "y":
        return 64 if size == 64 else 32
    return SIZES.get(code.type, size)


def shape_of(form: Form, memory: bool) -> str:
    return "".join(kind_of(code, memory) for code in form.operands[:2])


def binary(f: Function, shape: str, bits: int, source_bits: int = 0, reach: int = ANYWHERE) -> Function:
    """target = f(target, source)."""
    return _binary(f, shape, bits, source_bits or bits, reach)


@cache
def _binary(f: Function, shape: str, bits: int, source_bits: int, reach: int) -> Function:
    symbol = f"{f.symbol}.{shape}{bits}.{source_bits}{REACH_NAMES[reach]}"
    if shape in ("rr", "ri"):
        return (_rr if shape == "rr" else _ri)(f, bits, source_bits, symbol)
    maker = {"rm": _rm, "mr": _mr, "mi": _mi}[shape]
    return maker(f, bits, source_bits, symbol, reach=reach)


@cache
def compare(f: Function, shape: str, bits: int, reach: int = ANYWHERE) -> Function:
    """f(target, source), for its flags: memory is only read."""
    symbol = f"{f.symbol}.read.{shape}{bits}{REACH_NAMES[reach]}"
    if shape in ("mr", "mi"):
        return (_read_mr if shape == "mr" else _read_mi)(f, bits, symbol, reach)
    if shape == "rm":
        return _rm(f, bits, bits, symbol, writes=False, reach=reach)
    return (_rr if shape == "rr" else _ri)(f, bits, bits, symbol, writes=False)


@cache
def unary(f: Function, shape: str, bits: int) -> Function:
    """target = f(target)."""
    return (_r if shape == "r" else _m)(f, bits, f"{f.symbol}.{shape}{bits}")


def _rr(f, bits, source_bits, symbol, writes=True):
    target, source = access(TYPES[bits]), access(TYPES[source_bits])
    get, put, get_source = target.get, target.put, source.get

    @function(symbol=symbol)
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        register = op.a  # read before anything is written, which might be the op for all that the compiler knows
        result = f(core, get(core, register), get_source(core, op.b))
        if writes:
            put(core, register, result)
        return op + 1

    return handler


def _ri(f, bits, source_bits, symbol, writes=True):
    target, source = access(TYPES[bits]), TYPES[source_bits]
    get, put = target.get, target.put

    @function(symbol=symbol)
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        register = op.a
        result = f(core, get(core, register), source(op.immediate))
        if writes:
            put(core, register, result)
        return op + 1

    return handler


def _rm(f, bits, source_bits, symbol, writes=True, reach=ANYWHERE):
    target, source, read = access(TYPES[bits]), TYPES[source_bits], READERS[reach]
    get, put, size = target.get, target.put, source.bits // 8

    @function(symbol=symbol)
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        place = read(core, op, size)
        if not place:
            return faulted(core, op)
        register = op.a
        result = f(core, get(core, register), Ptr[source](place)[0])
        if writes:
            put(core, register, result)
        return op + 1

    return handler


def _mr(f, bits, source_bits, symbol, reach):
    kind, get_source, size, modify = TYPES[bits], access(TYPES[source_bits]).get, bits // 8, MODIFIERS[reach]

    @function(symbol=symbol)
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        place = modify(core, op, size)
        if not place:
            return faulted(core, op)
        Ptr[kind](place)[0] = f(core, Ptr[kind](place)[0], get_source(core, op.b))
        finish(core, place, size)
        return op + 1

    return handler


def _mi(f, bits, source_bits, symbol, reach):
    kind, source, size, modify = TYPES[bits], TYPES[source_bits], bits // 8, MODIFIERS[reach]

    @function(symbol=symbol)
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        place = modify(core, op, size)
        if not place:
            return faulted(core, op)
        Ptr[kind](place)[0] = f(core, Ptr[kind](place)[0], source(op.immediate))
        finish(core, place, size)
        return op + 1

    return handler


def _read_mr(f, bits, symbol, reach):
    kind, get, size, read = TYPES[bits], access(TYPES[bits]).get, bits // 8, READERS[reach]

    @function(symbol=symbol)
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        place = read(core, op, size)
        if not place:
            return faulted(core, op)
        f(core, Ptr[kind](place)[0], get(core, op.b))
        return op + 1

    return handler


def _read_mi(f, bits, symbol, reach):
    kind, size, read = TYPES[bits], bits // 8, READERS[reach]

    @function(symbol=symbol)
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        place = read(core, op, size)
        if not place:
            return faulted(core, op)
        f(core, Ptr[kind](place)[0], kind(op.immediate))
        return op + 1

    return handler


def _r(f, bits, symbol):
    kind = access(TYPES[bits])
    get, put = kind.get, kind.put

    @function(symbol=symbol)
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        register = op.a
        put(core, register, f(core, get(core, register)))
        return op + 1

    return handler


def _m(f, bits, symbol):
    kind, size = TYPES[bits], bits // 8

    @function(symbol=symbol)
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        place = modify_place(core, op, size)
        if not place:
            return faulted(core, op)
        Ptr[kind](place)[0] = f(core, Ptr[kind](place)[0])
        finish(core, place, size)
        return op + 1

    return handler


@cache
def stores(source: str, bits: int, reach: int = ANYWHERE) -> Function:
    """memory = a register or an immediate."""
    kind = access(TYPES[bits])
    get, value_of = kind.get, TYPES[bits]
    store = simple_store(value_of, ADDRESSES[reach]) if reach else kind.store
    name = f"emulator.tcg.store.{source}{bits}{REACH_NAMES[reach]}"
    immediate = source == "i"

    @function(symbol=name)
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        value = value_of(op.immediate) if immediate else get(core, op.b)
        if not store(core, op, value):
            return faulted(core, op)
        return op + 1

    return handler
