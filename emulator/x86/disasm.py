"""The disassembler: instructions in Intel syntax (SDM Vol. 1, section 1.3.2), as GNU objdump -M intel spells it.

    >>> from emulator.x86.decode import decode
    >>> text(decode(bytes.fromhex("66f3480fb84c8510"), 64))
    'popcnt rcx,QWORD PTR [rbp+rax*4+0x10]'

Prefixes that change nothing (a segment override without memory, REX on FNOP ...) are not shown.
"""

from __future__ import annotations

from emulator.x86.decode import DecodeError, Truncated, decode
from emulator.x86.instruction import (
    DS,
    NO_REGISTER,
    RIP,
    SS,
    FarPointer,
    Immediate,
    Instruction,
    Memory,
    Operand,
    Register,
    Relative,
)
from emulator.x86.notation import OperandCode

WORD_NAMES = ("ax", "cx", "dx", "bx", "sp", "bp", "si", "di")
SEGMENT_NAMES = ("es", "cs", "ss", "ds", "fs", "gs")
SIZE_NAMES = {
    1: "BYTE PTR ",
    2: "WORD PTR ",
    4: "DWORD PTR ",
    6: "FWORD PTR ",
    8: "QWORD PTR ",
    10: "TBYTE PTR ",
    16: "XMMWORD PTR ",
}
# Their operands are structures, not values.
HIDDEN_SIZE = frozenset(("SGDT", "SIDT", "LGDT", "LIDT", "INVPCID"))


def text(instruction: Instruction, address: int = 0) -> str:
    """The instruction in Intel syntax; `address` is its own, for the targets of relative branches."""
    operands = ",".join(
        _operand(instruction, code, operand, address)
        for code, operand in zip(instruction.form.operands, instruction.operands, strict=True)
    )
    return f"{_prefixes(instruction)}{_name(instruction)} {operands}".rstrip()


def disassemble(code: bytes, mode: int, address: int = 0) -> list[tuple[int, bytes, str]]:
    """Address, bytes and text of the instructions in `code`; a byte that starts none is shown as `(bad)`."""
    lines = []
    position = 0
    while position < len(code):
        try:
            instruction = decode(code[position : position + 15], mode)
        except Truncated:
            lines.append((address + position, code[position:], "(truncated)"))
            break
        except DecodeError:
            length, line = 1, "(bad)"
        else:
            length, line = instruction.length, text(instruction, address + position)
        lines.append((address + position, code[position : position + length], line))
        position += length
    return lines


def register_name(register: Register) -> str:
    """The assembler's name of a register."""
    number = register.number
    match register.kind:
        case "gpr":
            return _gpr_name(number, register.size)
        case "gpr_high":
            return "acdb"[number] + "h"
        case "segment":
            return SEGMENT_NAMES[number]
        case "control":
            return f"cr{number}"
        case "debug":
            return f"dr{number}"
        case "st":
            return f"st({number})"
        case kind:
            return f"{'mm' if kind == 'mmx' else 'xmm'}{number}"


def _gpr_name(number: int, size: int) -> str:
    if number >= 8:
        return f"r{number}" + {1: "b", 2: "w", 4: "d", 8: ""}[size]
    word = WORD_NAMES[number]
    if size == 1:
        return word[0] + "l" if number < 4 else word + "l"
    return {2: "", 4: "e", 8: "r"}[size] + word


def _name(instruction: Instruction) -> str:
    """The mnemonic; that of a string instruction without its size letter, since the operands are written out."""
    name = instruction.mnemonic.lower()
    return name[:-1] if _is_string(instruction) else name


def _is_string(instruction: Instruction) -> bool:
    return bool(instruction.form.marks & {"rep", "repe"}) or instruction.mnemonic == "XLATB"


def _prefixes(instruction: Instruction) -> str:
    words = ""
    if instruction.lock:
        words += "lock "
    if instruction.rep == 0xF3:
        words += "repz " if "repe" in instruction.form.marks else "rep "
    elif instruction.rep == 0xF2:
        words += "repnz "
    return words


def _operand(instruction: Instruction, code: OperandCode, operand: Operand, address: int) -> str:
    match operand:
        case Register():
            return "st" if code.text == "ST0" else register_name(operand)
        case Memory():
            sized = code.method != "O" and instruction.mnemonic not in HIDDEN_SIZE
            size = SIZE_NAMES.get(operand.size, "") if sized else ""
            return size + _memory(instruction, operand)
        case Immediate(value):
            return str(value) if code.method == "fixed" else f"{value:#x}"
        case Relative(displacement):
            target = address + instruction.length + displacement
            return f"{target & (1 << instruction.operand_size) - 1:#x}"
        case FarPointer(selector, offset):
            return f"{selector:#x}:{offset:#x}"


def _memory(instruction: Instruction, memory: Memory) -> str:
    if memory.base == NO_REGISTER and memory.index == NO_REGISTER:
        mask = (1 << memory.address_size) - 1
        return f"{SEGMENT_NAMES[memory.segment]}:{memory.displacement & mask:#x}"
    parts = []
    width = memory.address_size // 8
    if memory.base == RIP:
        parts.append("rip" if width == 8 else "eip")
    elif memory.base != NO_REGISTER:
        parts.append(_gpr_name(memory.base, width))
    if memory.index != NO_REGISTER:
        index = _gpr_name(memory.index, width)
        parts.append(index if memory.address_size == 16 else f"{index}*{memory.scale}")
    displacement = f"{memory.displacement:+#x}" if memory.displacement else ""
    return f"{_segment_prefix(instruction, memory)}[{'+'.join(parts)}{displacement}]"


def _segment_prefix(instruction: Instruction, memory: Memory) -> str:
    """The segment where it is not the one that the base register implies; string operands always name it."""
    default = SS if memory.base in (4, 5) else DS
    if memory.segment == default and not _is_string(instruction):
        return ""
    return SEGMENT_NAMES[memory.segment] + ":"
