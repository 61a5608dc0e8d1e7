"""The stack and branches. A branch goes to an op of another block, and from there to its `code`: translated, or the way
back to its handler.
"""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, function, i32, u32, u64
from emulator.softmmu.structs import READ, WRITE
from emulator.x86.flat import NOTHING, Record

from ..blocks import jump_slot
from ..control import SAME_PAGE, following, valid_target
from ..core import JUMP_SLOTS, Core, Jump, Op
from .assembler import (
    CMP,
    EQUAL,
    GROUP_1,
    GROUP_5,
    LEA,
    LOAD,
    MOVE_IMMEDIATE,
    NOT_EQUAL,
    SHIFT,
    STORE,
    TEST,
    TO_AND,
    TO_JUMP,
    TO_SHR,
    XOR,
    fits,
    jump,
    number,
    put,
    relative,
    with_core,
    with_memory,
    with_register,
    with_sum,
)
from .layout import ADDRESS, BRANCHES, CORE, HOST, VALUE, Translation
from .memory import lookup, operand
from .registers import clobber_flags, load_flags, load_register, save_flags, store_register, target_register
from .stubs import CODE, add_stub, leave_if

RSP, RBP = 4, 5
STACK = int(HOST[RSP])
LINK = Op.offset("link")
JUMPS, TAG = Core.offset("jumps"), Core.offset("code_tag")
SLOT_RIP, SLOT_TAG, SLOT_OP = Jump.offset("rip"), Jump.offset("tag"), Jump.offset("op")
TARGET = Core.offset("target")
assert Jump.size == 24


# -- the stack ----------------------------------------------------------------------------------------------


@function
def slot_size(t: Ptr[Translation]) -> i32:
    return i32(t.bits >> 3)


@function
def push_place(t: Ptr[Translation]) -> None:
    """Where the next 8 or 4 bytes go: R14 is their host address."""
    with_memory(t, LEA, t.bits, ADDRESS, STACK, -slot_size(t))
    lookup(t, WRITE, t.bits)


@function
def top_place(t: Ptr[Translation], pointer: u32) -> None:
    """R14 becomes the host address of what the stack pointer, or EBP for LEAVE, points to."""
    with_register(t, LOAD, t.bits, ADDRESS, pointer)
    lookup(t, READ, t.bits)


@function
def move_stack(t: Ptr[Translation], change: i32) -> None:
    with_memory(t, LEA, t.bits, STACK, STACK, change)


@function
def push_register(t: Ptr[Translation], reg: u32) -> None:
    """One of the host's, to R14."""
    with_memory(t, STORE, t.bits, reg, ADDRESS, 0)
    move_stack(t, -slot_size(t))


@function
def push(t: Ptr[Translation], record: Ptr[Record]) -> None:
    push_place(t)
    push_register(t, load_register(t, u32(record.reg), VALUE))


@function
def push_number(t: Ptr[Translation], value: u64) -> None:
    push_place(t)
    if t.bits == 32 or fits(value):
        with_memory(t, MOVE_IMMEDIATE, t.bits, 0, ADDRESS, 0)
        put(t, value, 4)
        move_stack(t, -slot_size(t))
    else:
        number(t, VALUE, value)
        push_register(t, VALUE)


@function
def push_operand(t: Ptr[Translation], record: Ptr[Record]) -> None:
    """PUSH of ModRM's operand: it is read before the stack is looked for."""
    load_operand(t, record)
    with_core(t, STORE, 64, VALUE, TARGET)
    push_place(t)
    with_core(t, LOAD, 64, VALUE, TARGET)
    push_register(t, VALUE)


@function
def pop(t: Ptr[Translation], record: Ptr[Record]) -> None:
    top_place(t, STACK)
    move_stack(t, slot_size(t))
    with_memory(t, LOAD, t.bits, target_register(u32(record.reg), VALUE), ADDRESS, 0)
    store_register(t, u32(record.reg), VALUE)


@function
def leave_frame(t: Ptr[Translation]) -> None:
    """LEAVE."""
    top_place(t, u32(HOST[RBP]))
    with_memory(t, LEA, t.bits, STACK, u32(HOST[RBP]), slot_size(t))
    with_memory(t, LOAD, t.bits, u32(HOST[RBP]), ADDRESS, 0)


# -- direct branches ----------------------------------------------------------------------------------------


@function
def same_page(op: Ptr[Op]) -> bool:
    """Whether a direct branch stays in its page: then it has a link, else its target is in `jumps`."""
    return (op.rip ^ op.immediate) & SAME_PAGE == 0


@function
def slot_offset(core: Ptr[Core], rip: u64) -> u32:
    return u32(u64(jump_slot(core, rip)) - u64(core))


@function(inline="never")
def find_target(t: Ptr[Translation]) -> None:
    """R14 becomes the op that the current direct branch goes to; where none is known, leave to the branch."""
    op = t.op
    clobber_flags(t)
    if same_page(op) and op.link:
        number(t, ADDRESS, op.link)
    elif same_page(op):
        number(t, ADDRESS, u64(op))
        with_memory(t, LOAD, 64, ADDRESS, ADDRESS, LINK)
        with_register(t, TEST, 64, ADDRESS, ADDRESS)
        leave_if(t, EQUAL)
    else:
        slot = slot_offset(t.core, op.immediate)
        number(t, VALUE, op.immediate)
        with_core(t, CMP, 64, VALUE, slot + SLOT_RIP)
        leave_if(t, NOT_EQUAL)
        with_core(t, LOAD, 64, VALUE, TAG)
        with_core(t, CMP, 64, VALUE, slot + SLOT_TAG)
        leave_if(t, NOT_EQUAL)
        with_core(t, LOAD, 64, ADDRESS, slot + SLOT_OP)


@function
def enter_op(t: Ptr[Translation]) -> None:
    """Go to the op in R14."""
    with_memory(t, GROUP_5, 32, TO_JUMP, ADDRESS, CODE)


@function
def is_own(t: Ptr[Translation]) -> bool:
    """Whether a branch goes to the begin of its block, and that is translated."""
    return bool(t.entry) and t.op.immediate == t.entry_op.rip


@function
def jump_direct(t: Ptr[Translation]) -> None:
    """JMP, the taken side of Jcc, and the way on behind a block."""
    if is_own(t):
        save_flags(t)
        jump(t, t.entry)
    else:
        find_target(t)
        enter_op(t)


@function
def branch(t: Ptr[Translation], condition: u32) -> None:
    """Jcc. To the block itself it jumps at once, else by way of a stub."""
    load_flags(t)
    own = is_own(t)
    if own:
        save_flags(t)
    put(t, 0x0F, 1)
    put(t, 0x80 | condition, 1)
    if own:
        relative(t, t.entry)
    else:
        put(t, 0, 4)
        add_stub(t, BRANCHES)


@function
def call(t: Ptr[Translation]) -> None:
    """Where the target is, and whether it is known, comes first: behind the push nothing may be left."""
    op = t.op
    known = same_page(op) and op.link
    if not known:
        find_target(t)
        with_core(t, STORE, 64, ADDRESS, TARGET)
    push_number(t, following(op))
    if known:
        number(t, ADDRESS, op.link)
    else:
        with_core(t, LOAD, 64, ADDRESS, TARGET)
    enter_op(t)


# -- indirect branches --------------------------------------------------------------------------------------


@function(inline="never")
def find_indirect(t: Ptr[Translation]) -> None:
    """R14 becomes the op at the address in R15 (`blocks.jump_hit`); one that is not known is left to the branch."""
    clobber_flags(t)
    with_register(t, LOAD, 64, ADDRESS, VALUE)
    with_register(t, SHIFT, 64, TO_SHR, ADDRESS)
    put(t, 12, 1)
    with_register(t, XOR, 64, ADDRESS, VALUE)
    with_register(t, GROUP_1, 32, TO_AND, ADDRESS)
    put(t, JUMP_SLOTS - 1, 4)
    with_sum(t, LEA, 64, ADDRESS, ADDRESS, ADDRESS, 1, 0)
    with_sum(t, CMP, 64, VALUE, CORE, ADDRESS, 3, JUMPS + SLOT_RIP)
    leave_if(t, NOT_EQUAL)
    with_core(t, LOAD, 64, VALUE, TAG)
    with_sum(t, CMP, 64, VALUE, CORE, ADDRESS, 3, JUMPS + SLOT_TAG)
    leave_if(t, NOT_EQUAL)
    with_sum(t, LOAD, 64, ADDRESS, CORE, ADDRESS, 3, JUMPS + SLOT_OP)


@function
def load_operand(t: Ptr[Translation], record: Ptr[Record]) -> None:
    """R15 becomes the operand of JMP, CALL or PUSH."""
    if record.rm == NOTHING:
        operand(t, record, READ, t.bits)
        with_memory(t, LOAD, t.bits, VALUE, ADDRESS, 0)
    else:
        with_register(t, LOAD, t.bits, VALUE, load_register(t, u32(record.rm), VALUE))


@function
def jump_indirect(t: Ptr[Translation], record: Ptr[Record]) -> None:
    load_operand(t, record)
    find_indirect(t)
    enter_op(t)


@function
def call_indirect(t: Ptr[Translation], record: Ptr[Record]) -> None:
    load_operand(t, record)
    find_indirect(t)
    with_core(t, STORE, 64, ADDRESS, TARGET)
    push_number(t, following(t.op))
    with_core(t, LOAD, 64, ADDRESS, TARGET)
    enter_op(t)


@function
def return_near(t: Ptr[Translation]) -> None:
    """RET, and how much of the stack it releases."""
    top_place(t, STACK)
    with_memory(t, LOAD, t.bits, VALUE, ADDRESS, 0)
    find_indirect(t)
    move_stack(t, slot_size(t) + i32(t.op.immediate))
    enter_op(t)


@function
def is_valid(t: Ptr[Translation]) -> bool:
    """Whether the target of a direct branch is canonical."""
    return valid_target(t.core, t.op.immediate)
