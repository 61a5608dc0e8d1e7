"""CR0, CR3, CR4, CR8, EFER and the debug registers: what may be loaded, and what follows (Intel SDM Vol. 3, sections
2.5, 4.1, 9.8.5 and 17.2)."""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, function, table, u32, u64
from emulator.softmmu.structs import WATCH_ACCESS, WATCH_WRITE, WATCHES
from emulator.softmmu.tlb import flush_all, flush_nonglobal
from emulator.softmmu.walk import load_pdptes
from emulator.x86.instruction import CS
from emulator.x86.state import LONG

from ..core import CODE_64, CODE_SIZE, DB, GP, UD, Core
from ..operands import fault
from ..state import LMA, flush_jumps, flush_local_jumps, update_mode

# CR0
PE, MP, EM, TS, ET, NE, WP, AM, NW, CD, PG = (1 << bit for bit in (0, 1, 2, 3, 4, 5, 16, 18, 29, 30, 31))
CR0_BITS = PE | MP | EM | TS | NE | WP | AM | NW | CD | PG
# CR4
TSD, DE, PSE, PAE, PGE = (1 << bit for bit in (2, 3, 4, 5, 7))
FSGSBASE, PCIDE, OSXSAVE, SMEP, SMAP = (1 << bit for bit in (16, 17, 18, 20, 21))
CR4_BITS = (1 << 11) - 1 | FSGSBASE | PCIDE | OSXSAVE | SMEP | SMAP
# EFER
SCE, LME, NXE = 1 << 0, 1 << 8, 1 << 11
EFER_BITS = SCE | LME | LMA | NXE
KEEP_TLB = 1 << 63  # in CR3, with CR4.PCIDE
# Debug registers
DR6_SET, DR6_BITS = 0xFFFF0FF0, 0xE00F
DR7_SET, DR7_BITS = 0x400, 0xFFFF23FF
GENERAL_DETECT, ACCESS_DETECTED = 1 << 13, 1 << 13
LENGTHS = table(u32, (1, 2, 8, 4))


@function
def paging_changed(core: Ptr[Core]) -> None:
    update_mode(core)
    flush_all(core.mmu)
    flush_jumps(core)


@function
def needs_pdptes(core: Ptr[Core], cr0: u64, cr4: u64) -> bool:
    """PAE paging outside long mode (SDM Vol. 3, section 4.4.1)."""
    return cr0 & PG and cr4 & PAE and not core.cpu.efer & LMA


@function
def set_cr0(core: Ptr[Core], value: u64) -> bool:
    if value >> 32 or (value & PG and not value & PE) or (value & NW and not value & CD):
        return fault(core, GP, 0)
    before = core.cpu.cr0
    value = value & CR0_BITS | ET
    if value & PG and not before & PG:
        if core.cpu.efer & LME:
            if not core.cpu.cr4 & PAE or core.cpu.segments[CS].attributes & LONG:
                return fault(core, GP, 0)
            core.cpu.efer |= LMA
        elif core.cpu.cr4 & PAE:
            core.mmu.cr3 = core.cpu.cr3
            if not load_pdptes(core.mmu):
                return fault(core, GP, 0)
    elif before & PG and not value & PG:
        if core.code_kind & CODE_SIZE == CODE_64 or core.cpu.cr4 & PCIDE:
            return fault(core, GP, 0)
        core.cpu.efer &= ~u64(LMA)
    core.cpu.cr0 = value
    if (before ^ value) & (PG | WP | PE):
        paging_changed(core)
    else:
        update_mode(core)
    return True


@function
def set_cr3(core: Ptr[Core], value: u64) -> bool:
    pcid = core.cpu.cr4 & PCIDE != 0
    keep = pcid and value & KEEP_TLB != 0
    if pcid:
        value &= ~u64(KEEP_TLB)
    if core.cpu.efer & LMA and value & (core.mmu.reserved_bits | ~u64(0) << 52):
        return fault(core, GP, 0)
    before = core.mmu.cr3
    core.mmu.cr3 = value
    if needs_pdptes(core, core.cpu.cr0, core.cpu.cr4) and not load_pdptes(core.mmu):
        core.mmu.cr3 = before
        return fault(core, GP, 0)
    core.cpu.cr3 = value
    if not keep or value != before:  # the TLB holds one PCID's translations only
        flush_nonglobal(core.mmu)
    flush_local_jumps(core)
    return True


@function
def set_cr4(core: Ptr[Core], value: u64) -> bool:
    before = core.cpu.cr4
    if value & ~u64(CR4_BITS) or (core.cpu.efer & LMA and not value & PAE):
        return fault(core, GP, 0)
    if value & PCIDE and not before & PCIDE and (not core.cpu.efer & LMA or core.cpu.cr3 & 0xFFF):
        return fault(core, GP, 0)
    if (value ^ before) & (PAE | PSE | PGE | SMEP) and needs_pdptes(core, core.cpu.cr0, value):
        core.mmu.cr3 = core.cpu.cr3
        if not load_pdptes(core.mmu):
            return fault(core, GP, 0)
    core.cpu.cr4 = value
    if (before ^ value) & (PAE | PSE | PGE | SMEP | SMAP | PCIDE):
        paging_changed(core)
    else:
        update_mode(core)
    return True


@function
def set_efer(core: Ptr[Core], value: u64) -> bool:
    before = core.cpu.efer
    if value & ~u64(EFER_BITS) or ((value ^ before) & LME and core.cpu.cr0 & PG):
        return fault(core, GP, 0)
    core.cpu.efer = value & ~u64(LMA) | before & LMA
    paging_changed(core)
    return True


@function
def set_control(core: Ptr[Core], number: u32, value: u64) -> bool:
    """MOV to a control register; those that do not exist are #UD when decoding."""
    match number:
        case 0:
            return set_cr0(core, value)
        case 2:
            core.cpu.cr2 = value
        case 3:
            return set_cr3(core, value)
        case 4:
            return set_cr4(core, value)
        case 8:
            if value > 15:
                return fault(core, GP, 0)
            core.cpu.cr8 = value
            core.priority_changed(u64(core), value)
    return True


@function
def get_control(core: Ptr[Core], number: u32) -> u64:
    match number:
        case 0:
            return core.cpu.cr0
        case 2:
            return core.cpu.cr2
        case 3:
            return core.cpu.cr3
        case 4:
            return core.cpu.cr4
    return core.cpu.cr8


# -- debug registers ----------------------------------------------------------------------------------------


@function
def debug_number(core: Ptr[Core], number: u32) -> u32:
    """DR4 and DR5 are DR6 and DR7, unless CR4.DE makes them #UD; with DR7.GD set, each access is #DB."""
    if number in (4, 5):
        if core.cpu.cr4 & DE:
            fault(core, UD, 0)
        number += 2
    if core.fault_vector == 0xFFFF and core.cpu.debug[7] & GENERAL_DETECT:
        core.cpu.debug[6] |= ACCESS_DETECTED
        core.cpu.debug[7] &= ~u64(GENERAL_DETECT)
        fault(core, DB, 0)
    return number


@function
def set_debug(core: Ptr[Core], number: u32, value: u64) -> bool:
    number = debug_number(core, number)
    if core.fault_vector != 0xFFFF:
        return False
    if number >= 6 and value >> 32:
        return fault(core, GP, 0)
    if number == 6:
        value = value & DR6_BITS | DR6_SET
    elif number == 7:
        value = value & DR7_BITS | DR7_SET
    core.cpu.debug[number] = value
    set_watches(core)
    update_mode(core)
    return True


@function
def set_watches(core: Ptr[Core]) -> None:
    """Tell the soft MMU the data breakpoints."""
    mmu = core.mmu
    control = core.cpu.debug[7]
    watching: u32 = 0
    for number in range(WATCHES):
        watch = mmu.watches[number]
        kind = u32(control >> (16 + number * 4)) & 3
        length = LENGTHS[control >> (18 + number * 4) & 3]
        enabled = control >> number * 2 & 3 and kind in (WATCH_WRITE, WATCH_ACCESS)
        watch.length = length if enabled else 0
        watch.address = core.cpu.debug[number] & ~u64(length - 1)
        watch.kind = kind
        if enabled:
            watching = 1
    if watching or mmu.watching:
        flush_all(mmu)
    mmu.watching = watching
