"""RFLAGS: the bits, and what the opcode table says about them (Intel SDM Vol. 1, section 3.4.3)."""

from __future__ import annotations

from emulator.x86.notation import CONDITION_FLAGS, STATUS_FLAGS, Form

FLAG_BITS = {
    "C": 1 << 0,
    "P": 1 << 2,
    "A": 1 << 4,
    "Z": 1 << 6,
    "S": 1 << 7,
    "T": 1 << 8,
    "I": 1 << 9,
    "D": 1 << 10,
    "O": 1 << 11,
    "L": 3 << 12,  # IOPL
    "N": 1 << 14,  # NT
    "R": 1 << 16,  # RF
    "V": 1 << 17,  # VM
    "K": 1 << 18,  # AC
}
ALWAYS_SET = 1 << 1


def mask(letters: str) -> int:
    """The bits of the flags that a column of the table names."""
    return sum(FLAG_BITS[letter] for letter in letters)


STATUS_MASK = mask(STATUS_FLAGS)


def flags_tested(form: Form, opcode: int) -> int:
    """The flags that an instruction reads; a condition reads only its own."""
    if form.mnemonic.endswith("cc"):
        return mask(CONDITION_FLAGS[opcode & 15])
    return mask(form.tested)


def flags_written(form: Form) -> int:
    """The flags that may differ afterwards, the undefined ones too."""
    return mask(form.modified + form.cleared + form.set + form.undefined)
