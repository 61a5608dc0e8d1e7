"""Conversions between integers, single and double precision (Intel SDM Vol. 1, sections 10.4.4, 11.4.1.6, 11.4.2).

A conversion of one lane is `f(core, value) -> value`, which may note exceptions in `Core.float_flags`.
"""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache

from emulator.native import (
    Array,
    Function,
    Ptr,
    addressof,
    copy_bytes,
    f64,
    float_from_bits,
    float_to_bits,
    function,
    i32,
    i64,
    u8,
    u32,
    u64,
    unlikely,
)
from emulator.x86.notation import Form

from ...control import faulted, raised
from ...core import IN_MEMORY, MF, Core, Op
from ...softfloat.integers import from_integer, to_integer
from ...softfloat.number import (
    DENORMAL,
    INEXACT,
    INVALID,
    QUIET,
    SIGNALING,
    TRUNCATE,
    Context,
    Exact,
    Number,
    set_exact,
)
from ...softfloat.rounding import round_exact
from ..x87.stack import error_pending
from .exceptions import INEXACT_MASKED, commit, raise_exception
from .operands import enter_mmx, misaligned_bits, register, size_of, source_operand, written_mmx
from .precision import precision

UNIT = "float"


# -- one lane -----------------------------------------------------------------------------------------------


@cache
def between(bits: int) -> Function:
    """To a format of `bits` from the other one."""
    source_format, format_ = precision(96 - bits), precision(bits)
    source, kind = source_format.kind, format_.kind
    begin_lane, operand, pack = format_.begin_lane, source_format.operand, format_.pack
    quiet_bit = format_.quiet_bit

    @function(symbol=f"emulator.tcg.convert.float{bits}", inline="never")
    def convert(core: Ptr[Core], value: source) -> kind:
        context = Context()
        number = Number()
        result = Exact()
        begin_lane(core, context)
        operand(context, source(value), number)
        set_exact(number, result)
        if number.kind >= QUIET:
            if number.kind == SIGNALING:
                core.float_flags |= INVALID
            return kind(pack(result)) | quiet_bit
        if number.denormal:
            context.flags |= DENORMAL
        round_exact(context, result)
        core.float_flags |= context.flags
        return kind(pack(result))

    return convert


@cache
def of_integer(source: type, bits: int) -> Function:
    format_ = precision(bits)
    kind, begin_lane, pack = format_.kind, format_.begin_lane, format_.pack

    @function(symbol=f"emulator.tcg.convert.{source}.float{bits}")
    def convert(core: Ptr[Core], value: source) -> kind:
        context = Context()
        result = Exact()
        begin_lane(core, context)
        from_integer(i64(source(value)), result)
        round_exact(context, result)
        core.float_flags |= context.flags
        return kind(pack(result))

    return convert


@function(symbol="emulator.tcg.convert.i32.float64.always_exact", inline="always")
def double_of_integer(core: Ptr[Core], value: i32) -> u64:
    return float_to_bits(f64(value))


@cache
def integer_of(bits: int, target: type, truncate: bool) -> Function:
    """A signed integer, by the rounding mode or towards zero. Denormals raise nothing but the inexact exception."""
    format_ = precision(bits)
    kind, begin_lane, operand = format_.kind, format_.begin_lane, format_.operand
    target_bits = target.bits

    @function(symbol=f"emulator.tcg.convert.float{bits}.{target}.exactly{int(truncate)}", inline="never")
    def exactly(core: Ptr[Core], value: kind) -> target:
        context = Context()
        number = Number()
        result = Exact()
        begin_lane(core, context)
        operand(context, kind(value), number)
        if truncate:
            context.mode = TRUNCATE
        set_exact(number, result)
        found = target(to_integer(context, result, target_bits))
        core.float_flags |= context.flags
        return found

    if not (truncate and bits == 64):
        return exactly
    limit = float(1 << target_bits - 1)

    @function(symbol=f"emulator.tcg.convert.float{bits}.{target}.truncated", inline="always")
    def convert(core: Ptr[Core], value: kind) -> target:
        """On the host if the inexact exception would change nothing."""
        number = float_from_bits(kind(value))
        if core.cpu.mxcsr & (INEXACT | INEXACT_MASKED) == INEXACT | INEXACT_MASKED and -limit < number < limit:
            return target(number)
        return exactly(core, value)

    return convert


# -- handlers -----------------------------------------------------------------------------------------------


@cache
def packed(
    lane: Function, source: type, target: type, lanes: int, size: int, misaligned: int, clears: bool
) -> Function:
    """Lanes of an XMM register from those of an XMM register, memory or a general register."""
    written = lanes * target.size

    @function(symbol=f"{lane.symbol}.x{lanes}.{misaligned}.{int(clears)}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        operand = Ptr[source](source_operand(core, op, size, misaligned))
        if unlikely(not operand):
            return faulted(core, op)
        out = Array[target, lanes]()
        core.float_flags = 0
        for i in range(lanes):
            out[i] = lane(core, operand[i])
        if core.float_flags and not commit(core):
            return raise_exception(core, op)
        place = register(core, op.a)
        copy_bytes(place, Ptr[u8](addressof(out)), written)
        if clears:
            Ptr[u64](place)[1] = 0
        return op + 1

    return handler


@cache
def from_mmx(lane: Function, target: type) -> Function:
    """CVTPI2PS, CVTPI2PD: no MMX instructions if their operand is in memory."""
    written = 2 * target.size

    @function(symbol=f"{lane.symbol}.from_mmx")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        mmx = not op.flags & IN_MEMORY
        if mmx and error_pending(core):
            return raised(core, op, MF, 0)
        operand = Ptr[i32](source_operand(core, op, 8, 0))
        if unlikely(not operand):
            return faulted(core, op)
        out = Array[target, 2]()
        core.float_flags = 0
        for i in range(2):
            out[i] = lane(core, operand[i])
        if mmx:
            enter_mmx(core)
        if core.float_flags and not commit(core):
            return raise_exception(core, op)
        copy_bytes(register(core, op.a), Ptr[u8](addressof(out)), written)
        return op + 1

    return handler


@cache
def to_mmx(lane: Function, source: type, misaligned: int) -> Function:
    """CVTPS2PI, CVTPD2PI and the truncating ones."""
    size = 2 * source.size

    @function(symbol=f"{lane.symbol}.to_mmx")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if error_pending(core):
            return raised(core, op, MF, 0)
        operand = Ptr[source](source_operand(core, op, size, misaligned))
        if unlikely(not operand):
            return faulted(core, op)
        out = Array[i32, 2]()
        core.float_flags = 0
        for i in range(2):
            out[i] = lane(core, operand[i])
        enter_mmx(core)
        if core.float_flags and not commit(core):
            return raise_exception(core, op)
        copy_bytes(register(core, op.a), Ptr[u8](addressof(out)), 8)
        written_mmx(core, op.a)
        return op + 1

    return handler


@cache
def to_general(lane: Function, source: type, target: type) -> Function:
    """CVTSS2SI and its kin."""
    size = source.size
    unsigned = {i32: u32, i64: u64}[target]

    @function(symbol=f"{lane.symbol}.to_general")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        operand = Ptr[source](source_operand(core, op, size, 0))
        if unlikely(not operand):
            return faulted(core, op)
        core.float_flags = 0
        value = u64(unsigned(lane(core, operand[0])))
        if core.float_flags and not commit(core):
            return raise_exception(core, op)
        Ptr[u64](register(core, op.a))[0] = value
        return op + 1

    return handler


def _packed(lane: Function, source: type, target: type, lanes: int, clears: bool = False):
    def make(form: Form, size: int, memory: bool) -> Function:
        code = form.operands[1]
        return packed(lane, source, target, lanes, size_of(code), misaligned_bits(form, code), clears)

    return make


def _from_general(bits: int):
    def make(form: Form, size: int, memory: bool) -> Function:
        source = i64 if size == 64 else i32
        lane = double_of_integer if (bits, source) == (64, i32) else of_integer(source, bits)
        return packed(lane, source, precision(bits).kind, 1, source.size, 0, False)

    return make


def _to_general(bits: int, truncate: bool):
    def make(form: Form, size: int, memory: bool) -> Function:
        target = i64 if size == 64 else i32
        return to_general(integer_of(bits, target, truncate), precision(bits).kind, target)

    return make


def _to_mmx(bits: int, truncate: bool):
    def make(form: Form, size: int, memory: bool) -> Function:
        return to_mmx(integer_of(bits, i32, truncate), precision(bits).kind, 15 if bits == 64 else 0)

    return make


HANDLERS = {
    "CVTPS2PD": _packed(between(64), u32, u64, 2),
    "CVTSS2SD": _packed(between(64), u32, u64, 1),
    "CVTPD2PS": _packed(between(32), u64, u32, 2, clears=True),
    "CVTSD2SS": _packed(between(32), u64, u32, 1),
    "CVTDQ2PS": _packed(of_integer(i32, 32), i32, u32, 4),
    "CVTDQ2PD": _packed(double_of_integer, i32, u64, 2),
    "CVTPS2DQ": _packed(integer_of(32, i32, False), u32, i32, 4),
    "CVTTPS2DQ": _packed(integer_of(32, i32, True), u32, i32, 4),
    "CVTPD2DQ": _packed(integer_of(64, i32, False), u64, i32, 2, clears=True),
    "CVTTPD2DQ": _packed(integer_of(64, i32, True), u64, i32, 2, clears=True),
    "CVTPI2PS": lambda form, size, memory: from_mmx(of_integer(i32, 32), u32),
    "CVTPI2PD": lambda form, size, memory: from_mmx(double_of_integer, u64),
    "CVTPS2PI": _to_mmx(32, False),
    "CVTTPS2PI": _to_mmx(32, True),
    "CVTPD2PI": _to_mmx(64, False),
    "CVTTPD2PI": _to_mmx(64, True),
    "CVTSI2SS": _from_general(32),
    "CVTSI2SD": _from_general(64),
    "CVTSS2SI": _to_general(32, False),
    "CVTTSS2SI": _to_general(32, True),
    "CVTSD2SI": _to_general(64, False),
    "CVTTSD2SI": _to_general(64, True),
}
