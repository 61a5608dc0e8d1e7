"""Shifts and rotations (Intel SDM Vol. 1, section 7.3.6). A count of 0 leaves all flags as they are.

OF after a count other than 1 is undefined; it is computed as for 1.
"""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache, partial

from emulator.native import Function, Ptr, function, rotl, rotr, u8, u32, u64
from emulator.x86.notation import Form

from ..control import faulted
from ..core import Core, Op
from ..flags import SIGNED, carry_flag, set_carry, setters
from ..operands import TYPES, access, finish, modify_place
from .templates import binary, shape_of, width


def _shl(kind, symbol):
    bits, result, mask = kind.bits, setters(kind).result, 63 if kind.bits == 64 else 31

    @function(symbol=symbol, inline="always")
    def shl(core: Ptr[Core], a: kind, b: u8) -> kind:
        count = u32(b & mask)
        if count == 0:
            return a
        shifted = kind(a << count)
        carry = u64(a << (count - 1)) >> (bits - 1) & 1
        result(core, shifted)
        core.carry = 0
        set_carry(core, carry, carry ^ u64(shifted) >> (bits - 1))
        return shifted

    return shl


def _shr(kind, symbol):
    bits, result, mask = kind.bits, setters(kind).result, 63 if kind.bits == 64 else 31

    @function(symbol=symbol, inline="always")
    def shr(core: Ptr[Core], a: kind, b: u8) -> kind:
        count = u32(b & mask)
        if count == 0:
            return a
        shifted = kind(a >> count)
        result(core, shifted)
        core.carry = 0
        set_carry(core, u64(a >> (count - 1)) & 1, u64(a) >> (bits - 1))
        return shifted

    return shr


def _sar(kind, symbol):
    signed, result, mask = SIGNED[kind], setters(kind).result, 63 if kind.bits == 64 else 31

    @function(symbol=symbol, inline="always")
    def sar(core: Ptr[Core], a: kind, b: u8) -> kind:
        count = u32(b & mask)
        if count == 0:
            return a
        shifted = kind(signed(a) >> count)
        result(core, shifted)
        core.carry = 0
        set_carry(core, u64(kind(signed(a) >> (count - 1))) & 1, 0)
        return shifted

    return sar


def _rol(kind, symbol):
    bits, mask = kind.bits, 63 if kind.bits == 64 else 31

    @function(symbol=symbol, inline="always")
    def rol(core: Ptr[Core], a: kind, b: u8) -> kind:
        if b & mask == 0:
            return a
        rotated = kind(rotl(a, u32(b & mask)))
        carry = u64(rotated) & 1
        set_carry(core, carry, carry ^ u64(rotated) >> (bits - 1))
        return rotated

    return rol


def _ror(kind, symbol):
    bits, mask = kind.bits, 63 if kind.bits == 64 else 31

    @function(symbol=symbol, inline="always")
    def ror(core: Ptr[Core], a: kind, b: u8) -> kind:
        if b & mask == 0:
            return a
        rotated = kind(rotr(a, u32(b & mask)))
        carry = u64(rotated) >> (bits - 1)
        set_carry(core, carry, carry ^ (u64(rotated) >> (bits - 2) & 1))
        return rotated

    return ror


def _rcl(kind, symbol):
    bits, mask = kind.bits, 63 if kind.bits == 64 else 31

    @function(symbol=symbol, inline="never")
    def rcl(core: Ptr[Core], a: kind, b: u8) -> kind:
        """A rotation of bits + 1 bits, CF the highest."""
        if b & mask == 0:
            return a
        count = u32(b & mask) % (bits + 1)
        value = kind(a)
        carry = carry_flag(core)
        for _ in range(count):
            out = u64(value) >> (bits - 1)
            value = value << 1 | kind(carry)
            carry = out
        set_carry(core, carry, carry ^ u64(value) >> (bits - 1))
        return value

    return rcl


def _rcr(kind, symbol):
    bits, mask = kind.bits, 63 if kind.bits == 64 else 31

    @function(symbol=symbol, inline="never")
    def rcr(core: Ptr[Core], a: kind, b: u8) -> kind:
        if b & mask == 0:
            return a
        count = u32(b & mask) % (bits + 1)
        value = kind(a)
        carry = carry_flag(core)
        for _ in range(count):
            out = u64(value) & 1
            value = value >> 1 | kind(carry) << (bits - 1)
            carry = out
        set_carry(core, carry, u64(value) >> (bits - 1) ^ u64(value) >> (bits - 2) & 1)
        return value

    return rcr


SHIFTS = {"SHL": _shl, "SHR": _shr, "SAR": _sar, "ROL": _rol, "ROR": _ror, "RCL": _rcl, "RCR": _rcr}


@cache
def shift(name: str, bits: int) -> Function:
    return SHIFTS[name](TYPES[bits], f"emulator.tcg.{name}{bits}")


def _shift_handler(name: str, form: Form, size: int, memory: bool) -> Function:
    bits = width(form.operands[0], size)
    shape = shape_of(form, memory)
    return binary(shift(name, bits), shape, bits, 8)


@cache
def double_shift(name: str, bits: int) -> Function:
    """SHLD and SHRD: the operand, filled with bits of another register."""
    kind, result, left = TYPES[bits], setters(TYPES[bits]).result, name == "SHLD"
    mask = 63 if bits == 64 else 31

    @function(symbol=f"emulator.tcg.{name}{bits}")
    def shifted(core: Ptr[Core], a: kind, filler: kind, b: u8) -> kind:
        count = u32(b & mask)
        if count == 0:
            return a
        if left:
            value = kind(a << count | filler >> (bits - count))
            carry = u64(a >> (bits - count)) & 1
        else:
            value = kind(a >> count | filler << (bits - count))
            carry = u64(a >> (count - 1)) & 1
        result(core, value)
        core.carry = 0
        set_carry(core, carry, u64(a ^ value) >> (bits - 1))
        return value

    return shifted


@cache
def _double(name: str, bits: int, by_cl: bool, memory: bool) -> Function:
    kind, size, f = TYPES[bits], bits // 8, double_shift(name, bits)
    get, put = access(kind).get, access(kind).put
    symbol = f"emulator.tcg.{name}{bits}.{'cl' if by_cl else 'i'}"

    @function(symbol=f"{symbol}.r")
    def register(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        count = u8(core.cpu.registers[1]) if by_cl else u8(op.immediate)
        put(core, op.a, f(core, get(core, op.a), get(core, op.b), count))
        return op + 1

    @function(symbol=f"{symbol}.m")
    def in_memory(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        place = modify_place(core, op, size)
        if not place:
            return faulted(core, op)
        count = u8(core.cpu.registers[1]) if by_cl else u8(op.immediate)
        Ptr[kind](place)[0] = f(core, Ptr[kind](place)[0], get(core, op.b), count)
        finish(core, place, size)
        return op + 1

    return in_memory if memory else register


def _double_handler(name: str, form: Form, size: int, memory: bool) -> Function:
    return _double(name, size, form.operands[2].text == "CL", memory)


HANDLERS = {name: partial(_shift_handler, name) for name in SHIFTS}
HANDLERS |= {name: partial(_double_handler, name) for name in ("SHLD", "SHRD")}
