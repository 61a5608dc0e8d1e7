"""What decoding yields: an Instruction and its operands (Intel SDM Vol. 2, chapter 2, "Instruction Format").

Register numbers are those of the encoding with REX applied: 0-15. Without REX the 8-bit registers 4-7 are AH, CH, DH
and BH: the kind "gpr_high", numbered 0-3 after the registers of which they are the second byte.
"""

from __future__ import annotations

from dataclasses import dataclass

from emulator.x86.notation import Form

ES, CS, SS, DS, FS, GS = range(6)
NO_REGISTER = -1  # a base or an index that is not there
RIP = 16  # the base of RIP-relative addressing


@dataclass(frozen=True, slots=True)
class Register:
    """`kind` is gpr, gpr_high, segment, control, debug, mmx, xmm or st; `size` is in bytes."""

    kind: str
    number: int
    size: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Base + index * scale + displacement in a segment; `size` in bytes is 0 where the SDM gives none (LEA, XSAVE)."""

    segment: int
    base: int
    index: int
    scale: int
    displacement: int
    size: int
    address_size: int


@dataclass(frozen=True, slots=True)
class Immediate:
    """`value` is not negative: sign extension to `size` bytes has been done."""

    value: int
    size: int


@dataclass(frozen=True, slots=True)
class Relative:
    """A branch target relative to the next instruction."""

    displacement: int


@dataclass(frozen=True, slots=True)
class FarPointer:
    selector: int
    offset: int
    size: int


Operand = Register | Memory | Immediate | Relative | FarPointer


@dataclass(frozen=True, slots=True)
class Instruction:
    """One decoded instruction. The fields up to `length` are the raw ones that a flat record has too (`flat.py`)."""

    form: Form
    opcode: int  # the opcode byte, whose low bits are the condition of Jcc, SETcc, CMOVcc
    mode: int
    operand_size: int  # the effective operand-size attribute, 16, 32 or 64
    address_size: int
    segment: int  # of the memory operand that a prefix may override; DS where there is none
    rep: int  # 0, F2h or F3h; 0 unless the form is a string instruction
    lock: bool
    rex: int  # the REX prefix, 0 if there is none
    reg: int  # ModRM.reg with REX.R, or the register in the opcode with REX.B
    rm: int  # ModRM.rm with REX.B, NO_REGISTER if it is memory or there is no ModRM
    base: int
    index: int
    scale: int
    displacement: int
    immediate: int
    immediate2: int  # ENTER's level, the selector of a far pointer
    vvvv: int
    length: int
    mnemonic: str
    operands: tuple[Operand, ...]
