"""The state in which boot loaders leave the processor to a 32-bit kernel (Multiboot Specification, section 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.x86.instruction import CS

if TYPE_CHECKING:
    from .machine import Machine

CODE_32, CODE_64, DATA = 0xC09B, 0xA09B, 0xC093  # attributes of flat segments
PE = 1
NO_CACHES = 0x60000000  # CR0.CD and NW, set by RESET


def enter_protected_mode(machine: Machine, code_selector: int = 8, data_selector: int = 16) -> None:
    """Flat segments, no paging, interrupts masked."""
    cpu = machine.processor.cpu
    cpu.cr0 = cpu.cr0 & ~NO_CACHES | PE
    for number, segment in enumerate(cpu.segments):
        segment.base, segment.limit = 0, 0xFFFFFFFF
        segment.selector = code_selector if number == CS else data_selector
        segment.attributes = CODE_32 if number == CS else DATA
