"""Between KVM's structures of registers and our `Cpu` (api.rst, 4.11 and 4.13).

What KVM keeps to itself is not in `Cpu` here, but has its value after RESET there: x87 and SSE, debug registers, MSRs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from emulator.x86.state import BIG, CODE_OR_DATA, GRANULARITY, LONG, PRESENT

ORDER = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{number}" for number in range(8, 16)))
SEGMENTS = ("es", "cs", "ss", "ds", "fs", "gs")
CONTROLS = ("cr0", "cr2", "cr3", "cr4", "efer")
TYPE, DPL_SHIFT, AVAILABLE = 15, 5, 1 << 12


def to_cpu(general: Any, system: Any, cpu: Any) -> None:
    """From KVM."""
    for number, name in enumerate(ORDER):
        cpu.registers[number] = getattr(general, name)
    cpu.rip, cpu.rflags = general.rip, general.rflags
    for theirs, ours in _segments(system, cpu):
        ours.base, ours.limit, ours.selector = theirs.base, theirs.limit, theirs.selector
        ours.attributes = _attributes(theirs)
    for theirs, ours in _tables(system, cpu):
        ours.base, ours.limit = theirs.base, theirs.limit
    for name in CONTROLS:
        setattr(cpu, name, getattr(system, name))
    cpu.cr8 = system.cr8


def from_cpu(cpu: Any, general: Any, system: Any) -> None:
    """To KVM; CR8 is a field of `kvm_run`."""
    for number, name in enumerate(ORDER):
        setattr(general, name, cpu.registers[number])
    general.rip, general.rflags = cpu.rip, cpu.rflags
    for theirs, ours in _segments(system, cpu):
        theirs.base, theirs.limit, theirs.selector = ours.base, ours.limit, ours.selector
        _set_attributes(theirs, ours.attributes)
    for theirs, ours in _tables(system, cpu):
        theirs.base, theirs.limit = ours.base, ours.limit
    for name in CONTROLS:
        setattr(system, name, getattr(cpu, name))


def _segments(system: Any, cpu: Any) -> Iterator[tuple[Any, Any]]:
    for number, name in enumerate(SEGMENTS):
        yield getattr(system, name), cpu.segments[number]
    yield system.ldt, cpu.ldtr
    yield system.tr, cpu.tr


def _tables(system: Any, cpu: Any) -> Iterator[tuple[Any, Any]]:
    yield system.gdt, cpu.gdtr
    yield system.idt, cpu.idtr


def _attributes(segment: Any) -> int:
    """Bits 40 to 55 of a descriptor without the limit among them."""
    bits = (
        (PRESENT, segment.present and not segment.unusable),
        (CODE_OR_DATA, segment.s),
        (AVAILABLE, segment.avl),
        (LONG, segment.l),
        (BIG, segment.db),
        (GRANULARITY, segment.g),
    )
    return segment.type | segment.dpl << DPL_SHIFT | sum(bit for bit, on in bits if on)


def _set_attributes(segment: Any, attributes: int) -> None:
    segment.type, segment.dpl = attributes & TYPE, attributes >> DPL_SHIFT & 3
    segment.present = bool(attributes & PRESENT)
    segment.unusable = not segment.present
    segment.s = bool(attributes & CODE_OR_DATA)
    segment.avl = bool(attributes & AVAILABLE)
    segment.l = bool(attributes & LONG)
    segment.db = bool(attributes & BIG)
    segment.g = bool(attributes & GRANULARITY)
