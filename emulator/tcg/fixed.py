"""Handlers that no form names: of exceptions known when decoding, and of the seams between blocks.

Their order is that of the numbers in `predecode`.
"""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, function, u64

from .control import branch, enter, raised
from .core import GP, NM, UD, Core, Op


@function
def undefined(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    return raised(core, op, UD, 0)


@function
def protection(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    return raised(core, op, GP, 0)


@function
def lead_on(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """Behind the last instruction of a block."""
    return branch(core, op)


@function
def stale(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """The block was dropped: look up what is there now."""
    core.cpu.rip = op.rip
    return enter(core)


@function
def stop_here(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """Where the interpreter is left; machine code has its own handler for it."""
    return op


@function
def unavailable(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    return raised(core, op, NM, 0)


@function
def attended(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """Translated code does not look at `exit_flag` where it goes to a block that is none: the block does."""
    core.cpu.rip = op.rip
    return enter(core)


@function
def count(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """In front of a block that may become hot."""
    if core.exit_flag:
        return attended(core, op)
    op.immediate -= 1
    if op.immediate:
        return op + 1
    return Ptr[Op](core.translate(u64(core), u64(op)))


@function
def pass_on(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """In front of a block that stays as it is."""
    if core.exit_flag:
        return attended(core, op)
    return op + 1


@function
def meter(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """Before the first instruction of a block, where instructions are counted: leave when their number is reached."""
    after = core.instructions + op.immediate
    if after <= core.instruction_limit:
        core.instructions = after
        return op + 1
    core.exit_request = 1
    core.exit_flag = 1
    core.cpu.rip = op.rip
    return enter(core)


FIXED = (undefined, protection, lead_on, stale, stop_here, unavailable, count, pass_on, meter)
"""In the order of UNDEFINED, PROTECTION, CONTINUE, STALE, STOP, UNAVAILABLE, COUNT, PASS, METER."""
