"""Arithmetic, comparison and rounding of single and double precision (Intel SDM Vol. 1, sections 10.4, 11.4, 12.10).

Everything is computed exactly by `emulator.tcg.softfloat`, but for the common case: to nearest, with the inexact flag
already set and masked, and with normal numbers as operands and result, the host's arithmetic gives the same.
"""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache, partial

from emulator.native import (
    Array,
    Function,
    Ptr,
    addressof,
    copy_bytes,
    float_from_bits,
    float_to_bits,
    function,
    likely,
    sqrt,
    u8,
    u32,
    u64,
    unlikely,
)
from emulator.x86.notation import Form

from ...control import faulted
from ...core import Core, Op
from ...flags import CF, PF, ZF, set_status
from ...softfloat.arithmetic import EQUAL, GREATER, LESS, UNORDERED
from .exceptions import commit, quick, raise_exception
from .operands import register, source_operand
from .precision import ADD, DIV, MUL, SUB, precision

UNIT = "float"
SHAPES = {"PS": (32, 4), "PD": (64, 2), "SS": (32, 1), "SD": (64, 1)}
OPERATIONS = {"ADD": ADD, "SUB": SUB, "MUL": MUL, "DIV": DIV}


# -- arithmetic ---------------------------------------------------------------------------------------------


@cache
def _on_host(name: str, bits: int) -> Function:
    kind = precision(bits).kind

    @function(symbol=f"emulator.tcg.float{bits}.host.add", inline="always")
    def plus(a: kind, b: kind) -> kind:
        return kind(float_to_bits(float_from_bits(kind(a)) + float_from_bits(kind(b))))

    @function(symbol=f"emulator.tcg.float{bits}.host.sub", inline="always")
    def minus(a: kind, b: kind) -> kind:
        return kind(float_to_bits(float_from_bits(kind(a)) - float_from_bits(kind(b))))

    @function(symbol=f"emulator.tcg.float{bits}.host.mul", inline="always")
    def times(a: kind, b: kind) -> kind:
        return kind(float_to_bits(float_from_bits(kind(a)) * float_from_bits(kind(b))))

    @function(symbol=f"emulator.tcg.float{bits}.host.div", inline="always")
    def over(a: kind, b: kind) -> kind:
        return kind(float_to_bits(float_from_bits(kind(a)) / float_from_bits(kind(b))))

    return {"ADD": plus, "SUB": minus, "MUL": times, "DIV": over}[name]


@cache
def arithmetic(name: str, suffix: str) -> Function:
    """ADDPS to DIVSD."""
    bits, lanes = SHAPES[suffix]
    format_ = precision(bits)
    kind, is_simple, is_safe, exactly = format_.kind, format_.is_simple, format_.is_safe, format_.binary
    on_host, number = _on_host(name, bits), OPERATIONS[name]
    size = lanes * bits // 8
    misaligned = 15 if lanes > 1 else 0

    @function(symbol=f"emulator.tcg.{name}{suffix}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        source = Ptr[kind](source_operand(core, op, size, misaligned))
        if unlikely(not source):
            return faulted(core, op)
        target = Ptr[kind](register(core, op.a))
        out = Array[kind, lanes]()
        if likely(quick(core)):
            same = True
            for i in range(lanes):
                out[i] = on_host(target[i], source[i])
                same = same & is_simple(target[i]) & is_simple(source[i]) & is_safe(out[i])
            if likely(same):
                copy_bytes(Ptr[u8](target), Ptr[u8](addressof(out)), size)
                return op + 1
        core.float_flags = 0
        for i in range(lanes):
            out[i] = exactly(core, number, target[i], source[i])
        if core.float_flags and not commit(core):
            return raise_exception(core, op)
        copy_bytes(Ptr[u8](target), Ptr[u8](addressof(out)), size)
        return op + 1

    return handler


@cache
def square_roots(suffix: str) -> Function:
    bits, lanes = SHAPES[suffix]
    format_ = precision(bits)
    kind, is_safe, exactly = format_.kind, format_.is_safe, format_.root
    size = lanes * bits // 8
    misaligned = 15 if lanes > 1 else 0

    @function(symbol=f"emulator.tcg.SQRT{suffix}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        source = Ptr[kind](source_operand(core, op, size, misaligned))
        if unlikely(not source):
            return faulted(core, op)
        out = Array[kind, lanes]()
        core.float_flags = 0
        fast = quick(core)
        for i in range(lanes):
            value = kind(source[i])
            if fast and is_safe(value) and value >> (bits - 1) == 0:
                out[i] = float_to_bits(sqrt(float_from_bits(value)))
            else:
                out[i] = exactly(core, value)
        if core.float_flags and not commit(core):
            return raise_exception(core, op)
        copy_bytes(register(core, op.a), Ptr[u8](addressof(out)), size)
        return op + 1

    return handler


# -- lanes combined with a function that may note exceptions ------------------------------------------------


@cache
def lanewise(lane: Function, suffix: str) -> Function:
    """target[i] = lane(core, target[i], source[i], immediate), exactly."""
    bits, lanes = SHAPES[suffix]
    kind = precision(bits).kind
    size = lanes * bits // 8
    misaligned = 15 if lanes > 1 else 0

    @function(symbol=f"{lane.symbol}.{suffix}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        source = Ptr[kind](source_operand(core, op, size, misaligned))
        if unlikely(not source):
            return faulted(core, op)
        target = Ptr[kind](register(core, op.a))
        out = Array[kind, lanes]()
        core.float_flags = 0
        for i in range(lanes):
            out[i] = lane(core, target[i], source[i], u32(op.immediate))
        if core.float_flags and not commit(core):
            return raise_exception(core, op)
        copy_bytes(Ptr[u8](target), Ptr[u8](addressof(out)), size)
        return op + 1

    return handler


@cache
def extreme(bits: int, larger: bool) -> Function:
    """MIN, MAX: the source, unless the target is really smaller or larger."""
    format_ = precision(bits)
    kind, order, flushed = format_.kind, format_.order, _flushed(bits)
    wanted = GREATER if larger else LESS

    @function(symbol=f"emulator.tcg.float{bits}.extreme{int(larger)}", inline="never")
    def lane(core: Ptr[Core], a: kind, b: kind, immediate: u32) -> kind:
        return flushed(core, kind(a) if order(core, a, b, 0) == wanted else kind(b))

    return lane


@cache
def _flushed(bits: int) -> Function:
    """A denormal as a zero of its sign if denormals are zeros."""
    format_ = precision(bits)
    kind = format_.kind
    exponent_mask = format_.exponents << format_.fraction_bits
    sign_bit = 1 << bits - 1

    @function(symbol=f"emulator.tcg.float{bits}.flushed")
    def flushed(core: Ptr[Core], value: kind) -> kind:
        if value & exponent_mask == 0 and core.cpu.mxcsr & 64:
            return kind(value & sign_bit)
        return value

    return flushed


PREDICATES = 8  # EQ, LT, LE, UNORD, and their opposites
QUIET_PREDICATES = 0b10011001  # these are invalid for signaling NaNs only


@cache
def compare(bits: int) -> Function:
    """CMP: all ones if the predicate of the immediate holds."""
    format_ = precision(bits)
    kind, order = format_.kind, format_.order

    @function(symbol=f"emulator.tcg.float{bits}.compare", inline="never")
    def lane(core: Ptr[Core], a: kind, b: kind, immediate: u32) -> kind:
        predicate = immediate & 7
        found = order(core, a, kind(b), u32(QUIET_PREDICATES) >> predicate & 1)
        match predicate & 3:
            case 0:
                holds = found == EQUAL
            case 1:
                holds = found == LESS
            case 2:
                holds = found in (LESS, EQUAL)
            case _:
                holds = found == UNORDERED
        return ~kind(0) if holds != (predicate > 3) else kind(0)

    return lane


@cache
def compare_to_flags(bits: int, quiet: int) -> Function:
    """COMISS, COMISD and the unordered ones."""
    format_ = precision(bits)
    kind, order, size = format_.kind, format_.order, bits // 8

    @function(symbol=f"emulator.tcg.float{bits}.comi{quiet}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        source = source_operand(core, op, size, 0)
        if unlikely(not source):
            return faulted(core, op)
        core.float_flags = 0
        found = order(core, Ptr[kind](register(core, op.a))[0], Ptr[kind](source)[0], quiet)
        if core.float_flags and not commit(core):
            return raise_exception(core, op)
        flags = u64(0)
        if found == UNORDERED:
            flags = ZF | PF | CF
        elif found == LESS:
            flags = CF
        elif found == EQUAL:
            flags = ZF
        set_status(core, flags)
        return op + 1

    return handler


@cache
def rounded(bits: int) -> Function:
    format_ = precision(bits)
    kind, integral = format_.kind, format_.integral

    @function(symbol=f"emulator.tcg.float{bits}.rounded", inline="always")
    def lane(core: Ptr[Core], a: kind, b: kind, immediate: u32) -> kind:
        return integral(core, kind(b), immediate)

    return lane


HANDLERS = {
    name + suffix: lambda form, size, memory, name=name, suffix=suffix: arithmetic(name, suffix)
    for name in OPERATIONS
    for suffix in SHAPES
}
HANDLERS |= {f"SQRT{suffix}": lambda form, size, memory, suffix=suffix: square_roots(suffix) for suffix in SHAPES}


def _lanewise(make, suffix: str, form: Form, size: int, memory: bool) -> Function:
    return lanewise(make(SHAPES[suffix][0]), suffix)


for _suffix in SHAPES:
    HANDLERS[f"MIN{_suffix}"] = partial(_lanewise, partial(extreme, larger=False), _suffix)
    HANDLERS[f"MAX{_suffix}"] = partial(_lanewise, partial(extreme, larger=True), _suffix)
    HANDLERS[f"CMP{_suffix}"] = partial(_lanewise, compare, _suffix)
    HANDLERS[f"ROUND{_suffix}"] = partial(_lanewise, rounded, _suffix)

HANDLERS |= {
    "COMISS": lambda form, size, memory: compare_to_flags(32, 0),
    "COMISD": lambda form, size, memory: compare_to_flags(64, 0),
    "UCOMISS": lambda form, size, memory: compare_to_flags(32, 1),
    "UCOMISD": lambda form, size, memory: compare_to_flags(64, 1),
}
