"""The reference decoder: bytes to an Instruction, straight from the rows of the table (Intel SDM Vol. 2, chapter 2).

Written to be read, not to be fast: `flat.py` is the decoder that is compiled, and must agree with this one.

    >>> decode(bytes.fromhex("480fafc3"), 64).form.name
    'IMUL_Gv_Ev'

Order of events, which the flat decoder keeps: bytes are fetched one after another, and the sixteenth raises TooLong
(#GP, SDM Vol. 2, section 2.3.11), a missing one Truncated. An opcode without a row for the mode, the prefixes and REX
raises InvalidOpcode (#UD) before its ModRM byte is fetched, a ModRM byte without a row before its SIB byte is, and the
other causes of #UD (LOCK where it is not allowed, CR1, DR8 ...) after the last byte.
What depends on the state of the processor (privilege, CR0, CR4, real mode: `pm`) is no matter of decoding.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from emulator.x86.instruction import DS, FS, GS, NO_REGISTER, RIP, SS, Instruction
from emulator.x86.notation import CONDITIONS, Encoding, Form
from emulator.x86.operands import operand_of
from emulator.x86.table import ENCODINGS_BY_OPCODE, matching

MAX_LENGTH = 15
SEGMENT_PREFIXES = {0x26: 0, 0x2E: 1, 0x36: 2, 0x3E: 3, 0x64: FS, 0x65: GS}
CONTROL_REGISTERS = (0, 2, 3, 4, 8)

# ModRM.rm to (base, index) with 16-bit addressing (SDM Vol. 2, table 2-1)
BX, BP, SI, DI = 3, 5, 6, 7
ADDRESSES_16 = ((BX, SI), (BX, DI), (BP, SI), (BP, DI), (SI, -1), (DI, -1), (BP, -1), (BX, -1))


class DecodeError(Exception):
    """These bytes are no instruction."""


class InvalidOpcode(DecodeError):
    """#UD"""


class TooLong(DecodeError):
    """More than 15 bytes: #GP(0)"""


class Truncated(DecodeError):
    """The bytes end before the instruction does."""


@dataclass(slots=True)
class Decoding:
    """The state of decoding one instruction: where we are, and the fields found so far."""

    code: bytes
    mode: int
    position: int = 0
    operand_prefix: bool = False
    address_prefix: bool = False
    repeat: int = 0  # the last of F2, F3
    lock: bool = False
    override: int = NO_REGISTER
    rex: int = 0
    vex: bool = False
    pp: int = 0  # the prefix of VEX
    vvvv: int = 0
    map: int = 0
    opcode: int = 0
    mod: int = 3
    reg: int = 0
    rm: int = NO_REGISTER
    base: int = NO_REGISTER
    index: int = NO_REGISTER
    scale: int = 1
    displacement: int = 0
    immediates: list[int] = field(default_factory=lambda: [0, 0])

    def byte(self) -> int:
        """Fetch the next byte."""
        if self.position == MAX_LENGTH:
            raise TooLong
        if self.position >= len(self.code):
            raise Truncated
        self.position += 1
        return self.code[self.position - 1]

    def number(self, size: int, *, signed: bool) -> int:
        """Fetch a little-endian number of `size` bytes."""
        return int.from_bytes(bytes(self.byte() for _ in range(size)), "little", signed=signed)

    @property
    def w(self) -> int:
        return self.rex >> 3 & 1

    @property
    def r(self) -> int:
        return (self.rex & 4) << 1

    @property
    def x(self) -> int:
        return (self.rex & 2) << 2

    @property
    def b(self) -> int:
        return (self.rex & 1) << 3

    @property
    def prefix(self) -> int:
        """Which of np, 66, F3, F2 selects the row: F2 and F3 come before 66."""
        if self.vex:
            return self.pp
        return {0xF3: 2, 0xF2: 3}.get(self.repeat, int(self.operand_prefix))

    @property
    def address_size(self) -> int:
        if self.mode == 64:
            return 32 if self.address_prefix else 64
        return 16 if (self.mode == 16) != self.address_prefix else 32


def decode(code: bytes, mode: int) -> Instruction:
    """The instruction at the start of `code` in 16-, 32- or 64-bit mode."""
    state = Decoding(code, mode)
    _prefixes(state)
    _opcode(state)
    form = _modrm_and_form(state)
    _immediates(state, form, _operand_size(state, form))
    _check(state, form)
    return _instruction(state, form)


def _prefixes(state: Decoding) -> None:
    """Legacy prefixes in any order and number; a REX prefix counts if the opcode follows it (section 2.2.1)."""
    while True:
        byte = state.byte()
        if state.mode == 64 and byte & 0xF0 == 0x40:
            state.rex = byte
            continue
        if byte == 0x66:
            state.operand_prefix = True
        elif byte == 0x67:
            state.address_prefix = True
        elif byte == 0xF0:
            state.lock = True
        elif byte in (0xF2, 0xF3):
            state.repeat = byte
        elif byte in SEGMENT_PREFIXES:
            # In 64-bit mode the overrides ES, CS, SS and DS are ignored (SDM Vol. 1, section 3.4.2.1).
            if state.mode != 64 or byte in (0x64, 0x65):
                state.override = SEGMENT_PREFIXES[byte]
        else:
            state.opcode = byte
            return
        state.rex = 0


def _opcode(state: Decoding) -> None:
    """The escapes 0F, 0F 38, 0F 3A and VEX, up to the opcode byte."""
    if state.opcode in (0xC4, 0xC5):
        payload = state.byte()
        if state.mode == 64 or payload >= 0xC0:
            _vex(state, payload)
            return
        state.position -= 1  # LES or LDS, and this was its ModRM byte
    elif state.opcode == 0x0F:
        state.map = 1
        state.opcode = state.byte()
        if state.opcode in (0x38, 0x3A):
            state.map = 2 if state.opcode == 0x38 else 3
            state.opcode = state.byte()


def _vex(state: Decoding, payload: int) -> None:
    """The rest of a VEX prefix (section 2.3.5); the two-byte one (C5) leads to AVX alone, which is not there."""
    if state.rex or state.operand_prefix or state.repeat or state.lock or state.opcode == 0xC5:
        raise InvalidOpcode
    last = state.byte()
    if payload & 0x1F not in (2, 3) or last & 4:
        raise InvalidOpcode
    state.vex = True
    state.map = (payload & 0x1F) + 2
    state.pp = last & 3
    state.vvvv = last >> 3 & 15 ^ 15
    if state.mode == 64:
        state.rex = (payload >> 5 ^ 7) | last >> 4 & 8
    state.opcode = state.byte()


def _modrm_and_form(state: Decoding) -> Form:
    """Find the row; fetch the ModRM byte if its rows have one, and what belongs to it."""
    condition = {"modes": state.mode, "prefixes": state.prefix, "w": state.w, "b": state.rex & 1}
    rows = _select(ENCODINGS_BY_OPCODE.get((state.map, state.opcode), []), condition)
    if not rows:
        raise InvalidOpcode
    if not rows[0].modrm:
        state.reg = state.opcode & 7 | state.b
        return matching(rows)[0].form
    modrm = state.byte()
    state.mod = modrm >> 6
    rows = matching(_select(rows, {"memory": int(state.mod != 3), "reg": modrm >> 3 & 7, "rm": modrm & 7}))
    if not rows:
        raise InvalidOpcode
    form = rows[0].form
    if "anymod" in form.marks:
        state.mod = 3
    state.reg = modrm >> 3 & 7 | state.r
    if state.mod == 3:
        state.rm = modrm & 7 | state.b
    elif state.address_size == 16:
        _address_16(state, modrm & 7)
    else:
        _address(state, modrm & 7)
    return form


def _select(rows: list[Encoding], condition: dict[str, int]) -> list[Encoding]:
    return [row for row in rows if all(value in getattr(row, name) for name, value in condition.items())]


def _address_16(state: Decoding, rm: int) -> None:
    """SDM Vol. 2, table 2-1."""
    if state.mod == 0 and rm == 6:
        state.displacement = state.number(2, signed=True)
        return
    state.base, state.index = ADDRESSES_16[rm]
    if state.mod:
        state.displacement = state.number(state.mod, signed=True)


def _address(state: Decoding, rm: int) -> None:
    """SDM Vol. 2, tables 2-2 and 2-3, and sections 2.2.1.2 and 2.2.1.6 for 64-bit mode."""
    base = rm
    if rm == 4:
        sib = state.byte()
        base = sib & 7
        index = sib >> 3 & 7 | state.x
        if index != 4:
            state.index = index
            state.scale = 1 << (sib >> 6)
    if state.mod == 0 and base == 5:
        if state.mode == 64 and rm == 5:
            state.base = RIP
        state.displacement = state.number(4, signed=True)
        return
    state.base = base | state.b
    if state.mod:
        state.displacement = state.number(1 if state.mod == 1 else 4, signed=True)


def _operand_size(state: Decoding, form: Form) -> int:
    """SDM Vol. 1, section 3.6.1; sections 2.2.1.2 and 2.2.1.7 of Vol. 2 for 64-bit mode."""
    if state.mode == 64:
        if "f64" in form.marks or state.w:
            return 64
        if state.operand_prefix:
            return 16
        return 64 if "d64" in form.marks else 32
    if state.vex:
        return 32
    return 16 if (state.mode == 16) != state.operand_prefix else 32


def _immediates(state: Decoding, form: Form, operand_size: int) -> None:
    """Fetch the immediates, branch displacements and absolute addresses, which come last in this order."""
    z_size = 2 if operand_size == 16 else 4
    found = 0
    for code in form.operands:
        if code.method == "I":
            size = {"b": 1, "bs": 1, "w": 2, "z": z_size, "v": operand_size // 8}[code.type]
            state.immediates[found] = state.number(size, signed=code.type not in ("b", "w"))
            found += 1
        elif code.method == "J":
            state.immediates[0] = state.number(1 if code.type == "b" else z_size, signed=True)
        elif code.method == "A":
            state.immediates[0] = state.number(z_size, signed=False)
            state.immediates[1] = state.number(2, signed=False)
        elif code.method == "O":
            state.displacement = state.number(state.address_size // 8, signed=True)


def _check(state: Decoding, form: Form) -> None:
    """The causes of #UD that no row states."""
    if state.lock and ("lock" not in form.marks or state.rm != NO_REGISTER):
        raise InvalidOpcode
    if state.vvvv and all(code.method != "B" for code in form.operands):
        raise InvalidOpcode  # a VEX.vvvv that names no operand must be 1111b (section 2.3.5.6)
    for code in form.operands:
        if code.method == "C" and state.reg not in CONTROL_REGISTERS:
            raise InvalidOpcode
        if code.method == "D" and state.reg > 7:
            raise InvalidOpcode


def _instruction(state: Decoding, form: Form) -> Instruction:
    operand_size = _operand_size(state, form)
    segment = state.override
    if segment == NO_REGISTER:
        segment = SS if state.base in (4, 5) else DS
    raw = Instruction(
        form=form,
        opcode=state.opcode,
        mode=state.mode,
        operand_size=operand_size,
        address_size=state.address_size,
        segment=segment,
        rep=state.repeat if form.marks & {"rep", "repe"} else 0,
        lock=state.lock,
        rex=state.rex,
        reg=state.reg,
        rm=state.rm,
        base=state.base,
        index=state.index,
        scale=state.scale,
        displacement=state.displacement,
        immediate=state.immediates[0],
        immediate2=state.immediates[1],
        vvvv=state.vvvv & (15 if state.mode == 64 else 7),
        length=state.position,
        mnemonic="",
        operands=(),
    )
    return _named(raw)


def _named(raw: Instruction) -> Instruction:
    """The same instruction with its mnemonic and its operands."""
    operands = []
    immediates = iter((raw.immediate, raw.immediate2))
    for code in raw.form.operands:
        immediate = next(immediates) if code.method == "I" else raw.immediate
        operands.append(operand_of(code, raw, immediate))
    values = {name: getattr(raw, name) for name in raw.__slots__}
    return Instruction(**values | {"mnemonic": mnemonic_of(raw), "operands": tuple(operands)})


def mnemonic_of(raw: Instruction) -> str:
    """The name by operand size, address size or condition."""
    names = raw.form.mnemonics
    size = raw.address_size if "asize" in raw.form.marks else raw.operand_size
    if len(names) == 3:
        return names[(16, 32, 64).index(size)]
    if len(names) == 2:
        return names[size == 64]
    return names[0].replace("cc", CONDITIONS[raw.opcode & 15])
