"""The memory that the soft MMU's compiled functions and Python share.

`Mmu` is one processor's view of memory: the registers that decide how a linear address is translated, the TLB, the
flat view of physical memory, and where faults are reported.  Invariants:

- A TLB entry whose `tag` is the page of its slot has at `host` the bytes of that page, in guest RAM (or ROM, for
  reads).  All other entries have a tag that no address of the slot matches.
- The ranges of the flat view are sorted and do not overlap; RAM and ROM ranges have memory behind every byte.
- The write entry of a page is fast only while the page's flags say DIRTY and do not say CODE.
"""

from __future__ import annotations

from emulator.native import Array, FnPtr, Ptr, struct, u8, u32, u64

PAGE_SIZE = 4096
PAGE_MASK = ~(PAGE_SIZE - 1)
PAGE_SHIFT = 12

# What an access does, and with whose rights.  A supervisor's explicit access with EFLAGS.AC set may touch user pages
# although CR4.SMAP is set (Intel SDM Vol. 3, 4.6), so it has entries of its own.
READ, WRITE, EXECUTE = 0, 1, 2
USER, SUPERVISOR, SUPERVISOR_AC = 0, 1, 2
MODES = 3

TLB_SLOTS = 256  # for each kind of access and mode
TLB_ENTRIES = 3 * MODES * TLB_SLOTS

# The low bits of `TlbEntry.page` and `TlbEntry.physical`
VALID = 1
GLOBAL = 1

RAM, ROM, MMIO = 1, 2, 3  # Range.kind
DIRTY, CODE = 1, 2  # page flags

NO_FAULT, PAGE_FAULT, NOT_CANONICAL = 0, 1, 2  # Mmu.fault
WATCH_WRITE, WATCH_ACCESS = 1, 3  # Watch.kind, as R/W in DR7
WATCHES = 4


@struct
class TlbEntry:
    """One page for one kind of access.  The inline lookup reads `tag` and `host` only."""

    tag: u64  # the virtual page if RAM may be accessed directly
    host: u64  # the host address of that page
    page: u64  # the virtual page | VALID, also when each access has to take the slow path
    physical: u64  # the physical page | GLOBAL


@struct
class Range:
    """A piece of the flat view of physical memory, from `first` to `last` inclusive."""

    first: u64
    last: u64
    kind: u32
    reserved: u32
    host: Ptr[u8]  # RAM and ROM: the memory of `first`
    flags: Ptr[u8]  # RAM: the flags of the page of `first`
    offset: u64  # MMIO: of `first` in its region
    device: u64  # MMIO: handed to the functions
    read: FnPtr[[u64, u64, u32], u64]  # device, offset, size
    write: FnPtr[[u64, u64, u32, u64], None]  # device, offset, size, value


@struct
class Watch:
    """A data breakpoint on linear addresses; `length` 0 is none."""

    address: u64
    length: u64
    kind: u32
    reserved: u32


@struct
class Mmu:
    """One processor's memory management unit."""

    cr0: u64
    cr3: u64
    cr4: u64
    efer: u64
    pdpte: Array[u64, 4]  # the PDPTE registers of PAE paging, loaded with CR3 (4.4.1)
    linear_mask: u64  # 32 bits of a linear address count outside 64-bit mode
    physical_mask: u64  # without bit 20 while the A20 gate is closed
    reserved_bits: u64  # physical address bits that do not exist, from MAXPHYADDR to 51

    fault: u32  # what went wrong with the last access that failed; the caller resets it
    fault_code: u32  # the error code of a page fault
    fault_address: u64  # what CR2 becomes

    walk_physical: u64  # results of the last page walk: the address,
    walk_shift: u32  # the size of the page as a power of two,
    walk_global: u32  # and whether it is global

    large_first: u64  # all large pages in the TLB lie between these
    large_last: u64

    ranges: Ptr[Range]
    range_count: u32
    recent: u32  # the range that was found last

    on_code_write: FnPtr[[u64, u64, u32], None]  # cpu, physical address, size
    cpu: u64

    watching: u32  # is any watchpoint set?
    watch_hits: u32  # a bit for each watchpoint that was touched; the caller resets it
    watches: Array[Watch, WATCHES]

    tlb: Array[TlbEntry, TLB_ENTRIES]
