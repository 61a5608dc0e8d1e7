"""The state of a processor as text: registers, and the instructions around RIP."""

from __future__ import annotations

from collections.abc import Iterator

from emulator.x86.disasm import disassemble

from .engine import Engine

NAMES = ("AX", "CX", "DX", "BX", "SP", "BP", "SI", "DI")
SEGMENTS = ("ES", "CS", "SS", "DS", "FS", "GS")
MAX_INSTRUCTION = 15
SHOWN = 4  # instructions


def describe(processor: Engine) -> str:
    """Registers and code, several lines."""
    return "\n".join([*registers(processor), *code(processor)])


def registers(processor: Engine) -> Iterator[str]:
    cpu = processor.cpu
    if processor.code_bits == 64:
        names = [f"R{name}" for name in NAMES] + [f"R{number}" for number in range(8, 16)]
        values = [f"{name:>3}={value:016x}" for name, value in zip(names, cpu.registers, strict=True)]
    else:
        values = [f"E{name}={value & 0xFFFFFFFF:08x}" for name, value in zip(NAMES, cpu.registers, strict=False)]
    for start in range(0, len(values), 4):
        yield "  " + " ".join(values[start : start + 4])
    yield f"  RIP={cpu.rip:x} RFLAGS={processor.rflags:x} CPL={processor.cpl} mode={processor.code_bits}-bit"
    parts = zip(SEGMENTS, cpu.segments, strict=True)
    yield "  " + " ".join(f"{name}={segment.selector:04x}:{segment.base:x}" for name, segment in parts)
    yield f"  CR0={cpu.cr0:x} CR2={cpu.cr2:x} CR3={cpu.cr3:x} CR4={cpu.cr4:x} EFER={cpu.efer:x}"


def code(processor: Engine) -> Iterator[str]:
    """The instruction at RIP and those behind it."""
    address = processor.linear_rip()
    data = processor.read_linear(address, MAX_INSTRUCTION * SHOWN)
    if data is None:
        yield f"  {processor.cpu.rip:x}: no code is mapped there"
        return
    lines = disassemble(data, processor.code_bits, processor.cpu.rip)
    for (place, encoded, text), mark in zip(lines, ">" + " " * (SHOWN - 1), strict=False):
        yield f"{mark} {place:x}: {encoded.hex():<20} {text}"
