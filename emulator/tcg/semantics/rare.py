"""Templates for instructions that are executed seldom: one function does the work for all kinds of operands.

`f(core, op, size)` is false when it raises an exception, and has changed no register then; `size` is the operand size
in bytes. What happens next is the template's: `attempt` goes on with the next op, `then_resume` looks it up, `transfer`
goes to where `f` has set RIP.
"""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache

from emulator.native import Function, Ptr, function, u16, u32, u64

from ..control import enter, faulted, resume
from ..core import IN_MEMORY, Core, Op
from ..operands import deposit, effective_address, fetch


@function
def get_sized(core: Ptr[Core], place: u16, size: u32) -> u64:
    """A register's value."""
    value = Ptr[u64](u64(core) + place)[0] if size == 8 else u64(Ptr[u32](u64(core) + place)[0])
    return value & 0xFFFF if size == 2 else value


@function
def put_sized(core: Ptr[Core], place: u16, size: u32, value: u64) -> None:
    if size == 2:
        Ptr[u16](u64(core) + place)[0] = u16(value)
    else:
        Ptr[u64](u64(core) + place)[0] = value if size == 8 else value & 0xFFFF_FFFF


@function
def read_operand(core: Ptr[Core], op: Ptr[Op], place: u16, size: u32, out: Ptr[u64]) -> bool:
    """The operand of ModRM, of 2, 4 or 8 bytes: a register at `place`, or memory; false is a fault."""
    if op.flags & IN_MEMORY:
        return fetch(core, op.segment, effective_address(core, op), size, out)
    out[0] = get_sized(core, place, size)
    return True


@function
def write_operand(core: Ptr[Core], op: Ptr[Op], place: u16, size: u32, memory_size: u32, value: u64) -> bool:
    """The same to write; memory has a width of its own."""
    if op.flags & IN_MEMORY:
        return deposit(core, op.segment, effective_address(core, op), memory_size, value)
    put_sized(core, place, size, value)
    return True


@cache
def attempt(f: Function, size: int) -> Function:
    @function(symbol=f"{f.symbol}.attempt{size}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        return op + 1 if f(core, op, size) else faulted(core, op)

    return handler


@cache
def then_resume(f: Function, size: int) -> Function:
    @function(symbol=f"{f.symbol}.resume{size}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        return resume(core, op) if f(core, op, size) else faulted(core, op)

    return handler


@cache
def transfer(f: Function, size: int) -> Function:
    @function(symbol=f"{f.symbol}.transfer{size}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if f(core, op, size):
            return enter(core)
        return faulted(core, op)

    return handler


def made(template, f: Function):
    """The entry of `HANDLERS` for a function that does all forms of its mnemonic."""
    return lambda form, size, memory: template(f, size // 8)
