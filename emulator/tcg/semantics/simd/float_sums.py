"""Arithmetic between neighbouring lanes, and approximations (Intel SDM Vol. 1, sections 12.3 and 12.10, 10.4.1.1)."""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache

from emulator.native import (
    Array,
    Function,
    Ptr,
    addressof,
    copy_bytes,
    float_from_bits,
    float_to_bits,
    function,
    sqrt,
    u8,
    u32,
    unlikely,
)

from ...control import faulted
from ...core import Core, Op
from .exceptions import commit, raise_exception
from .operands import register, source_operand
from .precision import ADD, MUL, SUB, precision

UNIT = "float"


@cache
def horizontal(bits: int, operation: int) -> Function:
    """HADD, HSUB: of neighbours in the target, then in the source."""
    format_ = precision(bits)
    kind, exactly = format_.kind, format_.binary
    lanes = 128 // bits
    half = lanes // 2

    @function(symbol=f"emulator.tcg.float{bits}.horizontal{operation}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        source = Ptr[kind](source_operand(core, op, 16, 15))
        if unlikely(not source):
            return faulted(core, op)
        target = Ptr[kind](register(core, op.a))
        out = Array[kind, lanes]()
        core.float_flags = 0
        for i in range(half):
            out[i] = exactly(core, operation, target[2 * i], target[2 * i + 1])
            out[half + i] = exactly(core, operation, source[2 * i], source[2 * i + 1])
        if core.float_flags and not commit(core):
            return raise_exception(core, op)
        copy_bytes(Ptr[u8](target), Ptr[u8](addressof(out)), 16)
        return op + 1

    return handler


@cache
def alternating(bits: int) -> Function:
    """ADDSUB: even lanes are subtracted, odd ones added."""
    format_ = precision(bits)
    kind, exactly = format_.kind, format_.binary
    lanes = 128 // bits

    @function(symbol=f"emulator.tcg.float{bits}.alternating")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        source = Ptr[kind](source_operand(core, op, 16, 15))
        if unlikely(not source):
            return faulted(core, op)
        target = Ptr[kind](register(core, op.a))
        out = Array[kind, lanes]()
        core.float_flags = 0
        for i in range(lanes):
            out[i] = exactly(core, u32(i & 1 ^ 1), target[i], source[i])
        if core.float_flags and not commit(core):
            return raise_exception(core, op)
        copy_bytes(Ptr[u8](target), Ptr[u8](addressof(out)), 16)
        return op + 1

    return handler


@cache
def dot_product(bits: int) -> Function:
    """DPPS, DPPD: products that the immediate selects, summed by pairs, each step with exceptions of its own."""
    format_ = precision(bits)
    kind, exactly = format_.kind, format_.binary
    lanes = 128 // bits

    @function(symbol=f"emulator.tcg.float{bits}.dot_product")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        source = Ptr[kind](source_operand(core, op, 16, 15))
        if unlikely(not source):
            return faulted(core, op)
        target = Ptr[kind](register(core, op.a))
        immediate = u32(op.immediate)
        products = Array[kind, lanes]()
        core.float_flags = 0
        for i in range(lanes):
            products[i] = kind(0)
            if immediate >> (4 + i) & 1:
                products[i] = exactly(core, MUL, target[i], source[i])
        if core.float_flags and not commit(core):
            return raise_exception(core, op)
        core.float_flags = 0
        count = u32(lanes)
        while count > 1:
            count >>= 1
            for i in range(count):
                products[i] = exactly(core, ADD, products[2 * i], products[2 * i + 1])
            if core.float_flags and not commit(core):
                return raise_exception(core, op)
        for i in range(lanes):
            target[i] = products[0] if immediate >> i & 1 else kind(0)
        return op + 1

    return handler


# -- approximations -----------------------------------------------------------------------------------------


@cache
def approximation(root: bool, lanes: int) -> Function:
    """RCPPS, RSQRTPS: 1/x and 1/sqrt(x) with at least 12 bits, without exceptions. Denormals are zeros."""
    size, misaligned = 4 * lanes, 15 if lanes > 1 else 0

    @function(symbol=f"emulator.tcg.approximation{int(root)}.{lanes}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        source = Ptr[u32](source_operand(core, op, size, misaligned))
        if unlikely(not source):
            return faulted(core, op)
        out = Array[u32, lanes]()
        for i in range(lanes):
            out[i] = approximate(source[i], root)
        copy_bytes(register(core, op.a), Ptr[u8](addressof(out)), size)
        return op + 1

    return handler


@function
def approximate(value: u32, root: bool) -> u32:
    sign = value & 0x8000_0000
    magnitude = value & 0x7FFF_FFFF
    if magnitude > 0x7F80_0000:
        return value | 0x40_0000
    if magnitude < 0x80_0000:
        return sign | 0x7F80_0000
    if root and sign:
        return 0xFFC0_0000
    if magnitude == 0x7F80_0000:
        return sign
    number = float_from_bits(value)
    found = float_to_bits(1.0 / sqrt(number) if root else 1.0 / number)
    if found & 0x7F80_0000 == 0:
        return sign
    return found & 0xFFFF_F000 | 0x800  # 12 bits, and the middle of what was cut off


HANDLERS = {
    "HADDPS": lambda form, size, memory: horizontal(32, ADD),
    "HADDPD": lambda form, size, memory: horizontal(64, ADD),
    "HSUBPS": lambda form, size, memory: horizontal(32, SUB),
    "HSUBPD": lambda form, size, memory: horizontal(64, SUB),
    "ADDSUBPS": lambda form, size, memory: alternating(32),
    "ADDSUBPD": lambda form, size, memory: alternating(64),
    "DPPS": lambda form, size, memory: dot_product(32),
    "DPPD": lambda form, size, memory: dot_product(64),
    "RCPPS": lambda form, size, memory: approximation(False, 4),
    "RCPSS": lambda form, size, memory: approximation(False, 1),
    "RSQRTPS": lambda form, size, memory: approximation(True, 4),
    "RSQRTSS": lambda form, size, memory: approximation(True, 1),
}
