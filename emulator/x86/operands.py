"""From an operand code and the raw fields of an instruction to the operand (Intel SDM Vol. 2, appendix A.2)."""

from __future__ import annotations

import re

from emulator.x86.instruction import (
    ES,
    NO_REGISTER,
    FarPointer,
    Immediate,
    Instruction,
    Memory,
    Operand,
    Register,
    Relative,
)
from emulator.x86.notation import OperandCode

FIXED_SIZES = {"b": 1, "bs": 1, "w": 2, "d": 4, "ss": 4, "q": 8, "sd": 8, "dq": 16, "ps": 16, "pd": 16}
SEGMENT_NAMES = ("ES", "CS", "SS", "DS", "FS", "GS")


def type_size(kind: str, operand_size: int, mode: int) -> int:
    """Bytes of an operand type (appendix A.2.2) or of a memory operand such as m80fp; 0 if it has no single size."""
    if kind in FIXED_SIZES:
        return FIXED_SIZES[kind]
    if kind == "v":
        return operand_size // 8
    if kind == "z":
        return min(operand_size // 8, 4)
    if kind == "y":
        return 8 if operand_size == 64 else 4
    if kind == "a":  # BOUND: two operands
        return operand_size // 4
    if kind == "p":  # a far pointer: an offset and a selector
        return operand_size // 8 + 2
    if kind == "s":  # a pseudo-descriptor: a limit and a base
        return 10 if mode == 64 else 6
    if match := re.fullmatch(r"m(\d+)(fp|int|bcd)?", kind):
        return int(match[1]) // 8
    return 0


def operand_of(code: OperandCode, raw: Instruction, immediate: int) -> Operand:
    """The operand that `code` describes, given the fields of the instruction and the immediate that is its own."""
    size = type_size(code.type, raw.operand_size, raw.mode)
    match code.method:
        case "fixed":
            return _fixed(code.type, raw.operand_size)
        case "G":
            return _gpr(raw.reg, size, raw.rex)
        case "Z":
            return _gpr(raw.reg, size, raw.rex)
        case "B":
            return Register("gpr", raw.vvvv, size)
        case "E" | "R" | "M" | "Q" | "N" | "W" | "U":
            return _modrm_operand(code, raw, size)
        case "V":
            return Register("xmm", raw.reg, 16)
        case "P":
            return Register("mmx", raw.reg & 7, 8)
        case "S":
            return Register("segment", raw.reg & 7, 2)
        case "C":
            return Register("control", raw.reg, size)
        case "D":
            return Register("debug", raw.reg, size)
        case "ST":
            return Register("st", raw.rm & 7, 10)
        case _:
            return _without_modrm(code, raw, immediate, size)


def _without_modrm(code: OperandCode, raw: Instruction, immediate: int, size: int) -> Operand:
    match code.method:
        case "I":
            size = raw.operand_size // 8 if code.type in ("bs", "z") else size
            return Immediate(immediate & (1 << 8 * size) - 1, size)
        case "J":
            return Relative(raw.immediate)
        case "A":
            return FarPointer(raw.immediate2, raw.immediate, size)
        case "O":
            return _memory(raw, size, raw.segment, NO_REGISTER, raw.displacement)
        case "X":
            return _memory(raw, size, raw.segment, 6)
        case "Y":  # no prefix overrides ES:rDI of a string instruction
            return _memory(raw, size, ES, 7)
        case "BB":
            return _memory(raw, size, raw.segment, 3)
        case _:
            raise ValueError(f"no operand: {code.text}")


def _modrm_operand(code: OperandCode, raw: Instruction, size: int) -> Operand:
    if raw.rm == NO_REGISTER:
        size = type_size(code.memory_type, raw.operand_size, raw.mode)
        return Memory(raw.segment, raw.base, raw.index, raw.scale, raw.displacement, size, raw.address_size)
    if code.method in ("Q", "N"):
        return Register("mmx", raw.rm & 7, 8)
    if code.method in ("W", "U"):
        return Register("xmm", raw.rm, 16)
    return _gpr(raw.rm, size, raw.rex)


def _memory(raw: Instruction, size: int, segment: int, base: int, displacement: int = 0) -> Memory:
    return Memory(segment, base, NO_REGISTER, 1, displacement, size, raw.address_size)


def _gpr(number: int, size: int, rex: int) -> Register:
    """Without REX the 8-bit registers 4-7 are AH, CH, DH and BH."""
    if size == 1 and not rex and number >= 4:
        return Register("gpr_high", number - 4, 1)
    return Register("gpr", number, size)


def _fixed(name: str, operand_size: int) -> Operand:
    if name == "1":
        return Immediate(1, 1)
    if name in SEGMENT_NAMES:
        return Register("segment", SEGMENT_NAMES.index(name), 2)
    if name == "ST0":
        return Register("st", 0, 10)
    if name == "XMM0":
        return Register("xmm", 0, 16)
    sizes = {"AL": 1, "CL": 1, "AX": 2, "DX": 2, "eAX": min(operand_size // 8, 4), "rAX": operand_size // 8}
    return Register("gpr", {"CL": 1, "DX": 2}.get(name, 0), sizes[name])
