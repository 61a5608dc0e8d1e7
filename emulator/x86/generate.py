"""Test cases for semantics, made from the table: an instruction, and a state in which it can be executed.

A `Case` is an instruction of 64-bit or 32-bit user mode with registers, flags and memory such that it touches nothing
but the 4 KiB at `AREA`, and that the manual says what it computes. What no case contains, and why, is in `EXCLUDED`.

    case = random_case(encoding, Random(1))
    case.code, case.state, case.undefined        # bytes for CODE, what to load, flags not to compare
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from emulator.x86.decode import DecodeError, decode
from emulator.x86.flags import ALWAYS_SET, FLAG_BITS, STATUS_MASK, mask
from emulator.x86.instruction import NO_REGISTER, RIP, Instruction, Memory, Register
from emulator.x86.notation import Encoding
from emulator.x86.random_code import random_encoding
from emulator.x86.values import random_extended, random_integer, random_memory, random_vector

# The instruction and its memory lie below 2 GiB, so that 32-bit addresses and displacements reach them.
CODE = 0x6000_0000
AREA = 0x6001_0000
AREA_SIZE = 4096
MIDDLE = AREA + AREA_SIZE // 2
TARGETS = range(AREA + 512, AREA + AREA_SIZE - 512)  # where operands begin; a few kinds reach beyond, either way
RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI = range(8)

EXCLUDED = {
    "the operating system's segments and their bases": (
        "LAR LSL VERR ARPL VERW SLDT STR SGDT SIDT SMSW LDS LES LFS LGS LSS RDFSBASE RDGSBASE WRFSBASE WRGSBASE"
    ),
    "the processor's identity, time or noise": "CPUID RDTSC RDTSCP RDPMC RDRAND RDSEED XGETBV",
    "exceptions that the host reports as others": "BOUND",
    "images of state with places that processors fill differently": (
        "FXSAVE FXRSTOR XSAVE XSAVEC XSAVEOPT XRSTOR FLDENV FNSTENV FRSTOR FNSAVE"
    ),
}
EXCLUDED_MNEMONICS = frozenset(" ".join(EXCLUDED.values()).split())
SEGMENTS = frozenset(("ES", "CS", "SS", "DS", "FS", "GS"))
# Excluded by their marks: they leave user mode or the straight line, or depend on the mode of the processor.
EXCLUDED_MARKS = frozenset(("cpl0", "iopl", "flow"))

# What POPF and LDMXCSR may load: no trap flag, no alignment check; only bits that exist.
LOADABLE = {"POPF": STATUS_MASK | FLAG_BITS["D"], "LDMXCSR": 0xFFFF}


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


def executable(encoding: Encoding, mode: int = 64) -> bool:
    """Whether cases of this row can be made for 64-bit or 32-bit mode."""
    form = encoding.form
    segments = any(code.method == "S" or code.text in SEGMENTS for code in form.operands)
    excluded = form.marks & EXCLUDED_MARKS or form.mnemonic in EXCLUDED_MNEMONICS
    return mode in encoding.modes and not excluded and not segments


def random_case(encoding: Encoding, random: Random, mode: int = 64) -> Case:
    """A case of a row that is `executable` in the mode."""
    while True:
        code = _random_code(encoding, mode, random)
        try:
            instruction = decode(code, mode)
        except DecodeError:
            continue
        if instruction.form != encoding.form or not _is_defined(instruction):
            continue
        code = _aim_displacement(code, instruction)
        instruction = decode(code, mode)
        registers = _random_registers(instruction, random)
        if not _aim_registers(instruction, registers, random):
            continue
        state = _random_state(instruction, registers, random)
        if instruction.form.mnemonic in ("BSF", "BSR") and _source_is_zero(instruction, state):
            continue
        return Case(code[: instruction.length], instruction, state, mask(instruction.form.undefined))


def effective_address(memory: Memory, registers: tuple[int, ...] | list[int], next_address: int) -> int:
    """The offset of a memory operand in its segment."""
    base = next_address if memory.base == RIP else registers[memory.base] if memory.base != NO_REGISTER else 0
    index = registers[memory.index] * memory.scale if memory.index != NO_REGISTER else 0
    return base + index + memory.displacement & (1 << memory.address_size) - 1


def _random_code(encoding: Encoding, mode: int, random: Random) -> bytes:
    """An encoding with the prefixes that mean something in it."""
    prefixes = b""
    marks = encoding.form.marks
    if encoding.prefix == "" and encoding.map < 4 and random.random() < 0.25:
        prefixes += b"\x66"
    if mode == 64 and random.random() < 0.1:  # 16-bit addresses do not reach the area
        prefixes += b"\x67"
    if "lock" in marks and random.random() < 0.2:
        prefixes += b"\xf0"
    if marks & {"rep", "repe"}:
        prefixes += random.choice((b"", b"\xf3", b"\xf2" if "repe" in marks else b"\xf3"))
    return prefixes + random_encoding(encoding, mode, random)


def _is_defined(instruction: Instruction) -> bool:
    """Whether the manual says what these immediates do, and the area is large enough for them."""
    name = instruction.form.mnemonic
    if name in ("SHL", "SHR", "SHLD", "SHRD") and instruction.form.operands[-1].text == "Ib":
        return instruction.immediate & (63 if instruction.operand_size == 64 else 31) < _bits(instruction)
    if name == "AAM":  # by 0 raises #DE
        return instruction.immediate > 0
    if name == "BSWAP":
        return instruction.operand_size > 16
    if name in ("CMPPS", "CMPPD", "CMPSS", "CMPSD"):
        return instruction.immediate < 8
    if name == "ENTER":
        return instruction.immediate < 256 and instruction.immediate2 & 31 < 8
    return True


def _bits(instruction: Instruction) -> int:
    """The width of the first operand, a general register or memory."""
    return 8 if instruction.form.operands[0].type == "b" else instruction.operand_size


def _random_registers(instruction: Instruction, random: Random) -> list[int]:
    """General registers with which the implied operands are in the area, and the result is defined."""
    count, bits = (16, 64) if instruction.mode == 64 else (8, 32)
    registers = [random_integer(random, bits) for _ in range(count)] + [0] * (16 - count)
    registers[RSP] = MIDDLE
    name = instruction.form.mnemonic
    if _is_string(instruction):
        registers[RSI], registers[RDI] = random.choice(TARGETS), random.choice(TARGETS)
        registers[RCX] = random.randrange(5)
    elif name in ("LEAVE", "ENTER"):
        registers[RBP] = MIDDLE + random.randrange(0, 256, 8)
    elif name in ("MASKMOVQ", "MASKMOVDQU"):
        registers[RDI] = random.choice(TARGETS)
    elif name == "XLATB":
        registers[RBX] = random.choice(TARGETS)
    elif _shifts_by_cl(instruction):
        registers[RCX] = registers[RCX] & ~0xFF | random.randrange(_bits(instruction))
    elif name in ("DIV", "IDIV"):  # mostly no #DE
        negative = name == "IDIV" and registers[RAX] >> instruction.operand_size - 1 & 1
        registers[RDX] = (1 << bits) - 1 if negative else 0
        registers[RAX] &= ~0xFF80 if _bits(instruction) == 8 else ~0
    elif _is_bit_string(instruction):
        registers[instruction.reg] = random.randrange(-1024, 1024) % (1 << bits)
    return registers


def _aim_registers(instruction: Instruction, registers: list[int], random: Random) -> bool:
    """Set base and index so that the operand of ModRM begins in the area; False if these registers can not."""
    memory = _modrm_memory(instruction)
    if memory is None or memory.base == RIP or memory.base == memory.index == NO_REGISTER:
        return True
    reserved = {RSP} if "stack" in instruction.form.marks else set[int]()
    if _is_bit_string(instruction):
        reserved.add(instruction.reg)
    if _shifts_by_cl(instruction):
        reserved.add(RCX)
    if reserved & {memory.base, memory.index}:
        return False
    aligned = (memory.size >= 16 and "unaligned" not in instruction.form.marks) or instruction.lock
    alignment = 16 if aligned else 1
    target = random.choice(TARGETS) // alignment * alignment
    missing = target - effective_address(memory, _without(memory, registers), 0)
    factor = 1
    if memory.base == NO_REGISTER:
        factor = memory.scale
    elif memory.base == memory.index:
        factor = memory.scale + 1
    aimed = memory.base if memory.base != NO_REGISTER else memory.index
    registers[aimed] = missing % (1 << memory.address_size) // factor
    address = effective_address(memory, registers, 0)
    return address in TARGETS and address % alignment == 0


def _without(memory: Memory, registers: list[int]) -> list[int]:
    """The registers, with 0 for the one that is going to be aimed."""
    aimed = memory.base if memory.base != NO_REGISTER else memory.index
    return [0 if number == aimed else value for number, value in enumerate(registers)]


def _aim_displacement(code: bytes, instruction: Instruction) -> bytes:
    """Point an address without registers to the area: RIP-relative, absolute, moffs."""
    memory = next((operand for operand in instruction.operands if isinstance(operand, Memory)), None)
    if memory is None or memory.index != NO_REGISTER or memory.base not in (NO_REGISTER, RIP):
        return code
    target = MIDDLE - (CODE + instruction.length if memory.base == RIP else 0)
    size = 4 if instruction.form.has_modrm_operand else memory.address_size // 8
    for position in range(instruction.length - size, 0, -1):
        patched = code[:position] + target.to_bytes(size, "little") + code[position + size :]
        if decode(patched, instruction.mode).displacement == target:
            return patched
    raise AssertionError(f"no displacement in {code.hex()}")


def _modrm_memory(instruction: Instruction) -> Memory | None:
    """The memory operand of ModRM if the instruction accesses it."""
    if not instruction.form.has_modrm_operand or instruction.form.mnemonic in ("LEA", "NOP"):
        return None
    return next((operand for operand in instruction.operands if isinstance(operand, Memory)), None)


def _is_string(instruction: Instruction) -> bool:
    return bool(instruction.form.marks & {"rep", "repe"})


def _shifts_by_cl(instruction: Instruction) -> bool:
    """Shifts whose result is undefined by more than the operand's bits."""
    form = instruction.form
    return form.mnemonic in ("SHL", "SHR", "SHLD", "SHRD") and form.operands[-1].text == "CL"


def _is_bit_string(instruction: Instruction) -> bool:
    """BT, BTS, BTR and BTC of memory with an offset in a register, which reaches beyond the operand."""
    name = instruction.form.name
    return name in ("BT_Ev_Gv", "BTS_Ev_Gv", "BTR_Ev_Gv", "BTC_Ev_Gv") and instruction.rm == NO_REGISTER


def _source_is_zero(instruction: Instruction, state: State) -> bool:
    source = instruction.operands[1]
    size = instruction.operand_size // 8
    if isinstance(source, Register):
        return state.registers[source.number] & (1 << 8 * size) - 1 == 0
    assert isinstance(source, Memory)
    start = effective_address(source, state.registers, CODE + instruction.length) - AREA
    return not any(state.memory[start : start + size])


def _random_state(instruction: Instruction, registers: list[int], random: Random) -> State:
    memory = bytearray(random_memory(random, AREA_SIZE))
    loadable = LOADABLE.get(instruction.form.mnemonic)
    if loadable is not None:
        for start in range(0, AREA_SIZE, 8):
            memory[start : start + 8] = (random.getrandbits(32) & loadable).to_bytes(8, "little")
    top = random.randrange(8)
    return State(
        registers=tuple(registers),
        flags=random.getrandbits(12) & (STATUS_MASK | FLAG_BITS["D"]) | ALWAYS_SET | FLAG_BITS["I"],
        xmm=tuple(random_vector(random) for _ in range(16)),
        x87=tuple(random_extended(random) for _ in range(8)),
        control=0x037F | random.randrange(4) << 10,
        status=top << 11,
        tags=sum(1 << (top + number) % 8 for number in range(6)),  # ST(6) and ST(7) are empty
        mxcsr=0x1F80 | random.randrange(4) << 13,
        memory=bytes(memory),
    )
