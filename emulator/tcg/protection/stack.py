"""A stack that is not, or not yet, the current one: of another privilege level, or of the frame of an interrupt.

What is pushed is written at once, but SS and RSP change only when all of it has succeeded.
"""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, addressof, function, struct, u32, u64
from emulator.softmmu.access import read_slow, write_slow
from emulator.softmmu.structs import READ, SUPERVISOR, WRITE
from emulator.x86.instruction import CS, SS
from emulator.x86.state import BIG, Segment

from ..core import SS_FAULT, TS, Core
from ..operands import LIMIT_32, fault, memory_fault, segment_allows
from .descriptors import (
    BUSY_TSS_32,
    TYPE,
    Descriptor,
    copy_segment,
    fetch_descriptor,
    install,
    install_null,
    is_present,
    is_writable_data,
    level_of,
    refuse,
)
from .memory import read_system

RSP = 4
NO_MASK = ~0 & (1 << 64) - 1


@struct
class Stack:
    """Where to push to. `code` is the error code of its #SS; `long` means no segment at all."""

    segment: Segment
    pointer: u64
    mask: u64
    mode: u32
    long: u32
    code: u32


@function
def use_current(core: Ptr[Core], stack: Ptr[Stack]) -> None:
    copy_segment(stack.segment, core.cpu.segments[SS])
    stack.pointer = core.cpu.registers[RSP]
    stack.mask = core.stack_mask
    stack.mode = core.mode
    stack.long = u32(core.code_bits == 64)
    stack.code = 0


@function
def adopt(core: Ptr[Core], stack: Ptr[Stack]) -> None:
    """Make it the current stack. The caller calls `update_mode`."""
    copy_segment(core.cpu.segments[SS], stack.segment)
    core.cpu.registers[RSP] = stack.pointer


@function
def place(core: Ptr[Core], stack: Ptr[Stack], offset: u64, size: u32, access: u32, out: Ptr[u64]) -> bool:
    """The linear address of bytes of the stack."""
    out[0] = offset
    if stack.long:
        return True
    if not segment_allows(core, stack.segment, offset, size, access):
        return fault(core, SS_FAULT, stack.code)
    out[0] = stack.segment.base + offset & LIMIT_32
    return True


@function
def push(core: Ptr[Core], stack: Ptr[Stack], size: u32, value: u64) -> bool:
    offset = stack.pointer - size & stack.mask
    if not place(core, stack, offset, size, WRITE, addressof(core.scratch[1])):
        return False
    if not write_slow(core.mmu, stack.mode, core.scratch[1], size, value):
        return memory_fault(core, SS)
    stack.pointer = stack.pointer & ~stack.mask | offset
    return True


@function
def push_return(core: Ptr[Core], stack: Ptr[Stack], size: u32, rip: u64) -> bool:
    """CS and RIP."""
    return push(core, stack, size, core.cpu.segments[CS].selector) and push(core, stack, size, rip)


@function
def pop(core: Ptr[Core], stack: Ptr[Stack], size: u32, out: Ptr[u64]) -> bool:
    offset = stack.pointer & stack.mask
    if not place(core, stack, offset, size, READ, addressof(core.scratch[1])):
        return False
    out[0] = read_slow(core.mmu, READ, stack.mode, core.scratch[1], size)
    if core.mmu.fault:
        return memory_fault(core, SS)
    release(stack, size)
    return True


@function
def release(stack: Ptr[Stack], size: u64) -> None:
    """Drop bytes."""
    stack.pointer = stack.pointer & ~stack.mask | stack.pointer + size & stack.mask


@function
def read_task_stack(core: Ptr[Core], level: u32, external: u32, pointer: Ptr[u64], selector: Ptr[u64]) -> bool:
    """SS and (E)SP of a privilege level, from a 16-bit or 32-bit TSS (SDM Vol. 3, section 8.2.1)."""
    task = core.cpu.tr
    size: u32 = 4 if task.attributes & TYPE == BUSY_TSS_32 else 2
    place = size + level * size * 2
    if place + size + 1 > task.limit:
        return refuse(core, TS, task.selector, external)
    return read_system(core, task.base + place, size, pointer) and read_system(
        core, task.base + place + size, 2, selector
    )


@function
def use_task_stack(core: Ptr[Core], level: u32, external: u32, stack: Ptr[Stack]) -> bool:
    """The stack of an inner privilege level outside long mode (SDM Vol. 3, sections 5.8.5 and 6.12.1)."""
    if not read_task_stack(core, level, external, addressof(stack.pointer), addressof(stack.mask)):
        return False
    selector = u32(stack.mask)
    descriptor = Descriptor()
    if not fetch_descriptor(core, selector, TS, external, descriptor):
        return False
    if selector & 3 != level or level_of(descriptor) != level or not is_writable_data(descriptor):
        return refuse(core, TS, selector, external)
    if not is_present(descriptor):
        return refuse(core, SS_FAULT, selector, external)
    install(stack.segment, descriptor, selector)
    stack.mask = LIMIT_32 if descriptor.attributes & BIG else 0xFFFF
    stack.mode = SUPERVISOR
    stack.long = 0
    stack.code = selector & 0xFFFC | external
    return True


@function
def use_long_stack(core: Ptr[Core], place: u32, level: u32, external: u32, stack: Ptr[Stack]) -> bool:
    """The stack at a place of the 64-bit TSS (SDM Vol. 3, section 8.7); SS becomes null with the new level."""
    task = core.cpu.tr
    if place + 7 > task.limit:
        return refuse(core, TS, task.selector, external)
    if not read_system(core, task.base + place, 8, addressof(stack.pointer)):
        return False
    use_null(stack, level)
    return True


@function
def use_null(stack: Ptr[Stack], level: u32) -> None:
    install_null(stack.segment, level, level)
    stack.mask = NO_MASK
    stack.mode = SUPERVISOR
    stack.long = 1
    stack.code = 0
