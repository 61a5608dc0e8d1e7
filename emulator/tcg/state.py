"""What follows from the segments, the control registers and RFLAGS: kept in `Core`, so that no handler derives it.

Intel SDM Vol. 3, sections 2.5 (control registers), 3.4.5.1 (code segment in IA-32e mode), 4.6 (access rights).
"""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, addressof, fill_bytes, function, u8, u32, u64
from emulator.softmmu.structs import READ, SUPERVISOR, SUPERVISOR_AC, USER, WRITE
from emulator.softmmu.tlb import entry_of, flush_page
from emulator.x86.flags import FLAG_BITS
from emulator.x86.instruction import CS, DS, ES, FS, GS, SS
from emulator.x86.state import BIG, LONG, PRESENT, Segment

from .core import (
    CODE_16,
    CODE_32,
    CODE_64,
    CPL_SHIFT,
    EMULATED,
    FLAT_DATA,
    NO_SSE,
    NO_XSAVE,
    PAGE_WORDS,
    PROTECTED,
    SWITCHED,
    WAIT_SWITCHED,
    Core,
)

PE, MP, EM, TS = 1, 2, 4, 8
OSFXSR, OSXSAVE = 1 << 9, 1 << 18
LMA = 1 << 10
VM = FLAG_BITS["V"]
AC = FLAG_BITS["K"]
LIMIT_32 = (1 << 32) - 1
FLUSH = 1 << 16  # in `code_tag`, above the kind of code
WRITABLE_UP = 2 | PRESENT  # of the bits that say: data, expand-up, writable, present
DATA_BITS = 2 | 4 | 8 | PRESENT


@function
def is_open(segment: Ptr[Segment]) -> bool:
    """Whether every access is allowed."""
    return segment.limit == LIMIT_32 and u32(segment.attributes) & DATA_BITS == WRITABLE_UP


@function
def is_flat(segment: Ptr[Segment]) -> bool:
    return segment.base == 0 and is_open(segment)


@function
def is_protected(core: Ptr[Core]) -> bool:
    return bool(core.cpu.cr0 & PE) and not core.cpu.rflags & VM


@function
def update_access(core: Ptr[Core]) -> None:
    """With whose rights memory is accessed."""
    core.mode = USER if core.cpl == 3 else SUPERVISOR_AC if core.cpu.rflags & AC else SUPERVISOR
    core.reads = entry_of(core.mmu, READ, core.mode, 0)
    core.writes = entry_of(core.mmu, WRITE, core.mode, 0)


@function
def update_tag(core: Ptr[Core]) -> None:
    core.code_tag = core.code_kind | (core.user_flushes if core.cpl == 3 else core.system_flushes)


@function
def flush_jumps(core: Ptr[Core]) -> None:
    """Make every entry of the indirect-branch cache invalid: none has a tag with this count."""
    core.user_flushes += FLUSH
    core.system_flushes += FLUSH
    core.local_jumps = 0
    fill_bytes(Ptr[u8](addressof(core.user_pages)), 0, PAGE_WORDS * 8)
    fill_bytes(Ptr[u8](addressof(core.system_pages)), 0, PAGE_WORDS * 8)
    update_tag(core)


@function
def flush_local_jumps(core: Ptr[Core]) -> None:
    """Those that depend on CR3 or on pages of the lower half of the address space; others only if there are such."""
    core.user_flushes += FLUSH
    fill_bytes(Ptr[u8](addressof(core.user_pages)), 0, PAGE_WORDS * 8)
    if core.local_jumps:
        core.system_flushes += FLUSH
        core.local_jumps = 0
    update_tag(core)


@function
def page_word(address: u64) -> u32:
    """Where in a set of pages the bit of an address is."""
    return u32(address >> 18) % PAGE_WORDS


@function
def page_bit(address: u64) -> u64:
    return u64(1) << (address >> 12 & 63)


@function
def forget_page(core: Ptr[Core], address: u64) -> None:
    """INVLPG: the page of an address is no longer where it was."""
    mmu = core.mmu
    large = mmu.large_first <= address <= mmu.large_last  # it may be all of a large page
    flush_page(mmu, address)
    if address >> 63:
        if large or core.system_pages[page_word(address)] & page_bit(address):
            flush_jumps(core)
    elif large or core.local_jumps or core.user_pages[page_word(address)] & page_bit(address):
        flush_local_jumps(core)


@function
def float_units(core: Ptr[Core]) -> u32:
    """Which of x87, MMX and SSE may be used, as bits of `code_kind`."""
    cr0 = core.cpu.cr0
    cr4 = core.cpu.cr4
    found = u32(0)
    if cr0 & EM:
        found |= EMULATED
    if cr0 & TS:
        found |= SWITCHED
        if cr0 & MP:
            found |= WAIT_SWITCHED
    if not cr4 & OSFXSR:
        found |= NO_SSE
    if not cr4 & OSXSAVE:
        found |= NO_XSAVE
    return found


@function
def update_mode(core: Ptr[Core]) -> None:
    """All of it. The caller empties the TLB and the indirect-branch cache if paging changed."""
    cpu = core.cpu
    code = cpu.segments[CS]
    stack = cpu.segments[SS]
    mmu = core.mmu
    mmu.cr0 = cpu.cr0
    mmu.cr3 = cpu.cr3
    mmu.cr4 = cpu.cr4
    mmu.efer = cpu.efer
    mmu.linear_mask = ~u64(0) if cpu.efer & LMA else LIMIT_32
    core.cpl = u32(0)
    if cpu.rflags & VM:
        core.cpl = 3
    elif cpu.cr0 & PE:
        core.cpl = u32(stack.attributes) >> 5 & 3
    core.code_bits = 32 if code.attributes & BIG else 16
    core.code_kind = CODE_32 if code.attributes & BIG else CODE_16
    space = code.base | u64(code.limit) << 32
    core.target_bias = 0
    core.target_limit = code.limit
    core.stack_mask = LIMIT_32 if stack.attributes & BIG else 0xFFFF
    core.stack_checked = u32(not (is_flat(stack) and stack.attributes & BIG))
    core.open_segments[0] = u32(is_open(cpu.segments[FS]))
    core.open_segments[1] = u32(is_open(cpu.segments[GS]))
    if cpu.efer & LMA and code.attributes & LONG:
        core.code_bits = 64
        core.code_kind = CODE_64
        space = 0
        core.target_bias = 1 << 47
        core.target_limit = (1 << 48) - 1
        core.stack_mask = ~u64(0)
        core.stack_checked = 0
    elif is_flat(cpu.segments[DS]) and is_flat(cpu.segments[ES]) and not core.stack_checked:
        core.code_kind |= FLAT_DATA
    if is_protected(core):
        core.code_kind |= PROTECTED
    core.code_kind |= core.cpl << CPL_SHIFT | float_units(core)
    if space != core.code_space:
        core.code_space = space
        flush_jumps(core)
    update_tag(core)
    core.debugging = u32(cpu.debug[7]) & 0xFF
    update_access(core)
