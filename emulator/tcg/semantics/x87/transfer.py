"""Loads, constants, and moves between registers (Intel SDM Vol. 1, sections 8.3.3 and 8.3.4)."""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache

from emulator.native import (
    Function,
    Ptr,
    function,
    i32,
    i64,
    table,
    u16,
    u32,
    u64,
    u128,
    unlikely,
)
from emulator.x86.notation import Form

from ...control import faulted, raised
from ...core import MF, Core, Op
from ...flags import CONDITIONS
from ...softfloat.integers import from_integer
from ...softfloat.number import (
    DENORMAL,
    FINITE,
    INVALID,
    QUIET_BIT,
    SIGNALING,
    ZERO,
    Context,
    Exact,
    Number,
    extended_exponent,
    set_exact,
)
from ...softfloat.rounding import round_exact
from ..simd.operands import memory_source
from .arithmetic import READERS
from .stack import (
    begin,
    begin_push,
    clear_up,
    error_pending,
    is_empty,
    move_top,
    note,
    set_indefinite,
    set_register,
    set_tag,
    stack,
    underflow,
)

UNIT = "x87"


# -- loads --------------------------------------------------------------------------------------------------


@function
def store_exact(core: Ptr[Core], number: u32, value: Ptr[Exact]) -> None:
    set_register(stack(core, number), u64(value.significand >> 64), extended_exponent(value))


@cache
def load(kind: str) -> Function:
    """FLD, FILD of memory. A signaling NaN or a denormal number of a shorter format is an exception."""
    read, size = READERS[kind]
    converts = kind in ("m32fp", "m64fp")

    @function(symbol=f"emulator.tcg.x87.load.{kind}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if unlikely(error_pending(core)):
            return raised(core, op, MF, 0)
        place = memory_source(core, op, size, 0)
        if unlikely(not place):
            return faulted(core, op)
        value = Number()
        exact = Exact()
        read(place, value)
        set_exact(value, exact)
        if converts and not is_empty(core, 7):
            begin_push(core, op)
            return op + 1
        if converts and (value.kind == SIGNALING or value.denormal):
            clear_up(core)
            if value.kind == SIGNALING:
                exact.significand |= u128(QUIET_BIT) << 64
            if not note(core, op, DENORMAL if value.denormal else u32(INVALID)) and not value.denormal:
                return op + 1
        if begin_push(core, op):
            store_exact(core, 0, exact)
        return op + 1

    return handler


@function
def load_extended(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """FLD m80fp: whatever the bits are."""
    if unlikely(error_pending(core)):
        return raised(core, op, MF, 0)
    place = memory_source(core, op, 10, 0)
    if unlikely(not place):
        return faulted(core, op)
    significand = Ptr[u64](place)[0]
    exponent = Ptr[u16](place)[4]
    if begin_push(core, op):
        set_register(stack(core, 0), significand, exponent)
    return op + 1


@function
def load_register(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """FLD ST(i)."""
    if unlikely(error_pending(core)):
        return raised(core, op, MF, 0)
    source = stack(core, op.a)
    if is_empty(core, op.a) and is_empty(core, 7):
        if underflow(core, op):
            move_top(core, 7)
            set_tag(core, 0, 0)
            set_indefinite(stack(core, 0))
        return op + 1
    significand = source.significand
    exponent = source.exponent
    if begin_push(core, op):
        set_register(stack(core, 0), significand, exponent)
    return op + 1


# 1, log2(10), log2(e), pi, log10(2), ln(2), 0: bits 127 to 0 of the significand, and the exponent
CONSTANT_NAMES = ("FLD1", "FLDL2T", "FLDL2E", "FLDPI", "FLDLG2", "FLDLN2", "FLDZ")
CONSTANT_HIGH = table(
    u64,
    (
        0x8000000000000000,
        0xD49A784BCD1B8AFE,
        0xB8AA3B295C17F0BB,
        0xC90FDAA22168C234,
        0x9A209A84FBCFF798,
        0xB17217F7D1CF79AB,
        0,
    ),
)
CONSTANT_LOW = table(
    u64, (0, 0x492BF6FF4DAFDB4C, 0xBE87FED0691D3E88, 0xC4C6628B80DC1CD1, 0x8F8959AC0B7C9178, 0xC9E3B39803F2F6AF, 0)
)
CONSTANT_EXPONENT = table(i32, (0, 1, 0, 1, -2, -1, 0))


@cache
def load_constant(number: int) -> Function:
    """The constant, rounded as the control word says, to 64 bits; without an exception for that."""

    @function(symbol=f"emulator.tcg.x87.constant{number}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if unlikely(error_pending(core)):
            return raised(core, op, MF, 0)
        if begin_push(core, op):
            put_constant(core, number)
        return op + 1

    return handler


@function(inline="never")
def put_constant(core: Ptr[Core], number: u32) -> None:
    context = Context()
    value = Exact()
    begin(core, context)
    context.precision = 64
    value.significand = u128(CONSTANT_HIGH[number]) << 64 | CONSTANT_LOW[number]
    value.exponent = CONSTANT_EXPONENT[number]
    value.kind = FINITE if value.significand else u32(ZERO)
    round_exact(context, value)
    store_exact(core, 0, value)


@function
def load_bcd(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """FBLD: 18 digits and a sign; digits above 9 are undefined."""
    if unlikely(error_pending(core)):
        return raised(core, op, MF, 0)
    place = memory_source(core, op, 10, 0)
    if unlikely(not place):
        return faulted(core, op)
    magnitude: i64 = 0
    for i in range(9):
        byte = place[8 - i]
        magnitude = magnitude * 100 + (i64(byte >> 4) * 10 + i64(byte & 15))
    sign = u16(place[9] >> 7) << 15
    exact = Exact()
    from_integer(magnitude, exact)
    if begin_push(core, op):
        store_exact(core, 0, exact)
        stack(core, 0).exponent |= sign
    return op + 1


# -- between registers --------------------------------------------------------------------------------------


@function
def exchange(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """FXCH. An empty register becomes the indefinite first."""
    if unlikely(error_pending(core)):
        return raised(core, op, MF, 0)
    clear_up(core)
    number = u32(op.a)
    if is_empty(core, 0) or is_empty(core, number):
        if not underflow(core, op):
            return op + 1
        if is_empty(core, 0):
            set_indefinite(stack(core, 0))
        if is_empty(core, number):
            set_indefinite(stack(core, number))
        set_tag(core, 0, 0)
        set_tag(core, number, 0)
    a = stack(core, 0)
    b = stack(core, number)
    significand = a.significand
    exponent = a.exponent
    set_register(a, b.significand, b.exponent)
    set_register(b, significand, exponent)
    return op + 1


MOVE_CONDITIONS = {"B": 2, "E": 4, "BE": 6, "U": 10, "NB": 3, "NE": 5, "NBE": 7, "NU": 11}


@cache
def conditional_move(name: str) -> Function:
    condition = CONDITIONS[MOVE_CONDITIONS[name]]

    @function(symbol=f"emulator.tcg.x87.fcmov{name}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if unlikely(error_pending(core)):
            return raised(core, op, MF, 0)
        source = stack(core, op.b)
        target = stack(core, 0)
        if is_empty(core, 0) or is_empty(core, op.b):
            if underflow(core, op):
                set_tag(core, 0, 0)
                set_indefinite(target)
        elif condition(core):
            set_register(target, source.significand, source.exponent)
        return op + 1

    return handler


# -- mnemonics -------------------------------------------------------------------------------------------


def fld(form: Form, size: int, memory: bool) -> Function:
    name = form.operands[0].text
    return load_register if name == "STi" else load_extended if name == "m80fp" else load(name)


HANDLERS = {"FLD": fld, "FILD": lambda form, size, memory: load(form.operands[0].text)}
HANDLERS |= {
    name: lambda form, size, memory, number=number: load_constant(number) for number, name in enumerate(CONSTANT_NAMES)
}
HANDLERS |= {f"FCMOV{name}": lambda form, size, memory, name=name: conditional_move(name) for name in MOVE_CONDITIONS}
HANDLERS |= {"FBLD": lambda form, size, memory: load_bcd, "FXCH": lambda form, size, memory: exchange}
