"""A block: what of it is translated, one instruction after another, and how it is entered.

`entered` is the op in front of a block. While the block is cold it counts (`fixed.count`); then its handler is the
door to translated code, which fetches the guest's registers, and `Op.code` is where other translated code jumps.
Behind an instruction that only its handler can execute, translated code is entered again at the next op, whose handler
becomes the door as well; but only if it is worth the way.
"""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Array, Ptr, addressof, function, i32, u8, u32, u64
from emulator.softmmu.physical import find_range
from emulator.x86.flat import NOTHING, Record, decode_flat
from emulator.x86.instruction import FS

from ..core import CHECKED, CODE_32, CODE_64, CODE_SIZE, EMULATED, FLAT_DATA, MAX_BLOCK, NO_SSE, SWITCHED, Core, Op
from ..predecode import PASS, STALE
from .assembler import GROUP_1_BYTE, NOT_EQUAL, TO_CMP, jump_if, patch, put, with_core
from .control import (
    branch,
    call,
    call_indirect,
    is_valid,
    jump_direct,
    jump_indirect,
    leave_frame,
    pop,
    push,
    push_number,
    push_operand,
    return_near,
)
from .instructions import (
    accumulate,
    compare_exchange,
    copy,
    count,
    divide,
    divide_signed,
    exchange_ax,
    extend_sign,
    load_effective_address,
    move_immediate,
    move_offset,
    multiply,
    swap_bytes,
    widen,
)
from .layout import ATTENDS, BRANCHES, IN_STATUS, Translation
from .plans import (
    ACCUMULATOR,
    BRANCH,
    BYTE_SWAP,
    BYTES,
    CALL,
    CALL_INDIRECT,
    COMPARE_EXCHANGE,
    COPIED,
    COUNT,
    DIVIDE,
    DIVIDE_SIGNED,
    EXCHANGE_AX,
    FLOATING,
    FROM_GENERAL,
    IMMEDIATE,
    IN_REGISTERS,
    JUMP,
    JUMP_INDIRECT,
    KIND_MASK,
    KIND_SHIFT,
    LEAVE_FRAME,
    LOAD_ADDRESS,
    MOVE_OFFSET,
    MULTIPLY,
    POP,
    PUSH,
    PUSH_IMMEDIATE,
    PUSH_OPERAND,
    REG_BYTE,
    RETURN,
    RM_BYTE,
    SIGN,
    STORE_GENERAL,
    STORE_VECTOR,
    TO_GENERAL,
    VECTOR,
    WIDEN,
)
from .stubs import add_stub, leave, leave_to
from .vectors import begin_floats, compute_vector, from_general, store_general, store_vector, to_general

HIGH_BYTES = 4  # without REX the 8-bit registers from here on are AH, CH, DH, BH
ALIAS = 0x82  # of 80h, outside 64-bit mode
BLOCK_ROOM = 1 << 14  # more bytes than any block has
ALIGNMENT = 16
NEVER = ~0
EXIT_FLAG = Core.offset("exit_flag")


@function
def kind_of(plan: u32) -> u32:
    return plan >> KIND_SHIFT & KIND_MASK


@function
def plan_of(t: Ptr[Translation], record: Ptr[Record]) -> u32:
    """The plan of an instruction; 0 if its registers, sizes or segment are none that the plan is for."""
    core = t.core
    plan = core.plans[u32(record.form)]
    kind = kind_of(plan)
    size = u32(record.operand_size)
    in_memory = record.rm == NOTHING
    if record.rex == 0:
        if (plan & REG_BYTE or (kind == IMMEDIATE and plan & BYTES)) and record.reg >= HIGH_BYTES:
            return 0
        if plan & RM_BYTE and not in_memory and record.rm >= HIGH_BYTES:
            return 0
    if in_memory and plan & IN_REGISTERS:
        return 0
    if kind in (LOAD_ADDRESS, BYTE_SWAP, SIGN, DIVIDE, DIVIDE_SIGNED) and size < 32:
        return 0
    if PUSH <= kind <= CALL_INDIRECT and size != t.bits:
        return 0
    if in_memory and (record.address_size == 16 or (t.op.flags & CHECKED and t.op.segment < FS)):
        return 0
    if kind == COPIED and record.opcode == ALIAS:
        return 0
    if kind == COMPARE_EXCHANGE and record.rm == 0:
        return 0
    if kind >= VECTOR and core.code_kind & (EMULATED | SWITCHED | NO_SSE):
        return 0
    return plan


@function
def emit(t: Ptr[Translation], record: Ptr[Record], plan: u32) -> None:
    """One instruction."""
    kind = kind_of(plan)
    if kind >= VECTOR and plan & FLOATING:
        begin_floats(t)
    if kind == COPIED:
        copy(t, record, plan)
    elif kind == BRANCH:
        branch(t, u32(record.opcode) & 15)
    elif kind == LOAD_ADDRESS:
        load_effective_address(t, record)
    elif kind == IMMEDIATE:
        move_immediate(t, record, plan)
    elif kind == ACCUMULATOR:
        accumulate(t, record, plan)
    elif kind == VECTOR:
        compute_vector(t, record, plan)
    elif kind == STORE_VECTOR:
        store_vector(t, record, plan)
    elif kind == PUSH:
        push(t, record)
    elif kind == POP:
        pop(t, record)
    elif kind == CALL:
        call(t)
    elif kind == RETURN:
        return_near(t)
    elif kind == JUMP:
        jump_direct(t)
    else:
        emit_rare(t, record, plan)


@function(inline="never")
def emit_rare(t: Ptr[Translation], record: Ptr[Record], plan: u32) -> None:
    kind = kind_of(plan)
    if kind == PUSH_IMMEDIATE:
        push_number(t, t.op.immediate)
    elif kind == PUSH_OPERAND:
        push_operand(t, record)
    elif kind == LEAVE_FRAME:
        leave_frame(t)
    elif kind == JUMP_INDIRECT:
        jump_indirect(t, record)
    elif kind == CALL_INDIRECT:
        call_indirect(t, record)
    elif kind == COUNT:
        count(t, record)
    elif kind == MOVE_OFFSET:
        move_offset(t, record, plan)
    elif kind == WIDEN:
        widen(t, record)
    elif kind == SIGN:
        extend_sign(t, record)
    elif kind == MULTIPLY:
        multiply(t, record, plan)
    elif kind == DIVIDE:
        divide(t, record, plan)
    elif kind == DIVIDE_SIGNED:
        divide_signed(t, record, plan)
    elif kind == COMPARE_EXCHANGE:
        compare_exchange(t, record, plan)
    elif kind == EXCHANGE_AX:
        exchange_ax(t, record)
    elif kind == BYTE_SWAP:
        swap_bytes(t, record)
    elif kind == TO_GENERAL:
        to_general(t, record, plan)
    elif kind == FROM_GENERAL:
        from_general(t, record, plan)
    elif kind == STORE_GENERAL:
        store_general(t, record, plan)


@function
def goes_elsewhere(plan: u32) -> bool:
    """Whether control never comes to the next instruction."""
    return kind_of(plan) in (JUMP, CALL, RETURN, JUMP_INDIRECT, CALL_INDIRECT)


@function
def leads_nowhere(t: Ptr[Translation], plan: u32) -> bool:
    """Whether a direct branch always faults: its handler does that."""
    return kind_of(plan) in (JUMP, BRANCH, CALL) and not is_valid(t)


@function
def run_length(plans: Ptr[u32], first: u32, count: u32) -> u32:
    """How many instructions from this one on have plans."""
    last = first
    while last < count and plans[last]:
        last += 1
    return last - first


@function
def begin(t: Ptr[Translation], index: u32) -> None:
    """Where translated code is entered: with flags in AX."""
    t.flags = IN_STATUS
    t.floats = 0
    op = t.entry_op + index
    op.code = u64(t.out) + t.core.code_shift
    if index == 1:
        t.entry = t.out
        t.entry_op.code = op.code
        with_core(t, GROUP_1_BYTE, 32, TO_CMP, EXIT_FLAG)
        put(t, 0, 1)
        jump_if(t, NOT_EQUAL)
        t.op = t.entry_op
        add_stub(t, ATTENDS)


@function
def emit_stubs(t: Ptr[Translation]) -> None:
    number: u32 = 0
    while number < t.stub_count:
        stub = t.stubs[number]
        patch(stub.place, t.out)
        t.op = stub.op
        t.flags = stub.flags
        if stub.kind == BRANCHES:
            jump_direct(t)
        elif stub.kind == ATTENDS:
            leave_to(t, t.core.handlers[STALE])
        else:
            leave(t)
        number += 1


@function
def is_translatable(code_kind: u32) -> bool:
    size = code_kind & CODE_SIZE
    return size == CODE_64 or (size == CODE_32 and code_kind & FLAT_DATA != 0)


@function
def translate_block(core: Ptr[Core], entry: Ptr[Op]) -> Ptr[Op]:
    """Called when a block has become hot; the op to go on with."""
    entry.handler = core.handlers[PASS]
    if not is_translatable(core.code_kind):
        return entry
    if core.code_used + BLOCK_ROOM > core.code_end:
        core.code_full = 1
        return entry
    t = Translation()
    t.core = core
    t.entry_op = entry
    t.out = Ptr[u8](u64(core.code_used) + (ALIGNMENT - 1) & ~u64(ALIGNMENT - 1))
    t.entry = Ptr[u8](0)
    t.bits = core.code_bits
    t.stub_count = 0
    records = Array[Record, MAX_BLOCK + 1]()
    plans = Array[u32, MAX_BLOCK + 1]()
    count = u32(entry.a)
    read_records(t, Ptr[Record](addressof(records)), Ptr[u32](addressof(plans)), count)
    translate_runs(t, Ptr[Record](addressof(records)), Ptr[u32](addressof(plans)), count)
    return entry


@function
def read_records(t: Ptr[Translation], records: Ptr[Record], plans: Ptr[u32], count: u32) -> None:
    """Decode the instructions again, from 1 on; the last op is no instruction but leads on."""
    found = find_range(t.core.mmu, t.entry_op.displacement)
    code = found.host + (t.entry_op.displacement - found.first)
    for index in range(1, count):
        t.op = t.entry_op + index
        record = records + index
        length = i32(t.op.length)
        plan: u32 = 0
        if decode_flat(code + (t.op.rip - t.entry_op.rip), length, i32(t.bits), record) == length:
            plan = plan_of(t, record)
        plans[index] = 0 if leads_nowhere(t, plan) else plan


@function
def translate_runs(t: Ptr[Translation], records: Ptr[Record], plans: Ptr[u32], count: u32) -> None:
    """What is worth it; in between the handlers execute."""
    doors = Array[u64, MAX_BLOCK]()
    door_count: u32 = 0
    index: u32 = 1
    while index < count:
        length = run_length(plans, index, count)
        to_end = index + length == count
        if length >= t.core.worth or (to_end and length and index == 1):
            begin(t, index)
            doors[door_count] = u64(t.entry_op + (0 if index == 1 else index))
            door_count += 1
            for number in range(index, index + length):
                t.op = t.entry_op + number
                emit(t, records + number, plans[number])
            if not (to_end and goes_elsewhere(plans[count - 1])):
                t.op = t.entry_op + (index + length)
                if to_end:
                    jump_direct(t)
                else:
                    leave(t)
        index += length + 1
    emit_stubs(t)
    for number in range(door_count):
        Ptr[Op](doors[number]).handler = t.core.code_door
    t.core.code_used = t.out
