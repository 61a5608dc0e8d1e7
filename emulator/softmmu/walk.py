"""The page walk: from a linear address to a physical one, or to a page fault's error code.

Intel SDM Vol. 3, chapter 4: 4.3 (32-bit paging), 4.4 (PAE paging), 4.5 (4-level paging), 4.6 (access rights),
4.7 (error codes), 4.8 (accessed and dirty flags).  5-level paging and protection keys do not exist here.
An entry's accessed flag, and the dirty flag of the last one when writing, are set when the translation succeeds.
"""

from __future__ import annotations

from emulator.native import Array, Ptr, function, i64, u32, u64, unlikely

from .physical import physical_read, physical_write
from .structs import (
    EXECUTE,
    NOT_CANONICAL,
    PAGE_FAULT,
    SUPERVISOR,
    USER,
    WRITE,
    Mmu,
)

CR0_WP = 1 << 16
CR0_PG = 1 << 31
CR4_PSE = 1 << 4
CR4_PAE = 1 << 5
CR4_PGE = 1 << 7
CR4_SMEP = 1 << 20
CR4_SMAP = 1 << 21
EFER_LMA = 1 << 10
EFER_NXE = 1 << 11

# Paging-structure entries (4.3 to 4.5, figures 4-4, 4-7, 4-11)
PRESENT = 1 << 0
WRITABLE = 1 << 1
USER_PAGE = 1 << 2
ACCESSED = 1 << 5
DIRTY_PAGE = 1 << 6
LARGE = 1 << 7
GLOBAL_PAGE = 1 << 8
NO_EXECUTE = 1 << 63
ADDRESS = 0x000F_FFFF_FFFF_F000

# Page-fault error codes (4.7)
ERROR_PRESENT = 1 << 0
ERROR_WRITE = 1 << 1
ERROR_USER = 1 << 2
ERROR_RESERVED = 1 << 3
ERROR_FETCH = 1 << 4

PAE_HIGH_BITS = 0x7FF0_0000_0000_0000  # bits 52 to 62 are reserved in PAE paging, ignored in 4-level paging
PDPTE_RESERVED = 0x1E6  # bits 1, 2 and 5 to 8 of a PDPTE register (table 4-8)
RESERVED_1G = 0x3FFF_E000  # bits 13 to 29 of an entry that maps 1 GByte
RESERVED_2M = 0x001F_E000  # bits 13 to 20 of an entry that maps 2 MBytes
RESERVED_4M = 0x0020_0000  # bit 21 of an entry that maps 4 MBytes
PSE36 = 0x001F_E000  # bits 13 to 20 of the same: bits 32 to 39 of the address


@function
def walk(mmu: Ptr[Mmu], address: u64, access: u32, mode: u32) -> bool:
    """Translate a linear address; the result is in `walk_physical` and its neighbours, or in `fault`."""
    if not mmu.cr0 & CR0_PG:
        mmu.walk_physical = address
        mmu.walk_shift = 12
        mmu.walk_global = 0
        return True
    if mmu.efer & EFER_LMA:
        if unlikely(u64(i64(address << 16) >> 16) != address):
            mmu.fault = NOT_CANONICAL
            mmu.fault_address = address
            return False
        return walk_tables(mmu, address, access, mode, mmu.cr3 & ADDRESS, 39, mmu.reserved_bits)
    if mmu.cr4 & CR4_PAE:
        pointer = mmu.pdpte[address >> 30 & 3]
        if not pointer & PRESENT:
            return page_fault(mmu, address, access, mode, 0)
        return walk_tables(mmu, address, access, mode, pointer & ADDRESS, 21, mmu.reserved_bits | PAE_HIGH_BITS)
    return walk_32(mmu, address, access, mode)


@function
def walk_tables(mmu: Ptr[Mmu], address: u64, access: u32, mode: u32, table: u64, shift: u32, reserved: u64) -> bool:
    """The tables of 512 entries of 8 bytes, of PAE (from `shift` 21 down) and 4-level paging (from 39 down)."""
    if not mmu.efer & EFER_NXE:
        reserved |= NO_EXECUTE
    places = Array[u64, 4]()
    entries = Array[u64, 4]()
    depth: u32 = 0
    rights: u64 = WRITABLE | USER_PAGE
    forbidden: u64 = 0
    while True:
        place = table + (address >> shift & 511) * 8 & mmu.physical_mask
        entry = physical_read(mmu, place, 8)
        if not entry & PRESENT:
            return page_fault(mmu, address, access, mode, 0)
        last = shift == 12 or (entry & LARGE and shift != 39)
        if entry & (reserved | reserved_in_entry(entry, shift)):
            return page_fault(mmu, address, access, mode, ERROR_PRESENT | ERROR_RESERVED)
        places[depth] = place
        entries[depth] = entry
        rights &= entry
        forbidden |= entry & NO_EXECUTE
        if last:
            break
        table = entry & ADDRESS
        shift -= 9
        depth += 1
    if not allowed(mmu, access, mode, rights, bool(forbidden)):
        return page_fault(mmu, address, access, mode, ERROR_PRESENT)
    for level in range(depth + 1):
        entry = entries[level] | ACCESSED
        if level == depth and access == WRITE:
            entry |= DIRTY_PAGE
        if entry != entries[level]:
            physical_write(mmu, places[level], 8, entry)
    inside = (u64(1) << shift) - 1
    mmu.walk_physical = entry & ADDRESS & ~inside | address & inside
    mmu.walk_shift = shift
    mmu.walk_global = u32(entry & GLOBAL_PAGE and mmu.cr4 & CR4_PGE)
    return True


@function
def reserved_in_entry(entry: u64, shift: u32) -> u64:
    """The bits that have to be zero in an entry of this level (tables 4-15 to 4-20)."""
    if shift == 39:
        return LARGE
    if not entry & LARGE:
        return 0
    return RESERVED_1G if shift == 30 else RESERVED_2M if shift == 21 else 0


@function
def walk_32(mmu: Ptr[Mmu], address: u64, access: u32, mode: u32) -> bool:
    """32-bit paging: two tables of 1024 entries of 4 bytes, and pages of 4 MBytes with CR4.PSE (4.3)."""
    directory_place = (mmu.cr3 & 0xFFFF_F000) + (address >> 22 & 1023) * 4 & mmu.physical_mask
    directory = physical_read(mmu, directory_place, 4)
    if not directory & PRESENT:
        return page_fault(mmu, address, access, mode, 0)
    shift: u32 = 12
    place = directory_place
    entry = directory
    rights = directory
    if directory & LARGE and mmu.cr4 & CR4_PSE:
        shift = 22
        base = directory & 0xFFC0_0000 | (directory & PSE36) << 19
        if directory & RESERVED_4M or base & mmu.reserved_bits:
            return page_fault(mmu, address, access, mode, ERROR_PRESENT | ERROR_RESERVED)
    else:
        place = (directory & 0xFFFF_F000) + (address >> 12 & 1023) * 4 & mmu.physical_mask
        entry = physical_read(mmu, place, 4)
        if not entry & PRESENT:
            return page_fault(mmu, address, access, mode, 0)
        base = entry & 0xFFFF_F000
        rights &= entry
    if not allowed(mmu, access, mode, rights, False):
        return page_fault(mmu, address, access, mode, ERROR_PRESENT)
    if shift == 12 and not directory & ACCESSED:
        physical_write(mmu, directory_place, 4, directory | ACCESSED)
    used = entry | ACCESSED | (DIRTY_PAGE if access == WRITE else 0)
    if used != entry:
        physical_write(mmu, place, 4, used)
    inside = (u64(1) << shift) - 1
    mmu.walk_physical = base | address & inside
    mmu.walk_shift = shift
    mmu.walk_global = u32(entry & GLOBAL_PAGE and mmu.cr4 & CR4_PGE)
    return True


@function
def allowed(mmu: Ptr[Mmu], access: u32, mode: u32, rights: u64, no_execute: bool) -> bool:
    """Access rights (4.6.1): `rights` has R/W and U/S set if they are set in every entry."""
    user_page = bool(rights & USER_PAGE)
    if mode == USER:
        if not user_page:
            return False
    elif user_page:
        if access == EXECUTE:
            if mmu.cr4 & CR4_SMEP:
                return False
        elif mmu.cr4 & CR4_SMAP and mode == SUPERVISOR:
            return False
    if access == EXECUTE:
        return not no_execute
    if access == WRITE and not rights & WRITABLE:
        return mode != USER and not mmu.cr0 & CR0_WP
    return True


@function(inline="never")
def page_fault(mmu: Ptr[Mmu], address: u64, access: u32, mode: u32, code: u32) -> bool:
    """Report a page fault (4.7); always false."""
    if access == WRITE:
        code |= ERROR_WRITE
    if mode == USER:
        code |= ERROR_USER
    if access == EXECUTE and (mmu.cr4 & CR4_SMEP or (mmu.cr4 & CR4_PAE and mmu.efer & EFER_NXE)):
        code |= ERROR_FETCH
    mmu.fault = PAGE_FAULT
    mmu.fault_code = code
    mmu.fault_address = address
    return False


@function
def load_pdptes(mmu: Ptr[Mmu]) -> bool:
    """Load the PDPTE registers from CR3 (4.4.1); false is #GP(0), and the registers stay as they were."""
    loaded = Array[u64, 4]()
    for i in range(4):
        entry = physical_read(mmu, (mmu.cr3 & 0xFFFF_FFE0) + i * 8 & mmu.physical_mask, 8)
        if entry & PRESENT and entry & (PDPTE_RESERVED | NO_EXECUTE | PAE_HIGH_BITS | mmu.reserved_bits):
            return False
        loaded[i] = entry
    for i in range(4):
        mmu.pdpte[i] = loaded[i]
    return True
