"""Blocks of ops: found by what they were made of, made when they are not there, dropped when their bytes change.

A block lies in one physical page and is found by its physical address, RIP, code segment and kind of code, so that its
ops may hold absolute addresses. An instruction that crosses a page border is in no block: it is decoded each time it is
executed (`single`), as the second page may be another one next time. Direct links stay within a page for the same
reason; all other branches go through `jumps`, which is emptied when paging or the code segment changes.
"""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, addressof, fill_bytes, function, i32, likely, u8, u16, u32, u64
from emulator.softmmu.access import physical_address
from emulator.softmmu.physical import find_range, physical_read
from emulator.softmmu.structs import EXECUTE, GLOBAL, MMIO, PAGE_SIZE, SUPERVISOR, USER
from emulator.softmmu.tlb import mark_code, translate, unmark_code
from emulator.x86.flat import TOO_LONG, TRUNCATED, Record, decode_flat

from .core import GP, HASH_SLOTS, JUMP_SLOTS, MAX_BLOCK, Block, Core, Jump, Op
from .operands import LIMIT_32, fault, memory_fault
from .peephole import forget, look_back
from .predecode import CONTINUE, COUNT, ENDS, IDLE, METER, PROTECTION, STALE, UNDEFINED, fill
from .state import flush_jumps, page_bit, page_word

MAX_LENGTH = 15
CS = 1
PAGE_BITS = ~(PAGE_SIZE - 1)
SPREAD = 0x9E37  # an odd number


@function(inline="always")
def jump_slot(core: Ptr[Core], rip: u64) -> Ptr[Jump]:
    return core.jumps[(rip ^ rip >> 12) & JUMP_SLOTS - 1]


@function(inline="always")
def jump_hit(core: Ptr[Core], rip: u64) -> Ptr[Op]:
    """The op at an address, if the indirect-branch cache knows it; else null."""
    entry = jump_slot(core, rip)
    if likely(entry.rip == rip and entry.tag == core.code_tag):
        return Ptr[Op](entry.op)
    return Ptr[Op](0)


@function
def flush_blocks(core: Ptr[Core]) -> None:
    """Drop every block. Only between instructions of which nothing is needed any more."""
    for number in range(core.block_count):
        if core.blocks[number].length:
            unmark_code(core.mmu, core.blocks[number].physical)
    core.generation += 1
    core.block_count = 0
    core.op_count = 0
    core.code_used = core.code_start
    core.code_full = 0
    fill_bytes(Ptr[u8](addressof(core.hash)), 0, HASH_SLOTS * 4)
    fill_bytes(Ptr[u8](addressof(core.pages)), 0, HASH_SLOTS * 4)
    flush_jumps(core)


@function
def linear_rip(core: Ptr[Core], rip: u64) -> u64:
    return rip if core.code_bits == 64 else core.cpu.segments[CS].base + rip & LIMIT_32


@function
def code_page(core: Ptr[Core], address: u64, out: Ptr[u64]) -> bool:
    """The physical address of code; false is a fault."""
    entry = translate(core.mmu, EXECUTE, USER if core.cpl == 3 else SUPERVISOR, address)
    if not entry:
        return memory_fault(core, CS)
    core.code_local = u32(core.cpl != 3 and not (entry.physical & GLOBAL and address >> 63))
    out[0] = physical_address(entry, address)
    return True


@function
def find_alone(core: Ptr[Core]) -> Ptr[Op]:
    """The instruction at RIP as an op of its own, behind which control comes back to `enter`; null is a fault."""
    rip = core.cpu.rip
    return decode_single(core, rip, linear_rip(core, rip))


@function
def find(core: Ptr[Core]) -> Ptr[Op]:
    """The op at RIP, found or made; null is a fault."""
    rip = core.cpu.rip
    if core.code_bits != 64 and rip > core.target_limit:
        fault(core, GP, 0)
        return Ptr[Op](0)
    address = linear_rip(core, rip)
    if not code_page(core, address, addressof(core.scratch[1])):
        return Ptr[Op](0)
    physical = core.scratch[1]
    slot = u32((physical ^ (physical >> 12) * 31 + (rip >> 12)) * SPREAD & HASH_SLOTS - 1)
    previous: u32 = 0
    number = core.hash[slot]
    while number:
        block = core.blocks[number - 1]
        following = block.next_in_hash
        if block.length == 0:  # dead; code that changes itself would leave thousands of them here
            if previous:
                core.blocks[previous - 1].next_in_hash = following
            else:
                core.hash[slot] = following
        else:
            same_place = block.physical == physical and block.rip == rip
            if same_place and block.kind == core.code_kind and block.space == core.code_space:
                return remember(core, rip, address, block.first)
            previous = number
        number = following
    op = make(core, rip, physical, slot)
    if op:
        return remember(core, rip, address, op)
    return decode_single(core, rip, address)


@function
def remember(core: Ptr[Core], rip: u64, address: u64, op: Ptr[Op]) -> Ptr[Op]:
    entry = jump_slot(core, rip)
    entry.rip = rip
    entry.tag = core.code_tag
    entry.op = u64(op)
    core.local_jumps |= core.code_local
    pages = core.user_pages if core.cpl == 3 else core.system_pages
    pages[page_word(address)] |= page_bit(address)
    return op


@function
def make(core: Ptr[Core], rip: u64, physical: u64, slot: u32) -> Ptr[Op]:
    """A new block; null if the first instruction does not lie within the page and the limit, or cannot be kept."""
    found = find_range(core.mmu, physical)
    if not found or found.kind == MMIO or found.last < (physical | PAGE_SIZE - 1):
        return Ptr[Op](0)
    if core.op_count + MAX_BLOCK + 2 > core.op_limit or core.block_count == core.block_limit or core.code_full:
        flush_blocks(core)
    code = found.host + (physical - found.first)
    room = u32(PAGE_SIZE - (physical & PAGE_SIZE - 1))
    if core.code_bits != 64 and core.target_limit - rip < room:
        room = u32(core.target_limit - rip) + 1
    entry = core.ops + core.op_count
    leads = core.counting or core.hot_after != 0
    first = entry + u32(leads)
    count: u32 = 0
    instructions: u64 = 0
    length: u32 = 0
    record = Record()
    forget(core)
    while instructions < MAX_BLOCK and length < room:
        size = decode_flat(code + length, i32(min(room - length, MAX_LENGTH)), i32(core.code_bits), record)
        if size == TRUNCATED:
            break
        op = first + count
        count += 1
        instructions += 1
        if size < 0:
            length += 1
            raise_at(core, op, rip + (length - 1), PROTECTION if size == TOO_LONG else UNDEFINED)
            break
        properties = fill(core, record, op, rip + length)
        look_back(core, record, op, properties)
        length += u32(size)
        if properties & IDLE and count > 1:
            count -= 1  # it needs no op; only a block of nothing else keeps its first one
        if properties & ENDS:
            break
    if length == 0:
        return Ptr[Op](0)
    lead_on(core, first + count, wrap(core, rip + length))
    count += 1
    if core.counting:
        meter_at(core, entry, rip, instructions)
    elif core.hot_after:
        lead_in(core, entry, physical, rip, count)
    count += u32(leads)
    add_block(core, physical, rip, entry, count, length, slot)
    return entry


@function
def lead_in(core: Ptr[Core], op: Ptr[Op], physical: u64, rip: u64, count: u32) -> None:
    """The op in front of a block that may be translated; `count` ops are behind it."""
    op.handler = core.handlers[COUNT]
    op.code = core.code_leave_op
    op.rip = rip
    op.length = 0
    op.immediate = core.hot_after
    op.displacement = physical
    op.a = u16(count)


@function
def wrap(core: Ptr[Core], rip: u64) -> u64:
    return rip if core.code_bits == 64 else rip & LIMIT_32


@function
def raise_at(core: Ptr[Core], op: Ptr[Op], rip: u64, handler: u32) -> None:
    """An op that raises an exception."""
    op.rip = rip
    op.length = 1
    op.handler = core.handlers[handler]


@function
def meter_at(core: Ptr[Core], op: Ptr[Op], rip: u64, instructions: u64) -> None:
    """The op in front of a block whose instructions are counted."""
    op.handler = core.handlers[METER]
    op.rip = rip
    op.length = 0
    op.immediate = instructions


@function
def lead_on(core: Ptr[Core], op: Ptr[Op], rip: u64) -> None:
    """The op behind a block: to the next one."""
    op.handler = core.handlers[CONTINUE]
    op.rip = rip
    op.length = 0
    op.immediate = rip
    op.link = 0


@function
def add_block(core: Ptr[Core], physical: u64, rip: u64, first: Ptr[Op], count: u32, length: u32, slot: u32) -> None:
    block = core.blocks[core.block_count]
    core.block_count += 1
    number = core.block_count
    core.op_count += count
    block.physical = physical
    block.rip = rip
    block.space = core.code_space
    block.kind = core.code_kind
    block.first = first
    block.count = count
    block.length = length
    block.next_in_hash = core.hash[slot]
    core.hash[slot] = number
    page = u32(physical >> 12 & HASH_SLOTS - 1)
    block.next_in_page = core.pages[page]
    core.pages[page] = number
    mark_code(core.mmu, physical)


@function
def decode_single(core: Ptr[Core], rip: u64, address: u64) -> Ptr[Op]:
    """An instruction that crosses a page or a limit, or lies in a device; null is a fault."""
    core.instructions += core.counting
    record = Record()
    size: i32 = TRUNCATED
    available: u32 = 0
    while size == TRUNCATED:
        if core.code_bits != 64 and wrap(core, rip + available) > core.target_limit:
            fault(core, GP, 0)
            return Ptr[Op](0)
        place = address + available & core.mmu.linear_mask
        if not code_page(core, place, addressof(core.scratch[1])):
            return Ptr[Op](0)
        core.code[available] = u8(physical_read(core.mmu, core.scratch[1], 1))
        available += 1
        size = decode_flat(Ptr[u8](addressof(core.code)), i32(available), i32(core.code_bits), record)
    op = Ptr[Op](addressof(core.single))
    if size < 0:
        raise_at(core, op, rip, PROTECTION if size == TOO_LONG else UNDEFINED)
        return op
    fill(core, record, op, rip)
    behind = op + 1
    behind.rip = wrap(core, rip + u32(size))
    behind.handler = core.handlers[STALE]
    return op


@function
def code_written(core: Ptr[Core], physical: u64, size: u32) -> None:
    """Bytes in a page of code have changed: drop the blocks that they belong to."""
    first_page = physical & PAGE_BITS
    last_page = physical + (size - 1) & PAGE_BITS
    drop_blocks(core, first_page, physical, size)
    if last_page != first_page:
        page = first_page + PAGE_SIZE
        while page <= last_page:
            drop_blocks(core, page, physical, size)
            page += PAGE_SIZE


@function
def drop_blocks(core: Ptr[Core], page: u64, physical: u64, size: u32) -> None:
    """The blocks of one page that overlap what was written; the page holds no code when none remains."""
    slot = u32(page >> 12 & HASH_SLOTS - 1)
    remaining = False
    previous: u32 = 0
    number = core.pages[slot]
    while number:
        block = core.blocks[number - 1]
        following = block.next_in_page
        if block.physical & PAGE_BITS != page:
            previous = number
        elif block.physical < physical + size and physical < block.physical + block.length:
            kill(core, block)
            if previous:
                core.blocks[previous - 1].next_in_page = following
            else:
                core.pages[slot] = following
        else:
            remaining = True
            previous = number
        number = following
    if not remaining:
        unmark_code(core.mmu, page)


@function
def kill(core: Ptr[Core], block: Ptr[Block]) -> None:
    """Whoever arrives at one of its ops looks up what is there now."""
    for i in range(block.count):
        block.first[i].handler = core.handlers[STALE]
    if core.hot_after:
        block.first.code = core.code_leave_op
        core.exit_flag = 1  # translated code that goes round in one block looks nowhere else
    block.length = 0
