"""The state of a processor as text: registers, and the instructions around RIP."""

from __future__ import annotations

from collections.abc import Iterator

from emulator.tcg.processor import Processor
from emulator.x86.disasm import disassemble

NAMES = ("AX", "CX", "DX", "BX", "SP", "BP", "SI", "DI")
SEGMENTS = ("ES", "CS", "SS", "DS", "FS", "GS")
EXCEPTIONS = {
    0: "#DE", 1: "#DB", 3: "#BP", 4: "#OF", 5: "#BR", 6: "#UD", 7: "#NM", 8: "#DF", 10: "#TS", 11: "#NP", 12: "#SS",
    13: "#GP", 14: "#PF", 16: "#MF", 17: "#AC", 19: "#XM",
}  # fmt: skip
MAX_INSTRUCTION = 15
SHOWN = 4  # instructions


def describe(processor: Processor) -> str:
    """Registers and code, several lines."""
    return "\n".join([*registers(processor), *code(processor)])


def exception_name(vector: int) -> str:
    return EXCEPTIONS.get(vector, f"interrupt {vector}")


def registers(processor: Processor) -> Iterator[str]:
    core = processor.core
    cpu = core.cpu
    if core.code_bits == 64:
        names = [f"R{name}" for name in NAMES] + [f"R{number}" for number in range(8, 16)]
        values = [f"{name:>3}={value:016x}" for name, value in zip(names, cpu.registers, strict=True)]
    else:
        values = [f"E{name}={value & 0xFFFFFFFF:08x}" for name, value in zip(NAMES, cpu.registers, strict=False)]
    for start in range(0, len(values), 4):
        yield "  " + " ".join(values[start : start + 4])
    yield f"  RIP={cpu.rip:x} RFLAGS={processor.rflags:x} CPL={core.cpl} mode={core.code_bits}-bit"
    parts = zip(SEGMENTS, cpu.segments, strict=True)
    yield "  " + " ".join(f"{name}={segment.selector:04x}:{segment.base:x}" for name, segment in parts)
    yield f"  CR0={cpu.cr0:x} CR2={cpu.cr2:x} CR3={cpu.cr3:x} CR4={cpu.cr4:x} EFER={cpu.efer:x}"


def code(processor: Processor) -> Iterator[str]:
    """The instruction at RIP and those behind it."""
    core = processor.core
    address = processor.linear_rip()
    data = processor.read_linear(address, MAX_INSTRUCTION * SHOWN)
    if data is None:
        yield f"  {core.cpu.rip:x}: no code is mapped there"
        return
    lines = disassemble(data, core.code_bits, core.cpu.rip)
    for (place, encoded, text), mark in zip(lines, ">" + " " * (SHOWN - 1), strict=False):
        yield f"{mark} {place:x}: {encoded.hex():<20} {text}"
