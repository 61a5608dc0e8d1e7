"""Access to guest memory by linear address, as instructions make it.

`read_u8` to `write_u128` are inlined into their callers: the TLB lookup and, when it hits, one host load or store.
Everything else (a miss, a device, a page border, a watchpoint, a page that holds translated code) takes the slow
way, which may end in a fault: then `mmu.fault` says which, nothing was written, and a read gives 0.

An access that crosses a page border is checked on both pages before anything is written, so that an instruction
can be restarted (Intel SDM Vol. 3, 6.6).  Addresses have to be within `mmu.linear_mask`.
"""

from __future__ import annotations

from emulator.native import Array, Ptr, addressof, function, likely, u8, u16, u32, u64, u128

from .physical import host_read, host_write, physical_read, physical_write
from .structs import EXECUTE, PAGE_MASK, PAGE_SIZE, READ, WATCH_WRITE, WATCHES, WRITE, Mmu, TlbEntry
from .tlb import attach, lookup, translate


@function(inline="always")
def read_u8(mmu: Ptr[Mmu], mode: u32, address: u64) -> u8:
    host = lookup(mmu, READ, mode, address, 1)
    return Ptr[u8](host)[0] if likely(host) else u8(read_slow(mmu, READ, mode, address, 1))


@function(inline="always")
def read_u16(mmu: Ptr[Mmu], mode: u32, address: u64) -> u16:
    host = lookup(mmu, READ, mode, address, 2)
    return Ptr[u16](host)[0] if likely(host) else u16(read_slow(mmu, READ, mode, address, 2))


@function(inline="always")
def read_u32(mmu: Ptr[Mmu], mode: u32, address: u64) -> u32:
    host = lookup(mmu, READ, mode, address, 4)
    return Ptr[u32](host)[0] if likely(host) else u32(read_slow(mmu, READ, mode, address, 4))


@function(inline="always")
def read_u64(mmu: Ptr[Mmu], mode: u32, address: u64) -> u64:
    host = lookup(mmu, READ, mode, address, 8)
    return Ptr[u64](host)[0] if likely(host) else read_slow(mmu, READ, mode, address, 8)


@function(inline="always")
def write_u8(mmu: Ptr[Mmu], mode: u32, address: u64, value: u8) -> None:
    host = lookup(mmu, WRITE, mode, address, 1)
    if likely(host):
        Ptr[u8](host)[0] = value
    else:
        write_slow(mmu, mode, address, 1, value)


@function(inline="always")
def write_u16(mmu: Ptr[Mmu], mode: u32, address: u64, value: u16) -> None:
    host = lookup(mmu, WRITE, mode, address, 2)
    if likely(host):
        Ptr[u16](host)[0] = value
    else:
        write_slow(mmu, mode, address, 2, value)


@function(inline="always")
def write_u32(mmu: Ptr[Mmu], mode: u32, address: u64, value: u32) -> None:
    host = lookup(mmu, WRITE, mode, address, 4)
    if likely(host):
        Ptr[u32](host)[0] = value
    else:
        write_slow(mmu, mode, address, 4, value)


@function(inline="always")
def write_u64(mmu: Ptr[Mmu], mode: u32, address: u64, value: u64) -> None:
    host = lookup(mmu, WRITE, mode, address, 8)
    if likely(host):
        Ptr[u64](host)[0] = value
    else:
        write_slow(mmu, mode, address, 8, value)


@function(inline="never")
def read_slow(mmu: Ptr[Mmu], access: u32, mode: u32, address: u64, size: u32) -> u64:
    """1 to 8 bytes; `access` is READ, or EXECUTE to fetch code."""
    first = translate(mmu, access, mode, address)
    if not first:
        return 0
    physical = physical_address(first, address)
    inside = bytes_in_page(address)
    if size <= inside:
        note_watches(mmu, access, address, size)
        return physical_read(mmu, physical, size)
    second = translate(mmu, access, mode, address + inside & mmu.linear_mask)
    if not second:
        return 0
    note_watches(mmu, access, address, size)
    low = physical_read(mmu, physical, inside)
    return low | physical_read(mmu, second.physical & PAGE_MASK, size - inside) << (inside * 8)


@function(inline="never")
def write_slow(mmu: Ptr[Mmu], mode: u32, address: u64, size: u32, value: u64) -> bool:
    """1 to 8 bytes; false is a fault."""
    first = translate(mmu, WRITE, mode, address)
    if not first:
        return False
    physical = physical_address(first, address)
    inside = bytes_in_page(address)
    if size <= inside:
        note_watches(mmu, WRITE, address, size)
        physical_write(mmu, physical, size, value)
        attach(mmu, first, WRITE)  # the page may have ceased to hold translated code
        return True
    second = translate(mmu, WRITE, mode, address + inside & mmu.linear_mask)
    if not second:
        return False
    second_physical = second.physical & PAGE_MASK
    note_watches(mmu, WRITE, address, size)
    physical_write(mmu, physical, inside, value)
    physical_write(mmu, second_physical, size - inside, value >> (inside * 8))
    return True


@function
def can_access(mmu: Ptr[Mmu], access: u32, mode: u32, address: u64, size: u32) -> bool:
    """Would an access to up to a page succeed?  For instructions that read first, or access more than once."""
    assert size <= PAGE_SIZE
    if lookup(mmu, access, mode, address, size):
        return True
    if not translate(mmu, access, mode, address):
        return False
    inside = bytes_in_page(address)
    return size <= inside or bool(translate(mmu, access, mode, address + inside & mmu.linear_mask))


@function
def read_block(mmu: Ptr[Mmu], mode: u32, address: u64, out: Ptr[u8], size: u32) -> bool:
    """Up to a page, to host memory; false is a fault."""
    if not can_access(mmu, READ, mode, address, size):
        return False
    for done in range(0, size, 8):
        chunk = min(size - done, 8)
        host_write(out + done, chunk, read_slow(mmu, READ, mode, address + done & mmu.linear_mask, chunk))
    return True


@function
def write_block(mmu: Ptr[Mmu], mode: u32, address: u64, data: Ptr[u8], size: u32) -> bool:
    """Up to a page, from host memory; false is a fault, and nothing was written."""
    if not can_access(mmu, WRITE, mode, address, size):
        return False
    for done in range(0, size, 8):
        chunk = min(size - done, 8)
        write_slow(mmu, mode, address + done & mmu.linear_mask, chunk, host_read(data + done, chunk))
    return True


@function(inline="always")
def read_u128(mmu: Ptr[Mmu], mode: u32, address: u64) -> u128:
    host = lookup(mmu, READ, mode, address, 16)
    return Ptr[u128](host)[0] if likely(host) else read_slow_u128(mmu, mode, address)


@function(inline="always")
def write_u128(mmu: Ptr[Mmu], mode: u32, address: u64, value: u128) -> None:
    host = lookup(mmu, WRITE, mode, address, 16)
    if likely(host):
        Ptr[u128](host)[0] = value
    else:
        write_slow_u128(mmu, mode, address, value)


@function(inline="never")
def read_slow_u128(mmu: Ptr[Mmu], mode: u32, address: u64) -> u128:
    value = Array[u128, 1]()
    read_block(mmu, mode, address, Ptr[u8](addressof(value[0])), 16)
    return value[0]


@function(inline="never")
def write_slow_u128(mmu: Ptr[Mmu], mode: u32, address: u64, value: u128) -> None:
    data = Array[u128, 1]()
    data[0] = value
    write_block(mmu, mode, address, Ptr[u8](addressof(data[0])), 16)


@function
def physical_address(entry: Ptr[TlbEntry], address: u64) -> u64:
    return entry.physical & PAGE_MASK | address & ~PAGE_MASK


@function
def bytes_in_page(address: u64) -> u32:
    return PAGE_SIZE - u32(address & ~PAGE_MASK)


@function
def note_watches(mmu: Ptr[Mmu], access: u32, address: u64, size: u32) -> None:
    """Mark the data breakpoints that an access touches; the trap comes after the instruction (SDM Vol. 3, 17.2.4)."""
    if not mmu.watching:
        return
    for i in range(WATCHES):
        watch = mmu.watches[i]
        wanted = access == WRITE if watch.kind == WATCH_WRITE else access != EXECUTE
        if watch.length and wanted and address < watch.address + watch.length and watch.address < address + size:
            mmu.watch_hits |= u32(1) << i
