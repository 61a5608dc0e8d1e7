"""Operands: registers by their place, and memory through the soft MMU.

`read_place`, `modify_place` and `store` find the memory operand of an Op. Their fast way is the TLB lookup alone; the
slow way checks the segment (Intel SDM Vol. 3, sections 5.3 and 5.4), walks the page tables, or talks to a device.
When it fails it notes the exception in `fault_vector` and `fault_code`; the handler then returns
`faulted(core, op)`.
"""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

from emulator.native import Function, Ptr, addressof, function, likely, u8, u16, u32, u64, unlikely, unreachable
from emulator.softmmu.access import can_access, read_slow, write_slow
from emulator.softmmu.structs import NOT_CANONICAL, PAGE_SHIFT, PAGE_SIZE, READ, TLB_SLOTS, WRITE
from emulator.x86.instruction import SS
from emulator.x86.state import Segment

from .core import CHECKED, GP, PF, SS_FAULT, Core, Op

LIMIT_32 = (1 << 32) - 1
# Attributes of a segment (see emulator.x86.state)
PRESENT, CODE, EXPAND_DOWN, WRITABLE, READABLE, BIG = 1 << 7, 8, 4, 2, 2, 1 << 14


@function(inline="always")
def get_u64(core: Ptr[Core], place: u16) -> u64:
    return Ptr[u64](u64(core) + place)[0]


@function(inline="always")
def effective_address(core: Ptr[Core], op: Ptr[Op]) -> u64:
    """The offset in the segment (SDM Vol. 1, section 3.7.5)."""
    return get_u64(core, op.base) + (get_u64(core, op.index) << (op.scale & 3)) + op.displacement & op.mask


@function(inline="always")
def linear_address(core: Ptr[Core], op: Ptr[Op]) -> u64:
    return effective_address(core, op) + get_u64(core, op.segment_base)


@function(inline="always")
def direct(core: Ptr[Core], access: u32, address: u64, size: u64) -> Ptr[u8]:
    """The host address of bytes that may be accessed directly, or null."""
    entries = core.reads if access == READ else core.writes
    entry = entries + (address >> PAGE_SHIFT & TLB_SLOTS - 1)
    inside = address - entry.tag
    if likely(inside <= PAGE_SIZE - size):
        host = Ptr[u8](entry.host + inside)
        if not host:
            unreachable()  # tells the compiler that callers need not look again
        return host
    return Ptr[u8](0)


@function
def fault(core: Ptr[Core], vector: u32, code: u32) -> bool:
    """Note an exception; always false."""
    core.fault_vector = vector
    core.fault_code = code
    return False


@function(inline="never")
def memory_fault(core: Ptr[Core], segment: u32) -> bool:
    """Note what the MMU reports; always false."""
    mmu = core.mmu
    kind = mmu.fault
    mmu.fault = 0
    if kind == NOT_CANONICAL:
        return fault(core, SS_FAULT if segment == SS else GP, 0)
    core.cpu.cr2 = mmu.fault_address
    return fault(core, PF, mmu.fault_code)


@function
def segment_allows(core: Ptr[Core], segment: Ptr[Segment], offset: u64, size: u32, access: u32) -> bool:
    """Whether a segment allows an access outside 64-bit mode."""
    attributes = u32(segment.attributes)
    last = offset + (size - 1)
    protected = core.cpu.cr0 & 1 and not core.cpu.rflags >> 17 & 1
    allowed = True
    if protected:
        if not attributes & PRESENT:
            allowed = False
        elif attributes & CODE:
            allowed = access == READ and attributes & READABLE != 0
        elif access == WRITE:
            allowed = attributes & WRITABLE != 0
    if attributes & (CODE | EXPAND_DOWN) == EXPAND_DOWN:
        top = u64(LIMIT_32) if attributes & BIG else u64(0xFFFF)
        return allowed and offset > segment.limit and last <= top
    return allowed and last <= segment.limit


@function
def check_segment(core: Ptr[Core], segment: u32, offset: u64, size: u32, access: u32) -> bool:
    """The same of a segment register; if it does not, #GP(0) or #SS(0) is noted."""
    allowed = segment_allows(core, core.cpu.segments[segment], offset, size, access)
    return allowed or fault(core, SS_FAULT if segment == SS else GP, 0)


@function(inline="never")
def checked_address(core: Ptr[Core], segment: u32, offset: u64, size: u32, access: u32) -> u64:
    """The linear address of an access that the segment allows; else `fault_vector` is set."""
    if core.code_bits == 64:
        return offset + (core.cpu.segments[segment].base if segment >= 4 else 0)
    check_segment(core, segment, offset, size, access)
    return core.cpu.segments[segment].base + offset & LIMIT_32


@function
def fetch(core: Ptr[Core], segment: u32, offset: u64, size: u32, out: Ptr[u64]) -> bool:
    """Read up to 8 bytes at an offset of a segment, the slow way."""
    address = checked_address(core, segment, offset, size, READ)
    if core.fault_vector != 0xFFFF:
        return False
    out[0] = read_slow(core.mmu, READ, core.mode, address, size)
    return core.mmu.fault == 0 or memory_fault(core, segment)


@function
def deposit(core: Ptr[Core], segment: u32, offset: u64, size: u32, value: u64) -> bool:
    """Write up to 8 bytes at an offset of a segment, the slow way."""
    address = checked_address(core, segment, offset, size, WRITE)
    if core.fault_vector != 0xFFFF:
        return False
    return write_slow(core.mmu, core.mode, address, size, value) or memory_fault(core, segment)


@function(inline="never")
def read_place_slow(core: Ptr[Core], op: Ptr[Op], size: u32) -> Ptr[u8]:
    """The operand, copied to `scratch`; null is a fault."""
    if fetch(core, op.segment, effective_address(core, op), size, addressof(core.scratch[0])):
        return Ptr[u8](addressof(core.scratch[0]))
    return Ptr[u8](0)


@function(inline="never")
def modify_place_slow(core: Ptr[Core], op: Ptr[Op], size: u32) -> Ptr[u8]:
    """The same, after it is sure that it can be written."""
    address = checked_address(core, op.segment, effective_address(core, op), size, WRITE)
    if core.fault_vector != 0xFFFF:
        return Ptr[u8](0)
    core.scratch_address = address
    if not can_access(core.mmu, WRITE, core.mode, address, size):
        memory_fault(core, op.segment)
        return Ptr[u8](0)
    core.scratch[0] = read_slow(core.mmu, READ, core.mode, address, size)
    if core.mmu.fault:
        memory_fault(core, op.segment)
        return Ptr[u8](0)
    return Ptr[u8](addressof(core.scratch[0]))


@function(inline="never")
def store_slow(core: Ptr[Core], op: Ptr[Op], size: u32, value: u64) -> bool:
    return deposit(core, op.segment, effective_address(core, op), size, value)


@function(inline="always")
def read_place(core: Ptr[Core], op: Ptr[Op], size: u32) -> Ptr[u8]:
    """Where the memory operand can be read; null is a fault."""
    if likely(not op.flags & CHECKED):
        host = direct(core, READ, linear_address(core, op), size)
        if likely(bool(host)):
            return host
    return read_place_slow(core, op, size)


@function(inline="always")
def modify_place(core: Ptr[Core], op: Ptr[Op], size: u32) -> Ptr[u8]:
    """Where the memory operand can be read and written; `finish` ends the access."""
    if likely(not op.flags & CHECKED):
        host = direct(core, WRITE, linear_address(core, op), size)
        if likely(bool(host)):
            return host
    return modify_place_slow(core, op, size)


@function(inline="always")
def near_address(core: Ptr[Core], op: Ptr[Op]) -> u64:
    """The linear address in 64-bit mode, by a base and a displacement."""
    return get_u64(core, op.base) + op.displacement


@function(inline="always")
def indexed_address(core: Ptr[Core], op: Ptr[Op]) -> u64:
    """The same with an index."""
    return get_u64(core, op.base) + (get_u64(core, op.index) << (op.scale & 3)) + op.displacement


@cache
def simple(address_of: Function) -> SimpleNamespace:
    """`read_place` and `modify_place` for addresses of 64-bit mode without a segment's base."""
    name = f"{address_of.symbol}.%s"

    @function(symbol=name % "read", inline="always")
    def read(core: Ptr[Core], op: Ptr[Op], size: u32) -> Ptr[u8]:
        host = direct(core, READ, address_of(core, op), size)
        return host if likely(bool(host)) else read_place_slow(core, op, size)

    @function(symbol=name % "modify", inline="always")
    def modify(core: Ptr[Core], op: Ptr[Op], size: u32) -> Ptr[u8]:
        host = direct(core, WRITE, address_of(core, op), size)
        return host if likely(bool(host)) else modify_place_slow(core, op, size)

    return SimpleNamespace(read=read, modify=modify)


@function(inline="always")
def finish(core: Ptr[Core], place: Ptr[u8], size: u32) -> None:
    """Write back what `modify_place` had to copy."""
    if unlikely(place == Ptr[u8](addressof(core.scratch[0]))):
        write_slow(core.mmu, core.mode, core.scratch_address, size, core.scratch[0])


@function(inline="always")
def stack_place(core: Ptr[Core], access: u32, offset: u64, size: u32) -> Ptr[u8]:
    """Where the stack can be accessed directly, or null."""
    if unlikely(core.stack_checked != 0):
        return Ptr[u8](0)
    return direct(core, access, offset, size)


@function(inline="always")
def set_stack_pointer(core: Ptr[Core], value: u64) -> None:
    """As a result of the stack's address size: one of 32 bits clears the upper half."""
    mask = core.stack_mask
    kept = u64(0) if mask == LIMIT_32 else core.cpu.registers[4] & ~mask
    core.cpu.registers[4] = kept | value & mask


@cache
def access(kind: type) -> SimpleNamespace:
    """Registers, memory and the stack with an unsigned type."""
    size = kind.bits // 8
    bits = kind.bits
    name = f"emulator.tcg.access.%s_{kind}"

    @function(symbol=name % "get", inline="always")
    def get(core: Ptr[Core], place: u16) -> kind:
        return Ptr[kind](u64(core) + place)[0]

    @function(symbol=name % "put", inline="always")
    def put(core: Ptr[Core], place: u16, value: kind) -> None:
        """A 32-bit result clears the upper half of the register (SDM Vol. 1, section 3.4.1.1)."""
        if bits == 32:
            Ptr[u64](u64(core) + place)[0] = u64(value)
        else:
            Ptr[kind](u64(core) + place)[0] = value

    @function(symbol=name % "store", inline="always")
    def store(core: Ptr[Core], op: Ptr[Op], value: kind) -> bool:
        """Write the memory operand; false is a fault."""
        if likely(not op.flags & CHECKED):
            host = direct(core, WRITE, linear_address(core, op), size)
            if likely(bool(host)):
                Ptr[kind](host)[0] = value
                return True
        return store_slow(core, op, size, u64(value))

    @function(symbol=name % "push_long", inline="always")
    def push_long(core: Ptr[Core], value: kind) -> bool:
        """`push` in 64-bit mode."""
        offset = core.cpu.registers[4] - size
        host = direct(core, WRITE, offset, size)
        if likely(bool(host)):
            Ptr[kind](host)[0] = value
        elif not deposit(core, SS, offset, size, u64(value)):
            return False
        core.cpu.registers[4] = offset
        return True

    @function(symbol=name % "peek_long", inline="always")
    def peek_long(core: Ptr[Core], offset: u64) -> Ptr[u8]:
        """`peek` in 64-bit mode."""
        host = direct(core, READ, offset, size)
        return host if likely(bool(host)) else peek_slow(core, offset, size)

    @function(symbol=name % "push", inline="always")
    def push(core: Ptr[Core], value: kind) -> bool:
        """Push; false is a fault, and the stack pointer is as it was."""
        offset = core.cpu.registers[4] - size & core.stack_mask
        host = stack_place(core, WRITE, offset, size)
        if likely(bool(host)):
            Ptr[kind](host)[0] = value
        elif not deposit(core, SS, offset, size, u64(value)):
            return False
        set_stack_pointer(core, offset)
        return True

    @function(symbol=name % "peek", inline="always")
    def peek(core: Ptr[Core], offset: u64) -> Ptr[u8]:
        """Where the stack's contents at an offset can be read; null is a fault."""
        host = stack_place(core, READ, offset & core.stack_mask, size)
        if likely(bool(host)):
            return host
        return peek_slow(core, offset & core.stack_mask, size)

    return SimpleNamespace(
        get=get, put=put, store=store, push=push, peek=peek,
        push_long=push_long, peek_long=peek_long,
    )  # fmt: skip


@function(inline="never")
def peek_slow(core: Ptr[Core], offset: u64, size: u32) -> Ptr[u8]:
    if fetch(core, SS, offset, size, addressof(core.scratch[0])):
        return Ptr[u8](addressof(core.scratch[0]))
    return Ptr[u8](0)


@cache
def simple_store(kind: type, address_of: Function) -> Function:
    """`access(kind).store` for addresses of 64-bit mode without a segment's base."""
    size = kind.bits // 8

    @function(symbol=f"{address_of.symbol}.store_{kind}", inline="always")
    def store(core: Ptr[Core], op: Ptr[Op], value: kind) -> bool:
        host = direct(core, WRITE, address_of(core, op), size)
        if likely(bool(host)):
            Ptr[kind](host)[0] = kind(value)
            return True
        return store_slow(core, op, size, u64(value))

    return store


TYPES = {8: u8, 16: u16, 32: u32, 64: u64}
