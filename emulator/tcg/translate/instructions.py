"""Instructions that are neither branches nor move the stack."""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, function, i32, u32, u64
from emulator.softmmu.structs import READ, WRITE
from emulator.x86.flat import NOTHING, SHAPES, Record, immediate_size
from emulator.x86.flat_tables import IMMEDIATE_MASK, NO_IMMEDIATE

from .assembler import (
    ABOVE_OR_EQUAL,
    BELOW_OR_EQUAL,
    BYTES,
    CMP,
    GROUP_1,
    GROUP_1_BYTE,
    GROUP_5,
    LOAD,
    MAP_0F,
    NOT_EQUAL,
    SHIFT,
    SIGN_EXTEND,
    STORE,
    TO_CMP,
    TO_SAR,
    head,
    put,
    with_core,
    with_memory,
    with_register,
)
from .layout import ADDRESS, HOST, IN_CORE, IN_FLAGS, RAX, RDX, VALUE, Translation
from .memory import load_address, operand
from .plans import (
    IN_REGISTERS,
    KEEPS_FLAGS,
    ON_BYTES,
    READS_FLAGS,
    READS_REG,
    RM_BYTE,
    RM_DOUBLE,
    RM_WORD,
    WRITES_FLAGS,
    WRITES_REG,
    WRITES_RM,
)
from .registers import clobber_flags, load_flags, load_register, store_register, target_register
from .stubs import leave_if

ENCODING = 0x7300  # of a plan: what `assembler.head` takes
TEST_ACCUMULATOR = 0xA8
GROUP_3, MOVE_BYTE, MOVE, EXCHANGE, SWAP = 0xF6, 0xB0, 0xB8, 0x87, MAP_0F | 0xC8
SIGN_EXTEND_BYTE, SIGN_EXTEND_WORD = MAP_0F | 0xBE, MAP_0F | 0xBF
TO_DIV, TO_IDIV = 6, 7
AX, DX = 0, 2  # the guest's


@function
def operand_bits(record: Ptr[Record], plan: u32) -> u32:
    """The size of ModRM's operand."""
    size = u32(record.operand_size)
    if plan & RM_BYTE:
        return 8
    if plan & RM_WORD:
        return 16
    return min(size, 32) if plan & RM_DOUBLE else size


@function(inline="never")
def copy(t: Ptr[Translation], record: Ptr[Record], plan: u32) -> None:
    """An instruction with other registers; its memory operand is at R14."""
    in_memory = record.rm == NOTHING
    if in_memory:
        operand(t, record, WRITE if plan & WRITES_RM else READ, operand_bits(record, plan))
    reg = u32(record.reg) & 7
    if plan & (READS_REG | WRITES_REG):
        reg = load_register(t, u32(record.reg), VALUE)
    if plan & (READS_FLAGS | KEEPS_FLAGS):
        load_flags(t)
    code = plan & ENCODING | u32(record.opcode)
    size = u32(record.operand_size)
    if in_memory:
        with_memory(t, code, size, reg, ADDRESS, 0)
    elif HOST[u32(record.rm)] == IN_CORE and not plan & (WRITES_RM | IN_REGISTERS):
        with_core(t, code, size, reg, u32(record.rm) * 8)
    else:
        with_register(t, code, size, reg, load_register(t, u32(record.rm), ADDRESS))
    put_immediate(t, record)
    if plan & WRITES_REG:
        store_register(t, u32(record.reg), VALUE)
    if plan & WRITES_RM and not in_memory:
        store_register(t, u32(record.rm), ADDRESS)
    if plan & WRITES_FLAGS:
        t.flags = IN_FLAGS


@function
def put_immediate(t: Ptr[Translation], record: Ptr[Record]) -> None:
    """The immediate, as it is in the guest's instruction."""
    kind = i32(SHAPES[u32(record.form)]) & IMMEDIATE_MASK
    if kind != NO_IMMEDIATE:
        put(t, u64(record.immediate), u32(immediate_size(kind, record)))


@function
def accumulate(t: Ptr[Translation], record: Ptr[Record], plan: u32) -> None:
    """Arithmetic of AL, AX, EAX or RAX and an immediate, by the opcodes that have a ModRM byte."""
    if plan & READS_FLAGS:
        load_flags(t)
    wide: u32 = 0 if plan & ON_BYTES else 1
    opcode = u32(record.opcode)
    if opcode >= TEST_ACCUMULATOR:
        with_register(t, GROUP_3 | wide, u32(record.operand_size), 0, u32(HOST[AX]))
    else:
        with_register(t, GROUP_1 - 1 + wide, u32(record.operand_size), opcode >> 3 & 7, u32(HOST[AX]))
    put_immediate(t, record)
    t.flags = IN_FLAGS


@function
def exchange_ax(t: Ptr[Translation], record: Ptr[Record]) -> None:
    """XCHG of a register and rAX."""
    other = load_register(t, u32(record.reg), VALUE)
    with_register(t, EXCHANGE, u32(record.operand_size), u32(HOST[AX]), other)
    store_register(t, u32(record.reg), VALUE)


@function
def load_effective_address(t: Ptr[Translation], record: Ptr[Record]) -> None:
    size = min(u32(record.operand_size), u32(record.address_size))
    target = target_register(u32(record.reg), ADDRESS)
    load_address(t, record, target, size)
    store_register(t, u32(record.reg), ADDRESS)


@function
def move_immediate(t: Ptr[Translation], record: Ptr[Record], plan: u32) -> None:
    """MOV of a register named by the opcode and an immediate of its size."""
    target = load_register(t, u32(record.reg), VALUE)
    opcode: u32 = MOVE_BYTE if plan & BYTES else MOVE
    head(t, opcode | target & 7 | plan & BYTES, u32(record.operand_size), 0, 0, target)
    put_immediate(t, record)
    store_register(t, u32(record.reg), VALUE)


@function
def move_offset(t: Ptr[Translation], record: Ptr[Record], plan: u32) -> None:
    """MOV of rAX and memory at an address in the instruction."""
    size: u32 = 8 if plan & BYTES else u32(record.operand_size)
    access: u32 = WRITE if record.opcode & 2 else READ
    code: u32 = STORE if record.opcode & 2 else LOAD
    operand(t, record, access, size)
    with_memory(t, code - 1 + (u32(record.opcode) & 1) | plan & BYTES, size, u32(HOST[AX]), ADDRESS, 0)


@function
def count(t: Ptr[Translation], record: Ptr[Record]) -> None:
    """INC and DEC of a register named by the opcode, which 64-bit code does not have. CF stays."""
    target = load_register(t, u32(record.reg), VALUE)
    load_flags(t)
    with_register(t, GROUP_5, u32(record.operand_size), u32(record.opcode) >> 3 & 1, target)
    store_register(t, u32(record.reg), VALUE)
    t.flags = IN_FLAGS


@function
def swap_bytes(t: Ptr[Translation], record: Ptr[Record]) -> None:
    target = load_register(t, u32(record.reg), VALUE)
    head(t, SWAP | target & 7, u32(record.operand_size), 0, 0, target)
    store_register(t, u32(record.reg), VALUE)


@function
def widen(t: Ptr[Translation], record: Ptr[Record]) -> None:
    """CBW, CWDE, CDQE."""
    ax = u32(HOST[AX])
    size = u32(record.operand_size)
    code: u32 = SIGN_EXTEND if size == 64 else SIGN_EXTEND_WORD if size == 32 else SIGN_EXTEND_BYTE
    with_register(t, code, size, ax, ax)


@function
def extend_sign(t: Ptr[Translation], record: Ptr[Record]) -> None:
    """CDQ, CQO."""
    size = u32(record.operand_size)
    clobber_flags(t)
    with_register(t, LOAD, size, u32(HOST[DX]), u32(HOST[AX]))
    with_register(t, SHIFT, size, TO_SAR, u32(HOST[DX]))
    put(t, size - 1, 1)


@function
def source(t: Ptr[Translation], record: Ptr[Record], plan: u32, access: u32) -> u32:
    """ModRM's operand where `on_source` finds it: R14 for memory, else a register."""
    if record.rm == NOTHING:
        operand(t, record, access, operand_bits(record, plan))
        return ADDRESS
    return load_register(t, u32(record.rm), ADDRESS)


@function
def on_source(t: Ptr[Translation], record: Ptr[Record], code: u32, reg: u32, found: u32) -> None:
    if record.rm == NOTHING:
        with_memory(t, code, u32(record.operand_size), reg, found, 0)
    else:
        with_register(t, code, u32(record.operand_size), reg, found)


@function
def multiply(t: Ptr[Translation], record: Ptr[Record], plan: u32) -> None:
    """MUL and IMUL of rAX, to rDX and rAX."""
    found = source(t, record, plan, READ)
    with_register(t, LOAD, 64, RAX, u32(HOST[AX]))
    on_source(t, record, plan & ENCODING | u32(record.opcode), u32(record.reg) & 7, found)
    with_register(t, LOAD, 64, u32(HOST[AX]), RAX)
    t.flags = IN_FLAGS


@function
def divide(t: Ptr[Translation], record: Ptr[Record], plan: u32) -> None:
    """DIV, if the quotient fits: the upper half is below the divisor."""
    found = source(t, record, plan, READ)
    clobber_flags(t)
    on_source(t, record, CMP, RDX, found)
    leave_if(t, ABOVE_OR_EQUAL)
    with_register(t, LOAD, 64, RAX, u32(HOST[AX]))
    on_source(t, record, u32(record.opcode), TO_DIV, found)
    with_register(t, LOAD, 64, u32(HOST[AX]), RAX)
    t.flags = IN_FLAGS


@function
def divide_signed(t: Ptr[Translation], record: Ptr[Record], plan: u32) -> None:
    """IDIV of an extended rAX, if the divisor is neither 0 nor -1: the quotient fits then."""
    size = u32(record.operand_size)
    found = source(t, record, plan, READ)
    clobber_flags(t)
    with_register(t, LOAD, size, VALUE, u32(HOST[AX]))
    with_register(t, SHIFT, size, TO_SAR, VALUE)
    put(t, size - 1, 1)
    with_register(t, CMP, size, VALUE, RDX)
    leave_if(t, NOT_EQUAL)
    on_source(t, record, LOAD, VALUE, found)
    with_register(t, GROUP_1_BYTE, size, 0, VALUE)
    put(t, 1, 1)
    with_register(t, GROUP_1_BYTE, size, TO_CMP, VALUE)
    put(t, 1, 1)
    leave_if(t, BELOW_OR_EQUAL)
    with_register(t, LOAD, 64, RAX, u32(HOST[AX]))
    on_source(t, record, u32(record.opcode), TO_IDIV, found)
    with_register(t, LOAD, 64, u32(HOST[AX]), RAX)
    t.flags = IN_FLAGS


@function
def compare_exchange(t: Ptr[Translation], record: Ptr[Record], plan: u32) -> None:
    """CMPXCHG with rAX, whose place is the host's then."""
    found = source(t, record, plan, WRITE)
    reg = load_register(t, u32(record.reg), VALUE)
    with_register(t, LOAD, 64, RAX, u32(HOST[AX]))
    on_source(t, record, plan & ENCODING | u32(record.opcode), reg, found)
    with_register(t, LOAD, 64, u32(HOST[AX]), RAX)
    if record.rm != NOTHING:
        store_register(t, u32(record.rm), ADDRESS)
    t.flags = IN_FLAGS
