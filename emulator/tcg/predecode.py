"""From a decoded `Record` to an `Op`: places instead of register numbers, targets instead of displacements.

What an instruction needs beyond its handler is in tables by form, made from the operand codes of the opcode table.
"""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, function, i32, table, u8, u16, u32, u64
from emulator.x86.flat import NOTHING, RIP, Record
from emulator.x86.instruction import DS, ES, SS
from emulator.x86.notation import Form, OperandCode
from emulator.x86.state import Cpu, Segment
from emulator.x86.table import FORMS

from .availability import CONDITIONS, unit_of
from .core import CHECKED, CODE_64, CODE_SIZE, CPL_SHIFT, FLAT_DATA, IN_MEMORY, LOCKED, PROTECTED, Core, Op

# Handlers that no form names; their numbers are fixed
UNDEFINED, PROTECTION, CONTINUE, STALE, STOP, UNAVAILABLE, COUNT, PASS, METER = range(9)

# What an operand is: how its place is found
(
    NONE,
    MODRM_REG,
    MODRM_REG_8,
    MODRM_RM,
    MODRM_RM_8,
    AX,
    CX,
    DX,
    VVVV,
    NUMBER,
    XMM_REG,
    XMM_RM,
    MMX_REG,
    MMX_RM,
    STACK_RM,
) = range(15)
BY_METHOD = {
    "G": MODRM_REG, "Z": MODRM_REG, "E": MODRM_RM, "R": MODRM_RM, "B": VVVV, "S": NUMBER, "C": NUMBER, "D": NUMBER,
    "V": XMM_REG, "W": XMM_RM, "U": XMM_RM, "P": MMX_REG, "Q": MMX_RM, "N": MMX_RM, "ST": STACK_RM,
}  # fmt: skip
BY_NAME = {"AL": AX, "AX": AX, "eAX": AX, "rAX": AX, "CL": CX, "DX": DX}

# Properties of a form
BRANCH, ENDS, PRIVILEGED, PROTECTED_ONLY, ONE, CONDITIONAL, TABLE_BYTE, HIDDEN, IDLE = (1 << bit for bit in range(9))
LOADS_SEGMENTS = ("LDS", "LES", "LFS", "LGS", "LSS")
SEGMENT_NAMES = ("ES", "SS", "DS", "FS", "GS")


def kind_of(code: OperandCode) -> int:
    if code.method == "fixed":
        return BY_NAME.get(code.text, NONE)
    kind = BY_METHOD.get(code.method, NONE)
    return kind + 1 if kind in (MODRM_REG, MODRM_RM) and code.type == "b" else kind


def operand_kinds(form: Form) -> int:
    """Four bits an operand."""
    return sum(kind_of(code) << 4 * number for number, code in enumerate(form.operands[:3]))


def properties(form: Form) -> int:
    """How a form is predecoded. A block ends behind what changes how code is decoded, or must be noticed at once."""
    codes = form.operands
    changes_segments = form.mnemonic in LOADS_SEGMENTS or (
        form.mnemonic in ("MOV", "POP") and (codes[0].method == "S" or codes[0].text in SEGMENT_NAMES)
    )
    conditional = form.mnemonic == "Jcc" or form.mnemonic in ("LOOP", "LOOPE", "LOOPNE", "JCXZ")
    flags = {
        BRANCH: any(code.method == "J" for code in codes),
        ENDS: ("flow" in form.marks and not conditional) or changes_segments or "iopl" in form.marks
        or form.mnemonic in ("POPF", "CLTS", "STAC", "CLAC", "LLDT", "LTR", "INVD", "WBINVD"),
        PRIVILEGED: "cpl0" in form.marks,
        PROTECTED_ONLY: "pm" in form.marks,
        ONE: any(code.text == "1" for code in codes),
        CONDITIONAL: form.mnemonic.endswith("cc"),
        IDLE: form.mnemonic in ("NOP", "ENDBR64", "ENDBR32"),
        HIDDEN: form.mnemonic in ("CLAC", "STAC"),
        TABLE_BYTE: any(code.method == "BB" for code in codes),
    }  # fmt: skip
    return sum(flag for flag, present in flags.items() if present)


OPERANDS = table(u16, [operand_kinds(form) for form in FORMS])
PROPERTIES = table(u16, [properties(form) for form in FORMS])
UNITS = table(u8, [unit_of(form) for form in FORMS])
UNDEFINED_IF = table(u32, [condition.undefined for condition in CONDITIONS])
UNAVAILABLE_IF = table(u32, [condition.unavailable for condition in CONDITIONS])

ZERO = Core.offset("zero")
TABLE_INDEX = Core.offset("table_index")
RBX = 24
SEGMENTS = Cpu.offset("segments")
SEGMENT_SIZE = 16
XMM = Cpu.offset("xmm")
X87 = Cpu.offset("x87")
HIGH_BYTES = 4  # without REX the 8-bit registers from here on are AH, CH, DH, BH
assert Segment.size == SEGMENT_SIZE


@function(inline="never")
def place_of(kind: u32, record: Ptr[Record]) -> u16:
    """The place in `Core` of an operand that is a register."""
    reg = u32(record.reg)
    rm = u32(record.rm)
    match kind:
        case 1:
            return u16(reg * 8)
        case 2:
            return byte_place(reg, record.rex)
        case 3:
            return u16(rm * 8)
        case 4:
            return byte_place(rm, record.rex)
        case 5:
            return 0
        case 6:
            return 8
        case 7:
            return 16
        case 8:
            return u16(u32(record.vvvv) * 8)
        case 9:
            return u16(reg)
        case 10:
            return u16(XMM + reg * 16)
        case 11:
            return u16(XMM + rm * 16)
        case 12:
            return u16(X87 + (reg & 7) * 16)
        case 13:
            return u16(X87 + (rm & 7) * 16)
        case 14:
            return u16(rm & 7)
    return ZERO


@function
def byte_place(number: u32, rex: i32) -> u16:
    if rex == 0 and number >= HIGH_BYTES:
        return u16((number - HIGH_BYTES) * 8 + 1)
    return u16(number * 8)


@function
def width_mask(bits: i32) -> u64:
    return ~u64(0) >> (64 - u32(bits))


@function
def fill(core: Ptr[Core], record: Ptr[Record], op: Ptr[Op], rip: u64) -> u32:
    """Make the op of a record; its form's properties."""
    form = u32(record.form)
    properties = u32(PROPERTIES[form])
    kinds = u32(OPERANDS[form])
    following = rip + u64(record.length)
    op.rip = rip
    op.link = 0
    op.immediate = u64(record.immediate)
    op.immediate2 = u32(record.immediate2)
    op.displacement = u64(record.displacement)
    op.mask = width_mask(record.address_size)
    op.a = place_of(kinds & 15, record)
    op.b = place_of(kinds >> 4 & 15, record)
    op.c = place_of(kinds >> 8 & 15, record)
    op.base = ZERO
    op.index = ZERO
    op.scale = 0
    if record.base == RIP:
        op.displacement += following
    elif record.base != NOTHING:
        op.base = u16(record.base * 8)
    if record.index != NOTHING:
        op.index = u16(record.index * 8)
        op.scale = u8(record.scale >> 1) - u8(record.scale >> 3)  # 1, 2, 4, 8: 0, 1, 2, 3
    op.length = u8(record.length)
    op.rep = u8(record.rep)
    op.form = u16(form)
    op.flags = LOCKED if record.lock else 0
    if record.rm == NOTHING:
        op.flags |= IN_MEMORY
    fill_segment(core, op, record.segment)
    if properties & BRANCH:
        op.immediate = following + op.immediate & width_mask(record.operand_size)
    if properties & TABLE_BYTE:
        op.base = RBX
        op.index = TABLE_INDEX
    if properties & ONE:
        op.immediate = 1
    number = handler_number(core, record, properties)
    if is_simple(core, op):
        shorter = u32(core.near[number] if op.index == ZERO else core.indexed[number])
        if shorter:
            number = shorter
    core.last_number = number
    op.handler = core.handlers[number]
    return properties


@function
def fill_segment(core: Ptr[Core], op: Ptr[Op], segment: i32) -> None:
    kind = core.code_kind
    op.segment = u8(segment)
    op.segment_base = u16(SEGMENTS + segment * SEGMENT_SIZE)
    if kind & CODE_SIZE == CODE_64:
        if segment < 4:
            op.segment_base = ZERO
    elif kind & FLAT_DATA and segment in (DS, ES, SS):
        op.segment_base = ZERO
    else:
        op.flags |= CHECKED


@function
def is_simple(core: Ptr[Core], op: Ptr[Op]) -> bool:
    """Whether it is 64-bit code and the address, if there is one, has 64 bits and no segment's base."""
    return core.code_kind & CODE_SIZE == CODE_64 and op.mask == ~u64(0) and op.segment_base == ZERO


@function
def handler_number(core: Ptr[Core], record: Ptr[Record], properties: u32) -> u32:
    """The handler of an instruction, or that of the exception it raises whatever its operands."""
    if properties & PRIVILEGED and core.code_kind >> CPL_SHIFT & 3:
        return UNDEFINED if properties & HIDDEN else PROTECTION
    if properties & PROTECTED_ONLY and not core.code_kind & PROTECTED:
        return UNDEFINED
    unit = u32(UNITS[u32(record.form)])
    if core.code_kind & UNDEFINED_IF[unit]:
        return UNDEFINED
    if core.code_kind & UNAVAILABLE_IF[unit]:
        return UNAVAILABLE
    memory = u32(record.rm == NOTHING)
    number = u32(core.variants[u32(record.form) * 8 + u32(record.operand_size >> 5) * 2 + memory])
    return number + u32(record.opcode & 15) if properties & CONDITIONAL else number
