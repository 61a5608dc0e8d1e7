"""Where execution goes on: to a branch target, out of the interpreter, or to an exception."""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, addressof, function, likely, u32, u64

from .blocks import find, jump_hit
from .core import EXCEPTION, GP, REQUESTED, RUNNING, Core, Op
from .operands import fault

SAME_PAGE = ~4095


@function
def stop(core: Ptr[Core], reason: u32) -> Ptr[Op]:
    """Leave the interpreter."""
    core.stop_reason = reason
    return Ptr[Op](addressof(core.stop))


@function(inline="never")
def enter(core: Ptr[Core]) -> Ptr[Op]:
    """The op at RIP; fetching it may raise an exception."""
    while True:
        if core.stop_reason != RUNNING:
            return Ptr[Op](addressof(core.stop))
        if core.exit_flag:
            return stop(core, REQUESTED)
        op = find(core)
        if op:
            return op
        deliver_fault(core)


@function
def deliver_fault(core: Ptr[Core]) -> None:
    """The exception that was noted stops the run; `cpu.rip` is at the instruction that caused it."""
    core.stop_reason = EXCEPTION


@function(inline="never")
def faulted(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """An instruction could not be completed: nothing of it has happened, and it is restarted later."""
    core.cpu.rip = op.rip
    deliver_fault(core)
    return enter(core)


@function(inline="never")
def raised(core: Ptr[Core], op: Ptr[Op], vector: u32, code: u32) -> Ptr[Op]:
    fault(core, vector, code)
    return faulted(core, op)


@function(inline="always")
def following(op: Ptr[Op]) -> u64:
    """The address of the next instruction."""
    return op.rip + op.length


@function(inline="never")
def resume(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """Go on behind an instruction that changed how code is fetched or found."""
    core.cpu.rip = following(op)
    return enter(core)


@function(inline="always")
def valid_target(core: Ptr[Core], rip: u64) -> bool:
    """Whether a branch target is canonical or within the limit of CS."""
    return rip + core.target_bias <= core.target_limit


@function(inline="always")
def branch(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """To the target of a direct branch."""
    link = op.link
    if likely(link != 0 and core.exit_flag == 0):
        return Ptr[Op](link)
    return branch_slow(core, op)


@function(inline="never")
def branch_slow(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """Find the target, and link the branch to it if they are in one page."""
    target = op.immediate
    if not valid_target(core, target):
        return raised(core, op, GP, 0)
    core.cpu.rip = target
    if core.exit_flag:
        return stop(core, REQUESTED)
    found = jump_hit(core, target)
    if found and (op.rip ^ target) & SAME_PAGE:
        return found
    generation = core.generation
    found = find(core)
    if not found:
        deliver_fault(core)
        return enter(core)
    if (op.rip ^ target) & SAME_PAGE == 0 and generation == core.generation and not is_single(core, op, found):
        op.link = u64(found)
    return found


@function
def is_single(core: Ptr[Core], op: Ptr[Op], target: Ptr[Op]) -> bool:
    """Whether either end is an instruction that is decoded anew each time."""
    single = Ptr[Op](addressof(core.single))
    return single <= op <= single + 1 or single <= target <= single + 1


@function(inline="always")
def jump(core: Ptr[Core], op: Ptr[Op], target: u64) -> Ptr[Op]:
    """To a target that is known to be valid."""
    found = jump_hit(core, target)
    if likely(bool(found) and core.exit_flag == 0):
        return found
    return jump_slow(core, target)


@function(inline="never")
def jump_slow(core: Ptr[Core], target: u64) -> Ptr[Op]:
    core.cpu.rip = target
    return enter(core)
