"""Descriptors and segment registers (Intel SDM Vol. 3, sections 3.4, 3.5, 5.5 to 5.8 and 8.2).

A segment register that holds a null selector, or one that cannot be used, has attributes without PRESENT.
"""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, addressof, function, struct, u16, u32, u64
from emulator.x86.instruction import CS, FS, SS
from emulator.x86.state import CODE_OR_DATA, GRANULARITY, PRESENT, Segment

from ..core import CODE_64, CODE_SIZE, GP, NP, PROTECTED, SS_FAULT, Core
from ..operands import LIMIT_32, fault
from ..state import LMA, VM, update_mode
from .memory import read_system, write_system

# Types (SDM Vol. 3, sections 3.4.5.1 and 3.5): of code and data by bits,
ACCESSED, WRITABLE, READABLE, CONFORMING, EXPAND_DOWN, CODE = 1, 2, 2, 4, 4, 8
# and of system descriptors by number
TSS_16, LDT, BUSY_TSS_16, CALL_GATE_16, TASK_GATE, INTERRUPT_GATE_16, TRAP_GATE_16 = range(1, 8)
TSS_32, BUSY_TSS_32, CALL_GATE_32, INTERRUPT_GATE_32, TRAP_GATE_32 = 9, 11, 12, 14, 15
TYPE = 15
LOCAL = 4  # in a selector: its table is the LDT
VIRTUAL_8086 = 0xF3  # attributes of every segment in virtual-8086 mode: data, writable, DPL 3


@struct
class Descriptor:
    """A descriptor, its selector and its linear address. `attributes` are as in `Segment`; `raw` is all 8 bytes."""

    address: u64
    raw: u64
    base: u64
    limit: u32
    selector: u32
    attributes: u32


@function
def level_of(descriptor: Ptr[Descriptor]) -> u32:
    """DPL."""
    return descriptor.attributes >> 5 & 3


@function
def is_code(descriptor: Ptr[Descriptor]) -> bool:
    return descriptor.attributes & (CODE_OR_DATA | CODE) == CODE_OR_DATA | CODE


@function
def is_conforming(descriptor: Ptr[Descriptor]) -> bool:
    return descriptor.attributes & CONFORMING != 0


@function
def is_writable_data(descriptor: Ptr[Descriptor]) -> bool:
    return descriptor.attributes & (CODE_OR_DATA | CODE | WRITABLE) == CODE_OR_DATA | WRITABLE


@function
def is_readable(descriptor: Ptr[Descriptor]) -> bool:
    """Data, or code that may be read."""
    return descriptor.attributes & CODE_OR_DATA != 0 and (
        descriptor.attributes & CODE == 0 or descriptor.attributes & READABLE != 0
    )


@function
def is_present(descriptor: Ptr[Descriptor]) -> bool:
    return descriptor.attributes & PRESENT != 0


@function
def is_system(descriptor: Ptr[Descriptor], type_: u32) -> bool:
    return descriptor.attributes & (CODE_OR_DATA | TYPE) == type_


@function
def is_null(selector: u32) -> bool:
    return selector & 0xFFFC == 0


@function
def locate(core: Ptr[Core], selector: u32, out: Ptr[Descriptor]) -> bool:
    """Where the descriptor of a selector is; false if it is beyond its table. Nothing is raised."""
    base = core.cpu.gdtr.base
    limit = core.cpu.gdtr.limit
    if selector & LOCAL:
        if not core.cpu.ldtr.attributes & PRESENT:
            return False
        base = core.cpu.ldtr.base
        limit = core.cpu.ldtr.limit
    offset = selector & 0xFFF8
    out.selector = selector & 0xFFFF
    out.address = base + offset
    return offset + 7 <= limit


@function
def read_descriptor(core: Ptr[Core], out: Ptr[Descriptor]) -> bool:
    """Read what `locate` found."""
    if not read_system(core, out.address, 8, addressof(out.raw)):
        return False
    raw = out.raw
    out.base = raw >> 16 & 0xFF_FFFF | raw >> 56 << 24
    out.attributes = u32(raw >> 40) & 0xF0FF
    limit = u32(raw) & 0xFFFF | u32(raw >> 32) & 0xF_0000
    out.limit = limit << 12 | 0xFFF if out.attributes & GRANULARITY else limit
    return True


@function
def fetch_descriptor(core: Ptr[Core], selector: u32, vector: u32, external: u32, out: Ptr[Descriptor]) -> bool:
    """The descriptor of a selector; a null one and one beyond the table raise `vector`."""
    if is_null(selector):
        return fault(core, vector, external)
    if not locate(core, selector, out):
        return refuse(core, vector, selector, external)
    return read_descriptor(core, out)


@function
def refuse(core: Ptr[Core], vector: u32, selector: u32, external: u32) -> bool:
    """An exception whose error code is a selector (SDM Vol. 3, section 6.13); always false."""
    return fault(core, vector, selector & 0xFFFC | external)


@function
def high_half(core: Ptr[Core], descriptor: Ptr[Descriptor], out: Ptr[u64]) -> bool:
    """The second half of a 16-byte system descriptor; its type field has to be 0 (SDM Vol. 3, section 3.5.2)."""
    if not read_system(core, descriptor.address + 8, 8, out):
        return False
    return out[0] >> 40 & 31 == 0 or refuse(core, GP, descriptor.selector, 0)


@function
def mark(core: Ptr[Core], descriptor: Ptr[Descriptor], bit: u32) -> bool:
    """Set a bit of the type, ACCESSED or the one of a busy TSS, in memory too."""
    if descriptor.attributes & bit:
        return True
    descriptor.attributes |= bit
    return write_system(core, descriptor.address + 5, 1, descriptor.attributes & 0xFF)


@function
def install(segment: Ptr[Segment], descriptor: Ptr[Descriptor], selector: u32) -> None:
    segment.base = descriptor.base
    segment.limit = descriptor.limit
    segment.selector = u16(selector)
    segment.attributes = u16(descriptor.attributes)


@function
def install_null(segment: Ptr[Segment], selector: u32, level: u32) -> None:
    segment.base = 0
    segment.limit = 0
    segment.selector = u16(selector)
    segment.attributes = u16(level << 5)


@function
def install_flat(segment: Ptr[Segment], selector: u32, attributes: u32) -> None:
    """What SYSCALL, SYSENTER and their returns load, whatever the descriptor says."""
    segment.base = 0
    segment.limit = LIMIT_32
    segment.selector = u16(selector)
    segment.attributes = u16(attributes)


@function
def install_real(core: Ptr[Core], number: u32, selector: u32) -> None:
    """Real mode changes the base alone; virtual-8086 mode sets limit and rights (SDM Vol. 3, sections 20.1, 20.2)."""
    segment = core.cpu.segments[number]
    segment.selector = u16(selector)
    segment.base = u64(selector & 0xFFFF) << 4
    if core.cpu.rflags & VM:
        segment.limit = 0xFFFF
        segment.attributes = VIRTUAL_8086


@function
def copy_segment(target: Ptr[Segment], source: Ptr[Segment]) -> None:
    target.base = source.base
    target.limit = source.limit
    target.selector = source.selector
    target.attributes = source.attributes


@function
def load_segment(core: Ptr[Core], number: u32, selector: u32) -> bool:
    """MOV, POP and LDS to ES, SS, DS, FS or GS."""
    if not core.code_kind & PROTECTED:
        install_real(core, number, selector)
        update_mode(core)
        return True
    if is_null(selector):
        if number == SS and not null_stack_allowed(core, selector):
            return fault(core, GP, 0)
        install_null(core.cpu.segments[number], selector, core.cpl if number == SS else 0)
    else:
        descriptor = Descriptor()
        if not fetch_descriptor(core, selector, GP, 0, descriptor):
            return False
        if not (stack_fits(core, descriptor) if number == SS else data_fits(core, descriptor)):
            return False
        if not mark(core, descriptor, ACCESSED):
            return False
        install(core.cpu.segments[number], descriptor, selector)
    update_mode(core)
    return True


@function
def null_stack_allowed(core: Ptr[Core], selector: u32) -> bool:
    """A null SS exists in 64-bit mode, outside level 3."""
    return core.code_kind & CODE_SIZE == CODE_64 and core.cpl < 3 and selector & 3 == core.cpl


@function
def stack_fits(core: Ptr[Core], descriptor: Ptr[Descriptor]) -> bool:
    selector = descriptor.selector
    right_level = selector & 3 == core.cpl and level_of(descriptor) == core.cpl
    if not right_level or not is_writable_data(descriptor):
        return refuse(core, GP, selector, 0)
    return is_present(descriptor) or refuse(core, SS_FAULT, selector, 0)


@function
def data_fits(core: Ptr[Core], descriptor: Ptr[Descriptor]) -> bool:
    selector = descriptor.selector
    allowed = is_readable(descriptor)
    if not (is_code(descriptor) and is_conforming(descriptor)):
        allowed = allowed and level_of(descriptor) >= max(selector & 3, core.cpl)
    if not allowed:
        return refuse(core, GP, selector, 0)
    return is_present(descriptor) or refuse(core, NP, selector, 0)


@function
def drop_privileged_segments(core: Ptr[Core]) -> None:
    """On a return to an outer level: data segments that it may not use become null (SDM Vol. 3, section 5.8.6)."""
    for number in range(FS + 2):
        if number in (CS, SS):
            continue
        segment = core.cpu.segments[number]
        attributes = u32(segment.attributes)
        conforming = attributes & (CODE | CONFORMING) == CODE | CONFORMING
        if attributes & PRESENT and not conforming and attributes >> 5 & 3 < core.cpl:
            install_null(segment, 0, 0)


@function
def in_long_mode(core: Ptr[Core]) -> bool:
    return core.cpu.efer & LMA != 0


@function
def is_64_bit_code(descriptor: Ptr[Descriptor]) -> bool:
    """L set and D clear."""
    return descriptor.attributes >> 13 & 3 == 1


@function
def load_local_table(core: Ptr[Core], selector: u32) -> bool:
    """LLDT."""
    if is_null(selector):
        install_null(core.cpu.ldtr, selector, 0)
        return True
    descriptor = Descriptor()
    if not system_descriptor(core, selector, descriptor):
        return False
    if not is_system(descriptor, LDT):
        return refuse(core, GP, selector, 0)
    if not is_present(descriptor):
        return refuse(core, NP, selector, 0)
    install(core.cpu.ldtr, descriptor, selector)
    return True


@function
def load_task_register(core: Ptr[Core], selector: u32) -> bool:
    """LTR: the TSS becomes busy."""
    descriptor = Descriptor()
    if not system_descriptor(core, selector, descriptor):
        return False
    if not (is_system(descriptor, TSS_32) or (is_system(descriptor, TSS_16) and not in_long_mode(core))):
        return refuse(core, GP, selector, 0)
    if not is_present(descriptor):
        return refuse(core, NP, selector, 0)
    if not mark(core, descriptor, 2):
        return False
    install(core.cpu.tr, descriptor, selector)
    return True


@function
def system_descriptor(core: Ptr[Core], selector: u32, out: Ptr[Descriptor]) -> bool:
    """A descriptor of the GDT for LLDT and LTR, in long mode with a 64-bit base."""
    if selector & LOCAL and not is_null(selector):
        return refuse(core, GP, selector, 0)
    if not fetch_descriptor(core, selector, GP, 0, out):
        return False
    if in_long_mode(core):
        if (selector & 0xFFF8) + 15 > core.cpu.gdtr.limit:
            return refuse(core, GP, selector, 0)
        if not high_half(core, out, addressof(out.raw)):
            return False
        out.base |= out.raw << 32
        if out.base + (1 << 47) >> 48:
            return refuse(core, GP, selector, 0)
    return True
