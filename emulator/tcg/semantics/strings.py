"""String instructions (Intel SDM Vol. 1, section 7.3.9; Vol. 2, REP/REPE/REPNE).

Registers are brought up to date behind every element, so that a fault or an interrupt between two of them finds the
instruction ready to be restarted. MOVS and STOS that go up do all elements up to a page border at once; INS and OUTS do
what the device does at once.
"""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache, partial

from emulator.native import Function, Ptr, addressof, copy_bytes, function, u8, u16, u32, u64
from emulator.softmmu.access import can_access
from emulator.softmmu.structs import READ, WRITE
from emulator.x86.instruction import ES
from emulator.x86.notation import Form

from ..control import faulted, interrupted
from ..core import CHECKED, Core, Op
from ..flags import DF
from ..operands import (
    LIMIT_32,
    TYPES,
    access,
    checked_address,
    deposit,
    direct,
    fetch,
    get_u64,
    memory_fault,
    segment_allows,
)
from ..ports import port_allowed, read_port, write_port
from .arithmetic import operation

RAX, RCX, RDX, RSI, RDI = 0, 1, 2, 6, 7
REPNE, REPE = 0xF2, 0xF3
PAGE_OFFSET = 4095


@function(inline="always")
def set_address(core: Ptr[Core], op: Ptr[Op], register: u32, value: u64) -> None:
    """Set rSI, rDI or rCX in the address size."""
    if op.mask == 0xFFFF:
        Ptr[u16](addressof(core.cpu.registers[register]))[0] = u16(value)
    else:
        core.cpu.registers[register] = value & op.mask


@function(inline="always")
def advance(core: Ptr[Core], op: Ptr[Op], register: u32, size: u64) -> None:
    """Move rSI or rDI to the next element."""
    step = u64(0) - size if core.cpu.rflags & DF else size
    set_address(core, op, register, core.cpu.registers[register] + step)


@function(inline="always")
def count_of(core: Ptr[Core], op: Ptr[Op]) -> u64:
    """How many elements remain."""
    return core.cpu.registers[RCX] & op.mask if op.rep else 1


@function(inline="always")
def source_place(core: Ptr[Core], op: Ptr[Op], size: u32) -> Ptr[u8]:
    """Where the element at rSI can be read; null is a fault."""
    offset = core.cpu.registers[RSI] & op.mask
    if not op.flags & CHECKED:
        host = direct(core, READ, offset + get_u64(core, op.segment_base), size)
        if host:
            return host
    return element_slow(core, op.segment, offset, size)


@function(inline="always")
def target_place(core: Ptr[Core], op: Ptr[Op], size: u32) -> Ptr[u8]:
    """Where the element at ES:rDI can be read; null is a fault."""
    offset = core.cpu.registers[RDI] & op.mask
    if not op.flags & CHECKED:
        host = direct(core, READ, offset, size)
        if host:
            return host
    return element_slow(core, ES, offset, size)


@function(inline="never")
def element_slow(core: Ptr[Core], segment: u32, offset: u64, size: u32) -> Ptr[u8]:
    if fetch(core, segment, offset, size, addressof(core.scratch[0])):
        return Ptr[u8](addressof(core.scratch[0]))
    return Ptr[u8](0)


@function(inline="never")
def room(core: Ptr[Core], op: Ptr[Op], register: u32, address: u64) -> u64:
    """The bytes from an address to the end of its page, or to where the offset wraps around."""
    offset = core.cpu.registers[register] & op.mask
    return min(PAGE_OFFSET - (address & PAGE_OFFSET), op.mask - offset) + 1


@function(inline="never")
def run_of(core: Ptr[Core], op: Ptr[Op], register: u32, access: u32, size: u64) -> u64:
    """How many elements at rSI or ES:rDI can be accessed at once, if more than one; `scratch[1]` is where they are."""
    if core.cpu.rflags & DF or core.exit_flag:
        return 0
    segment = u32(ES) if register == RDI else u32(op.segment)
    offset = core.cpu.registers[register] & op.mask
    address = offset
    limited = op.flags & CHECKED and core.code_bits != 64
    if limited:
        address = core.cpu.segments[segment].base + offset & LIMIT_32
    elif register == RSI:
        address = offset + get_u64(core, op.segment_base)
    elements = min(room(core, op, register, address) // size, count_of(core, op))
    length = elements * size
    if elements < 2 or (limited and not segment_allows(core, core.cpu.segments[segment], offset, u32(length), access)):
        return 0
    host = direct(core, access, address, length)
    if not host and can_access(core.mmu, access, core.mode, address, u32(length)):
        host = direct(core, access, address, length)
    core.scratch[1] = u64(host)
    return elements if host else 0


@function(inline="never")
def move_many(core: Ptr[Core], op: Ptr[Op], size: u64) -> bool:
    """Elements of MOVS as far as they can be copied at once; false if that is none."""
    elements = run_of(core, op, RSI, READ, size)
    read = Ptr[u8](core.scratch[1])
    if not elements:
        return False
    elements = min(elements, run_of(core, op, RDI, WRITE, size))
    write = Ptr[u8](core.scratch[1])
    bytes_ = elements * size
    if not elements or (read < write and write < read + bytes_):
        return False  # elements that overlap what was just written are copied one by one
    copy_bytes(write, read, bytes_)
    skip(core, op, RDI, elements, size)
    set_address(core, op, RSI, core.cpu.registers[RSI] + bytes_)
    return True


@function
def skip(core: Ptr[Core], op: Ptr[Op], register: u32, elements: u64, size: u64) -> None:
    """Advance rSI or rDI, and rCX, over elements that are done."""
    set_address(core, op, register, core.cpu.registers[register] + elements * size)
    set_address(core, op, RCX, core.cpu.registers[RCX] - elements)


@function(inline="always")
def next_element(core: Ptr[Core], op: Ptr[Op]) -> bool:
    """Count down; whether there is another element."""
    if not op.rep:
        return False
    set_address(core, op, RCX, core.cpu.registers[RCX] - 1)
    return core.cpu.registers[RCX] & op.mask != 0


@function(inline="always")
def next_if_condition(core: Ptr[Core], op: Ptr[Op]) -> bool:
    """The same for REPE and REPNE, which end when ZF is not as they say."""
    return next_element(core, op) and (core.nonzero == 0) == (op.rep == REPE)


@cache
def _moves(bits: int) -> Function:
    kind, size = TYPES[bits], bits // 8

    @function(symbol=f"emulator.tcg.movs{bits}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        while count_of(core, op):
            if op.rep and move_many(core, op, size):
                if core.exit_flag and count_of(core, op):
                    return interrupted(core, op)
                continue
            place = source_place(core, op, size)
            if not place:
                return faulted(core, op)
            value = u64(Ptr[kind](place)[0])
            if not deposit(core, ES, core.cpu.registers[RDI] & op.mask, size, value):
                return faulted(core, op)
            advance(core, op, RSI, size)
            advance(core, op, RDI, size)
            if not next_element(core, op):
                break
            if core.exit_flag:
                return interrupted(core, op)
        return op + 1

    return handler


@cache
def _stores(bits: int) -> Function:
    kind, size, get = TYPES[bits], bits // 8, access(TYPES[bits]).get

    @function(symbol=f"emulator.tcg.stos{bits}.many", inline="never")
    def store_many(core: Ptr[Core], op: Ptr[Op]) -> bool:
        """Elements of STOS as far as a page reaches; false if that is none."""
        elements = run_of(core, op, RDI, WRITE, size)
        if not elements:
            return False
        host = core.scratch[1]
        value = get(core, 0)
        for i in range(elements):
            Ptr[kind](host)[i] = value
        skip(core, op, RDI, elements, size)
        return True

    @function(symbol=f"emulator.tcg.stos{bits}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        while count_of(core, op):
            if op.rep and store_many(core, op):
                if core.exit_flag and count_of(core, op):
                    return interrupted(core, op)
                continue
            if not deposit(core, ES, core.cpu.registers[RDI] & op.mask, size, u64(get(core, 0))):
                return faulted(core, op)
            advance(core, op, RDI, size)
            if not next_element(core, op):
                break
            if core.exit_flag:
                return interrupted(core, op)
        return op + 1

    return handler


@cache
def _loads(bits: int) -> Function:
    kind, size, put = TYPES[bits], bits // 8, access(TYPES[bits]).put

    @function(symbol=f"emulator.tcg.lods{bits}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        while count_of(core, op):
            place = source_place(core, op, size)
            if not place:
                return faulted(core, op)
            put(core, RAX, Ptr[kind](place)[0])
            advance(core, op, RSI, size)
            if not next_element(core, op):
                break
            if core.exit_flag:
                return interrupted(core, op)
        return op + 1

    return handler


@cache
def _scans(bits: int) -> Function:
    kind, size, get, sub = TYPES[bits], bits // 8, access(TYPES[bits]).get, operation("SUB", bits)

    @function(symbol=f"emulator.tcg.scas{bits}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        while count_of(core, op):
            place = target_place(core, op, size)
            if not place:
                return faulted(core, op)
            sub(core, get(core, RAX), Ptr[kind](place)[0])
            advance(core, op, RDI, size)
            if not next_if_condition(core, op):
                break
            if core.exit_flag:
                return interrupted(core, op)
        return op + 1

    return handler


@cache
def _compares(bits: int) -> Function:
    kind, size, sub = TYPES[bits], bits // 8, operation("SUB", bits)

    @function(symbol=f"emulator.tcg.cmps{bits}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        while count_of(core, op):
            place = source_place(core, op, size)
            if not place:
                return faulted(core, op)
            first = Ptr[kind](place)[0]
            place = target_place(core, op, size)
            if not place:
                return faulted(core, op)
            sub(core, first, Ptr[kind](place)[0])
            advance(core, op, RSI, size)
            advance(core, op, RDI, size)
            if not next_if_condition(core, op):
                break
            if core.exit_flag:
                return interrupted(core, op)
        return op + 1

    return handler


@function(inline="never")
def port_to_string(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    """An element of INS; false is a fault. The target is checked before the port is read, which may change it."""
    port = u32(core.cpu.registers[RDX] & 0xFFFF)
    if not port_allowed(core, port, size):
        return False
    offset = core.cpu.registers[RDI] & op.mask
    address = checked_address(core, ES, offset, size, WRITE)
    if core.fault_vector != 0xFFFF:
        return False
    if not can_access(core.mmu, WRITE, core.mode, address, size):
        return memory_fault(core, ES)
    return deposit(core, ES, offset, size, read_port(core, port, size))


@function(inline="never")
def string_to_port(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    """An element of OUTS; false is a fault."""
    port = u32(core.cpu.registers[RDX] & 0xFFFF)
    if not port_allowed(core, port, size):
        return False
    if not fetch(core, op.segment, core.cpu.registers[RSI] & op.mask, size, addressof(core.scratch[0])):
        return False
    write_port(core, port, size, core.scratch[0])
    return True


@cache
def _ports_at_once(inward: bool) -> Function:
    register, access_ = (RDI, WRITE) if inward else (RSI, READ)

    @function(symbol=f"emulator.tcg.{'ins' if inward else 'outs'}.many", inline="never")
    def transfer_many(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
        """Elements of INS or OUTS up to a page border; false if the device does not do many at once."""
        port = u32(core.cpu.registers[RDX] & 0xFFFF)
        if not port_allowed(core, port, size):
            return False
        elements = run_of(core, op, register, access_, size)
        if not elements:
            return False
        transfer = core.ports_in if inward else core.ports_out
        done = transfer(u64(core), port, size, Ptr[u8](core.scratch[1]), elements)
        skip(core, op, register, done, size)
        return done != 0

    return transfer_many


@cache
def _ports(size: int, inward: bool) -> Function:
    transfer, register = (port_to_string, RDI) if inward else (string_to_port, RSI)
    transfer_many = _ports_at_once(inward)

    @function(symbol=f"emulator.tcg.{'ins' if inward else 'outs'}{size * 8}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        many = op.rep != 0
        while count_of(core, op):
            if many:
                many = transfer_many(core, op, size)
            if many:
                if core.exit_flag and count_of(core, op):
                    return interrupted(core, op)
                continue
            if not transfer(core, op, size):
                return faulted(core, op)
            advance(core, op, register, size)
            if not next_element(core, op):
                break
            if core.exit_flag:
                return interrupted(core, op)
        return op + 1

    return handler


def _bits(form: Form, size: int) -> int:
    """The mnemonic of a form is that of bytes, or that of the operand size 16."""
    return 8 if form.mnemonic.endswith("B") else size


def _string(make, form: Form, size: int, memory: bool) -> Function:
    return make(_bits(form, size))


def _port_string(inward: bool, form: Form, size: int, memory: bool) -> Function:
    return _ports(min(_bits(form, size), 32) // 8, inward)


MAKERS = {"MOVS": _moves, "STOS": _stores, "LODS": _loads, "SCAS": _scans, "CMPS": _compares}
HANDLERS = {name + letter: partial(_string, make) for name, make in MAKERS.items() for letter in "BW"}
HANDLERS |= {name + letter: partial(_port_string, name == "INS") for name in ("INS", "OUTS") for letter in "BW"}
