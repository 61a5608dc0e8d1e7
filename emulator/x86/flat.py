"""The decoder over flat tables, in the compiled subset of Python (`emulator.native`): no objects, only integers.

It runs as machine code and as ordinary Python, and agrees with the reference decoder (`decode.py`, which describes the
order of events) on every input. An instruction becomes a `Record`, whose fields are those of an `Instruction`.
A function here returns a number that is not negative, or why there is no instruction.

    >>> import ctypes
    >>> from emulator.x86.table import FORMS
    >>> record, code = Record(), (ctypes.c_uint8 * 4)(0x48, 0x0F, 0xAF, 0xC3)
    >>> decode_flat(code, 4, 64, ctypes.byref(record))
    4
    >>> FORMS[record.form].name
    'IMUL_Gv_Ev'
"""

# The types of this language are checked by emulator.native.
# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, Unit, function, i8, i32, i64, struct, table, u8, u16, u32
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
    STRING,
    USES_VVVV,
    build_shapes,
    build_tree,
)

# What decode_flat returns instead of a length
INVALID = -1  # #UD
TOO_LONG = -2  # #GP(0)
TRUNCATED = -3  # more bytes are needed

MAX_LENGTH = 15
NOTHING = -1
SS = 2
DS = 3
RIP = 16
CONTROL_REGISTERS = 0b100011101  # CR0, CR2, CR3, CR4, CR8
# ModRM.rm to base and index with 16-bit addressing
BASES_16 = table(i8, (3, 3, 5, 5, 6, 7, 5, 3))
INDEXES_16 = table(i8, (6, 7, 6, 7, NOTHING, NOTHING, NOTHING, NOTHING))
TREE = table(u16, build_tree())
SHAPES = table(u16, build_shapes())


@struct
class Record:
    """A decoded instruction; the names are those of `Instruction`, `form` is an index in `FORMS`."""

    form: i32
    length: i32
    opcode: i32
    operand_size: i32
    address_size: i32
    segment: i32
    rep: i32
    lock: i32
    rex: i32
    reg: i32
    rm: i32
    base: i32
    index: i32
    scale: i32
    vvvv: i32
    displacement: i64
    immediate: i64
    immediate2: i64


@struct
class Scan:
    """The state of decoding: the bytes, where we are in them, and what only decoding needs to know."""

    code: Ptr[u8]
    position: i32
    stop: i32
    overrun: i32  # what to return at `stop`
    mode: i32
    operand_prefix: i32
    address_prefix: i32
    prefix: i32
    map: i32
    vex: i32
    modrm: i32
    shape: i32


@function
def decode_flat(code: Ptr[u8], available: i32, mode: i32, record: Ptr[Record]) -> i32:
    """Decode the instruction at `code`, of which `available` bytes may be read; its length, or INVALID ..."""
    scan = Scan()
    begin(code, available, mode, scan, record)
    status = scan_prefixes(scan, record)
    if status >= 0:
        status = scan_opcode(scan, record)
    if status >= 0:
        status = find_form(scan, record)
    if status >= 0:
        set_sizes(scan, record)
        status = scan_operands(scan, record)
    if status >= 0:
        status = scan_immediates(scan, record)
    if status >= 0:
        status = check(scan, record)
    if status < 0:
        return status
    finish(scan, record)
    return scan.position


@function
def begin(code: Ptr[u8], available: i32, mode: i32, scan: Ptr[Scan], record: Ptr[Record]) -> None:
    """The state of an instruction of which nothing is known."""
    scan.code = code
    scan.position = 0
    scan.stop = MAX_LENGTH
    scan.overrun = TOO_LONG
    if available < MAX_LENGTH:
        scan.stop = available
        scan.overrun = TRUNCATED
    scan.mode = mode
    scan.operand_prefix = 0
    scan.address_prefix = 0
    scan.map = 0
    scan.vex = 0
    scan.modrm = NOTHING
    record.segment = NOTHING
    record.rep = 0
    record.lock = 0
    record.reg = 0
    record.rm = NOTHING
    record.base = NOTHING
    record.index = NOTHING
    record.scale = 1
    record.vvvv = 0
    record.displacement = 0
    record.immediate = 0
    record.immediate2 = 0


@function
def next_byte(scan: Ptr[Scan]) -> i32:
    """Fetch a byte."""
    if scan.position >= scan.stop:
        return scan.overrun
    scan.position += 1
    return scan.code[scan.position - 1]


@function
def scan_prefixes(scan: Ptr[Scan], record: Ptr[Record]) -> i32:
    """Everything up to the first byte that is no prefix; that byte becomes the opcode."""
    mode = scan.mode
    rex: i32 = 0
    while True:
        byte = next_byte(scan)
        if byte < 0:
            return byte
        if mode == 64 and 0x40 <= byte <= 0x4F:
            rex = byte
            continue
        if byte == 0x66:
            scan.operand_prefix = 1
        elif byte == 0x67:
            scan.address_prefix = 1
        elif byte == 0xF0:
            record.lock = 1
        elif byte in (0xF2, 0xF3):
            record.rep = byte
        elif byte in (0x64, 0x65):
            record.segment = byte - 0x60
        elif byte in (0x26, 0x2E, 0x36, 0x3E):
            if mode != 64:
                record.segment = (byte >> 3) & 3
        else:
            record.opcode = byte
            record.rex = rex
            return 0
        rex = 0


@function
def scan_opcode(scan: Ptr[Scan], record: Ptr[Record]) -> i32:
    """The escapes and the opcode byte, and which of np, 66, F3 and F2 selects the row."""
    scan.prefix = scan.operand_prefix
    if record.rep == 0xF3:
        scan.prefix = 2
    elif record.rep == 0xF2:
        scan.prefix = 3
    opcode = record.opcode
    if opcode in (0xC4, 0xC5):
        return scan_vex(scan, record)
    if opcode != 0x0F:
        return 0
    opcode = next_byte(scan)
    scan.map = 1
    if opcode in (0x38, 0x3A):
        scan.map = 2 + ((opcode >> 1) & 1)
        opcode = next_byte(scan)
    record.opcode = opcode
    return opcode


@function
def scan_vex(scan: Ptr[Scan], record: Ptr[Record]) -> i32:
    """C4 and C5: a VEX prefix, or LES and LDS."""
    payload = next_byte(scan)
    if payload < 0:
        return payload
    if scan.mode != 64 and payload < 0xC0:
        scan.position -= 1
        return 0
    if record.rex != 0 or scan.operand_prefix != 0 or record.rep != 0 or record.lock != 0:
        return INVALID
    if record.opcode == 0xC5:
        return INVALID
    last = next_byte(scan)
    if last < 0:
        return last
    opcode_map = (payload & 0x1F) + 2
    if (opcode_map not in (4, 5)) or (last & 4) != 0:
        return INVALID
    scan.map = opcode_map
    scan.vex = 1
    scan.prefix = last & 3
    record.vvvv = ((last >> 3) & 15) ^ 15
    if scan.mode == 64:
        record.rex = ((payload >> 5) ^ 7) | ((last >> 4) & 8)
    record.opcode = next_byte(scan)
    return record.opcode


@function
def find_form(scan: Ptr[Scan], record: Ptr[Record]) -> i32:
    """Walk the tree to the form; fetch the ModRM byte where it asks for it, or the form has one."""
    entry: i32 = TREE[scan.map * 256 + record.opcode]
    kind = entry & 7
    while kind != LEAF:
        if kind >= BY_MEMORY and scan.modrm == NOTHING:
            scan.modrm = next_byte(scan)
            if scan.modrm < 0:
                return scan.modrm
        entry = TREE[(entry >> KIND_BITS) + outcome(kind, scan, record)]
        kind = entry & 7
    if entry == 0:
        return INVALID
    record.form = (entry >> KIND_BITS) - 1
    scan.shape = SHAPES[record.form]
    if (scan.shape & MODRM) != 0 and scan.modrm == NOTHING:
        scan.modrm = next_byte(scan)
        return scan.modrm
    return 0


@function
def outcome(kind: i32, scan: Ptr[Scan], record: Ptr[Record]) -> i32:
    """Which way the tree goes on at an entry of this kind."""
    if kind == BY_MODE:
        return scan.mode >> 5  # 16, 32, 64: 0, 1, 2
    if kind == BY_PREFIX:
        return scan.prefix
    if kind == BY_W:
        return (record.rex >> 3) & 1
    if kind == BY_B:
        return record.rex & 1
    modrm = scan.modrm
    if kind == BY_MEMORY:
        if modrm < 0xC0:
            return 1
        return 0
    if kind == BY_REG:
        return (modrm >> 3) & 7
    return modrm & 7


@function
def set_sizes(scan: Ptr[Scan], record: Ptr[Record]) -> None:
    """The effective operand and address sizes."""
    mode = scan.mode
    shape = scan.shape
    operand_size = mode
    address_size = mode
    if mode == 64:
        address_size = 64 - 32 * scan.address_prefix
        if (shape & F64) == 0 and (record.rex & 8) == 0:
            if scan.operand_prefix != 0:
                operand_size = 16
            elif (shape & D64) == 0:
                operand_size = 32
    else:
        if scan.vex != 0:
            operand_size = 32
        elif scan.operand_prefix != 0:
            operand_size = 48 - mode
        if scan.address_prefix != 0:
            address_size = 48 - mode
    record.operand_size = operand_size
    record.address_size = address_size


@function
def scan_operands(scan: Ptr[Scan], record: Ptr[Record]) -> i32:
    """The register in the opcode, or what ModRM says."""
    rex = record.rex
    shape = scan.shape
    if (shape & MODRM) == 0:
        record.reg = (record.opcode & 7) | ((rex & 1) << 3)
        return 0
    modrm = scan.modrm
    record.reg = ((modrm >> 3) & 7) | ((rex & 4) << 1)
    if modrm >= 0xC0 or (shape & ANYMOD) != 0:
        record.rm = (modrm & 7) | ((rex & 1) << 3)
        return 0
    if record.address_size == 16:
        return scan_address_16(scan, record)
    return scan_address(scan, record)


@function
def scan_address_16(scan: Ptr[Scan], record: Ptr[Record]) -> i32:
    """A memory operand with 16-bit addressing."""
    mod = scan.modrm >> 6
    rm = scan.modrm & 7
    if mod == 0 and rm == 6:
        return scan_displacement(2, scan, record)
    record.base = BASES_16[rm]
    record.index = INDEXES_16[rm]
    return scan_displacement(mod, scan, record)


@function
def scan_address(scan: Ptr[Scan], record: Ptr[Record]) -> i32:
    """A memory operand with 32-bit or 64-bit addressing."""
    mod = scan.modrm >> 6
    rm = scan.modrm & 7
    base = rm
    if rm == 4:
        sib = next_byte(scan)
        if sib < 0:
            return sib
        base = sib & 7
        index = ((sib >> 3) & 7) | ((record.rex & 2) << 2)
        if index != 4:
            record.index = index
            record.scale = i32(1) << u32(sib >> 6)
    if mod == 0 and base == 5:
        if scan.mode == 64 and rm == 5:
            record.base = RIP
        return scan_displacement(4, scan, record)
    record.base = base | ((record.rex & 1) << 3)
    size = mod
    if mod == 2:
        size = 4
    return scan_displacement(size, scan, record)


@function
def scan_displacement(size: i32, scan: Ptr[Scan], record: Ptr[Record]) -> i32:
    """The displacement of a memory operand, 0 to 4 bytes."""
    if size == 0:
        return 0
    position = scan.position
    if position + size > scan.stop:
        return scan.overrun
    record.displacement = signed_number(scan.code + position, size)
    scan.position = position + size
    return 0


@function
def scan_immediates(scan: Ptr[Scan], record: Ptr[Record]) -> i32:
    """The immediates, the displacement of a branch, or an absolute address."""
    kind = scan.shape & IMMEDIATE_MASK
    if kind == NO_IMMEDIATE:
        return 0
    size = immediate_size(kind, record)
    size2: i32 = 0
    if kind == FAR:
        size2 = 2
    elif kind == IMM_16_8:
        size2 = 1
    position = scan.position
    if position + size + size2 > scan.stop:
        return scan.overrun
    if kind in (IMM_8, IMM_16) or size2 != 0:
        record.immediate = unsigned_number(scan.code + position, size)
        record.immediate2 = unsigned_number(scan.code + position + size, size2)
    elif kind == ABSOLUTE:
        record.displacement = signed_number(scan.code + position, size)
    else:
        record.immediate = signed_number(scan.code + position, size)
    scan.position = position + size + size2
    return 0


@function
def immediate_size(kind: i32, record: Ptr[Record]) -> i32:
    """The bytes of the first immediate."""
    if kind in (IMM_8, IMM_8_SIGNED, REL_8):
        return 1
    if kind in (IMM_16, IMM_16_8):
        return 2
    if kind == IMM_V:
        return record.operand_size >> 3
    if kind == ABSOLUTE:
        return record.address_size >> 3
    if record.operand_size == 16:
        return 2
    return 4


@function
def check(scan: Ptr[Scan], record: Ptr[Record]) -> i32:
    """The causes of #UD that the tree does not know."""
    shape = scan.shape
    if record.lock != 0 and ((shape & LOCKABLE) == 0 or record.rm != NOTHING):
        return INVALID
    if record.vvvv != 0 and (shape & USES_VVVV) == 0:
        return INVALID
    if (shape & CONTROL) != 0 and ((i32(CONTROL_REGISTERS) >> u32(record.reg)) & 1) == 0:
        return INVALID
    if (shape & DEBUG) != 0 and record.reg > 7:
        return INVALID
    return 0


@function
def finish(scan: Ptr[Scan], record: Ptr[Record]) -> None:
    """The segment if no prefix names one, and the fields that only some forms have."""
    if record.segment == NOTHING:
        record.segment = DS
        if record.base in (4, 5):
            record.segment = SS
    if (scan.shape & STRING) == 0:
        record.rep = 0
    if scan.mode != 64:
        record.vvvv &= 7
    record.length = scan.position


@function
def signed_number(code: Ptr[u8], size: i32) -> i64:
    """A little-endian number of 1 to 8 bytes, sign-extended."""
    left = size - 1
    value: i64 = (i64(code[left]) ^ 0x80) - 0x80
    while left > 0:
        left -= 1
        value = value * 256 + code[left]
    return value


@function
def unsigned_number(code: Ptr[u8], size: i32) -> i64:
    """A little-endian number of at most 4 bytes."""
    left = size
    value: i64 = 0
    while left > 0:
        left -= 1
        value = value * 256 + code[left]
    return value


def decoder_unit() -> Unit:
    """The decoder as a unit to build and load: `decoder_unit().load().decode_flat(...)`."""
    return Unit("x86-decoder", [decode_flat])
