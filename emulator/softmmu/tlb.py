"""The translation lookaside buffer: the inline lookup, the slow fill, and what flushes it.

The TLB is direct-mapped.  Large pages are entered in pieces of 4 KBytes.  It caches translations only, no paging
structures, and only those of the current PCID: a flush of another PCID has nothing to do, and loading CR3 flushes
all but global pages, which Intel SDM Vol. 3, 4.10.4.1 requires or allows in every case.
"""

from __future__ import annotations

from emulator.native import Ptr, function, likely, u8, u32, u64

from .physical import direct_page, find_range, page_flags
from .structs import (
    CODE,
    GLOBAL,
    MODES,
    PAGE_MASK,
    PAGE_SHIFT,
    PAGE_SIZE,
    RAM,
    TLB_ENTRIES,
    TLB_SLOTS,
    VALID,
    WATCHES,
    WRITE,
    Mmu,
    TlbEntry,
)
from .walk import walk

CR4_PCIDE = 1 << 17
PCID = 0xFFF  # in CR3, while CR4.PCIDE is set


@function(inline="always")
def entry_of(mmu: Ptr[Mmu], access: u32, mode: u32, address: u64) -> Ptr[TlbEntry]:
    return mmu.tlb[(u64(access) * MODES + mode) * TLB_SLOTS + (address >> PAGE_SHIFT & TLB_SLOTS - 1)]


@function(inline="always")
def lookup(mmu: Ptr[Mmu], access: u32, mode: u32, address: u64, size: u64) -> u64:
    """The host address of `size` bytes that lie in one page, if they may be accessed directly; else 0."""
    entry = entry_of(mmu, access, mode, address)
    inside = address - entry.tag
    return entry.host + inside if likely(inside <= PAGE_SIZE - size) else 0


@function
def translate(mmu: Ptr[Mmu], access: u32, mode: u32, address: u64) -> Ptr[TlbEntry]:
    """The entry of an address, filled if need be; null is a fault, reported in `mmu`."""
    entry = entry_of(mmu, access, mode, address)
    if likely(entry.page == address & PAGE_MASK | VALID):
        return entry
    if not walk(mmu, address, access, mode):
        return Ptr[TlbEntry](0)
    page = address & PAGE_MASK
    physical = mmu.walk_physical & PAGE_MASK & mmu.physical_mask
    entry.page = page | VALID
    entry.physical = physical | (GLOBAL if mmu.walk_global else 0)
    if mmu.walk_shift > PAGE_SHIFT:
        size = u64(1) << mmu.walk_shift
        mmu.large_first = min(mmu.large_first, page & ~(size - 1))
        mmu.large_last = max(mmu.large_last, page | size - 1)
    attach(mmu, entry, access)
    return entry


@function
def attach(mmu: Ptr[Mmu], entry: Ptr[TlbEntry], access: u32) -> None:
    """Open the direct way to an entry's page, or close it."""
    page = entry.page & PAGE_MASK
    host = direct_page(mmu, entry.physical & PAGE_MASK, access == WRITE)
    if host and not (mmu.watching and is_watched(mmu, page)):
        entry.tag = page
        entry.host = u64(host)
    else:
        entry.tag = no_page(page)


@function
def no_page(page: u64) -> u64:
    """A tag for the slot of `page` that none of the slot's pages has."""
    return page ^ PAGE_SIZE


@function
def is_watched(mmu: Ptr[Mmu], page: u64) -> bool:
    for i in range(WATCHES):
        watch = mmu.watches[i]
        if watch.length and watch.address & PAGE_MASK <= page <= watch.address + (watch.length - 1) & PAGE_MASK:
            return True
    return False


@function
def drop(mmu: Ptr[Mmu], index: u32) -> None:
    """Empty one entry."""
    entry = mmu.tlb[index]
    entry.page = 0
    entry.tag = no_page(u64(index % TLB_SLOTS) << PAGE_SHIFT)


@function
def flush_all(mmu: Ptr[Mmu]) -> None:
    """Forget every translation, global ones too."""
    for i in range(TLB_ENTRIES):
        drop(mmu, i)
    mmu.large_first = ~u64(0)
    mmu.large_last = 0


@function
def flush_nonglobal(mmu: Ptr[Mmu]) -> None:
    """What loading CR3 does (4.10.4.1)."""
    for i in range(TLB_ENTRIES):
        if not mmu.tlb[i].physical & GLOBAL:
            drop(mmu, i)


@function
def flush_pcid(mmu: Ptr[Mmu], pcid: u64) -> None:
    """INVPCID of one PCID (4.10.4.1): only the current one's translations are here."""
    if pcid == (mmu.cr3 & PCID if mmu.cr4 & CR4_PCIDE else 0):
        flush_nonglobal(mmu)


@function
def flush_page(mmu: Ptr[Mmu], address: u64) -> None:
    """INVLPG (4.10.4.1): the page of an address, whatever its size, also if it is global."""
    if mmu.large_first <= address <= mmu.large_last:
        flush_all(mmu)
        return
    for access in range(3):
        for mode in range(MODES):
            entry = entry_of(mmu, access, mode, address)
            if entry.page == address & PAGE_MASK | VALID:
                entry.page = 0
                entry.tag = no_page(address & PAGE_MASK)


@function
def flush_writes(mmu: Ptr[Mmu]) -> None:
    """Make the next write to each page take the slow path: after dirty flags were cleared."""
    for i in range(WRITE * MODES * TLB_SLOTS, (WRITE + 1) * MODES * TLB_SLOTS):
        drop(mmu, i)


@function
def flush_writes_to(mmu: Ptr[Mmu], physical: u64) -> None:
    """The same for one physical page, wherever it is mapped: when it begins to hold translated code."""
    for i in range(WRITE * MODES * TLB_SLOTS, (WRITE + 1) * MODES * TLB_SLOTS):
        if mmu.tlb[i].physical & PAGE_MASK == physical & PAGE_MASK:
            drop(mmu, i)


@function
def mark_code(mmu: Ptr[Mmu], physical: u64) -> bool:
    """The page of a physical address holds translated code from now on; false if it is not RAM, which cannot change."""
    found = find_range(mmu, physical)
    if not found or found.kind != RAM:
        return False
    flags = page_flags(found, physical)
    if not flags[0] & CODE:
        flags[0] |= CODE
        flush_writes_to(mmu, physical)
    return True


@function
def unmark_code(mmu: Ptr[Mmu], physical: u64) -> None:
    """It no longer does; the next write to it opens the direct way again."""
    found = find_range(mmu, physical)
    if found and found.kind == RAM:
        page_flags(found, physical)[0] &= ~u8(CODE)
