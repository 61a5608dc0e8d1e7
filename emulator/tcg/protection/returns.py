"""Far returns and IRET (Intel SDM Vol. 3, sections 5.8.6 and 6.12; Vol. 2, RET and IRET)."""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Array, Ptr, addressof, function, u32, u64
from emulator.x86.instruction import CS, DS, ES, FS, GS, SS
from emulator.x86.state import BIG

from ..core import CODE_64, CODE_SIZE, GP, PROTECTED, SS_FAULT, Core
from ..operands import LIMIT_32, fault
from ..state import update_mode
from .descriptors import (
    ACCESSED,
    Descriptor,
    drop_privileged_segments,
    fetch_descriptor,
    in_long_mode,
    install,
    install_null,
    install_real,
    is_64_bit_code,
    is_code,
    is_conforming,
    is_null,
    is_present,
    is_writable_data,
    level_of,
    mark,
    refuse,
)
from .memory import read_system
from .rflags import ALL, IF, IOPL, NT, VIF, VIP, VM, change_flags, loadable
from .stack import Stack, adopt, pop, release, use_current
from .tasks import BY_RETURN, switch_task
from .transfers import usable_code, valid_in

RSP = 4
CR4_VME = 1


@function
def far_return(core: Ptr[Core], size: u32, released: u32) -> bool:
    """RETF, which drops `released` bytes of parameters."""
    frame = Array[u64, 2]()  # RIP, CS
    stack = Stack()
    use_current(core, stack)
    if not pop(core, stack, size, addressof(frame[0])) or not pop(core, stack, size, addressof(frame[1])):
        return False
    selector = u32(frame[1]) & 0xFFFF
    release(stack, released)
    if not core.code_kind & PROTECTED:
        return return_real(core, stack, selector, frame[0])
    return return_protected(core, stack, size, selector, frame[0], released, False)


@function
def return_real(core: Ptr[Core], stack: Ptr[Stack], selector: u32, target: u64) -> bool:
    if target > core.cpu.segments[CS].limit:
        return fault(core, GP, 0)
    adopt(core, stack)
    install_real(core, CS, selector)
    core.cpu.rip = target
    update_mode(core)
    return True


@function
def fetch_return_code(core: Ptr[Core], selector: u32, code: Ptr[Descriptor]) -> bool:
    """The code segment that a far return or IRET goes back to; its RPL is the level."""
    if not fetch_descriptor(core, selector, GP, 0, code):
        return False
    level = selector & 3
    fits = level_of(code) <= level if is_conforming(code) else level_of(code) == level
    if not is_code(code) or level < core.cpl or not fits:
        return refuse(core, GP, selector, 0)
    return usable_code(core, code)


@function
def return_protected(
    core: Ptr[Core], stack: Ptr[Stack], size: u32, selector: u32, target: u64, released: u32, with_stack: bool
) -> bool:
    """To the same level or an outer one, whose stack is popped; `with_stack`: it always is (IRET in 64-bit mode)."""
    code = Descriptor()
    if not fetch_return_code(core, selector, code):
        return False
    outward = selector & 3 > core.cpl
    if outward or with_stack:
        outer = Array[u64, 2]()  # RSP, SS
        if not pop(core, stack, size, addressof(outer[0])) or not pop(core, stack, size, addressof(outer[1])):
            return False
        if not valid_in(core, code, target):
            return False
        if not load_return_stack(core, stack, code, u32(outer[1]) & 0xFFFF, selector & 3):
            return False
        pointer = outer[0]
        if size == 2 or not (stack.segment.attributes & BIG or is_64_bit_code(code)):
            pointer &= 0xFFFF
        elif not is_64_bit_code(code):
            pointer &= LIMIT_32
        stack.pointer = pointer
        release(stack, released)
    elif not valid_in(core, code, target):
        return False
    if not mark(core, code, ACCESSED):
        return False
    adopt(core, stack)
    install(core.cpu.segments[CS], code, selector)
    core.cpu.rip = target
    update_mode(core)
    if outward:
        drop_privileged_segments(core)
        update_mode(core)
    return True


@function
def load_return_stack(core: Ptr[Core], stack: Ptr[Stack], code: Ptr[Descriptor], selector: u32, level: u32) -> bool:
    """SS of the level that is returned to. A null one exists in 64-bit mode, outside level 3."""
    if is_null(selector):
        if not in_long_mode(core) or not is_64_bit_code(code) or level == 3 or selector & 3 != level:
            return fault(core, GP, 0)
        install_null(stack.segment, selector, level)
        stack.mask = ~u64(0)
        return True
    found = Descriptor()
    if not fetch_descriptor(core, selector, GP, 0, found):
        return False
    if selector & 3 != level or level_of(found) != level or not is_writable_data(found):
        return refuse(core, GP, selector, 0)
    if not is_present(found):
        return refuse(core, SS_FAULT, selector, 0)
    if not mark(core, found, ACCESSED):
        return False
    install(stack.segment, found, selector)
    stack.mask = (
        ~u64(0) if is_64_bit_code(code) and in_long_mode(core) else LIMIT_32 if found.attributes & BIG else 0xFFFF
    )
    return True


@function
def interrupt_return(core: Ptr[Core], size: u32, next_rip: u64) -> bool:
    """IRET. A task that returns goes on at `next_rip` when it is resumed."""
    virtual = core.cpu.rflags & VM != 0
    if core.code_kind & PROTECTED and core.cpu.rflags & NT:
        if in_long_mode(core):
            return fault(core, GP, 0)
        return return_from_task(core, next_rip)
    if virtual and not virtual_return_allowed(core, size):
        return False
    frame = Array[u64, 3]()  # RIP, CS, RFLAGS
    stack = Stack()
    use_current(core, stack)
    for number in range(3):
        if not pop(core, stack, size, addressof(frame[number])):
            return False
    selector = u32(frame[1]) & 0xFFFF
    image = frame[2]
    mask = loadable(core) | (0x1_0000 if size > 2 else 0)
    if not core.code_kind & PROTECTED:
        if virtual:
            return return_virtual(core, stack, selector, frame[0], image, size)
        if not return_real(core, stack, selector, frame[0]):
            return False
        change_flags(core, image, mask & (0xFFFF if size == 2 else ~u64(0)))
        return True
    if size == 4 and image & VM and core.cpl == 0 and not in_long_mode(core):
        return enter_virtual(core, stack, selector, frame[0], image)
    if size > 2 and core.cpl == 0:
        mask |= VIF | VIP
    if size == 2:
        mask &= 0xFFFF
    if not return_protected(core, stack, size, selector, frame[0], 0, core.code_kind & CODE_SIZE == CODE_64):
        return False
    change_flags(core, image, mask)
    update_mode(core)
    return True


@function
def return_from_task(core: Ptr[Core], next_rip: u64) -> bool:
    """To the task whose TSS the current one links to."""
    link = Array[u64, 1]()
    if not read_system(core, core.cpu.tr.base, 2, addressof(link[0])):
        return False
    return switch_task(core, u32(link[0]), BY_RETURN, 0, next_rip)


@function
def virtual_return_allowed(core: Ptr[Core], size: u32) -> bool:
    """IRET of virtual-8086 mode needs IOPL 3, or with VME an operand size of 16 (SDM Vol. 3, section 20.3.3.4)."""
    if core.cpu.rflags & IOPL == IOPL or (core.cpu.cr4 & CR4_VME and size == 2):
        return True
    return fault(core, GP, 0)


@function
def return_virtual(core: Ptr[Core], stack: Ptr[Stack], selector: u32, target: u64, image: u64, size: u32) -> bool:
    """Within virtual-8086 mode: IOPL stays, and without the right to IF its image goes to VIF."""
    mask = loadable(core) & (0xFFFF if size == 2 else ~u64(0))
    if core.cpu.rflags & IOPL != IOPL:
        if (image & IF and core.cpu.rflags & VIP) or image & 0x100:
            return fault(core, GP, 0)
        if not return_real(core, stack, selector, target):
            return False
        change_flags(core, image | (VIF if image & IF else 0), mask | VIF)
        return True
    if not return_real(core, stack, selector, target):
        return False
    change_flags(core, image, mask)
    return True


@function
def enter_virtual(core: Ptr[Core], stack: Ptr[Stack], selector: u32, target: u64, image: u64) -> bool:
    """IRET of level 0 to virtual-8086 mode (SDM Vol. 3, section 20.2.5)."""
    outer = Array[u64, 6]()  # ESP, SS, ES, DS, FS, GS
    for number in range(6):
        if not pop(core, stack, 4, addressof(outer[number])):
            return False
    if target & LIMIT_32 > 0xFFFF:
        return fault(core, GP, 0)
    change_flags(core, image, ALL)
    install_real(core, CS, selector)
    install_real(core, SS, u32(outer[1]))
    install_real(core, ES, u32(outer[2]))
    install_real(core, DS, u32(outer[3]))
    install_real(core, FS, u32(outer[4]))
    install_real(core, GS, u32(outer[5]))
    core.cpu.registers[RSP] = outer[0] & LIMIT_32
    core.cpu.rip = target
    update_mode(core)
    return True
