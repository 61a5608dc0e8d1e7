"""Moves between XMM, MMX and general registers and memory (Intel SDM Vol. 1, sections 9.4.1, 10.4.1, 10.4.6, 11.4.1,
12.3 and 12.10.2).
"""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache

from emulator.native import Function, Ptr, function, u8, u32, u64, u128, unlikely
from emulator.softmmu.access import can_access, write_slow
from emulator.softmmu.structs import WRITE
from emulator.x86.notation import Form

from ...control import faulted, raised
from ...core import MF, NO_VECTOR, Core, Op
from ...operands import checked_address, memory_fault
from ..x87.stack import error_pending
from .operands import (
    computed,
    destination,
    enter_mmx,
    is_mmx,
    misaligned_bits,
    register,
    size_of,
    written_mmx,
)

UNIT = "simd"
RDI = 7


# -- loads: what becomes of the target ----------------------------------------------------------------------


@function(inline="always")
def whole(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
    Ptr[u128](target)[0] = Ptr[u128](source)[0]


@cache
def low_part(size: int, clears: bool) -> Function:
    """The low bytes; the others become 0 or stay."""
    kind = destination(size).kind

    @function(symbol=f"emulator.tcg.move_low{size}.{int(clears)}", inline="always")
    def operation(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
        value = Ptr[kind](source)[0]
        if clears:
            Ptr[u128](target)[0] = u128(value)
        else:
            Ptr[kind](target)[0] = value

    return operation


@function(inline="always")
def mmx_from_low(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
    """MOVD to an MMX register."""
    Ptr[u64](target)[0] = u64(Ptr[u32](source)[0])


@function(inline="always")
def quadword(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
    Ptr[u64](target)[0] = Ptr[u64](source)[0]


@function(inline="always")
def to_high(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
    """MOVHPS, MOVHPD, MOVLHPS."""
    Ptr[u64](target)[1] = Ptr[u64](source)[0]


@function(inline="always")
def high_to_low(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
    """MOVHLPS."""
    Ptr[u64](target)[0] = Ptr[u64](source)[1]


@function(inline="always")
def duplicate_low_double(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
    value = Ptr[u64](source)[0]
    Ptr[u64](target)[0] = value
    Ptr[u64](target)[1] = value


@cache
def duplicate_singles(first: int) -> Function:
    """MOVSLDUP, MOVSHDUP."""

    @function(symbol=f"emulator.tcg.duplicate_singles{first}", inline="always")
    def operation(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
        low = Ptr[u32](source)[first]
        high = Ptr[u32](source)[first + 2]
        Ptr[u32](target)[0] = low
        Ptr[u32](target)[1] = low
        Ptr[u32](target)[2] = high
        Ptr[u32](target)[3] = high

    return operation


# -- stores -------------------------------------------------------------------------------------------------


@cache
def store(size: int, misaligned: int, offset: int = 0) -> Function:
    """Memory = bytes of an XMM register."""
    put = destination(size).store

    @function(symbol=f"emulator.tcg.simd.store{size}.{misaligned}.{offset}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if unlikely(not put(core, op, register(core, op.b) + offset, misaligned)):
            return faulted(core, op)
        return op + 1

    return handler


@cache
def store_mmx(size: int) -> Function:
    put = destination(size).store

    @function(symbol=f"emulator.tcg.simd.store_mmx{size}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if unlikely(error_pending(core)):
            return raised(core, op, MF, 0)
        if unlikely(not put(core, op, register(core, op.b), 0)):
            return faulted(core, op)
        enter_mmx(core)
        return op + 1

    return handler


@cache
def to_register(size: int, mmx: bool) -> Function:
    """A general register = the low 4 or 8 bytes."""
    kind = destination(size).kind

    @function(symbol=f"emulator.tcg.simd.to_register{size}.{int(mmx)}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if mmx:
            if unlikely(error_pending(core)):
                return raised(core, op, MF, 0)
            enter_mmx(core)
        Ptr[u64](register(core, op.a))[0] = u64(Ptr[kind](register(core, op.b))[0])
        return op + 1

    return handler


@cache
def copy(operation: Function, to_mmx: bool = False) -> Function:
    """From register to register, for forms whose first operand is that of ModRM.rm."""

    @function(symbol=f"{operation.symbol}.copy.{int(to_mmx)}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if to_mmx:
            if unlikely(error_pending(core)):
                return raised(core, op, MF, 0)
            enter_mmx(core)
        operation(register(core, op.a), register(core, op.b), 0)
        if to_mmx:
            written_mmx(core, op.a)
        return op + 1

    return handler


# -- mnemonics ----------------------------------------------------------------------------------------------


def move_vector(form: Form, size: int, memory: bool) -> Function:
    """MOVAPS and its kin, loads and stores."""
    target = form.operands[0]
    if target.method in ("W", "M"):
        return store(16, misaligned_bits(form, target)) if memory else copy(whole)
    return computed(whole, form)


def move_scalar(form: Form, size: int, memory: bool) -> Function:
    """MOVSS, MOVSD: a load clears the rest of the register, a move between registers keeps it."""
    target = form.operands[0]
    bytes_ = size_of(target)
    if target.method == "W":
        return store(bytes_, 0) if memory else copy(low_part(bytes_, False))
    return computed(low_part(bytes_, memory), form)


def move_quadword(form: Form, size: int, memory: bool) -> Function:
    """MOVQ between XMM, or between MMX registers, and memory."""
    target = form.operands[0]
    if target.method == "W":
        return store(8, 0) if memory else copy(low_part(8, True))
    if target.method == "Q":
        return store_mmx(8) if memory else copy(quadword, True)
    return computed(quadword if is_mmx(form) else low_part(8, True), form)


def move_general(form: Form, size: int, memory: bool) -> Function:
    """MOVD, MOVQ between general registers and others."""
    bytes_ = 8 if size == 64 else 4
    if form.operands[0].method == "E":
        mmx = is_mmx(form)
        if memory:
            return store_mmx(bytes_) if mmx else store(bytes_, 0)
        return to_register(bytes_, mmx)
    if is_mmx(form):
        return computed(quadword if bytes_ == 8 else mmx_from_low, form, bytes_)
    return computed(low_part(bytes_, True), form, bytes_)


def move_low(form: Form, size: int, memory: bool) -> Function:
    return store(8, 0) if form.operands[0].method == "M" else computed(quadword, form)


def move_high(form: Form, size: int, memory: bool) -> Function:
    return store(8, 0, 8) if form.operands[0].method == "M" else computed(to_high, form)


def store_non_temporal(form: Form, size: int, memory: bool) -> Function:
    """MOVNTPS, MOVNTPD, MOVNTDQ, MOVNTQ: stores, as there is no cache."""
    return store_mmx(8) if is_mmx(form) else store(16, 15)


@function
def xmm_from_mmx(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """MOVQ2DQ."""
    if unlikely(error_pending(core)):
        return raised(core, op, MF, 0)
    enter_mmx(core)
    Ptr[u128](register(core, op.a))[0] = u128(Ptr[u64](register(core, op.b))[0])
    return op + 1


@cache
def store_masked(width: int) -> Function:
    """MASKMOVQ, MASKMOVDQU: to DS:rDI the bytes whose mask has bit 7 set; the others are not accessed."""

    @function(symbol=f"emulator.tcg.maskmov{width}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if width == 8 and error_pending(core):
            return raised(core, op, MF, 0)
        start = core.cpu.registers[RDI] & op.mask
        data = register(core, op.a)
        mask = register(core, op.b)
        address = checked_address(core, op.segment, start, width, WRITE)
        if core.fault_vector != NO_VECTOR:
            return faulted(core, op)
        for i in range(width):
            if mask[i] & 0x80 and not can_access(core.mmu, WRITE, core.mode, address + i & core.mmu.linear_mask, 1):
                memory_fault(core, op.segment)
                return faulted(core, op)
        for i in range(width):
            if mask[i] & 0x80:
                write_slow(core.mmu, core.mode, address + i & core.mmu.linear_mask, 1, u64(data[i]))
        if width == 8:
            enter_mmx(core)
        return op + 1

    return handler


HANDLERS = dict.fromkeys(("MOVUPS", "MOVUPD", "MOVAPS", "MOVAPD", "MOVDQA", "MOVDQU", "LDDQU", "MOVNTDQA"), move_vector)
HANDLERS |= dict.fromkeys(("MOVSS", "MOVSD"), move_scalar)
HANDLERS |= dict.fromkeys(("MOVLPS", "MOVLPD"), move_low)
HANDLERS |= dict.fromkeys(("MOVHPS", "MOVHPD"), move_high)
HANDLERS |= dict.fromkeys(("MOVNTPS", "MOVNTPD", "MOVNTDQ", "MOVNTQ"), store_non_temporal)
HANDLERS |= {
    "MOVQ": move_quadword,
    "MOVD": move_general,
    "MOVHLPS": lambda form, size, memory: computed(high_to_low, form),
    "MOVLHPS": lambda form, size, memory: computed(to_high, form),
    "MOVDDUP": lambda form, size, memory: computed(duplicate_low_double, form),
    "MOVSLDUP": lambda form, size, memory: computed(duplicate_singles(0), form),
    "MOVSHDUP": lambda form, size, memory: computed(duplicate_singles(1), form),
    "MOVQ2DQ": lambda form, size, memory: xmm_from_mmx,
    "MOVDQ2Q": lambda form, size, memory: copy(quadword, True),
    "MASKMOVQ": lambda form, size, memory: store_masked(8),
    "MASKMOVDQU": lambda form, size, memory: store_masked(16),
}
