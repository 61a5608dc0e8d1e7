"""Memory operands: their linear address, and the TLB lookup in line (`operands.direct` in machine code).

Behind a lookup R14 is the operand's host address, and the flags are in AX. A miss leaves to the instruction's handler.
"""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, function, i32, u32, u64
from emulator.softmmu.structs import PAGE_SHIFT, PAGE_SIZE, READ, TLB_SLOTS, TlbEntry
from emulator.x86.flat import NOTHING, Record
from emulator.x86.instruction import FS

from ..core import Core
from ..predecode import ZERO
from .assembler import (
    ABOVE,
    ADD,
    EQUAL,
    GROUP_1,
    GROUP_1_BYTE,
    LEA,
    LOAD,
    SHIFT,
    SUB,
    TO_AND,
    TO_CMP,
    TO_SHR,
    fits,
    number,
    put,
    with_core,
    with_memory,
    with_register,
    with_sum,
)
from .layout import ADDRESS, NO_REGISTER, VALUE, Translation
from .registers import clobber_flags, load_register
from .stubs import leave_if

RIP = 16
ENTRY_SHIFT = 5
ENTRY_MASK = TLB_SLOTS - 1 << ENTRY_SHIFT
OPEN_SEGMENTS = Core.offset("open_segments")
READS, WRITES = Core.offset("reads"), Core.offset("writes")
TAG, PAGE_HOST = TlbEntry.offset("tag"), TlbEntry.offset("host")
assert TlbEntry.size == 1 << ENTRY_SHIFT


@function
def load_address(t: Ptr[Translation], record: Ptr[Record], target: u32, size: u32) -> None:
    """LEA: the offset in the segment, with `size` bits of it. Flags stay."""
    displacement = t.op.displacement
    base: u32 = NO_REGISTER
    index: u32 = NO_REGISTER
    scale: u32 = 0
    if record.base != NOTHING and record.base != RIP:
        base = load_register(t, u32(record.base), ADDRESS)
    if record.index != NOTHING:
        index = load_register(t, u32(record.index), VALUE)
        scale = u32(t.op.scale)
    if not fits(displacement):  # relative to RIP, or an address in the instruction: no register is in it
        number(t, target, displacement if size == 64 else u64(u32(displacement)))
    elif base == NO_REGISTER or index != NO_REGISTER:
        with_sum(t, LEA, size, target, base, index, scale, i32(displacement))
    else:
        with_memory(t, LEA, size, target, base, i32(displacement))


@function
def linear_address(t: Ptr[Translation], record: Ptr[Record]) -> None:
    """R14 becomes that of the memory operand. In 32-bit code it has 32 bits; a segment with a limit is left to T0."""
    load_address(t, record, ADDRESS, u32(record.address_size))
    if t.op.segment_base != ZERO:
        clobber_flags(t)
        if t.bits == 32:
            with_core(t, GROUP_1_BYTE, 32, TO_CMP, OPEN_SEGMENTS + (u32(t.op.segment) - FS) * 4)
            put(t, 0, 1)
            leave_if(t, EQUAL)
        with_core(t, ADD, t.bits, ADDRESS, u32(t.op.segment_base))


@function
def operand(t: Ptr[Translation], record: Ptr[Record], access: u32, size: u32) -> None:
    """The memory operand of an instruction, of `size` bits."""
    linear_address(t, record)
    lookup(t, access, size)


@function(inline="never")
def lookup(t: Ptr[Translation], access: u32, size: u32) -> None:
    """From the linear address in R14 to the host's."""
    clobber_flags(t)
    with_register(t, LOAD, 64, VALUE, ADDRESS)
    with_register(t, SHIFT, 64, TO_SHR, VALUE)
    put(t, PAGE_SHIFT - ENTRY_SHIFT, 1)
    with_register(t, GROUP_1, 32, TO_AND, VALUE)
    put(t, ENTRY_MASK, 4)
    with_core(t, ADD, 64, VALUE, READS if access == READ else WRITES)
    with_memory(t, SUB, 64, ADDRESS, VALUE, TAG)
    with_register(t, GROUP_1, 64, TO_CMP, ADDRESS)
    put(t, PAGE_SIZE - (size >> 3), 4)
    leave_if(t, ABOVE)
    with_memory(t, ADD, 64, ADDRESS, VALUE, PAGE_HOST)
