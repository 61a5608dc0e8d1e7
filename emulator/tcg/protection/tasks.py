"""Task switches outside long mode (Intel SDM Vol. 3, sections 8.2 and 8.3).

The new task's registers and selectors are loaded before its segments are checked, so that an exception about one of
them is raised in the new task.
"""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Array, Ptr, addressof, function, u32, u64
from emulator.softmmu.tlb import flush_nonglobal
from emulator.softmmu.walk import load_pdptes
from emulator.x86.instruction import CS, SS

from ..core import GP, NP, SS_FAULT, TS, Core
from ..flags import get_rflags
from ..operands import fault
from ..state import flush_jumps, update_mode
from .descriptors import (
    ACCESSED,
    LDT,
    LOCAL,
    TSS_16,
    TSS_32,
    Descriptor,
    fetch_descriptor,
    install,
    install_null,
    install_real,
    is_code,
    is_conforming,
    is_null,
    is_present,
    is_readable,
    is_system,
    is_writable_data,
    level_of,
    locate,
    mark,
    read_descriptor,
    refuse,
)
from .memory import can_write_system, read_system, write_system
from .rflags import ALL, NT, VM, change_flags

BY_CALL, BY_JUMP, BY_RETURN = range(3)
BUSY = 2
TASK_SWITCHED = 1 << 3  # CR0.TS
PG, PAE = 1 << 31, 1 << 5
STEP_BIT = 1 << 15  # DR6.BT

# Where things are in a TSS of 16 and of 32 bits (SDM Vol. 3, figures 8-2 and 8-10)
LIMIT_16, LIMIT_32 = 0x2B, 0x67
IP_16, FLAGS_16, REGISTERS_16, SELECTORS_16, LDT_16 = 14, 16, 18, 34, 42
CR3, IP_32, FLAGS_32, REGISTERS_32, SELECTORS_32, LDT_32, TRAP_32 = 28, 32, 36, 40, 72, 96, 100


@function
def switch_task(core: Ptr[Core], selector: u32, how: u32, external: u32, return_rip: u64) -> bool:
    """To the task of a TSS selector. A fault after the switch has happened is the new task's."""
    target = Descriptor()
    vector: u32 = TS if how == BY_RETURN else GP
    if selector & LOCAL or is_null(selector):
        return refuse(core, vector, selector, external)
    if not fetch_descriptor(core, selector, vector, external, target):
        return False
    wanted: u32 = BUSY if how == BY_RETURN else 0
    if not (is_system(target, TSS_32 | wanted) or is_system(target, TSS_16 | wanted)):
        return refuse(core, vector, selector, external)
    if not is_present(target):
        return refuse(core, NP, selector, external)
    wide = target.attributes & 8 != 0
    least: u32 = LIMIT_32 if wide else LIMIT_16
    if target.limit < least:
        return refuse(core, TS, selector, external)
    if not can_write_system(core, target.base, least + 1) or not save_task(core, how, return_rip):
        return False
    if not exchange_busy(core, target, how):
        return False
    if how == BY_CALL and not write_system(core, target.base, 2, core.cpu.tr.selector):
        return False
    target.attributes |= BUSY
    install(core.cpu.tr, target, selector)
    return load_task(core, wide, how, external)


@function
def exchange_busy(core: Ptr[Core], target: Ptr[Descriptor], how: u32) -> bool:
    """The old task ceases to be busy by JMP and IRET, the new one becomes so by JMP and CALL."""
    if how != BY_CALL:
        old = Descriptor()
        if locate(core, core.cpu.tr.selector, old):
            if not read_descriptor(core, old):
                return False
            if not write_system(core, old.address + 5, 1, old.attributes & 0xFF & ~u32(BUSY)):
                return False
    return how == BY_RETURN or mark(core, target, BUSY)


@function
def save_task(core: Ptr[Core], how: u32, return_rip: u64) -> bool:
    """The registers, into the current TSS."""
    task = core.cpu.tr
    wide = task.attributes & 8 != 0
    size: u32 = 4 if wide else 2
    flags = get_rflags(core)
    if how == BY_RETURN:
        flags &= ~u64(NT)
    if not can_write_system(core, task.base, LDT_32 if wide else LDT_16):
        return False
    write_system(core, task.base + (IP_32 if wide else IP_16), size, return_rip)
    write_system(core, task.base + (FLAGS_32 if wide else FLAGS_16), size, flags)
    for number in range(8):
        place = task.base + (REGISTERS_32 if wide else REGISTERS_16) + number * size
        write_system(core, place, size, core.cpu.registers[number])
    for number in range(6 if wide else 4):
        place = task.base + (SELECTORS_32 if wide else SELECTORS_16) + number * size
        write_system(core, place, 2, core.cpu.segments[number].selector)
    return True


@function
def load_task(core: Ptr[Core], wide: bool, how: u32, external: u32) -> bool:
    """The registers from the new TSS, then its LDT and segments."""
    base = core.cpu.tr.base
    size: u32 = 4 if wide else 2
    word = Array[u64, 1]()
    out = addressof(word[0])
    if wide and core.cpu.cr0 & PG:
        read_system(core, base + CR3, 4, out)
        core.cpu.cr3 = word[0]
    read_system(core, base + (IP_32 if wide else IP_16), size, out)
    core.cpu.rip = word[0]
    read_system(core, base + (FLAGS_32 if wide else FLAGS_16), size, out)
    change_flags(core, word[0] | (NT if how == BY_CALL else 0), ALL)
    for number in range(8):
        read_system(core, base + (REGISTERS_32 if wide else REGISTERS_16) + number * size, size, out)
        core.cpu.registers[number] = word[0]
    for number in range(6):
        word[0] = 0
        if wide or number < 4:
            read_system(core, base + (SELECTORS_32 if wide else SELECTORS_16) + number * size, 2, out)
        install_null(core.cpu.segments[number], u32(word[0]), 0)
    read_system(core, base + (LDT_32 if wide else LDT_16), 2, out)
    local = u32(word[0])
    word[0] = 0
    if wide:
        read_system(core, base + TRAP_32, 2, out)
    core.cpu.cr0 |= TASK_SWITCHED
    if word[0] & 1:
        core.pending_debug |= STEP_BIT
    core.cpu.debug[7] &= ~u64(0x155)
    update_mode(core)
    flush_jumps(core)
    if wide and core.cpu.cr0 & PG:
        if core.cpu.cr4 & PAE and not load_pdptes(core.mmu):
            return fault(core, GP, 0)
        flush_nonglobal(core.mmu)
    return load_task_segments(core, local, external)


@function
def load_task_segments(core: Ptr[Core], local: u32, external: u32) -> bool:
    install_null(core.cpu.ldtr, local, 0)
    segments = core.cpu.segments
    if core.cpu.rflags & VM:
        for number in range(6):
            install_real(core, number, segments[number].selector)
        update_mode(core)
    if not load_task_table(core, local, external):
        return False
    if core.cpu.rflags & VM:
        return True
    level = u32(segments[CS].selector) & 3
    install_null(segments[SS], segments[SS].selector, level)  # the level counts from now on
    update_mode(core)
    if not load_task_stack(core, level, external) or not load_task_code(core, level, external):
        return False
    for number in range(6):
        if number not in (CS, SS) and not load_task_data(core, number, level, external):
            return False
    update_mode(core)
    return core.cpu.rip <= segments[CS].limit or fault(core, GP, external)


@function
def load_task_table(core: Ptr[Core], selector: u32, external: u32) -> bool:
    if is_null(selector):
        return True
    found = Descriptor()
    if selector & LOCAL or not fetch_descriptor(core, selector, TS, external, found):
        return refuse(core, TS, selector, external)
    if not is_system(found, LDT) or not is_present(found):
        return refuse(core, TS, selector, external)
    install(core.cpu.ldtr, found, selector)
    return True


@function
def load_task_stack(core: Ptr[Core], level: u32, external: u32) -> bool:
    selector = u32(core.cpu.segments[SS].selector)
    found = Descriptor()
    if not fetch_descriptor(core, selector, TS, external, found):
        return False
    if selector & 3 != level or level_of(found) != level or not is_writable_data(found):
        return refuse(core, TS, selector, external)
    if not is_present(found):
        return refuse(core, SS_FAULT, selector, external)
    if not mark(core, found, ACCESSED):
        return False
    install(core.cpu.segments[SS], found, selector)
    return True


@function
def load_task_code(core: Ptr[Core], level: u32, external: u32) -> bool:
    selector = u32(core.cpu.segments[CS].selector)
    found = Descriptor()
    if not fetch_descriptor(core, selector, TS, external, found):
        return False
    fits = level_of(found) <= level if is_conforming(found) else level_of(found) == level
    if not is_code(found) or not fits:
        return refuse(core, TS, selector, external)
    if not is_present(found):
        return refuse(core, NP, selector, external)
    if not mark(core, found, ACCESSED):
        return False
    install(core.cpu.segments[CS], found, selector)
    return True


@function
def load_task_data(core: Ptr[Core], number: u32, level: u32, external: u32) -> bool:
    selector = u32(core.cpu.segments[number].selector)
    if is_null(selector):
        return True
    found = Descriptor()
    if not fetch_descriptor(core, selector, TS, external, found):
        return False
    free = is_code(found) and is_conforming(found)
    if not is_readable(found) or not (free or level_of(found) >= max(selector & 3, level)):
        return refuse(core, TS, selector, external)
    if not is_present(found):
        return refuse(core, NP, selector, external)
    if not mark(core, found, ACCESSED):
        return False
    install(core.cpu.segments[number], found, selector)
    return True
