"""Instructions of real mode, executed one at a time by an engine: what they leave behind.

The 64 KiB at CODE are nothing but HLT around the instruction, so that each branch ends; so do all vectors. DS, ES and
SS have 64 KiB each, filled with what the case says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from struct import pack
from typing import Any

from emulator.machine.engine import Engine
from emulator.softmmu.space import AddressSpace
from emulator.tcg.core import HALTED, REQUESTED, STUCK
from emulator.tcg.platform import Platform
from emulator.x86.decode import DecodeError, decode
from emulator.x86.flags import ALWAYS_SET, FLAG_BITS, STATUS_MASK, mask
from emulator.x86.instruction import CS, DS, ES, SS, Instruction
from emulator.x86.notation import Encoding
from emulator.x86.random_code import random_encoding
from emulator.x86.table import ENCODINGS
from emulator.x86.values import random_integer, random_memory

SEGMENT = 64 << 10
VECTORS, CODE, AREAS = 0x600, 0x10000, {DS: 0x20000, ES: 0x30000, SS: 0x40000}
MEMORY = 0x50000
START = 0x4000
HLT = b"\xf4"
RCX, RSP = 1, 4
SHIFTS = ("SHL", "SHR", "SAR", "SHLD", "SHRD", "RCL", "RCR", "ROL", "ROR")
EXCLUDED = {
    "what is another processor's": "CPUID RDPMC RDTSC MOV_Ry_Cy MOV_Cy_Ry MOV_Ry_Dy MOV_Dy_Ry SMSW LMSW",
    "nothing to see afterwards, or other state": "HLT INVD WBINVD INVLPG LGDT LIDT SGDT SIDT CLTS",
    "the way to nowhere": "RETF IRET",
    "a trap that single-steps, ICEBP": "INT1",
}
NAMES = frozenset(" ".join(EXCLUDED.values()).split())


@dataclass(frozen=True)
class Case:
    """An instruction at START; `undefined` are the flags not to compare."""

    code: bytes
    instruction: Instruction
    registers: tuple[int, ...]
    flags: int
    memory: bytes
    undefined: int


@dataclass(frozen=True)
class Outcome:
    registers: tuple[int, ...]
    rip: int
    flags: int
    selectors: tuple[int, ...]
    memory: bytes


def cases(seed: int, per_row: int) -> list[Case]:
    """Some of each integer instruction that real mode has."""
    random = Random(seed)
    rows = [row for row in ENCODINGS if row.form.feature == "base" and 16 in row.modes and _is_included(row)]
    return [random_case(row, random) for row in rows for _ in range(per_row)]


def _is_included(row: Encoding) -> bool:
    form = row.form
    jumps = any(mnemonic in ("JMP", "CALL") for mnemonic in form.mnemonics)
    far = jumps and any(operand.type == "p" for operand in form.operands)
    return form.name not in NAMES and not NAMES & set(form.mnemonics) and not far


def random_case(row: Encoding, random: Random) -> Case:
    while True:
        code = random.choice((b"", b"", b"\x66", b"\x67")) + random_encoding(row, 16, random)
        try:
            instruction = decode(code, 16)
        except DecodeError:
            continue
        if instruction.form == row.form and _is_defined(instruction):
            break
    registers = [random_integer(random, 32) for _ in range(8)]
    registers[RSP] = random.randrange(0x100, 0xFE00, 2)
    if instruction.form.mnemonic in SHIFTS:
        registers[RCX] = registers[RCX] & ~0xFF | random.randrange(8)
    if instruction.form.marks & {"rep", "repe"}:
        registers[RCX] = random.randrange(5)
    memory = bytearray(random_memory(random, 4096) * (SEGMENT // 4096))
    for place in range(registers[RSP], registers[RSP] + 4):
        memory[place] &= (STATUS_MASK | FLAG_BITS["D"]) >> 8 * (place - registers[RSP]) & 0xFF  # for POPF
    return Case(
        code[: instruction.length],
        instruction,
        tuple(registers),
        random.getrandbits(12) & (STATUS_MASK | FLAG_BITS["D"]) | ALWAYS_SET,
        bytes(memory),
        mask(instruction.form.undefined),
    )


def _is_defined(instruction: Instruction) -> bool:
    """Whether the manual says what it does, and that it ends."""
    form = instruction.form
    bits = 8 if form.operands and form.operands[0].type == "b" else instruction.operand_size
    if form.mnemonic in SHIFTS and form.operands[-1].text == "Ib":
        return instruction.immediate & 31 < bits
    if form.mnemonic == "INT":  # beyond, KVM's emulator takes the vector for a negative number, and repeats for ever
        return instruction.immediate < 0x80
    if form.mnemonic == "BSWAP":
        return instruction.operand_size == 32
    if "flow" in form.marks and form.operands and form.operands[0].method == "J":
        return not START - 16 <= instruction.immediate + START + instruction.length & 0xFFFF < START + 16
    return True


class RealMode:
    """An engine with its memory; `make` gets the space."""

    def __init__(self, make: Callable[[AddressSpace, Platform], Engine]) -> None:
        self.space = AddressSpace()
        self.ram = self.space.add_ram(0, MEMORY)
        self.engine = make(self.space, Platform())
        self.space.write(0, b"".join(pack("<HH", VECTORS + vector, 0) for vector in range(256)))
        self.space.write(VECTORS, HLT * 256)
        self.space.write(CODE, HLT * SEGMENT)

    def run(self, case: Case) -> Outcome | None:
        """What it leaves behind; None if the engine cannot execute it."""
        self._load(case)
        reason = REQUESTED  # which a new processor answers first
        while reason == REQUESTED:
            reason = self.engine.run()
        assert reason in (HALTED, STUCK), reason
        self.space.write(CODE + START, HLT * len(case.code))
        return None if reason == STUCK else self._outcome()

    def close(self) -> None:
        self.engine.close()

    def _load(self, case: Case) -> None:
        cpu = self.engine.cpu
        self.space.write(CODE + START, case.code)
        for number, base in AREAS.items():
            self.space.write(base, case.memory)
            cpu.segments[number].base, cpu.segments[number].selector = base, base >> 4
        cpu.segments[CS].base, cpu.segments[CS].selector = CODE, CODE >> 4
        for number, value in enumerate(case.registers):
            cpu.registers[number] = value
        cpu.rip, cpu.halted = START, 0
        self.engine.rflags = case.flags
        self.engine.state_changed()

    def _outcome(self) -> Outcome:
        cpu: Any = self.engine.cpu
        return Outcome(
            tuple(value & 0xFFFFFFFF for value in cpu.registers[:8]),
            cpu.rip,
            self.engine.rflags,
            tuple(segment.selector for segment in cpu.segments),
            self.space.read(0, MEMORY),
        )
