"""Between KVM's structures of registers and our `Cpu` (api.rst, 4.11 and 4.13).

What KVM keeps to itself is not in `Cpu` here, but has its value after RESET there: x87 and SSE, debug registers, MSRs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from emulator.x86.state import BIG, CODE_OR_DATA, GRANULARITY, LONG, PRESENT, Cpu

from .structs import Registers

ORDER = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{number}" for number in range(8, 16)))
SEGMENTS = ("es", "cs", "ss", "ds", "fs", "gs")
CONTROLS = ("cr0", "cr2", "cr3", "cr4", "efer")
GENERAL = slice(0, Cpu.offset("segments"))  # what these are in a `Cpu`
SYSTEM = slice(Cpu.offset("segments"), Cpu.offset("star"))
TYPE, DPL_SHIFT, AVAILABLE = 15, 5, 1 << 12


def general_to_cpu(general: Any, cpu: Any) -> None:
    """From KVM: general registers, RIP and RFLAGS."""
    cpu.registers[:] = [getattr(general, name) for name in ORDER]
    cpu.rip, cpu.rflags = general.rip, general.rflags


def general_from_cpu(cpu: Any) -> Any:
    """To KVM: the same."""
    general = Registers(rip=cpu.rip, rflags=cpu.rflags)
    for name, value in zip(ORDER, cpu.registers, strict=True):
        setattr(general, name, value)
    return general


def system_to_cpu(system: Any, cpu: Any) -> None:
    """From KVM: segments and control registers."""
    for theirs, ours in _segments(system, cpu):
        ours.base, ours.limit, ours.selector = theirs.base, theirs.limit, theirs.selector
        ours.attributes = _attributes(theirs)
    for theirs, ours in _tables(system, cpu):
        ours.base, ours.limit = theirs.base, theirs.limit
    for name in CONTROLS:
        setattr(cpu, name, getattr(system, name))


def system_from_cpu(cpu: Any, system: Any) -> None:
    """To KVM: the same, into a structure that has what `Cpu` has not. CR8 is a field of `kvm_run`."""
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
