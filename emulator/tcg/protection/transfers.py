"""Far jumps and calls, also through gates (Intel SDM Vol. 3, section 5.8; Vol. 2, CALL and JMP).

`size` is the operand size in bytes: that of the offset, and of what is pushed.
"""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Array, Ptr, addressof, function, u32, u64
from emulator.x86.instruction import CS
from emulator.x86.state import CODE_OR_DATA

from ..core import GP, NP, PROTECTED, Core
from ..operands import fault
from ..state import update_mode
from .descriptors import (
    ACCESSED,
    CALL_GATE_16,
    CALL_GATE_32,
    TASK_GATE,
    TSS_16,
    TSS_32,
    Descriptor,
    fetch_descriptor,
    high_half,
    in_long_mode,
    install,
    install_real,
    is_64_bit_code,
    is_code,
    is_conforming,
    is_present,
    is_system,
    level_of,
    mark,
    refuse,
)
from .stack import Stack, adopt, pop, push, push_return, use_current, use_long_stack, use_task_stack
from .tasks import BY_CALL, BY_JUMP, switch_task

RSP = 4
MAX_PARAMETERS = 31


@function
def far_transfer(core: Ptr[Core], selector: u32, target: u64, size: u32, calls: bool, return_rip: u64) -> bool:
    """JMP or CALL to a far pointer."""
    if not core.code_kind & PROTECTED:
        return far_real(core, selector, target, size, calls, return_rip)
    found = Descriptor()
    if not fetch_descriptor(core, selector, GP, 0, found):
        return False
    if found.attributes & CODE_OR_DATA:
        return far_code(core, found, target, size, calls, return_rip)
    rpl = selector & 3
    if in_long_mode(core) and not is_system(found, CALL_GATE_32):
        return refuse(core, GP, selector, 0)
    if level_of(found) < max(core.cpl, rpl):
        return refuse(core, GP, selector, 0)
    gate = is_system(found, CALL_GATE_32) or is_system(found, CALL_GATE_16)
    task = is_system(found, TSS_32) or is_system(found, TSS_16)
    if not gate and not task and not is_system(found, TASK_GATE):
        return refuse(core, GP, selector, 0)
    if not is_present(found):
        return refuse(core, NP, selector, 0)
    if gate:
        return far_gate(core, found, calls, return_rip)
    how: u32 = BY_CALL if calls else BY_JUMP
    return switch_task(core, selector if task else u32(found.raw >> 16) & 0xFFFF, how, 0, return_rip)


@function
def far_real(core: Ptr[Core], selector: u32, target: u64, size: u32, calls: bool, return_rip: u64) -> bool:
    """In real and virtual-8086 mode."""
    if target > core.cpu.segments[CS].limit:
        return fault(core, GP, 0)
    if calls:
        stack = Stack()
        use_current(core, stack)
        if not push_return(core, stack, size, return_rip):
            return False
        adopt(core, stack)
    install_real(core, CS, selector)
    core.cpu.rip = target
    update_mode(core)
    return True


@function
def valid_in(core: Ptr[Core], code: Ptr[Descriptor], target: u64) -> bool:
    """Whether an offset is canonical, or within the limit of a code segment; if not, #GP(0) is noted."""
    if in_long_mode(core) and is_64_bit_code(code):
        return target + (1 << 47) >> 48 == 0 or fault(core, GP, 0)
    return target <= code.limit or fault(core, GP, 0)


@function
def usable_code(core: Ptr[Core], code: Ptr[Descriptor]) -> bool:
    """Present, and not both of 32 and 64 bits."""
    if in_long_mode(core) and code.attributes >> 13 & 3 == 3:
        return refuse(core, GP, code.selector, 0)
    return is_present(code) or refuse(core, NP, code.selector, 0)


@function
def far_code(core: Ptr[Core], code: Ptr[Descriptor], target: u64, size: u32, calls: bool, return_rip: u64) -> bool:
    """To a code segment of the same privilege level, or a conforming one."""
    selector = code.selector
    level = level_of(code)
    fits = level <= core.cpl if is_conforming(code) else level == core.cpl and selector & 3 <= core.cpl
    if not is_code(code) or not fits:
        return refuse(core, GP, selector, 0)
    if not usable_code(core, code):
        return False
    stack = Stack()
    use_current(core, stack)
    if calls and not push_return(core, stack, size, return_rip):
        return False
    if not valid_in(core, code, target) or not mark(core, code, ACCESSED):
        return False
    adopt(core, stack)
    install(core.cpu.segments[CS], code, selector & 0xFFFC | core.cpl)
    core.cpu.rip = target
    update_mode(core)
    return True


@function
def far_gate(core: Ptr[Core], gate: Ptr[Descriptor], calls: bool, return_rip: u64) -> bool:
    """Through a call gate."""
    target = gate.raw & 0xFFFF
    long = in_long_mode(core)
    high = Array[u64, 1]()
    if gate.attributes & 8:
        target |= gate.raw >> 48 << 16
    if long:
        if not high_half(core, gate, addressof(high[0])):
            return False
        target |= high[0] << 32
    code = Descriptor()
    if not fetch_descriptor(core, u32(gate.raw >> 16) & 0xFFFF, GP, 0, code):
        return False
    selector = code.selector
    if not is_code(code) or level_of(code) > core.cpl or (long and not is_64_bit_code(code)):
        return refuse(core, GP, selector, 0)
    inward = not is_conforming(code) and level_of(code) < core.cpl
    if inward and not calls:
        return refuse(core, GP, selector, 0)
    if not is_present(code):
        return refuse(core, NP, selector, 0)
    stack = Stack()
    size: u32 = 8 if long else 4 if gate.attributes & 8 else 2
    if not (call_inward(core, gate, code, size, stack) if inward else call_level(core, stack)):
        return False
    if calls and not push_return(core, stack, size, return_rip):
        return False
    if not valid_in(core, code, target) or not mark(core, code, ACCESSED):
        return False
    adopt(core, stack)
    install(core.cpu.segments[CS], code, selector & 0xFFFC | (level_of(code) if inward else core.cpl))
    core.cpu.rip = target
    update_mode(core)
    return True


@function
def call_level(core: Ptr[Core], stack: Ptr[Stack]) -> bool:
    use_current(core, stack)
    stack.long = u32(in_long_mode(core))
    return True


@function
def call_inward(core: Ptr[Core], gate: Ptr[Descriptor], code: Ptr[Descriptor], size: u32, stack: Ptr[Stack]) -> bool:
    """The stack of the inner level, with the caller's stack pointer and, outside long mode, its parameters."""
    level = level_of(code)
    if size == 8:
        if not use_long_stack(core, 4 + level * 8, level, 0, stack):
            return False
    elif not use_task_stack(core, level, 0, stack):
        return False
    caller = Stack()
    use_current(core, caller)
    if not push(core, stack, size, caller.segment.selector) or not push(core, stack, size, caller.pointer):
        return False
    if size == 8:
        return True
    count = u32(gate.raw >> 32) & MAX_PARAMETERS
    words = Array[u64, MAX_PARAMETERS]()
    for number in range(count):
        if not pop(core, caller, size, addressof(words[number])):
            return False
    done = True
    for number in range(count):
        done = done and push(core, stack, size, words[count - 1 - number])
    return done
