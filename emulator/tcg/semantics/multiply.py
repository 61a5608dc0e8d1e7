"""Multiplication and division (Intel SDM Vol. 1, section 7.3.2.2), and BCD (7.3.3)."""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache, partial

from emulator.native import Function, Ptr, function, i16, i32, i64, i128, u8, u16, u32, u64, u128
from emulator.x86.notation import Form

from ..control import faulted, raised
from ..core import DE, Core, Op
from ..flags import ADJUST, SIGNED, carry_flag, set_carry, setters
from ..operands import TYPES, access, read_place
from .data import always
from .templates import binary, shape_of, width

DOUBLE = {u8: (u16, i16), u16: (u32, i32), u32: (u64, i64), u64: (u128, i128)}


@cache
def truncated_product(bits: int) -> Function:
    """IMUL with two or three operands: CF = OF = the product does not fit."""
    kind, wide, narrow = TYPES[bits], DOUBLE[TYPES[bits]][1], SIGNED[TYPES[bits]]
    result = setters(kind).result

    @function(symbol=f"emulator.tcg.imul{bits}", inline="always")
    def multiply(core: Ptr[Core], a: kind, b: kind) -> kind:
        product = wide(narrow(a)) * wide(narrow(b))
        low = kind(product)
        result(core, low)
        over = u64(wide(narrow(low)) != product)
        core.carry = 0
        set_carry(core, over, over)
        return low

    return multiply


@cache
def _product(name: str, bits: int) -> tuple[Function, Function]:
    """rDX:rAX, or AX, = rAX * the operand."""
    kind, signed, size = TYPES[bits], name == "IMUL", bits // 8
    wide, signed_wide = DOUBLE[kind]
    narrow, result, get, put = SIGNED[kind], setters(kind).result, access(kind).get, access(kind).put

    @function(symbol=f"emulator.tcg.{name}.wide{bits}", inline="always")
    def multiply(core: Ptr[Core], b: kind) -> None:
        a = get(core, 0)
        product = wide(signed_wide(narrow(a)) * signed_wide(narrow(b))) if signed else wide(a) * wide(b)
        low = kind(product)
        high = kind(product >> bits)
        over = u64(high != (kind(narrow(low) >> (bits - 1)) if signed else kind(0)))
        put(core, 0, low)
        put(core, 1 if bits == 8 else 16, high)
        result(core, low)
        core.carry = 0
        set_carry(core, over, over)

    @function(symbol=f"emulator.tcg.{name}.wide{bits}.r")
    def register(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        multiply(core, get(core, op.a))
        return op + 1

    @function(symbol=f"emulator.tcg.{name}.wide{bits}.m")
    def in_memory(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        place = read_place(core, op, size)
        if not place:
            return faulted(core, op)
        multiply(core, Ptr[kind](place)[0])
        return op + 1

    return register, in_memory


@function(symbol="emulator.tcg.divider64")
def divide_128(core: Ptr[Core], high: u64, low: u64, divisor: u64) -> u64:
    """high:low by a divisor above high, bit by bit unless high is 0; the remainder goes to `scratch[1]`."""
    if high == 0:
        core.scratch[1] = low % divisor
        return low // divisor
    quotient = low
    rest = high
    for _ in range(64):
        out = rest >> 63
        rest = rest << 1 | quotient >> 63
        quotient <<= 1
        if out or rest >= divisor:
            rest -= divisor
            quotient |= 1
    core.scratch[1] = rest
    return quotient


@cache
def _divider(bits: int) -> Function:
    if bits == 64:
        return divide_128
    kind, wide = TYPES[bits], DOUBLE[TYPES[bits]][0]

    @function(symbol=f"emulator.tcg.divider{bits}", inline="always")
    def split(core: Ptr[Core], high: kind, low: kind, divisor: kind) -> kind:
        dividend = wide(high) << bits | low
        core.scratch[1] = u64(dividend % divisor)
        return kind(dividend // divisor)

    return split


@cache
def _quotient(name: str, bits: int) -> tuple[Function, Function]:
    """Of rDX:rAX, or AX, by the operand; a quotient that does not fit is #DE. No flag changes."""
    kind, signed, size = TYPES[bits], name == "IDIV", bits // 8
    wide, signed_wide = DOUBLE[kind]
    narrow, get, put = SIGNED[kind], access(kind).get, access(kind).put
    split, high_place = _divider(bits), 1 if bits == 8 else 16

    @function(symbol=f"emulator.tcg.{name}{bits}.unsigned")
    def divide(core: Ptr[Core], divisor: kind) -> bool:
        high = get(core, high_place)
        if high >= divisor:
            return False
        put(core, 0, split(core, high, get(core, 0), kind(divisor)))
        put(core, high_place, kind(core.scratch[1]))
        return True

    @function(symbol=f"emulator.tcg.{name}{bits}.signed")
    def divide_signed(core: Ptr[Core], divisor: kind) -> bool:
        """On magnitudes: the quotient is truncated, the remainder has the sign of the dividend."""
        dividend = wide(get(core, high_place)) << bits | get(core, 0)
        negative = signed_wide(dividend) < 0
        magnitude = wide(0) - dividend if negative else dividend
        by = kind(0) - divisor if narrow(divisor) < 0 else divisor
        if by == 0 or kind(magnitude >> bits) >= by:
            return False
        quotient = split(core, kind(magnitude >> bits), kind(magnitude), by)
        remainder = kind(core.scratch[1])
        opposite = negative != (narrow(divisor) < 0)
        limit = kind(1) << (bits - 1)
        if quotient > limit or (quotient == limit and not opposite):
            return False
        put(core, 0, kind(0) - quotient if opposite else quotient)
        put(core, high_place, kind(0) - remainder if negative else remainder)
        return True

    run = divide_signed if signed else divide

    @function(symbol=f"emulator.tcg.{name}{bits}.r")
    def register(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        return op + 1 if run(core, get(core, op.a)) else raised(core, op, DE, 0)

    @function(symbol=f"emulator.tcg.{name}{bits}.m")
    def in_memory(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        place = read_place(core, op, size)
        if not place:
            return faulted(core, op)
        return op + 1 if run(core, Ptr[kind](place)[0]) else raised(core, op, DE, 0)

    return register, in_memory


@cache
def _three_operands(bits: int, memory: bool) -> Function:
    """IMUL Gv,Ev,immediate."""
    kind, size, multiply = TYPES[bits], bits // 8, truncated_product(bits)
    get, put = access(kind).get, access(kind).put

    @function(symbol=f"emulator.tcg.imul3.{bits}.r")
    def register(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        put(core, op.a, multiply(core, get(core, op.b), kind(op.immediate)))
        return op + 1

    @function(symbol=f"emulator.tcg.imul3.{bits}.m")
    def in_memory(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        place = read_place(core, op, size)
        if not place:
            return faulted(core, op)
        put(core, op.a, multiply(core, Ptr[kind](place)[0], kind(op.immediate)))
        return op + 1

    return in_memory if memory else register


def signed_product(form: Form, size: int, memory: bool) -> Function:
    if len(form.operands) == 3:
        return _three_operands(size, memory)
    if len(form.operands) == 2:
        return binary(truncated_product(size), shape_of(form, memory), size)
    return _one_operand(_product, "IMUL", form, size, memory)


def _one_operand(make, name: str, form: Form, size: int, memory: bool) -> Function:
    return make(name, width(form.operands[0], size))[memory]


# -- decimal arithmetic -------------------------------------------------------------------------------------

BYTE = setters(u8)
byte_result = BYTE.result
AL, AH = 0, 1


@function
def ascii_adjust(core: Ptr[Core], add: bool) -> None:
    """AAA and AAS (SDM Vol. 2): on AX as a whole."""
    ax = Ptr[u16](core)
    adjust = ax[0] & 15 > 9 or core.carry & ADJUST != 0
    if adjust:
        ax[0] = ax[0] + 0x106 if add else ax[0] - 0x106
    ax[0] &= 0xFF0F
    byte_result(core, u8(ax[0]))
    core.carry = ADJUST if adjust else 0
    set_carry(core, u64(adjust), 0)


@function
def decimal_adjust(core: Ptr[Core], add: bool) -> None:
    """DAA and DAS (SDM Vol. 2)."""
    al = Ptr[u8](core)
    before = al[0]
    carry = carry_flag(core) != 0
    low = before & 15 > 9 or core.carry & ADJUST != 0
    high = before > 0x99 or carry
    out = False
    if low:
        out = carry or (before > 0xF9 if add else before < 6)
        al[0] = al[0] + 6 if add else al[0] - 6
    if high:
        al[0] = al[0] + 0x60 if add else al[0] - 0x60
        out = True
    byte_result(core, al[0])
    core.carry = ADJUST if low else 0
    set_carry(core, u64(out), 0)


@function
def aaa(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    ascii_adjust(core, True)
    return op + 1


@function
def aas(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    ascii_adjust(core, False)
    return op + 1


@function
def daa(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    decimal_adjust(core, True)
    return op + 1


@function
def das(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    decimal_adjust(core, False)
    return op + 1


@function
def aam(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    base = u8(op.immediate)
    if base == 0:
        return raised(core, op, DE, 0)
    al = Ptr[u8](core)
    value = al[AL]
    al[AH] = value // base
    al[AL] = value % base
    byte_result(core, al[AL])
    core.carry = 0
    return op + 1


@function
def aad(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    al = Ptr[u8](core)
    al[AL] = al[AL] + al[AH] * u8(op.immediate)
    al[AH] = 0
    byte_result(core, al[AL])
    core.carry = 0
    return op + 1


HANDLERS = {
    "MUL": partial(_one_operand, _product, "MUL"),
    "IMUL": signed_product,
    "DIV": partial(_one_operand, _quotient, "DIV"),
    "IDIV": partial(_one_operand, _quotient, "IDIV"),
    "AAA": always(aaa),
    "AAS": always(aas),
    "DAA": always(daa),
    "DAS": always(das),
    "AAM": always(aam),
    "AAD": always(aad),
}
