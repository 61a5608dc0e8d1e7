"""Segment registers, far transfers, descriptor tables (Intel SDM Vol. 1, sections 7.3.8, 7.3.14; Vol. 3, chapter 5)."""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache, partial

from emulator.native import Array, Function, Ptr, addressof, function, u8, u32, u64
from emulator.softmmu.access import write_block
from emulator.softmmu.structs import WRITE as WRITE_ACCESS
from emulator.x86.instruction import CS, DS, ES, FS, GS, SS
from emulator.x86.notation import Form
from emulator.x86.state import CODE_OR_DATA, Cpu

from ..control import following
from ..core import AFTER_SS, GP, Core, Op
from ..flags import ZF, get_status, set_status
from ..operands import TYPES, access, checked_address, effective_address, fault, fetch, memory_fault
from ..protection.descriptors import (
    CODE,
    CONFORMING,
    TYPE,
    Descriptor,
    in_long_mode,
    is_null,
    is_readable,
    is_writable_data,
    level_of,
    load_local_table,
    load_segment,
    load_task_register,
    locate,
    read_descriptor,
)
from ..protection.returns import far_return
from ..protection.transfers import far_transfer
from .rare import attempt, get_sized, made, put_sized, read_operand, then_resume, transfer, write_operand

UNIT = "system"
RSP = 4
SEGMENTS = {"ES": ES, "CS": CS, "SS": SS, "DS": DS, "FS": FS, "GS": GS}
# System descriptor types for which LAR and LSL answer (SDM Vol. 2, LAR and LSL), outside long mode and in it
WITH_RIGHTS, WITH_RIGHTS_LONG = 0x1A3E, 0x1A04
WITH_LIMIT, WITH_LIMIT_LONG = 0x0A0E, 0x0A04


@function
def set_zero(core: Ptr[Core], on: bool) -> None:
    set_status(core, get_status(core) & ~u64(ZF) | (ZF if on else 0))


@function
def load(core: Ptr[Core], number: u32, selector: u32) -> bool:
    """A segment register; the instruction behind a load of SS cannot be interrupted (SDM Vol. 3, section 6.8.3)."""
    if not load_segment(core, number, selector):
        return False
    if number == SS:
        core.cpu.interrupt_shadow = AFTER_SS
    return True


@function
def move_to_segment(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    word = Array[u64, 1]()
    return read_operand(core, op, op.b, 2, addressof(word[0])) and load(core, op.a, u32(word[0]))


@function
def move_from_segment(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    return write_operand(core, op, op.a, size, 2, core.cpu.segments[op.b].selector)


def move(form: Form, size: int, memory: bool) -> Function | None:
    """MOV from and to segment registers."""
    target, source = form.operands
    if target.method == "S":
        return then_resume(move_to_segment, size // 8)
    return attempt(move_from_segment, size // 8) if source.method == "S" else None


@cache
def _push(number: int, size: int) -> Function:
    """With a 32-bit operand the upper half on the stack is not written by processors; it becomes 0 here."""
    push = access(TYPES[size]).push
    kind = TYPES[size]

    @function(symbol=f"emulator.tcg.push.segment{number}.{size}")
    def push_segment(core: Ptr[Core], op: Ptr[Op], bytes_: u32) -> bool:
        return push(core, kind(core.cpu.segments[number].selector))

    return attempt(push_segment, size // 8)


@cache
def _pop(number: int) -> Function:
    @function(symbol=f"emulator.tcg.pop.segment{number}")
    def pop_segment(core: Ptr[Core], op: Ptr[Op], bytes_: u32) -> bool:
        """Only the selector's two bytes are read."""
        word = Array[u64, 1]()
        before = core.cpu.registers[RSP]
        mask = core.stack_mask
        if not fetch(core, SS, before & mask, 2, addressof(word[0])) or not load(core, number, u32(word[0])):
            return False
        core.cpu.registers[RSP] = before & ~mask | before + bytes_ & mask
        return True

    return pop_segment


def push(form: Form, size: int, memory: bool) -> Function | None:
    number = SEGMENTS.get(form.operands[0].text)
    return None if number is None else _push(number, size)


def pop(form: Form, size: int, memory: bool) -> Function | None:
    number = SEGMENTS.get(form.operands[0].text)
    return None if number is None else then_resume(_pop(number), size // 8)


# -- far pointers -------------------------------------------------------------------------------------------


@function
def read_pointer(core: Ptr[Core], op: Ptr[Op], size: u32, offset: Ptr[u64], selector: Ptr[u64]) -> bool:
    """m16:16, m16:32 or m16:64."""
    place = effective_address(core, op)
    return fetch(core, op.segment, place, size, offset) and fetch(core, op.segment, place + size & op.mask, 2, selector)


@cache
def _load_far(number: int) -> Function:
    @function(symbol=f"emulator.tcg.load.far{number}")
    def load_far(core: Ptr[Core], op: Ptr[Op], bytes_: u32) -> bool:
        pointer = Array[u64, 2]()
        if not read_pointer(core, op, bytes_, addressof(pointer[0]), addressof(pointer[1])):
            return False
        if not load_segment(core, number, u32(pointer[1])):
            return False
        put_sized(core, op.a, bytes_, pointer[0])
        return True

    return load_far


def load_pointer(form: Form, size: int, memory: bool) -> Function:
    return then_resume(_load_far(SEGMENTS[form.mnemonic[1:]]), size // 8)


@cache
def _far(calls: bool, direct: bool) -> Function:
    name = f"emulator.tcg.far.{'call' if calls else 'jmp'}.{'direct' if direct else 'indirect'}"

    @function(symbol=name)
    def go(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
        if direct:
            mask = ~u64(0) >> (64 - size * 8)
            return far_transfer(core, op.immediate2, op.immediate & mask, size, calls, following(op))
        pointer = Array[u64, 2]()
        if not read_pointer(core, op, size, addressof(pointer[0]), addressof(pointer[1])):
            return False
        return far_transfer(core, u32(pointer[1]), pointer[0], size, calls, following(op))

    return go


def _branch(calls: bool, form: Form, size: int, memory: bool) -> Function | None:
    code = form.operands[0]
    if code.method == "A" or code.type == "p":
        return transfer(_far(calls, code.method == "A"), size // 8)
    return None


@function
def return_far(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    return far_return(core, size, u32(op.immediate) & 0xFFFF)


# -- descriptor tables --------------------------------------------------------------------------------------


@function
def load_local(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    word = Array[u64, 1]()
    return read_operand(core, op, op.a, 2, addressof(word[0])) and load_local_table(core, u32(word[0]))


@function
def load_task(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    word = Array[u64, 1]()
    return read_operand(core, op, op.a, 2, addressof(word[0])) and load_task_register(core, u32(word[0]))


@function
def store_local(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    return write_operand(core, op, op.a, size, 2, core.cpu.ldtr.selector)


@function
def store_task(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    return write_operand(core, op, op.a, size, 2, core.cpu.tr.selector)


@cache
def _table(field: str, loads: bool, size: int) -> Function:
    """LGDT, LIDT, SGDT and SIDT: a limit, and a base of 8 bytes in 64-bit mode, of 24 bits with 16-bit operands."""
    base_size = 8 if size == 64 else 4
    place = Cpu.offset(field)

    @function(symbol=f"emulator.tcg.load.{field}{size}")
    def load_table(core: Ptr[Core], op: Ptr[Op], bytes_: u32) -> bool:
        image = Array[u64, 2]()
        offset = effective_address(core, op)
        if not fetch(core, op.segment, offset, 2, addressof(image[0])):
            return False
        if not fetch(core, op.segment, offset + 2 & op.mask, base_size, addressof(image[1])):
            return False
        if base_size == 8 and image[1] + (1 << 47) >> 48:
            return fault(core, GP, 0)
        Ptr[u64](u64(core) + place)[0] = image[1] & 0xFF_FFFF if bytes_ == 2 else image[1]
        Ptr[u32](u64(core) + place)[2] = u32(image[0])
        return True

    @function(symbol=f"emulator.tcg.store.{field}{size}")
    def store_table(core: Ptr[Core], op: Ptr[Op], bytes_: u32) -> bool:
        image = Array[u64, 2]()
        base = Ptr[u64](u64(core) + place)[0]
        image[0] = u64(Ptr[u32](u64(core) + place)[2]) & 0xFFFF | base << 16
        image[1] = base >> 48
        address = checked_address(core, op.segment, effective_address(core, op), base_size + 2, WRITE_ACCESS)
        if core.fault_vector != 0xFFFF:
            return False
        out = Ptr[u8](addressof(image))
        return write_block(core.mmu, core.mode, address, out, base_size + 2) or memory_fault(core, op.segment)

    return attempt(load_table if loads else store_table, size // 8)


def table(field: str, loads: bool):
    return lambda form, size, memory: _table(field, loads, size)


# -- questions about selectors ------------------------------------------------------------------------------


@function
def look_up(core: Ptr[Core], selector: u32, out: Ptr[Descriptor]) -> bool:
    """The descriptor of a selector, if it is there; only reading it may raise an exception."""
    out.attributes = 0
    return not is_null(selector) and locate(core, selector, out)


@function
def visible(core: Ptr[Core], found: Ptr[Descriptor]) -> bool:
    """Whether the current level and RPL reach the descriptor."""
    conforming = found.attributes & (CODE_OR_DATA | CODE | CONFORMING) == CODE_OR_DATA | CODE | CONFORMING
    return conforming or level_of(found) >= max(core.cpl, found.selector & 3)


@function
def answers(core: Ptr[Core], found: Ptr[Descriptor], types: u32, long_types: u32) -> bool:
    if found.attributes & CODE_OR_DATA:
        return visible(core, found)
    allowed = long_types if in_long_mode(core) else types
    return allowed >> (found.attributes & TYPE) & 1 != 0 and visible(core, found)


@function
def load_rights(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    """LAR."""
    word = Array[u64, 1]()
    if not read_operand(core, op, op.b, 2, addressof(word[0])):
        return False
    found = Descriptor()
    there = look_up(core, u32(word[0]), found)
    if there and not read_descriptor(core, found):
        return False
    there = there and answers(core, found, WITH_RIGHTS, WITH_RIGHTS_LONG)
    if there:
        put_sized(core, op.a, size, found.raw >> 32 & 0xF0FF00)
    set_zero(core, there)
    return True


@function
def load_limit(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    """LSL."""
    word = Array[u64, 1]()
    if not read_operand(core, op, op.b, 2, addressof(word[0])):
        return False
    found = Descriptor()
    there = look_up(core, u32(word[0]), found)
    if there and not read_descriptor(core, found):
        return False
    there = there and answers(core, found, WITH_LIMIT, WITH_LIMIT_LONG)
    if there:
        put_sized(core, op.a, size, found.limit)
    set_zero(core, there)
    return True


@cache
def _verify(writes: bool) -> Function:
    @function(symbol=f"emulator.tcg.{'verw' if writes else 'verr'}")
    def verify(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
        """VERR: data, or readable code. VERW: writable data."""
        word = Array[u64, 1]()
        if not read_operand(core, op, op.a, 2, addressof(word[0])):
            return False
        found = Descriptor()
        there = look_up(core, u32(word[0]), found)
        if there and not read_descriptor(core, found):
            return False
        usable = is_writable_data(found) if writes else is_readable(found)
        set_zero(core, there and usable and visible(core, found))
        return True

    return verify


@function
def adjust_level(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    """ARPL: the RPL of the first selector becomes at least that of the second."""
    word = Array[u64, 1]()
    if not read_operand(core, op, op.a, 2, addressof(word[0])):
        return False
    level = get_sized(core, op.b, 2) & 3
    lower = word[0] & 3 < level
    if lower and not write_operand(core, op, op.a, 2, 2, word[0] & 0xFFFC | level):
        return False
    set_zero(core, lower)
    return True


HANDLERS = {
    "MOV": move,
    "PUSH": push,
    "POP": pop,
    "CALL": partial(_branch, True),
    "JMP": partial(_branch, False),
    "RETF": made(transfer, return_far),
    "LLDT": made(then_resume, load_local),
    "LTR": made(then_resume, load_task),
    "SLDT": made(attempt, store_local),
    "STR": made(attempt, store_task),
    "LGDT": table("gdtr", True),
    "LIDT": table("idtr", True),
    "SGDT": table("gdtr", False),
    "SIDT": table("idtr", False),
    "LAR": made(attempt, load_rights),
    "LSL": made(attempt, load_limit),
    "VERR": lambda form, size, memory: attempt(_verify(False), size // 8),
    "VERW": lambda form, size, memory: attempt(_verify(True), size // 8),
    "ARPL": made(attempt, adjust_level),
}
HANDLERS |= dict.fromkeys(("LDS", "LES", "LFS", "LGS", "LSS"), load_pointer)
