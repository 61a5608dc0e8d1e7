"""The state of the processor, declared once: a layout that Python, compiled code and translated code share.

Intel SDM Vol. 1, chapters 3 (general registers, RFLAGS, segments), 8 (x87) and 10 (SSE); Vol. 3, chapter 2 (system
registers).
`Cpu.offset("segments")` is the place of a field in bytes, `Cpu()` a zeroed instance as a ctypes structure:

    >>> cpu = Cpu()
    >>> reset(cpu)
    >>> hex(cpu.segments[CS].base + cpu.rip)
    '0xfffffff0'

Registers of 32 and 16 bits are the low bits of those of 64. MMX registers are the significands of x87 ones.
"""

# The types of this language are checked by emulator.native.
# mypy: disable-error-code="valid-type"

from __future__ import annotations

from typing import Any

from emulator.native import Array, struct, u8, u16, u32, u64
from emulator.x86.flags import ALWAYS_SET
from emulator.x86.instruction import CS

SIGNATURE = 0x000106A3  # family 6, model 1Ah, stepping 3: what CPUID.1:EAX says, and EDX after a reset

# Attributes of a segment, as bits 40 to 55 of a descriptor (SDM Vol. 3, section 3.4.5) without the limit among them
PRESENT = 1 << 7
CODE_OR_DATA = 1 << 4
LONG = 1 << 13
BIG = 1 << 14
GRANULARITY = 1 << 15
DATA_WRITABLE_ACCESSED = 3
CODE_READABLE_ACCESSED = 11
BUSY_TSS_32, LDT = 11, 2


@struct
class Segment:
    """A segment register and the hidden part of it (SDM Vol. 3, section 3.4.3). `limit` counts bytes."""

    base: u64
    limit: u32
    selector: u16
    attributes: u16


@struct
class DescriptorTable:
    """GDTR and IDTR."""

    base: u64
    limit: u32


@struct
class Extended:
    """An 80-bit register of the x87 unit: ST by its physical number, and an MMX register."""

    significand: u64
    exponent: u16  # and the sign


@struct
class Vector:
    """An XMM register."""

    low: u64
    high: u64


@struct
class Cpu:
    """Everything that an instruction can read or write."""

    registers: Array[u64, 16]
    rip: u64
    rflags: u64
    segments: Array[Segment, 6]
    ldtr: Segment
    tr: Segment
    gdtr: DescriptorTable
    idtr: DescriptorTable

    cr0: u64
    cr2: u64
    cr3: u64
    cr4: u64
    cr8: u64
    xcr0: u64
    debug: Array[u64, 8]

    efer: u64
    star: u64
    lstar: u64
    cstar: u64
    fmask: u64
    kernel_gs_base: u64
    sysenter_cs: u64
    sysenter_esp: u64
    sysenter_eip: u64
    tsc_aux: u64
    tsc_offset: u64
    pat: u64
    misc_enable: u64
    xss: u64

    x87: Array[Extended, 8]
    x87_instruction: u64
    x87_operand: u64
    x87_control: u16
    x87_status: u16
    x87_tags: u16
    x87_opcode: u16
    mxcsr: u32
    xmm: Array[Vector, 16]

    halted: u8
    interrupt_shadow: u8  # one instruction after STI or a load of SS


# MSRs that are nothing but a field of the state (SDM Vol. 4, section 2.1); writing one may have conditions.
MSR_FIELDS = {
    0x03B: "tsc_offset",  # IA32_TSC_ADJUST: what was added to the counter since the reset
    0x174: "sysenter_cs",
    0x175: "sysenter_esp",
    0x176: "sysenter_eip",
    0x1A0: "misc_enable",
    0x277: "pat",
    0xDA0: "xss",
    0xC0000080: "efer",
    0xC0000081: "star",
    0xC0000082: "lstar",
    0xC0000083: "cstar",
    0xC0000084: "fmask",
    0xC0000102: "kernel_gs_base",
    0xC0000103: "tsc_aux",
}


def reset(cpu: Any) -> None:
    """Bring a `Cpu()` into the state after RESET (SDM Vol. 3, section 10.1.1, "Processor State After Reset")."""
    for name, _ in cpu._fields_:
        if isinstance(getattr(cpu, name), int):
            setattr(cpu, name, 0)
    for number in range(16):
        cpu.registers[number] = SIGNATURE if number == 2 else 0
    cpu.rflags = ALWAYS_SET
    cpu.rip = 0xFFF0
    for number, segment in enumerate(cpu.segments):
        kind = CODE_READABLE_ACCESSED if number == CS else DATA_WRITABLE_ACCESSED
        _load(segment, PRESENT | CODE_OR_DATA | kind)
    cpu.segments[CS].selector = 0xF000
    cpu.segments[CS].base = 0xFFFF0000
    _load(cpu.ldtr, PRESENT | LDT)
    _load(cpu.tr, PRESENT | BUSY_TSS_32)
    for table in (cpu.gdtr, cpu.idtr):
        table.base, table.limit = 0, 0xFFFF
    cpu.cr0 = 0x60000010
    cpu.xcr0 = 1
    for number in range(8):
        cpu.debug[number] = {6: 0xFFFF0FF0, 7: 0x400}.get(number, 0)
    cpu.pat = 0x0007040600070406
    cpu.x87_control, cpu.x87_tags = 0x40, 0x5555
    cpu.mxcsr = 0x1F80
    for register in cpu.x87:
        register.significand, register.exponent = 0, 0
    for vector in cpu.xmm:
        vector.low, vector.high = 0, 0


def _load(segment: Any, attributes: int) -> None:
    segment.selector, segment.base, segment.limit, segment.attributes = 0, 0, 0xFFFF, attributes
