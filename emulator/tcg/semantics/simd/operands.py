"""Operands of MMX and SSE instructions, and the handlers around the operations that compute with them.

An operation is `f(target, source, immediate)` on the addresses of two operands: of registers, or of what memory holds.
So there is one handler for an operation, whatever its operands are. Memory is read before the operation, 16 bytes at an
aligned address unless the form says otherwise (#GP(0), Intel SDM Vol. 2, section 2.4, "Type 4" and others).

Before an MMX instruction a pending x87 exception is delivered; with it all x87 registers become valid and the
stack's top becomes 0 (SDM Vol. 1, section 9.5).
"""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

from emulator.native import Function, Ptr, addressof, function, likely, u8, u16, u32, u64, u128, unlikely
from emulator.softmmu.access import read_block, write_block
from emulator.softmmu.structs import READ, WRITE
from emulator.x86.notation import Form, OperandCode
from emulator.x86.state import Cpu

from ...control import faulted, raised
from ...core import CHECKED, GP, IN_MEMORY, MF, NO_VECTOR, Core, Op
from ...operands import checked_address, direct, effective_address, fault, linear_address, memory_fault
from ..x87.stack import TOP_MASK, error_pending

SIZES = {"b": 1, "w": 2, "d": 4, "q": 8, "ss": 4, "sd": 8, "ps": 16, "pd": 16, "dq": 16}
X87 = Cpu.offset("x87")
MMX_METHODS = ("P", "Q", "N")


def size_of(code: OperandCode) -> int:
    """The bytes of a vector operand in memory."""
    return SIZES[code.memory_type]


def is_mmx(form: Form) -> bool:
    return any(code.method in MMX_METHODS for code in form.operands)


def lane_bytes(form: Form) -> int:
    """The width of the registers that an instruction computes with."""
    return 8 if form.operands[0].method in MMX_METHODS else 16


def misaligned_bits(form: Form, code: OperandCode) -> int:
    """The bits of a memory operand's address that have to be 0."""
    return 15 if size_of(code) == 16 and "unaligned" not in form.marks else 0


@function(inline="always")
def register(core: Ptr[Core], place: u16) -> Ptr[u8]:
    return Ptr[u8](u64(core) + place)


@function(inline="never")
def memory_source(core: Ptr[Core], op: Ptr[Op], size: u32, misaligned: u32) -> Ptr[u8]:
    """Where the memory operand, up to 16 bytes, can be read; null is a fault."""
    if likely(not op.flags & CHECKED):
        address = linear_address(core, op)
        if unlikely(address & misaligned != 0):
            fault(core, GP, 0)
            return Ptr[u8](0)
        host = direct(core, READ, address, size)
        if likely(bool(host)):
            return host
    return memory_source_slow(core, op, size, misaligned)


@function(inline="never")
def memory_source_slow(core: Ptr[Core], op: Ptr[Op], size: u32, misaligned: u32) -> Ptr[u8]:
    place = Ptr[u8](addressof(core.scratch))
    if not read_image(core, op, 0, place, size, misaligned):
        return Ptr[u8](0)
    return place


@function(inline="never")
def read_image(core: Ptr[Core], op: Ptr[Op], offset: u64, out: Ptr[u8], size: u32, misaligned: u32) -> bool:
    """Copy up to a page from behind the memory operand's address; false is a fault."""
    start = effective_address(core, op) + offset & op.mask
    address = checked_address(core, op.segment, start, size, READ)
    if core.fault_vector != NO_VECTOR:
        return False
    if address & misaligned:
        return fault(core, GP, 0)
    return read_block(core.mmu, core.mode, address, out, size) or memory_fault(core, op.segment)


@function(inline="never")
def write_image(core: Ptr[Core], op: Ptr[Op], offset: u64, data: Ptr[u8], size: u32, misaligned: u32) -> bool:
    """The same to memory; at a fault nothing was written."""
    start = effective_address(core, op) + offset & op.mask
    address = checked_address(core, op.segment, start, size, WRITE)
    if core.fault_vector != NO_VECTOR:
        return False
    if address & misaligned:
        return fault(core, GP, 0)
    return write_block(core.mmu, core.mode, address, data, size) or memory_fault(core, op.segment)


@function(inline="always")
def source_operand(core: Ptr[Core], op: Ptr[Op], size: u32, misaligned: u32) -> Ptr[u8]:
    """The second operand, in a register or in memory; null is a fault."""
    if op.flags & IN_MEMORY:
        return memory_source(core, op, size, misaligned)
    return register(core, op.b)


@cache
def destination(size: int) -> SimpleNamespace:
    """Stores to memory of 1, 2, 4, 8 or 16 bytes."""
    kind = {1: u8, 2: u16, 4: u32, 8: u64, 16: u128}[size]

    @function(symbol=f"emulator.tcg.simd.store{size}", inline="always")
    def store(core: Ptr[Core], op: Ptr[Op], value: Ptr[u8], misaligned: u32) -> bool:
        if likely(not op.flags & CHECKED):
            address = linear_address(core, op)
            host = direct(core, WRITE, address, size)
            if likely(bool(host) and address & misaligned == 0):
                Ptr[kind](host)[0] = Ptr[kind](value)[0]
                return True
        return write_image(core, op, 0, value, size, misaligned)

    return SimpleNamespace(kind=kind, store=store)


# -- MMX ----------------------------------------------------------------------------------------------------


@function(inline="always")
def enter_mmx(core: Ptr[Core]) -> None:
    """What every MMX instruction but EMMS does to the x87 unit."""
    core.cpu.x87_status &= ~u16(TOP_MASK)
    core.cpu.x87_tags = 0


@function(inline="always")
def written_mmx(core: Ptr[Core], place: u16) -> None:
    """The exponent of a register that was written."""
    core.cpu.x87[(place - X87) >> 4].exponent = 0xFFFF


# -- handlers -----------------------------------------------------------------------------------------------


def computed(operation: Function, form: Form, size: int = 0) -> Function:
    """target = operation(target, source); `size` in bytes is the source's in memory if the form does not tell it."""
    code = form.operands[1]
    if is_mmx(form):
        return _mmx(operation, size or size_of(code))
    return _sse(operation, size or size_of(code), 0 if size else misaligned_bits(form, code))


@cache
def _sse(operation: Function, size: int, misaligned: int) -> Function:
    @function(symbol=f"{operation.symbol}.{size}.{misaligned}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        source = source_operand(core, op, size, misaligned)
        if unlikely(not source):
            return faulted(core, op)
        operation(register(core, op.a), source, u32(op.immediate))
        return op + 1

    return handler


@cache
def _mmx(operation: Function, size: int) -> Function:
    @function(symbol=f"{operation.symbol}.mmx{size}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if unlikely(error_pending(core)):
            return raised(core, op, MF, 0)
        source = source_operand(core, op, size, 0)
        if unlikely(not source):
            return faulted(core, op)
        enter_mmx(core)
        operation(register(core, op.a), source, u32(op.immediate))
        written_mmx(core, op.a)
        return op + 1

    return handler


def shifted(operation: Function, form: Form) -> Function:
    """target = operation(target, the immediate as a 64-bit count)."""
    return _shift_mmx(operation) if is_mmx(form) else _shift_sse(operation)


@cache
def _shift_sse(operation: Function) -> Function:
    @function(symbol=f"{operation.symbol}.immediate")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        operation(register(core, op.a), Ptr[u8](addressof(op.immediate)), 0)
        return op + 1

    return handler


@cache
def _shift_mmx(operation: Function) -> Function:
    @function(symbol=f"{operation.symbol}.immediate.mmx")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if unlikely(error_pending(core)):
            return raised(core, op, MF, 0)
        enter_mmx(core)
        operation(register(core, op.a), Ptr[u8](addressof(op.immediate)), 0)
        written_mmx(core, op.a)
        return op + 1

    return handler


def extracted(operation: Function, form: Form) -> Function:
    """A general register = operation(source, immediate), zero-extended to 64 bits."""
    return _extract_mmx(operation) if is_mmx(form) else _extract_sse(operation)


@cache
def _extract_sse(operation: Function) -> Function:
    @function(symbol=f"{operation.symbol}.sse")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        Ptr[u64](register(core, op.a))[0] = operation(register(core, op.b), u32(op.immediate))
        return op + 1

    return handler


@cache
def _extract_mmx(operation: Function) -> Function:
    @function(symbol=f"{operation.symbol}.mmx")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if unlikely(error_pending(core)):
            return raised(core, op, MF, 0)
        enter_mmx(core)
        Ptr[u64](register(core, op.a))[0] = operation(register(core, op.b), u32(op.immediate))
        return op + 1

    return handler
