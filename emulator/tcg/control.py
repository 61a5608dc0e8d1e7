"""Where execution goes on: to a branch target, out of the interpreter, or to an exception.

`enter` is the one place between instructions where something else can happen: it is reached behind everything that
changes how code is found, by branches while `exit_flag` is set, and behind every instruction that is issued alone.
Intel SDM Vol. 3, section 6.9 (priorities), 6.8 (masking), 17.3 (debug exceptions).
"""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, addressof, function, likely, u32, u64

from .blocks import find, find_alone, jump_hit, linear_rip
from .core import (
    AFTER_SS,
    ALONE,
    DB,
    GP,
    HALTED,
    NMI,
    REQUESTED,
    RUNNING,
    TRAP,
    Core,
    Op,
)
from .flags import IF, TF
from .operands import fault
from .protection.delivery import FROM_OUTSIDE, deliver, deliver_fault

SAME_PAGE = ~4095
RF = 1 << 16
SINGLE_STEP = 1 << 14  # DR6.BS
BREAKPOINTS = 4


@function(inline="never")
def enter(core: Ptr[Core]) -> Ptr[Op]:
    """The op at RIP, behind everything that comes before it."""
    while True:
        if core.exit_flag or core.interrupt_line or core.pending_debug:
            attend(core)
        if core.stop_reason == RUNNING and core.cpu.halted:
            core.stop_reason = HALTED
        if core.stop_reason != RUNNING:
            return Ptr[Op](addressof(core.stop))
        op = issue(core)
        if op:
            return op
        deliver_fault(core)


@function
def issue(core: Ptr[Core]) -> Ptr[Op]:
    """The op at RIP, alone if something has to happen behind it; null is a fault."""
    if not (core.cpu.rflags & TF or core.cpu.interrupt_shadow or core.debugging):
        return find(core)
    if core.debugging and hits_breakpoint(core):
        return Ptr[Op](0)
    core.stepping = ALONE | TRAP if core.cpu.rflags & TF else ALONE
    core.cpu.interrupt_shadow = 0
    core.cpu.rflags &= ~u64(RF)
    core.exit_flag = 1
    return find_alone(core)


@function
def hits_breakpoint(core: Ptr[Core]) -> bool:
    """Whether an instruction breakpoint is at RIP (SDM Vol. 3, section 17.3.1.1); then #DB is noted, a fault."""
    if core.cpu.rflags & RF:
        return False
    address = linear_rip(core, core.cpu.rip)
    hits: u64 = 0
    for number in range(BREAKPOINTS):
        on = core.debugging >> number * 2 & 3
        executes = core.cpu.debug[7] >> (16 + number * 4) & 15 == 0
        if on and executes and core.cpu.debug[number] == address:
            hits |= u64(1) << number
    if hits:
        core.cpu.debug[6] = core.cpu.debug[6] & ~u64(15) | hits
        fault(core, DB, 0)
    return hits != 0


@function(inline="never")
def attend(core: Ptr[Core]) -> None:
    """Between two instructions: traps of the last one, a request to leave, interrupts."""
    core.exit_flag = 0
    if core.stepping:
        if core.stepping & TRAP:
            core.pending_debug |= SINGLE_STEP
        core.pending_debug |= core.mmu.watch_hits
        core.mmu.watch_hits = 0
        core.stepping = 0
    if core.exit_request:
        core.exit_request = 0
        core.stop_reason = REQUESTED
    elif core.stop_reason != RUNNING:
        return
    elif core.pending_debug and core.cpu.interrupt_shadow != AFTER_SS:
        core.cpu.debug[6] = core.cpu.debug[6] & ~u64(15) | core.pending_debug
        core.pending_debug = 0
        fault(core, DB, 0)
        deliver_fault(core)
    elif core.nmi_request and not core.cpu.interrupt_shadow:
        core.nmi_request = 0
        deliver(core, NMI, FROM_OUTSIDE, core.cpu.rip)
    elif core.interrupt_line and core.cpu.rflags & IF and not core.cpu.interrupt_shadow:
        deliver(core, core.acknowledge(u64(core)), FROM_OUTSIDE, core.cpu.rip)


@function(inline="never")
def interrupted(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """An instruction that repeats itself lets in what is due; it goes on afterwards."""
    core.cpu.rip = op.rip
    return enter(core)


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
        return enter(core)
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
