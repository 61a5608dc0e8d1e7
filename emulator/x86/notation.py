"""The notation of the opcode table: how one row of text becomes an encoding and a form.

A row has three columns, in the notation of the Intel SDM: where the instruction is (Vol. 2, section 3.1.1.1,
"Opcode Column"), what it is (Vol. 2, appendix A.2, "Key to Abbreviations") and what is known about it:

    np 0F 58        | ADDPS  Vps,Wps        | SSE
    80 /0           | ADD    Eb,Ib          | lock m:OSZAPC

**Column 1, the encoding.** `[VEX] [np|66|F3|F2] [W0|W1] [B0] [0F [38|3A]] opcode [ModRM]`, where

- `np` means that none of 66, F3, F2 stands before the opcode, the other three name a mandatory prefix. A row
  without any of them matches whatever prefixes there are, unless a row that names the prefix matches too.
- `W0`, `W1` are conditions on REX.W; `B0` is one on REX.B, and comes before a row that does not state it.
- `opcode` is one byte; `+r` (a register in its low three bits) spans 8 opcodes, `+cc` (a condition) 16.
- `ModRM` is `/digit` (`/4,6`, `/0-5`: several), a whole byte (`0F 01 F8`), or a byte `+i` (x87: ST(i) in the low
  three bits). `mem` or `11B` after it restricts the mod field, as the operand codes M, N, R, U and m... do.

**Column 2, the instruction.** A mnemonic and operand codes. `CBW/CWDE/CDQE` are the names by operand size 16, 32, 64;
`MOVD/MOVQ` those by 32 and 64. Operand codes are an addressing method and a type of appendix A.2.1 and A.2.2, or the
name of a register, or a memory operand of section 3.1.1.3 (`m80fp`). Beyond the appendix: `Z` is a register in the
low three bits of the opcode (the SDM writes rAX/r8 ...), `BB` is the byte at rBX + AL (XLAT), the type `bs` is a byte
that is sign-extended to the operand size, `Rv/Mw` is one code for a register and another one for memory.

**Column 3, attributes**, in any order:

- modes: `i64` invalid in 64-bit mode, `o64` only valid in it, `d64` 64-bit operands by default there, `f64` always;
- status flags as in SDM Vol. 1, appendix A: `t:` tested, `m:` modified, `0:` cleared, `1:` set, `u:` undefined;
- `keep0` leaves all flags as they are if its count is 0 (shifts, REP);
- `lock` may have a LOCK prefix when its first operand is memory; `rep`, `repe` are string instructions;
- `cpl0` privileged, `iopl` sensitive to IOPL, `pm` raises #UD in real and virtual-8086 mode;
- `flow` ends a straight line of code, `stack` moves data through the stack, `unaligned` has a 16-byte memory operand
  that need not be aligned, `anymod` has a ModRM whose mod field is ignored, `asize` has names by address size;
- a CPUID feature (`features.py`); without one the instruction belongs to every processor that this table describes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from emulator.x86.features import BASE, FEATURES

CONDITIONS = ("O", "NO", "B", "AE", "E", "NE", "BE", "A", "S", "NS", "P", "NP", "L", "GE", "LE", "G")
CONDITION_FLAGS = ("O", "O", "C", "C", "Z", "Z", "CZ", "CZ", "S", "S", "P", "P", "OS", "OS", "OSZ", "OSZ")
PREFIXES = ("np", "66", "F3", "F2")  # the order of the VEX.pp field
MAP_NAMES = ("one-byte", "0F", "0F 38", "0F 3A", "VEX 0F 38", "VEX 0F 3A")
STATUS_FLAGS = "OSZAPC"
ALL_FLAGS = STATUS_FLAGS + "DITNRVLK"  # + DF IF TF NT RF VM IOPL AC

FIXED_REGISTERS = frozenset(("AL", "CL", "DX", "AX", "eAX", "rAX", "ES", "CS", "SS", "DS", "FS", "GS", "ST0", "XMM0"))
MODRM_METHODS = frozenset("CDEGMNPQRSUVW")
MEMORY_METHODS = frozenset("M")  # these operands say what the mod field must be
REGISTER_METHODS = frozenset("RNU")
METHODS = MODRM_METHODS | frozenset(("A", "B", "BB", "I", "J", "O", "X", "Y", "Z"))
TYPES = frozenset(("a", "b", "bs", "d", "dq", "p", "pd", "ps", "q", "s", "sd", "ss", "v", "w", "y", "z"))
MODES = frozenset(("i64", "o64", "d64", "f64"))
MARKS = MODES | frozenset(("lock", "rep", "repe", "cpl0", "iopl", "pm", "flow", "stack"))
MARKS |= frozenset(("keep0", "unaligned", "anymod", "asize"))


class NotationError(ValueError):
    """A row that does not follow the notation, or two rows that contradict each other."""


@dataclass(frozen=True, slots=True)
class OperandCode:
    """An operand as the table writes it; `method` is "fixed" for a register by name and for the constant 1."""

    text: str
    method: str
    type: str
    memory_type: str  # differs from `type` only in codes such as Rv/Mw


@dataclass(frozen=True, slots=True)
class Form:
    """What an instruction is, wherever it is encoded: the unit that semantics are written for."""

    name: str
    mnemonics: tuple[str, ...]
    operands: tuple[OperandCode, ...]
    feature: str
    marks: frozenset[str]
    tested: str = ""
    modified: str = ""
    cleared: str = ""
    set: str = ""
    undefined: str = ""

    @property
    def mnemonic(self) -> str:
        return self.mnemonics[0]

    @property
    def has_modrm_operand(self) -> bool:
        return any(code.method in MODRM_METHODS for code in self.operands)


@dataclass(frozen=True, slots=True)
class Encoding:
    """Where a form is: one row of the table. The tuples hold the values that match."""

    row: str
    form: Form
    map: int
    opcodes: range
    modrm: bool
    modes: tuple[int, ...] = (16, 32, 64)
    prefix: str = ""
    prefixes: tuple[int, ...] = (0, 1, 2, 3)
    w: tuple[int, ...] = (0, 1)
    b: tuple[int, ...] = (0, 1)
    memory: tuple[int, ...] = (0, 1)
    reg: tuple[int, ...] = tuple(range(8))
    rm: tuple[int, ...] = tuple(range(8))

    @property
    def rank(self) -> int:
        """Of two rows that match the same bytes, the one that states more conditions counts."""
        return (self.prefix != "") + (self.b == (0,))


def parse_rows(text: str) -> list[Encoding]:
    """The encodings of a table's text; blank lines and lines that start with # are for the reader."""
    lines = (line.strip() for line in text.splitlines())
    return [parse_row(line) for line in lines if line and not line.startswith("#")]


def parse_row(row: str) -> Encoding:
    """The encoding that one row describes."""
    columns = [column.strip() for column in row.split("|")]
    if len(columns) != 3:
        raise NotationError(f"not three columns: {row}")
    form, modes = _parse_form(columns[1], columns[2], row)
    place = _parse_place(columns[0].split(), row)
    place.setdefault("modrm", form.has_modrm_operand)
    methods = {code.method for code in form.operands}
    if "anymod" not in form.marks and methods & MEMORY_METHODS:
        place["memory"] = (1,)
    elif "anymod" not in form.marks and methods & REGISTER_METHODS:
        place["memory"] = (0,)
    return Encoding(row=row, form=form, modes=modes, **place)


@cache
def parse_operand(text: str) -> OperandCode:
    """An operand code such as Eb, Rv/Mw, m80fp, rAX or 1."""
    if text in FIXED_REGISTERS or text == "1":
        return OperandCode(text, "fixed", text, text)
    if text == "STi":
        return OperandCode(text, "ST", "", "")
    if re.fullmatch(r"m\d+(/\d+)?(fp|int|bcd|byte)?", text):
        return OperandCode(text, "M", text, text)
    if text == "M":
        return OperandCode(text, "M", "", "")
    if match := re.fullmatch(r"R([a-z]+)/M([a-z]+)", text):
        return OperandCode(text, "E", match[1], match[2])
    match = re.fullmatch(r"(BB|[A-Z])([a-z]+)", text)
    if match is None or match[1] not in METHODS or match[2] not in TYPES:
        raise NotationError(f"no such operand code: {text}")
    return OperandCode(text, match[1], match[2], match[2])


def _parse_form(instruction: str, attributes: str, row: str) -> tuple[Form, tuple[int, ...]]:
    """The form, and the modes in which it is valid at this place: 82 /0 is invalid in 64-bit mode, ADD Eb,Ib is not."""
    mnemonic, _, operand_text = instruction.partition(" ")
    operands = tuple(parse_operand(code) for code in operand_text.strip().split(",") if code)
    mnemonics = tuple(mnemonic.split("/"))
    if len(mnemonics) > 3:
        raise NotationError(f"more than three names: {row}")
    feature, marks, flags = _parse_attributes(attributes)
    modes = (64,) if "o64" in marks else (16, 32) if "i64" in marks else (16, 32, 64)
    name = "_".join((mnemonics[0], *(code.text.replace("/", "") for code in operands)))
    return Form(name, mnemonics, operands, feature, marks - {"i64", "o64"}, *flags), modes


@cache
def _parse_attributes(text: str) -> tuple[str, frozenset[str], tuple[str, ...]]:
    """The feature, the marks, and the flags tested, modified, cleared, set and undefined."""
    feature, marks, flags = BASE, set[str](), dict.fromkeys("tm01u", "")
    for token in text.split():
        if token in FEATURES:
            feature = token
        elif token in MARKS:
            marks.add(token)
        elif token[1:2] == ":" and token[0] in flags and set(token[2:]) <= set(ALL_FLAGS):
            flags[token[0]] = token[2:]
        else:
            raise NotationError(f"no such attribute: {token}")
    return feature, frozenset(marks), tuple(flags.values())


def _parse_place(tokens: list[str], row: str) -> dict[str, Any]:
    """The fields of an Encoding that the first column gives."""
    place: dict[str, Any] = {}
    vex = tokens[0] == "VEX"
    if vex:
        tokens.pop(0)
    while tokens[0] in (*PREFIXES, "W0", "W1", "B0"):
        token = tokens.pop(0)
        if token in PREFIXES:
            place |= {"prefix": token, "prefixes": (PREFIXES.index(token),)}
        else:
            place[token[0].lower()] = (int(token[1]),)
    opcode_map = 0
    if tokens[0] == "0F" and len(tokens) > 1:
        tokens.pop(0)
        opcode_map = 1
        if tokens[0] in ("38", "3A") and len(tokens) > 1:
            opcode_map = 2 if tokens.pop(0) == "38" else 3
    place["map"] = opcode_map + 2 if vex else opcode_map
    opcode, _, span = tokens.pop(0).partition("+")
    first = int(opcode, 16)
    place["opcodes"] = range(first, first + {"": 1, "r": 8, "cc": 16}[span])
    for token in tokens:
        place |= {"modrm": True, **_parse_modrm(token, row)}
    return place


def _parse_modrm(token: str, row: str) -> dict[str, Any]:
    """What /digit, a ModRM byte, mem or 11B says."""
    if token in ("mem", "11B"):
        return {"memory": (int(token == "mem"),)}
    if token.startswith("/"):
        digits: list[int] = []
        for part in token[1:].split(","):
            low, _, high = part.partition("-")
            digits += range(int(low), int(high or low) + 1)
        return {"reg": tuple(digits)}
    byte, _, span = token.partition("+")
    value = int(byte, 16)
    if value < 0xC0 or span not in ("", "i"):
        raise NotationError(f"not a ModRM byte of a register: {token} in {row}")
    fields: dict[str, Any] = {"memory": (0,), "reg": (value >> 3 & 7,)}
    return fields if span else fields | {"rm": (value & 7,)}
