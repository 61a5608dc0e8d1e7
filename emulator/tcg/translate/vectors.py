"""SSE instructions that move data, and those of integer lanes: none of them looks at MXCSR or changes flags.

XMM registers stay in `Core`; an instruction has its operands in the host's XMM0 and XMM1. An address that is not
aligned where it has to be is left to the handler, which raises #GP.
"""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, function, u32
from emulator.softmmu.structs import READ, WRITE
from emulator.x86.flat import NOTHING, Record

from ..predecode import XMM
from .assembler import BYTES, MAP_0F, NOT_EQUAL, put, with_core, with_memory, with_register
from .instructions import ENCODING, put_immediate
from .layout import ADDRESS, VALUE, Translation
from .memory import linear_address, lookup
from .plans import ALIGNED, QUAD, RM_DOUBLE
from .registers import clobber_flags, store_register, target_register
from .stubs import leave_if

TARGET, SOURCE = 0, 1  # XMM0 and XMM1
LOAD_VECTOR, STORE_VECTOR = MAP_0F | 0x10, MAP_0F | 0x11  # MOVUPS
TEST_BYTE = 0xF6 | BYTES
SIZE = 32  # that needs no prefix
NOT_ALIGNED = 15


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
def compute_vector(t: Ptr[Translation], record: Ptr[Record], plan: u32) -> None:
    """A register and what ModRM says, to that register."""
    code = plan & ENCODING | u32(record.opcode)
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
    move_vector(t, STORE_VECTOR, TARGET, u32(record.reg))


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
def sign_mask(t: Ptr[Translation], record: Ptr[Record], plan: u32) -> None:
    """PMOVMSKB: to a general register."""
    move_vector(t, LOAD_VECTOR, SOURCE, u32(record.rm))
    with_register(t, plan & ENCODING | u32(record.opcode), SIZE, target_register(u32(record.reg), VALUE), SOURCE)
    store_register(t, u32(record.reg), VALUE)
