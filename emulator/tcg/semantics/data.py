"""Moves, exchanges, conversions and flags (Intel SDM Vol. 1, sections 7.3.1, 7.3.2 and 7.3.13)."""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache

from emulator.native import Function, Ptr, addressof, bswap, function, u8, u32, u64
from emulator.softmmu.access import read_block, write_block
from emulator.softmmu.structs import WRITE
from emulator.x86.notation import Form

from ..control import faulted, raised
from ..core import GP, Core, Op
from ..flags import AF, CF, CONDITIONS, DF, PF, SF, SIGNED, ZF, carry_flag, get_status, set_carry, set_status
from ..operands import (
    TYPES,
    access,
    checked_address,
    effective_address,
    finish,
    memory_fault,
    modify_place,
    read_place,
)
from .arithmetic import operation
from .templates import binary, shape_of, stores, unary, width

LAHF_FLAGS = CF | PF | AF | ZF | SF
LEGACY_SOURCES = ("S", "C", "D")


@cache
def conversion(bits: int, source_bits: int, signed: bool) -> Function:
    """The source as the target's type."""
    kind, source = TYPES[bits], TYPES[source_bits]
    wide, narrow = SIGNED[kind], SIGNED[source]

    @function(symbol=f"emulator.tcg.convert{bits}.{source_bits}.{int(signed)}", inline="always")
    def convert(core: Ptr[Core], a: kind, b: source) -> kind:
        return kind(wide(narrow(source(b)))) if signed else kind(b)

    return convert


def move(form: Form, size: int, memory: bool) -> Function | None:
    target, source = form.operands
    if source.method in LEGACY_SOURCES or target.method in LEGACY_SOURCES:
        return None
    bits = width(target, size)
    shape = shape_of(form, memory)
    if shape[0] == "m":
        return stores(shape[1], bits)
    return binary(conversion(bits, bits, False), shape, bits)


def extend(form: Form, size: int, memory: bool) -> Function | None:
    target, source = (width(code, size) for code in form.operands)
    signed = form.mnemonic != "MOVZX"
    return binary(conversion(target, source, signed), shape_of(form, memory), target, source)


@cache
def _load_address(size: int) -> Function:
    kind = TYPES[size]
    put = access(kind).put

    @function(symbol=f"emulator.tcg.lea{size}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        put(core, op.a, kind(effective_address(core, op)))
        return op + 1

    return handler


def conditional_move(form: Form, size: int, memory: bool) -> list[Function]:
    return [binary(_choice(number, size), shape_of(form, memory), size) for number in range(16)]


@cache
def _choice(number: int, size: int) -> Function:
    """The source is read, and a 32-bit target's upper half is cleared, whatever the condition is."""
    condition, kind = CONDITIONS[number], TYPES[size]

    @function(symbol=f"emulator.tcg.cmov{number}.{size}", inline="always")
    def choose(core: Ptr[Core], a: kind, b: kind) -> kind:
        return kind(b) if condition(core) else a

    return choose


def set_on_condition(form: Form, size: int, memory: bool) -> list[Function]:
    return [_set_on_condition(condition, memory) for condition in CONDITIONS]


@cache
def _set_on_condition(condition: Function, memory: bool) -> Function:
    put, store = access(u8).put, access(u8).store

    @function(symbol=f"{condition.symbol}.set.r")
    def to_register(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        put(core, op.a, u8(condition(core)))
        return op + 1

    @function(symbol=f"{condition.symbol}.set.m")
    def to_memory(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if not store(core, op, u8(condition(core))):
            return faulted(core, op)
        return op + 1

    return to_memory if memory else to_register


@cache
def _exchange(bits: int, memory: bool) -> Function:
    kind, size = TYPES[bits], bits // 8
    get, put = access(kind).get, access(kind).put

    @function(symbol=f"emulator.tcg.xchg.r{bits}")
    def registers(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        first = get(core, op.a)
        put(core, op.a, get(core, op.b))
        put(core, op.b, first)
        return op + 1

    @function(symbol=f"emulator.tcg.xchg.m{bits}")
    def with_memory(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        place = modify_place(core, op, size)
        if not place:
            return faulted(core, op)
        first = Ptr[kind](place)[0]
        Ptr[kind](place)[0] = get(core, op.b)
        finish(core, place, size)
        put(core, op.b, first)
        return op + 1

    return with_memory if memory else registers


def exchange(form: Form, size: int, memory: bool) -> Function:
    return _exchange(width(form.operands[0], size), memory and form.operands[0].method == "E")


@cache
def _exchange_add(bits: int, memory: bool) -> Function:
    kind, size, add = TYPES[bits], bits // 8, operation("ADD", bits)
    get, put = access(kind).get, access(kind).put

    @function(symbol=f"emulator.tcg.xadd.r{bits}")
    def registers(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        first = get(core, op.a)
        total = add(core, first, get(core, op.b))
        put(core, op.b, first)
        put(core, op.a, total)
        return op + 1

    @function(symbol=f"emulator.tcg.xadd.m{bits}")
    def with_memory(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        place = modify_place(core, op, size)
        if not place:
            return faulted(core, op)
        first = Ptr[kind](place)[0]
        Ptr[kind](place)[0] = add(core, first, get(core, op.b))
        finish(core, place, size)
        put(core, op.b, first)
        return op + 1

    return with_memory if memory else registers


def exchange_add(form: Form, size: int, memory: bool) -> Function:
    return _exchange_add(width(form.operands[0], size), memory)


@cache
def _compare_exchange(bits: int, memory: bool) -> Function:
    """A comparison that fails leaves a register target as it is, upper half included."""
    kind, size, sub = TYPES[bits], bits // 8, operation("SUB", bits)
    get, put = access(kind).get, access(kind).put

    @function(symbol=f"emulator.tcg.cmpxchg.r{bits}")
    def registers(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        target = get(core, op.a)
        if sub(core, get(core, 0), target) == 0:
            put(core, op.a, get(core, op.b))
        else:
            put(core, 0, target)
        return op + 1

    @function(symbol=f"emulator.tcg.cmpxchg.m{bits}")
    def with_memory(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        place = modify_place(core, op, size)
        if not place:
            return faulted(core, op)
        target = Ptr[kind](place)[0]
        if sub(core, get(core, 0), target) == 0:
            Ptr[kind](place)[0] = get(core, op.b)
        else:
            put(core, 0, target)
        finish(core, place, size)
        return op + 1

    return with_memory if memory else registers


def compare_exchange(form: Form, size: int, memory: bool) -> Function:
    return _compare_exchange(width(form.operands[0], size), memory)


@function
def compare_exchange_8(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    place = modify_place(core, op, 8)
    if not place:
        return faulted(core, op)
    registers = core.cpu.registers
    target = Ptr[u64](place)[0]
    equal = target == (registers[0] & 0xFFFF_FFFF | registers[2] << 32)
    if equal:
        Ptr[u64](place)[0] = registers[3] & 0xFFFF_FFFF | registers[1] << 32
    else:
        registers[0] = u64(u32(target))
        registers[2] = target >> 32
    finish(core, place, 8)
    set_status(core, get_status(core) & ~u64(ZF) | (ZF if equal else 0))
    return op + 1


@function
def compare_exchange_16(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """CMPXCHG16B; its operand has to be aligned (#GP)."""
    address = checked_address(core, op.segment, effective_address(core, op), 16, WRITE)
    if address & 15:
        return raised(core, op, GP, 0)
    out = Ptr[u8](addressof(core.scratch))
    if not read_block(core.mmu, core.mode, address, out, 16):
        memory_fault(core, op.segment)
        return faulted(core, op)
    registers = core.cpu.registers
    low = core.scratch[0]
    high = core.scratch[1]
    equal = low == registers[0] and high == registers[2]
    if equal:
        core.scratch[0] = registers[3]
        core.scratch[1] = registers[1]
    if not write_block(core.mmu, core.mode, address, out, 16):
        memory_fault(core, op.segment)
        return faulted(core, op)
    if not equal:
        registers[0] = low
        registers[2] = high
    set_status(core, get_status(core) & ~u64(ZF) | (ZF if equal else 0))
    return op + 1


@cache
def _byte_swap(bits: int) -> Function:
    """BSWAP of 16 bits is undefined (SDM Vol. 2, BSWAP); processors clear the register's low half."""
    kind = TYPES[bits]

    @function(symbol=f"emulator.tcg.bswap{bits}", inline="always")
    def swap(core: Ptr[Core], a: kind) -> kind:
        return kind(0) if bits == 16 else bswap(a)

    return unary(swap, "r", bits)


@cache
def _load_swapped(bits: int) -> Function:
    kind = TYPES[bits]

    @function(symbol=f"emulator.tcg.movbe{bits}", inline="always")
    def load(core: Ptr[Core], a: kind, b: kind) -> kind:
        return bswap(kind(b))

    return binary(load, "rm", bits)


@cache
def _store_swapped(bits: int) -> Function:
    kind = access(TYPES[bits])
    get, store = kind.get, kind.store

    @function(symbol=f"emulator.tcg.movbe.store{bits}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if not store(core, op, bswap(get(core, op.b))):
            return faulted(core, op)
        return op + 1

    return handler


def move_swapped(form: Form, size: int, memory: bool) -> Function:
    return _load_swapped(size) if form.operands[0].method == "G" else _store_swapped(size)


@cache
def _widen(size: int) -> Function:
    """CBW, CWDE, CDQE."""
    kind, half = TYPES[size], TYPES[size // 2]
    put, get, wide, narrow = access(kind).put, access(half).get, SIGNED[kind], SIGNED[half]

    @function(symbol=f"emulator.tcg.cbw{size}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        put(core, 0, kind(wide(narrow(get(core, 0)))))
        return op + 1

    return handler


@cache
def _sign(size: int) -> Function:
    """CWD, CDQ, CQO."""
    kind = TYPES[size]
    put, get, signed = access(kind).put, access(kind).get, SIGNED[kind]

    @function(symbol=f"emulator.tcg.cwd{size}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        put(core, 16, ~kind(0) if signed(get(core, 0)) < 0 else kind(0))
        return op + 1

    return handler


@function
def translate_byte(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """XLATB: the op's base is rBX and its index `table_index`, so that it is an ordinary memory operand."""
    core.table_index = core.cpu.registers[0] & 0xFF
    place = read_place(core, op, 1)
    if not place:
        return faulted(core, op)
    Ptr[u8](core)[0] = place[0]
    return op + 1


@function
def load_flags(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    Ptr[u8](core)[1] = u8(get_status(core) & LAHF_FLAGS) | 2
    return op + 1


@function
def store_flags(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    set_status(core, get_status(core) & ~u64(LAHF_FLAGS) | Ptr[u8](core)[1] & LAHF_FLAGS)
    return op + 1


@function
def carry_to_al(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    Ptr[u8](core)[0] = 0xFF if carry_flag(core) else 0
    return op + 1


@function(inline="always")
def change_carry(core: Ptr[Core], carry: u64) -> None:
    set_carry(core, carry, (core.carry ^ core.carry << 1) >> 63)


@function
def clear_carry(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    change_carry(core, 0)
    return op + 1


@function
def raise_carry(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    change_carry(core, 1)
    return op + 1


@function
def complement_carry(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    change_carry(core, carry_flag(core) ^ 1)
    return op + 1


@function
def clear_direction(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    core.cpu.rflags &= ~u64(DF)
    return op + 1


@function
def set_direction(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    core.cpu.rflags |= DF
    return op + 1


@function
def nothing(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    return op + 1


def always(handler: Function):
    return lambda form, size, memory: handler


NOTHING = (
    "NOP PAUSE ENDBR64 ENDBR32 PREFETCH PREFETCHW PREFETCHNTA PREFETCHT0 PREFETCHT1 PREFETCHT2 LFENCE MFENCE SFENCE"
)
HANDLERS = {
    "MOV": move,
    "MOVNTI": lambda form, size, memory: stores("r", width(form.operands[0], size)),
    "MOVZX": extend,
    "MOVSX": extend,
    "MOVSXD": extend,
    "LEA": lambda form, size, memory: _load_address(size),
    "CMOVcc": conditional_move,
    "SETcc": set_on_condition,
    "XCHG": exchange,
    "XADD": exchange_add,
    "CMPXCHG": compare_exchange,
    "CMPXCHG8B": always(compare_exchange_8),
    "CMPXCHG16B": always(compare_exchange_16),
    "BSWAP": lambda form, size, memory: _byte_swap(size),
    "MOVBE": move_swapped,
    "CBW": lambda form, size, memory: _widen(size),
    "CWD": lambda form, size, memory: _sign(size),
    "XLATB": always(translate_byte),
    "LAHF": always(load_flags),
    "SAHF": always(store_flags),
    "SALC": always(carry_to_al),
    "CLC": always(clear_carry),
    "STC": always(raise_carry),
    "CMC": always(complement_carry),
    "CLD": always(clear_direction),
    "STD": always(set_direction),
}
HANDLERS |= dict.fromkeys(NOTHING.split(), always(nothing))
