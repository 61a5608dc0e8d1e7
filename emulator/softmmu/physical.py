"""Physical memory: which range an address is in, and access to RAM, ROM and devices.

What is not backed by anything reads as ones, and writes to it are lost; so are writes to ROM.  Every access is
checked against its range, so that no address whatever reaches host memory outside guest RAM and ROM.
"""

from __future__ import annotations

from emulator.native import Ptr, function, likely, u8, u16, u32, u64

from .structs import CODE, DIRTY, MMIO, PAGE_MASK, PAGE_SHIFT, RAM, ROM, Mmu, Range


@function
def find_range(mmu: Ptr[Mmu], address: u64) -> Ptr[Range]:
    """The range that holds a physical address, or null."""
    if mmu.recent < mmu.range_count:
        recent = mmu.ranges[mmu.recent]
        if likely(recent.first <= address <= recent.last):
            return recent
    low: u32 = 0
    high = mmu.range_count
    while low < high:
        middle = low + (high - low) // 2
        found = mmu.ranges[middle]
        if address < found.first:
            high = middle
        elif address > found.last:
            low = middle + 1
        else:
            mmu.recent = middle
            return found
    return Ptr[Range](0)


@function
def host_read(host: Ptr[u8], size: u32) -> u64:
    match size:
        case 1:
            return host[0]
        case 2:
            return Ptr[u16](host)[0]
        case 4:
            return Ptr[u32](host)[0]
        case 8:
            return Ptr[u64](host)[0]
    value: u64 = 0
    for i in range(size):
        value |= u64(host[i]) << (i * 8)
    return value


@function
def host_write(host: Ptr[u8], size: u32, value: u64) -> None:
    match size:
        case 1:
            host[0] = u8(value)
        case 2:
            Ptr[u16](host)[0] = u16(value)
        case 4:
            Ptr[u32](host)[0] = u32(value)
        case 8:
            Ptr[u64](host)[0] = value
        case _:
            for i in range(size):
                host[i] = u8(value >> (i * 8))


@function
def low_bytes(value: u64, size: u32) -> u64:
    return value & ~(~u64(0) << (size * 8))


@function
def physical_read(mmu: Ptr[Mmu], address: u64, size: u32) -> u64:
    """Up to 8 bytes, little-endian."""
    found = find_range(mmu, address)
    if found and found.last - address >= size - 1:
        inside = address - found.first
        if found.kind != MMIO:
            return host_read(found.host + inside, size)
        if size in (1, 2, 4, 8):
            return low_bytes(found.read(found.device, found.offset + inside, size), size)
    if size == 1:
        return 0xFF
    value: u64 = 0
    for i in range(size):
        value |= physical_read(mmu, address + i, 1) << (i * 8)
    return value


@function
def physical_write(mmu: Ptr[Mmu], address: u64, size: u32, value: u64) -> None:
    """Up to 8 bytes; the page becomes dirty, and a write to translated code is reported."""
    found = find_range(mmu, address)
    if found and found.last - address >= size - 1:
        inside = address - found.first
        if found.kind == RAM:
            host_write(found.host + inside, size, value)
            mark_written(mmu, found, address, size)
        if found.kind != MMIO:
            return
        if size in (1, 2, 4, 8):
            found.write(found.device, found.offset + inside, size, low_bytes(value, size))
            return
    if size > 1:
        for i in range(size):
            physical_write(mmu, address + i, 1, value >> (i * 8))


@function
def page_flags(found: Ptr[Range], address: u64) -> Ptr[u8]:
    """The flags of the RAM page of an address."""
    return found.flags + ((address >> PAGE_SHIFT) - (found.first >> PAGE_SHIFT))


@function
def mark_written(mmu: Ptr[Mmu], found: Ptr[Range], address: u64, size: u32) -> None:
    first = page_flags(found, address)
    last = page_flags(found, address + size - 1)
    first[0] |= DIRTY
    last[0] |= DIRTY
    if (first[0] | last[0]) & CODE:
        mmu.on_code_write(mmu.cpu, address, size)


@function
def direct_page(mmu: Ptr[Mmu], page: u64, writing: bool) -> Ptr[u8]:
    """The host address of a whole page of RAM (or ROM, to read), null if it has to be accessed piece by piece."""
    found = find_range(mmu, page)
    if not found or (found.kind != RAM and (writing or found.kind != ROM)):
        return Ptr[u8](0)
    if page & ~PAGE_MASK or page < found.first or found.last - page < ~PAGE_MASK:
        return Ptr[u8](0)
    if writing:
        flags = page_flags(found, page)
        flags[0] |= DIRTY
        if flags[0] & CODE:
            return Ptr[u8](0)
    return found.host + (page - found.first)
