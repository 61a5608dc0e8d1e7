"""Test cases from the table: random encodings of every row, and a state in which each can be executed.

`random_encoding` makes bytes for decoders: any prefix, any operand. `random_case` makes a `Case` for differential tests
of semantics: an instruction of 64-bit user mode with registers, flags and memory such that it touches nothing but
the 4 KiB at `AREA`. What a case can not contain, and why, is in `EXCLUDED`.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from emulator.x86.decode import DecodeError, decode
from emulator.x86.flags import ALWAYS_SET, FLAG_BITS, STATUS_MASK, mask
from emulator.x86.instruction import NO_REGISTER, RIP, Instruction, Memory
from emulator.x86.notation import Encoding, Form
from emulator.x86.values import random_extended, random_integer, random_vector

ESCAPES = (b"", b"\x0f", b"\x0f\x38", b"\x0f\x3a")
LEGACY_PREFIXES = bytes.fromhex("26 2E 36 3E 64 65 66 67 F0 F2 F3")

# The instruction and its memory lie below 2 GiB, so that 32-bit addresses and displacements reach them.
CODE = 0x6000_0000
AREA = 0x6001_0000
AREA_SIZE = 4096
MARGIN = 512  # of the area, on both sides of where operands begin
RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI = range(8)
M64 = (1 << 64) - 1

# Forms that no case has: what they do depends on more than a case says, or reaches beyond it.
EXCLUDED = {
    "the operating system's segments and their bases": (
        "LAR LSL VERR VERW SLDT STR SGDT SIDT SMSW LFS LGS LSS RDFSBASE RDGSBASE WRFSBASE WRGSBASE"
    ),
    "the processor's identity, time or noise": "CPUID RDTSC RDTSCP RDPMC RDRAND RDSEED XGETBV",
    "images of state with places that processors fill differently": (
        "FXSAVE FXRSTOR XSAVE XSAVEC XSAVEOPT XRSTOR FLDENV FNSTENV FRSTOR FNSAVE"
    ),
}
EXCLUDED_MNEMONICS = frozenset(" ".join(EXCLUDED.values()).split())


@dataclass(frozen=True, slots=True)
class State:
    """What a user-mode instruction reads and writes. `x87` holds ST(0) to ST(7); `tags` is the FXSAVE tag byte."""

    registers: tuple[int, ...]
    flags: int
    xmm: tuple[int, ...]
    x87: tuple[int, ...]
    control: int
    status: int
    tags: int
    mxcsr: int
    memory: bytes


@dataclass(frozen=True, slots=True)
class Case:
    """An instruction at `CODE` and the state to execute it in; `undefined` are the flags not to compare."""

    code: bytes
    instruction: Instruction
    state: State
    undefined: int


def random_encoding(encoding: Encoding, mode: int, random: Random, junk: float = 0.0) -> bytes:
    """15 bytes that start with what the row describes.

    `junk` is the probability of each further prefix; with it the bytes may belong to another row, or be no instruction.
    """
    code = bytearray()
    while random.random() < junk:
        code.append(random.choice(LEGACY_PREFIXES))
    code += _opcode(encoding, mode, random)
    if encoding.modrm:
        mod = random.randrange(3) if random.choice(encoding.memory) else 3
        code.append(mod << 6 | random.choice(encoding.reg) << 3 | random.choice(encoding.rm))
    return bytes(code + random.randbytes(15))[:15]


def executable(encoding: Encoding) -> bool:
    """Whether cases of this row can be made: 64-bit user mode, straight-line, nothing that is excluded."""
    form = encoding.form
    segments = any(code.method == "S" or code.text in ("FS", "GS") for code in form.operands)
    kernel = form.marks & {"cpl0", "iopl", "flow", "pm"} and form.feature not in ("BMI1", "BMI2")
    return 64 in encoding.modes and not kernel and not segments and form.mnemonic not in EXCLUDED_MNEMONICS


def random_case(encoding: Encoding, random: Random) -> Case:
    """A case of a row that is `executable`."""
    while True:
        code = _random_user_code(encoding, random)
        try:
            instruction = decode(code, 64)
        except DecodeError:
            continue
        if instruction.form != encoding.form or not _is_defined(instruction):
            continue
        registers = _random_registers(instruction, random)
        if registers is None:
            continue
        code = _aim(code, instruction)
        return Case(
            code[: instruction.length],
            decode(code, 64),
            _random_state(instruction, registers, random),
            mask(instruction.form.undefined),
        )


def _opcode(encoding: Encoding, mode: int, random: Random) -> bytes:
    prefixes = _vex(encoding, mode, random) if encoding.map > 3 else _prefixes(encoding, mode, random)
    return prefixes + bytes((random.choice(encoding.opcodes),))


def _prefixes(encoding: Encoding, mode: int, random: Random) -> bytes:
    prefix = bytes.fromhex(encoding.prefix) if encoding.prefix not in ("", "np") else b""
    rex = b""
    if mode == 64:
        wanted = random.choice(encoding.w) << 3 | random.randrange(8) & ~(encoding.b == (0,))
        if random.random() < 0.7 or encoding.w == (1,):
            rex = bytes((0x40 | wanted,))
    return prefix + rex + ESCAPES[encoding.map]


def _vex(encoding: Encoding, mode: int, random: Random) -> bytes:
    """A three-byte VEX prefix, SDM Vol. 2, section 2.3.5; outside 64-bit mode R and X must read as set."""
    inverted = random.randrange(8) << 5 | (0 if mode == 64 else 0xC0)
    uses_vvvv = any(code.method == "B" for code in encoding.form.operands)
    vvvv = random.randrange(16) if uses_vvvv else 15
    return bytes((0xC4, inverted | encoding.map - 2, random.choice(encoding.w) << 7 | vvvv << 3 | encoding.prefixes[0]))


def _random_user_code(encoding: Encoding, random: Random) -> bytes:
    """An encoding with the prefixes that mean something in it."""
    prefixes = b""
    marks = encoding.form.marks
    if encoding.prefix == "" and encoding.map < 4 and random.random() < 0.25:
        prefixes += b"\x66"
    if random.random() < 0.1:
        prefixes += b"\x67"
    if "lock" in marks and random.random() < 0.2:
        prefixes += b"\xf0"
    if marks & {"rep", "repe"}:
        prefixes += random.choice((b"", b"\xf3", b"\xf2" if "repe" in marks else b"\xf3"))
    return prefixes + random_encoding(encoding, 64, random)


def _is_defined(instruction: Instruction) -> bool:
    """Whether the manual says what the instruction computes, and the area is large enough for it."""
    name = instruction.form.mnemonic
    count = instruction.immediate & (63 if instruction.operand_size == 64 else 31)
    if name in ("SHL", "SHR", "SHLD", "SHRD") and instruction.form.operands[-1].text == "Ib":
        return count < _operand_bits(instruction)
    if name == "BSWAP":
        return instruction.operand_size > 16
    if name == "ENTER":
        return instruction.immediate < MARGIN and instruction.immediate2 & 31 < 8
    return True


def _operand_bits(instruction: Instruction) -> int:
    return 8 if instruction.form.operands[0].text == "Eb" else instruction.operand_size


def _random_registers(instruction: Instruction, random: Random) -> list[int] | None:
    """General registers with which all addresses lie in the area; None if no values do that."""
    registers = [random_integer(random, 64) for _ in range(16)]
    form = instruction.form
    registers[RSP] = AREA + AREA_SIZE // 2
    if form.mnemonic in ("LEAVE", "ENTER"):
        registers[RBP] = AREA + AREA_SIZE // 2 + random.randrange(0, 256, 8)
    if form.mnemonic in ("MASKMOVQ", "MASKMOVDQU"):
        registers[RDI] = _target(random, 1)
    if form.marks & {"rep", "repe"}:
        registers[RSI], registers[RDI] = _target(random, 1), _target(random, 1)
        registers[RCX] = random.randrange(5)
    if form.mnemonic == "XLATB":
        registers[RBX] = _target(random, 1)
    _set_counts(instruction, registers, random)
    memory = next((operand for operand in instruction.operands if isinstance(operand, Memory)), None)
    if memory is None or instruction.rm != NO_REGISTER or not form.has_modrm_operand:
        return registers
    return registers if _aim_registers(instruction, memory, registers, random) else None


def _set_counts(instruction: Instruction, registers: list[int], random: Random) -> None:
    """Values for which the manual defines the result."""
    form = instruction.form
    if form.operands[-1:] and form.operands[-1].text == "CL" and form.mnemonic in ("SHL", "SHR", "SHLD", "SHRD"):
        registers[RCX] = registers[RCX] & ~0xFF | random.randrange(_operand_bits(instruction))
    if form.mnemonic in ("DIV", "IDIV"):  # mostly no #DE
        negative = form.mnemonic == "IDIV" and registers[RAX] >> instruction.operand_size - 1 & 1
        registers[RDX] = M64 if negative else 0
        if form.operands[0].text == "Eb":
            registers[RAX] &= ~0xFF80
    if form.name in ("BT_Ev_Gv", "BTS_Ev_Gv", "BTR_Ev_Gv", "BTC_Ev_Gv") and instruction.rm == NO_REGISTER:
        registers[instruction.reg] = random.randrange(-1024, 1024) & M64  # the offset in a bit string


def _target(random: Random, alignment: int) -> int:
    """An address for an operand."""
    return AREA + random.randrange(MARGIN, AREA_SIZE - MARGIN) // alignment * alignment


def _aim_registers(instruction: Instruction, memory: Memory, registers: list[int], random: Random) -> bool:
    """Set base and index so that the operand begins in the area."""
    if instruction.form.mnemonic in ("LEA", "NOP") or memory.base == RIP:
        return True
    fixed = {RSI, RDI} if instruction.form.marks & {"rep", "repe"} else set[int]()
    bit_offset = instruction.reg if instruction.form.mnemonic.startswith("BT") else NO_REGISTER
    if "stack" in instruction.form.marks:
        fixed.add(RSP)
    if {memory.base, memory.index} & (fixed | {bit_offset} - {NO_REGISTER}):
        return False
    needs = 16 if memory.size >= 16 and "unaligned" not in instruction.form.marks or instruction.lock else 1
    target = _target(random, needs)
    size = (1 << memory.address_size) - 1
    if memory.base == NO_REGISTER and memory.index == NO_REGISTER:
        return True
    if memory.base == memory.index:
        factor = memory.scale + 1
        registers[memory.base] = (target - memory.displacement) % (size + 1) // factor
    elif memory.base == NO_REGISTER:
        registers[memory.index] = (target - memory.displacement) % (size + 1) // memory.scale
    else:
        if memory.index != NO_REGISTER and RSP not in (memory.index,):
            registers[memory.index] &= size
        index = registers[memory.index] * memory.scale if memory.index != NO_REGISTER else 0
        registers[memory.base] = target - memory.displacement - index & size
    return effective_address(memory, registers, 0) in range(AREA + MARGIN // 2, AREA + AREA_SIZE - MARGIN // 2) and (
        effective_address(memory, registers, 0) % needs == 0
    )


def effective_address(memory: Memory, registers: list[int] | tuple[int, ...], next_address: int) -> int:
    """The offset of a memory operand in its segment."""
    base = next_address if memory.base == RIP else registers[memory.base] if memory.base != NO_REGISTER else 0
    index = registers[memory.index] * memory.scale if memory.index != NO_REGISTER else 0
    return base + index + memory.displacement & (1 << memory.address_size) - 1


def _aim(code: bytes, instruction: Instruction) -> bytes:
    """Rewrite a displacement that is the whole address: RIP-relative, absolute, or of XLAT's relatives."""
    memory = next((operand for operand in instruction.operands if isinstance(operand, Memory)), None)
    if memory is None or memory.index != NO_REGISTER or memory.base not in (NO_REGISTER, RIP):
        return code
    target = AREA + AREA_SIZE // 2
    if memory.base == RIP:
        target -= CODE + instruction.length
    size = memory.address_size // 8 if instruction.rm == NO_REGISTER and not _has_modrm(instruction) else 4
    for position in range(instruction.length - size, 0, -1):
        patched = code[:position] + target.to_bytes(size, "little", signed=True) + code[position + size :]
        try:
            if decode(patched, 64).displacement == target:
                return patched
        except DecodeError:
            continue
    raise AssertionError(f"no displacement in {code.hex()}")


def _has_modrm(instruction: Instruction) -> bool:
    return instruction.form.has_modrm_operand


def _random_state(instruction: Instruction, registers: list[int], random: Random) -> State:
    memory = bytearray()
    while len(memory) < AREA_SIZE:
        memory += random_vector(random).to_bytes(16, "little")
    if instruction.form.mnemonic == "POPF":  # no trap flag, no alignment check
        at = AREA_SIZE // 2
        popped = int.from_bytes(memory[at : at + 8], "little") & (STATUS_MASK | FLAG_BITS["D"])
        memory[at : at + 8] = popped.to_bytes(8, "little")
    top = random.randrange(8)
    filled = sum(1 << (top + register) % 8 for register in range(6))  # ST(6) and ST(7) are empty
    return State(
        registers=tuple(registers),
        flags=random.getrandbits(12) & (STATUS_MASK | FLAG_BITS["D"]) | ALWAYS_SET | FLAG_BITS["I"],
        xmm=tuple(random_vector(random) for _ in range(16)),
        x87=tuple(random_extended(random) for _ in range(8)),
        control=0x037F | random.randrange(4) << 10,
        status=top << 11,
        tags=filled,
        mxcsr=0x1F80 | random.randrange(4) << 13,
        memory=bytes(memory),
    )


def forms_without_cases(encodings: list[Encoding]) -> list[Form]:
    """The forms that no case can be made of."""
    made = {encoding.form.name for encoding in encodings if executable(encoding)}
    return [form for form in {row.form.name: row.form for row in encodings}.values() if form.name not in made]
