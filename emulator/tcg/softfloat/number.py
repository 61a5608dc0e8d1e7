"""The numbers that are computed with, and the three formats they come from and go to (Intel SDM Vol. 1, section 4.2).

A significand has its binary point behind the highest bit, which is set in every finite number but zero: its value is
significand * 2**(exponent - 63). Denormal operands are normalised. The significand of a NaN is that of the
double-extended format, where those of shorter ones are aligned to the left.
"""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache

from emulator.native import Function, Ptr, clz, function, i32, struct, u16, u32, u64, u128

# Number.kind and Exact.kind
ZERO, FINITE, INFINITE, QUIET, SIGNALING, UNSUPPORTED = range(6)

# Exceptions, as in MXCSR and the x87 status word
INVALID, DENORMAL, ZERO_DIVIDE, OVERFLOW, UNDERFLOW, INEXACT = (1 << bit for bit in range(6))

NEAREST, DOWN, UP, TRUNCATE = range(4)

TOP = 1 << 63
QUIET_BIT = 1 << 62
INDEFINITE = 3 << 62  # the significand of the NaN that an invalid operation makes; its sign is 1
EXTENDED_BIAS = 16383
EXTENDED_MAXIMUM = 0x7FFF


@struct
class Number:
    """An operand."""

    significand: u64
    exponent: i32
    sign: u32
    kind: u32
    denormal: u32


@struct
class Exact:
    """A result. Before it is rounded bit 0 of the significand stands for all bits below; its highest bit is set."""

    significand: u128
    exponent: i32
    sign: u32
    kind: u32
    reserved: u32


@struct
class Context:
    """How to round, and what happened. Exponents are those of the smallest and the largest normal number."""

    mode: u32
    precision: u32  # bits of the significand: 24, 53, 64
    smallest: i32
    largest: i32
    unmasked: u32  # OVERFLOW, UNDERFLOW: keep the result in range by `wrap` instead
    wrap: i32
    flush: u32  # tiny results become zeros
    ignore_denormals: u32  # denormal operands are zeros
    flags: u32  # out: exceptions; an operation adds to them
    up: u32  # out: the magnitude was rounded up


@function
def set_extended(register_significand: u64, register_exponent: u16, out: Ptr[Number]) -> None:
    """The number in an 80-bit register. Encodings without the integer bit are unsupported (section 8.2.2)."""
    exponent = i32(register_exponent & EXTENDED_MAXIMUM)
    out.sign = u32(register_exponent >> 15)
    out.significand = register_significand
    out.exponent = exponent - EXTENDED_BIAS
    out.denormal = 0
    out.kind = FINITE
    if exponent == 0:
        out.kind = ZERO
        if register_significand:
            out.kind = FINITE
            out.denormal = 1
            shift = clz(register_significand)
            out.significand = register_significand << shift
            out.exponent = 1 - EXTENDED_BIAS - i32(shift)
    elif register_significand & TOP == 0:
        out.kind = UNSUPPORTED
    elif exponent == EXTENDED_MAXIMUM:
        fraction = register_significand << 1
        out.kind = INFINITE if fraction == 0 else QUIET if fraction & TOP else SIGNALING


@cache
def unpacker(kind: type, fraction_bits: int) -> Function:
    """From the bits of a shorter format."""
    exponent_bits = kind.bits - 1 - fraction_bits
    maximum = (1 << exponent_bits) - 1
    bias = maximum >> 1
    fraction_mask = (1 << fraction_bits) - 1
    left = 63 - fraction_bits

    @function(symbol=f"emulator.tcg.softfloat.unpack{kind.bits}")
    def unpack(bits: kind, out: Ptr[Number]) -> None:
        value = kind(bits)
        exponent = i32(value >> fraction_bits & maximum)
        fraction = u64(value & fraction_mask) << left
        out.sign = u32(value >> (fraction_bits + exponent_bits))
        out.denormal = 0
        out.exponent = exponent - bias
        out.significand = fraction | TOP
        out.kind = FINITE
        if exponent == maximum:
            out.kind = INFINITE if fraction == 0 else QUIET if fraction & QUIET_BIT else SIGNALING
        elif exponent == 0:
            out.significand = fraction
            out.kind = ZERO
            if fraction:
                shift = clz(fraction)
                out.kind = FINITE
                out.denormal = 1
                out.significand = fraction << shift
                out.exponent = 1 - bias - i32(shift)

    unpack.name = f"unpack{kind.bits}"
    return unpack


@cache
def packer(kind: type, fraction_bits: int) -> Function:
    """The bits of a rounded result; of a NaN the part of the payload that the format has."""
    exponent_bits = kind.bits - 1 - fraction_bits
    maximum = (1 << exponent_bits) - 1
    bias = maximum >> 1
    fraction_mask = (1 << fraction_bits) - 1
    left = 63 - fraction_bits

    @function(symbol=f"emulator.tcg.softfloat.pack{kind.bits}")
    def pack(value: Ptr[Exact]) -> kind:
        top = u64(value.significand >> 64)
        bits = kind(value.sign) << (fraction_bits + exponent_bits)
        fraction = kind(top >> left) & fraction_mask
        if value.kind == ZERO:
            return bits
        if value.kind == FINITE:
            biased = kind(value.exponent + bias) if top & TOP else kind(0)
            return bits | biased << fraction_bits | fraction
        bits |= kind(maximum) << fraction_bits
        return bits if value.kind == INFINITE else bits | fraction

    pack.name = f"pack{kind.bits}"
    return pack


unpack32, unpack64 = unpacker(u32, 23), unpacker(u64, 52)
pack32, pack64 = packer(u32, 23), packer(u64, 52)


@function
def extended_exponent(value: Ptr[Exact]) -> u16:
    """Sign and exponent of a rounded result in an 80-bit register; its significand is the upper half of it."""
    sign = u16(value.sign << 15)
    if value.kind == ZERO:
        return sign
    if value.kind == FINITE:
        normal = u64(value.significand >> 64) & TOP != 0
        return sign | (u16(value.exponent + EXTENDED_BIAS) if normal else u16(0))
    return sign | EXTENDED_MAXIMUM


@function
def set_exact(value: Ptr[Number], out: Ptr[Exact]) -> None:
    """A number as a result, as it is."""
    out.significand = u128(value.significand) << 64
    out.exponent = value.exponent
    out.sign = value.sign
    out.kind = value.kind


@function
def set_special(kind: u32, sign: u32, out: Ptr[Exact]) -> None:
    """A zero or an infinity."""
    out.kind = kind
    out.sign = sign
    out.exponent = 0
    out.significand = u128(TOP if kind == INFINITE else 0) << 64


@function
def set_invalid(context: Ptr[Context], out: Ptr[Exact]) -> None:
    """The result of an invalid operation: the real indefinite."""
    context.flags |= INVALID
    out.kind = QUIET
    out.sign = 1
    out.exponent = 0
    out.significand = u128(INDEFINITE) << 64
