"""The decoder over flat tables, in restricted Python: integers, arrays, `while` and `if`, no objects.

It is written to be compiled, and it agrees with the reference decoder (`decode.py`, which describes the order of
events) on every input. An instruction becomes a record, an array of `RECORD_SIZE` integers: first the fields that
`Instruction` has by the same names, then the state of decoding. Every value fits a signed 64-bit integer, and no
intermediate one overflows it. A function here returns a number that is not negative, or why there is no instruction.

    >>> record = [0] * RECORD_SIZE
    >>> decode_flat(bytes.fromhex("480fafc3"), 0, 4, 64, record)
    4
    >>> from emulator.x86.table import FORMS
    >>> FORMS[record[FORM]].name
    'IMUL_Gv_Ev'
"""

# ruff: noqa: SIM109 - restricted Python has no `in`

from __future__ import annotations

from collections.abc import MutableSequence, Sequence

from emulator.x86.flat_tables import (
    ABSOLUTE,
    ANYMOD,
    BY_B,
    BY_MEMORY,
    BY_MODE,
    BY_PREFIX,
    BY_REG,
    BY_W,
    CONTROL,
    D64,
    DEBUG,
    F64,
    FAR,
    IMM_8,
    IMM_8_SIGNED,
    IMM_16,
    IMM_16_8,
    IMM_V,
    IMMEDIATE_MASK,
    KIND_BITS,
    LEAF,
    LOCKABLE,
    MODRM,
    NO_IMMEDIATE,
    REL_8,
    SHAPES,
    STRING,
    TREE,
    USES_VVVV,
)

# The fields of a record: those of an Instruction, then the state of decoding
(
    FORM, LENGTH, OPCODE, OPERAND_SIZE, ADDRESS_SIZE, SEGMENT, REP, LOCK, REX,
    REG, RM, BASE, INDEX, SCALE, DISPLACEMENT, IMMEDIATE, IMMEDIATE2, VVVV, FIELDS,
) = range(19)  # fmt: skip
(
    MODE, POSITION, STOP, OVERRUN, OPERAND_PREFIX, ADDRESS_PREFIX, PREFIX, MAP, VEX, MODRM_BYTE, SHAPE, RECORD_SIZE,
) = range(FIELDS, FIELDS + 12)  # fmt: skip

# What decode_flat returns instead of a length
INVALID = -1  # #UD
TOO_LONG = -2  # #GP(0)
TRUNCATED = -3  # more bytes are needed

NOTHING = -1
SS = 2
DS = 3
RIP = 16
CONTROL_REGISTERS = 0b100011101  # CR0, CR2, CR3, CR4, CR8
# ModRM.rm to base and index with 16-bit addressing
BASES_16 = (3, 3, 5, 5, 6, 7, 5, 3)
INDEXES_16 = (6, 7, 6, 7, NOTHING, NOTHING, NOTHING, NOTHING)


def decode_flat(code: Sequence[int], start: int, end: int, mode: int, record: MutableSequence[int]) -> int:
    """Decode the instruction at code[start:end] into `record`; its length, or INVALID, TOO_LONG, TRUNCATED."""
    begin(start, end, mode, record)
    status = scan_prefixes(code, record)
    if status >= 0:
        status = scan_opcode(code, record)
    if status >= 0:
        status = find_form(code, record)
    if status >= 0:
        set_sizes(record)
        status = scan_operands(code, record)
    if status >= 0:
        status = scan_immediates(code, record)
    if status >= 0:
        status = check(record)
    if status < 0:
        return status
    finish(record)
    record[LENGTH] = record[POSITION] - start
    return record[LENGTH]


def begin(start: int, end: int, mode: int, record: MutableSequence[int]) -> None:
    """The record of an instruction of which nothing is known."""
    field = 0
    while field < RECORD_SIZE:
        record[field] = 0
        field += 1
    record[SEGMENT] = NOTHING
    record[RM] = NOTHING
    record[BASE] = NOTHING
    record[INDEX] = NOTHING
    record[MODRM_BYTE] = NOTHING
    record[SCALE] = 1
    record[MODE] = mode
    record[POSITION] = start
    record[STOP] = start + 15
    record[OVERRUN] = TOO_LONG
    if end < start + 15:
        record[STOP] = end
        record[OVERRUN] = TRUNCATED


def next_byte(code: Sequence[int], record: MutableSequence[int]) -> int:
    """Fetch a byte."""
    position = record[POSITION]
    if position >= record[STOP]:
        return record[OVERRUN]
    record[POSITION] = position + 1
    return code[position]


def scan_prefixes(code: Sequence[int], record: MutableSequence[int]) -> int:
    """Everything up to the first byte that is no prefix; that byte becomes the opcode."""
    mode = record[MODE]
    rex = 0
    while True:
        byte = next_byte(code, record)
        if byte < 0:
            return byte
        if mode == 64 and byte >= 0x40 and byte <= 0x4F:
            rex = byte
            continue
        if byte == 0x66:
            record[OPERAND_PREFIX] = 1
        elif byte == 0x67:
            record[ADDRESS_PREFIX] = 1
        elif byte == 0xF0:
            record[LOCK] = 1
        elif byte == 0xF2 or byte == 0xF3:
            record[REP] = byte
        elif byte == 0x64 or byte == 0x65:
            record[SEGMENT] = byte - 0x60
        elif byte == 0x26 or byte == 0x2E or byte == 0x36 or byte == 0x3E:
            if mode != 64:
                record[SEGMENT] = (byte >> 3) & 3
        else:
            record[OPCODE] = byte
            record[REX] = rex
            return 0
        rex = 0


def scan_opcode(code: Sequence[int], record: MutableSequence[int]) -> int:
    """The escapes and the opcode byte, and which of np, 66, F3 and F2 selects the row."""
    record[PREFIX] = record[OPERAND_PREFIX]
    if record[REP] == 0xF3:
        record[PREFIX] = 2
    elif record[REP] == 0xF2:
        record[PREFIX] = 3
    opcode = record[OPCODE]
    if opcode == 0xC4 or opcode == 0xC5:
        return scan_vex(code, record)
    if opcode != 0x0F:
        return 0
    opcode = next_byte(code, record)
    record[MAP] = 1
    if opcode == 0x38 or opcode == 0x3A:
        record[MAP] = 2 + ((opcode >> 1) & 1)
        opcode = next_byte(code, record)
    record[OPCODE] = opcode
    return opcode


def scan_vex(code: Sequence[int], record: MutableSequence[int]) -> int:
    """C4 and C5: a VEX prefix, or LES and LDS."""
    payload = next_byte(code, record)
    if payload < 0:
        return payload
    if record[MODE] != 64 and payload < 0xC0:
        record[POSITION] -= 1
        return 0
    if record[REX] != 0 or record[OPERAND_PREFIX] != 0 or record[REP] != 0 or record[LOCK] != 0:
        return INVALID
    if record[OPCODE] == 0xC5:
        return INVALID
    last = next_byte(code, record)
    if last < 0:
        return last
    opcode_map = (payload & 0x1F) + 2
    if (opcode_map != 4 and opcode_map != 5) or (last & 4) != 0:
        return INVALID
    record[MAP] = opcode_map
    record[VEX] = 1
    record[PREFIX] = last & 3
    record[VVVV] = ((last >> 3) & 15) ^ 15
    if record[MODE] == 64:
        record[REX] = ((payload >> 5) ^ 7) | ((last >> 4) & 8)
    record[OPCODE] = next_byte(code, record)
    return record[OPCODE]


def find_form(code: Sequence[int], record: MutableSequence[int]) -> int:
    """Walk the tree to the form; fetch the ModRM byte where it asks for it, or the form has one."""
    entry = TREE[record[MAP] * 256 + record[OPCODE]]
    kind = entry & 7
    while kind != LEAF:
        if kind >= BY_MEMORY and record[MODRM_BYTE] == NOTHING:
            record[MODRM_BYTE] = next_byte(code, record)
            if record[MODRM_BYTE] < 0:
                return record[MODRM_BYTE]
        entry = TREE[(entry >> KIND_BITS) + outcome(kind, record)]
        kind = entry & 7
    if entry == 0:
        return INVALID
    record[FORM] = (entry >> KIND_BITS) - 1
    record[SHAPE] = SHAPES[record[FORM]]
    if (record[SHAPE] & MODRM) != 0 and record[MODRM_BYTE] == NOTHING:
        record[MODRM_BYTE] = next_byte(code, record)
        return record[MODRM_BYTE]
    return 0


def outcome(kind: int, record: MutableSequence[int]) -> int:
    """Which way the tree goes on at an entry of this kind."""
    if kind == BY_MODE:
        return record[MODE] >> 5  # 16, 32, 64: 0, 1, 2
    if kind == BY_PREFIX:
        return record[PREFIX]
    if kind == BY_W:
        return (record[REX] >> 3) & 1
    if kind == BY_B:
        return record[REX] & 1
    modrm = record[MODRM_BYTE]
    if kind == BY_MEMORY:
        if modrm < 0xC0:
            return 1
        return 0
    if kind == BY_REG:
        return (modrm >> 3) & 7
    return modrm & 7


def set_sizes(record: MutableSequence[int]) -> None:
    """The effective operand and address sizes."""
    mode = record[MODE]
    shape = record[SHAPE]
    operand_size = mode
    address_size = mode
    if mode == 64:
        address_size = 64 >> record[ADDRESS_PREFIX]
        if (shape & F64) == 0 and (record[REX] & 8) == 0:
            if record[OPERAND_PREFIX] != 0:
                operand_size = 16
            elif (shape & D64) == 0:
                operand_size = 32
    else:
        if record[VEX] != 0:
            operand_size = 32
        elif record[OPERAND_PREFIX] != 0:
            operand_size = 48 - mode
        if record[ADDRESS_PREFIX] != 0:
            address_size = 48 - mode
    record[OPERAND_SIZE] = operand_size
    record[ADDRESS_SIZE] = address_size


def scan_operands(code: Sequence[int], record: MutableSequence[int]) -> int:
    """The register in the opcode, or what ModRM says."""
    rex = record[REX]
    shape = record[SHAPE]
    if (shape & MODRM) == 0:
        record[REG] = (record[OPCODE] & 7) | ((rex & 1) << 3)
        return 0
    modrm = record[MODRM_BYTE]
    record[REG] = ((modrm >> 3) & 7) | ((rex & 4) << 1)
    if modrm >= 0xC0 or (shape & ANYMOD) != 0:
        record[RM] = (modrm & 7) | ((rex & 1) << 3)
        return 0
    if record[ADDRESS_SIZE] == 16:
        return scan_address_16(code, record)
    return scan_address(code, record)


def scan_address_16(code: Sequence[int], record: MutableSequence[int]) -> int:
    """A memory operand with 16-bit addressing."""
    mod = record[MODRM_BYTE] >> 6
    rm = record[MODRM_BYTE] & 7
    if mod == 0 and rm == 6:
        return scan_displacement(code, 2, record)
    record[BASE] = BASES_16[rm]
    record[INDEX] = INDEXES_16[rm]
    return scan_displacement(code, mod, record)


def scan_address(code: Sequence[int], record: MutableSequence[int]) -> int:
    """A memory operand with 32-bit or 64-bit addressing."""
    mod = record[MODRM_BYTE] >> 6
    rm = record[MODRM_BYTE] & 7
    base = rm
    if rm == 4:
        sib = next_byte(code, record)
        if sib < 0:
            return sib
        base = sib & 7
        index = ((sib >> 3) & 7) | ((record[REX] & 2) << 2)
        if index != 4:
            record[INDEX] = index
            record[SCALE] = 1 << (sib >> 6)
    if mod == 0 and base == 5:
        if record[MODE] == 64 and rm == 5:
            record[BASE] = RIP
        return scan_displacement(code, 4, record)
    record[BASE] = base | ((record[REX] & 1) << 3)
    size = mod
    if mod == 2:
        size = 4
    return scan_displacement(code, size, record)


def scan_displacement(code: Sequence[int], size: int, record: MutableSequence[int]) -> int:
    """The displacement of a memory operand, 0 to 4 bytes."""
    if size == 0:
        return 0
    position = record[POSITION]
    if position + size > record[STOP]:
        return record[OVERRUN]
    record[DISPLACEMENT] = signed_number(code, position, size)
    record[POSITION] = position + size
    return 0


def scan_immediates(code: Sequence[int], record: MutableSequence[int]) -> int:
    """The immediates, the displacement of a branch, or an absolute address."""
    kind = record[SHAPE] & IMMEDIATE_MASK
    if kind == NO_IMMEDIATE:
        return 0
    size = immediate_size(kind, record)
    size2 = 0
    if kind == FAR:
        size2 = 2
    elif kind == IMM_16_8:
        size2 = 1
    position = record[POSITION]
    if position + size + size2 > record[STOP]:
        return record[OVERRUN]
    if kind == IMM_8 or kind == IMM_16 or size2 != 0:
        record[IMMEDIATE] = unsigned_number(code, position, size)
        record[IMMEDIATE2] = unsigned_number(code, position + size, size2)
    elif kind == ABSOLUTE:
        record[DISPLACEMENT] = signed_number(code, position, size)
    else:
        record[IMMEDIATE] = signed_number(code, position, size)
    record[POSITION] = position + size + size2
    return 0


def immediate_size(kind: int, record: MutableSequence[int]) -> int:
    """The bytes of the first immediate."""
    if kind == IMM_8 or kind == IMM_8_SIGNED or kind == REL_8:
        return 1
    if kind == IMM_16 or kind == IMM_16_8:
        return 2
    if kind == IMM_V:
        return record[OPERAND_SIZE] >> 3
    if kind == ABSOLUTE:
        return record[ADDRESS_SIZE] >> 3
    if record[OPERAND_SIZE] == 16:
        return 2
    return 4


def check(record: MutableSequence[int]) -> int:
    """The causes of #UD that the tree does not know."""
    shape = record[SHAPE]
    if record[LOCK] != 0 and ((shape & LOCKABLE) == 0 or record[RM] != NOTHING):
        return INVALID
    if record[VVVV] != 0 and (shape & USES_VVVV) == 0:
        return INVALID
    if (shape & CONTROL) != 0 and ((CONTROL_REGISTERS >> record[REG]) & 1) == 0:
        return INVALID
    if (shape & DEBUG) != 0 and record[REG] > 7:
        return INVALID
    return 0


def finish(record: MutableSequence[int]) -> None:
    """The segment if no prefix names one, and the fields that only some forms have."""
    if record[SEGMENT] == NOTHING:
        record[SEGMENT] = DS
        if record[BASE] == 4 or record[BASE] == 5:
            record[SEGMENT] = SS
    if (record[SHAPE] & STRING) == 0:
        record[REP] = 0
    if record[MODE] != 64:
        record[VVVV] &= 7


def signed_number(code: Sequence[int], position: int, size: int) -> int:
    """A little-endian number of 1 to 8 bytes, sign-extended."""
    left = size - 1
    value = (code[position + left] ^ 0x80) - 0x80
    while left > 0:
        left -= 1
        value = value * 256 + code[position + left]
    return value


def unsigned_number(code: Sequence[int], position: int, size: int) -> int:
    """A little-endian number of at most 4 bytes."""
    left = size
    value = 0
    while left > 0:
        left -= 1
        value = value * 256 + code[position + left]
    return value
