"""SSE: moves, integer lanes, and floating-point instructions while MXCSR masks all exceptions and rounds to nearest.

XMM registers stay in `Core`; an instruction has its operands in the host's XMM0 and XMM1. An address that is not
aligned where it has to be is left to the handler, which raises #GP.
"""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, function, u32
from emulator.softmmu.structs import READ, WRITE
from emulator.x86.flat import NOTHING, Record

from ..predecode import XMM
from .assembler import (
    BYTES,
    GROUP_1,
    GROUP_1_BYTE,
    LOAD,
    MAP_0F,
    MOVE_IMMEDIATE,
    NOT_EQUAL,
    TO_AND,
    TO_CMP,
    jump_if,
    patch,
    put,
    with_core,
    with_memory,
    with_register,
)
from .instructions import ENCODING, put_immediate
from .layout import ADDRESS, IN_FLAGS, VALUE, Translation
from .memory import linear_address, lookup, operand
from .plans import ALIGNED, BY_NUMBER, QUAD, RM_DOUBLE, WRITES_FLAGS
from .registers import clobber_flags, load_register, store_register, target_register
from .stubs import FLOATS, MXCSR, MXCSR_GROUP, TO_LOAD, leave_if

TARGET, SOURCE = 0, 1  # XMM0 and XMM1
LOAD_VECTOR, STORE_VECTOR = MAP_0F | 0x10, MAP_0F | 0x11  # MOVUPS
TEST_BYTE = 0xF6 | BYTES
SIZE = 32  # that needs no prefix
NOT_ALIGNED = 15
CONTROLS, USUAL = 0xFFC0, 0x1F80  # of MXCSR: all but the flags; exceptions masked, to nearest, denormals as they are


@function
def move_vector(t: Ptr[Translation], code: u32, host: u32, number: u32) -> None:
    """Between one of the host's registers and the guest's."""
    with_core(t, code, SIZE, host, XMM + number * 16)


@function
def vector_operand(t: Ptr[Translation], record: Ptr[Record], plan: u32, access: u32) -> None:
    """The memory operand: R14 is its host address."""
    linear_address(t, record)
    if plan & ALIGNED:
        clobber_flags(t)
        with_register(t, TEST_BYTE, 8, 0, ADDRESS)
        put(t, NOT_ALIGNED, 1)
        leave_if(t, NOT_EQUAL)
    lookup(t, access, 32 if plan & RM_DOUBLE else 64 if plan & QUAD else 128)


@function
def begin_floats(t: Ptr[Translation]) -> None:
    """The host's MXCSR becomes the guest's until translated code is left, if what it controls is as usual.

    As that is what the host has itself, only the flags differ, and handlers need no other one. With anything unusual
    the instruction is left to its handler.
    """
    if t.floats:
        return
    clobber_flags(t)
    with_core(t, GROUP_1_BYTE, 32, TO_CMP, FLOATS)
    put(t, 0, 1)
    jump_if(t, NOT_EQUAL)
    done = t.out
    with_core(t, LOAD, 32, VALUE, MXCSR)
    with_register(t, GROUP_1, 32, TO_AND, VALUE)
    put(t, CONTROLS, 4)
    with_register(t, GROUP_1, 32, TO_CMP, VALUE)
    put(t, USUAL, 4)
    leave_if(t, NOT_EQUAL)
    with_core(t, MXCSR_GROUP, 32, TO_LOAD, MXCSR)
    with_core(t, MOVE_IMMEDIATE, 32, 0, FLOATS)
    put(t, 1, 4)
    patch(done, t.out)
    t.floats = 1


@function
def compute_vector(t: Ptr[Translation], record: Ptr[Record], plan: u32) -> None:
    """A register and what ModRM says, to that register; a comparison changes the flags instead."""
    code = plan & ENCODING | u32(record.opcode)
    if plan & BY_NUMBER:
        shift_vector(t, record, code)
        return
    in_memory = record.rm == NOTHING
    if in_memory:
        vector_operand(t, record, plan, READ)
    else:
        move_vector(t, LOAD_VECTOR, SOURCE, u32(record.rm))
    move_vector(t, LOAD_VECTOR, TARGET, u32(record.reg))
    if in_memory:
        with_memory(t, code, SIZE, TARGET, ADDRESS, 0)
    else:
        with_register(t, code, SIZE, TARGET, SOURCE)
    put_immediate(t, record)
    if plan & WRITES_FLAGS:
        t.flags = IN_FLAGS
    else:
        move_vector(t, STORE_VECTOR, TARGET, u32(record.reg))


@function
def shift_vector(t: Ptr[Translation], record: Ptr[Record], code: u32) -> None:
    """A shift of lanes by an immediate."""
    move_vector(t, LOAD_VECTOR, TARGET, u32(record.rm))
    with_register(t, code, SIZE, u32(record.reg) & 7, TARGET)
    put_immediate(t, record)
    move_vector(t, STORE_VECTOR, TARGET, u32(record.rm))


@function
def store_vector(t: Ptr[Translation], record: Ptr[Record], plan: u32) -> None:
    """From a register to where ModRM says."""
    code = plan & ENCODING | u32(record.opcode)
    if record.rm == NOTHING:
        vector_operand(t, record, plan, WRITE)
        move_vector(t, LOAD_VECTOR, SOURCE, u32(record.reg))
        with_memory(t, code, SIZE, SOURCE, ADDRESS, 0)
    else:
        move_vector(t, LOAD_VECTOR, SOURCE, u32(record.reg))
        move_vector(t, LOAD_VECTOR, TARGET, u32(record.rm))
        with_register(t, code, SIZE, SOURCE, TARGET)
        move_vector(t, STORE_VECTOR, TARGET, u32(record.rm))


@function
def general_bits(record: Ptr[Record]) -> u32:
    """The size of a general operand, whatever the prefixes that belong to the opcode are."""
    return 64 if record.rex & 8 else 32


@function
def to_general(t: Ptr[Translation], record: Ptr[Record], plan: u32) -> None:
    """PMOVMSKB, MOVMSKPS, CVTSD2SI and the like."""
    code = plan & ENCODING | u32(record.opcode)
    target = target_register(u32(record.reg), VALUE)
    if record.rm == NOTHING:
        vector_operand(t, record, plan, READ)
        with_memory(t, code, general_bits(record), target, ADDRESS, 0)
    else:
        move_vector(t, LOAD_VECTOR, SOURCE, u32(record.rm))
        with_register(t, code, general_bits(record), target, SOURCE)
    store_register(t, u32(record.reg), VALUE)


@function
def from_general(t: Ptr[Translation], record: Ptr[Record], plan: u32) -> None:
    """MOVD, MOVQ and CVTSI2SD of a general register or memory."""
    code = plan & ENCODING | u32(record.opcode)
    size = general_bits(record)
    if record.rm == NOTHING:
        operand(t, record, READ, size)
        move_vector(t, LOAD_VECTOR, TARGET, u32(record.reg))
        with_memory(t, code, size, TARGET, ADDRESS, 0)
    else:
        move_vector(t, LOAD_VECTOR, TARGET, u32(record.reg))
        with_register(t, code, size, TARGET, load_register(t, u32(record.rm), VALUE))
    move_vector(t, STORE_VECTOR, TARGET, u32(record.reg))


@function
def store_general(t: Ptr[Translation], record: Ptr[Record], plan: u32) -> None:
    """MOVD, MOVQ to a general register or memory."""
    code = plan & ENCODING | u32(record.opcode)
    size = general_bits(record)
    if record.rm == NOTHING:
        operand(t, record, WRITE, size)
        move_vector(t, LOAD_VECTOR, SOURCE, u32(record.reg))
        with_memory(t, code, size, SOURCE, ADDRESS, 0)
    else:
        move_vector(t, LOAD_VECTOR, SOURCE, u32(record.reg))
        with_register(t, code, size, SOURCE, target_register(u32(record.rm), VALUE))
        store_register(t, u32(record.rm), VALUE)
