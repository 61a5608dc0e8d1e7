"""Delivery of exceptions and interrupts (Intel SDM Vol. 3, chapter 6; section 20.1.4 for real mode, 20.3 for v86).

An exception is noted by whoever finds it (`fault`), with RIP at the instruction to restart or, for a trap, at the next
one; `deliver_fault` takes it from there. Nothing but memory changes before the whole frame has been pushed.
"""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Array, Ptr, addressof, function, u8, u32, u64
from emulator.x86.instruction import CS, DS, ES, FS, GS, SS

from ..core import DB, EXCEPTION, GP, NO_VECTOR, NP, TRIPLE_FAULT, Core
from ..core import DF as DOUBLE_FAULT
from ..flags import IF, TF, get_rflags
from ..operands import fault
from ..state import LMA, PE, VM, update_mode
from .descriptors import (
    ACCESSED,
    INTERRUPT_GATE_16,
    INTERRUPT_GATE_32,
    TASK_GATE,
    TRAP_GATE_16,
    TRAP_GATE_32,
    Descriptor,
    copy_segment,
    fetch_descriptor,
    install,
    install_null,
    install_real,
    is_64_bit_code,
    is_code,
    is_conforming,
    is_present,
    level_of,
    mark,
    refuse,
)
from .memory import read_system
from .stack import Stack, adopt, push, push_return, use_current, use_long_stack, use_null, use_task_stack
from .tasks import BY_CALL, switch_task
from .vectors import SHUTDOWN, combined, has_error_code

# Where an interrupt comes from
FROM_FAULT, FROM_PROGRAM, FROM_OUTSIDE = range(3)
NT, RF, AC = 1 << 14, 1 << 16, 1 << 18
IDT_ENTRY = 2  # in an error code: the selector is an index of the IDT


@function(inline="never")
def deliver_fault(core: Ptr[Core]) -> None:
    """Deliver the exception that was noted, or end the run with it."""
    core.stepping = 0
    core.mmu.watch_hits = 0
    if core.stop_on_exceptions:
        core.stop_reason = EXCEPTION
        return
    vector = core.fault_vector
    core.first_vector = vector
    while True:
        code = core.fault_code
        core.fault_vector = NO_VECTOR
        if interrupt(core, vector, FROM_FAULT, code, core.cpu.rip):
            return
        vector = combined(vector, core.fault_vector)
        if vector == DOUBLE_FAULT:
            core.fault_code = 0
        elif vector == SHUTDOWN:
            core.stop_reason = TRIPLE_FAULT
            return


@function(inline="never")
def deliver(core: Ptr[Core], vector: u32, source: u32, return_rip: u64) -> None:
    """An interrupt of the program or from outside."""
    core.stepping = 0
    core.cpu.halted = 0
    if not interrupt(core, vector, source, 0, return_rip):
        deliver_fault(core)


@function
def interrupt(core: Ptr[Core], vector: u32, source: u32, code: u32, return_rip: u64) -> bool:
    """Go to the handler of a vector; false is another exception, with nothing changed."""
    if not core.cpu.cr0 & PE:
        return interrupt_real(core, vector, return_rip)
    if core.cpu.efer & LMA:
        return interrupt_long(core, vector, source, code, return_rip)
    return interrupt_protected(core, vector, source, code, return_rip)


@function
def saved_flags(core: Ptr[Core], vector: u32, source: u32) -> u64:
    """RFLAGS as the frame has it: a fault is restarted without meeting the same breakpoint (17.3.1.1)."""
    flags = get_rflags(core)
    return flags | RF if source == FROM_FAULT and vector != DB else flags


@function
def interrupt_real(core: Ptr[Core], vector: u32, return_rip: u64) -> bool:
    if vector * 4 + 3 > core.cpu.idtr.limit:
        return fault(core, GP, 0)
    entry = Array[u64, 1]()
    stack = Stack()
    use_current(core, stack)
    done = (
        read_system(core, core.cpu.idtr.base + vector * 4, 4, addressof(entry[0]))
        and push(core, stack, 2, get_rflags(core))
        and push_return(core, stack, 2, return_rip)
    )
    if not done:
        return False
    adopt(core, stack)
    core.cpu.rflags &= ~u64(IF | TF | AC | RF)
    install_real(core, CS, u32(entry[0] >> 16) & 0xFFFF)
    core.cpu.rip = entry[0] & 0xFFFF
    update_mode(core)
    return True


@function
def read_gate(core: Ptr[Core], vector: u32, source: u32, size: u32, gate: Ptr[u64]) -> bool:
    """The gate of a vector, checked as far as it alone can be."""
    external: u32 = 0 if source == FROM_PROGRAM else 1
    code = vector * 8 | IDT_ENTRY | external
    if vector * size + size - 1 > core.cpu.idtr.limit:
        return fault(core, GP, code)
    if not read_system(core, core.cpu.idtr.base + vector * size, 8, gate):
        return False
    type_ = u32(gate[0] >> 40) & 31
    known = type_ in (INTERRUPT_GATE_32, TRAP_GATE_32)
    if size == 8:
        known = known or type_ in (INTERRUPT_GATE_16, TRAP_GATE_16, TASK_GATE)
    if not known or (source == FROM_PROGRAM and u32(gate[0] >> 45) & 3 < core.cpl):
        return fault(core, GP, code)
    return gate[0] >> 47 & 1 != 0 or fault(core, NP, code)


@function
def fetch_handler(core: Ptr[Core], selector: u32, external: u32, out: Ptr[Descriptor]) -> bool:
    """The code segment of a handler."""
    if not fetch_descriptor(core, selector, GP, external, out):
        return False
    if not is_code(out) or level_of(out) > core.cpl:
        return refuse(core, GP, selector, external)
    return is_present(out) or refuse(core, NP, selector, external)


@function
def interrupt_protected(core: Ptr[Core], vector: u32, source: u32, code: u32, return_rip: u64) -> bool:
    """Through the 32-bit IDT (SDM Vol. 3, section 6.12)."""
    gate = Array[u64, 1]()
    if not read_gate(core, vector, source, 8, addressof(gate[0])):
        return False
    external: u32 = 0 if source == FROM_PROGRAM else 1
    type_ = u32(gate[0] >> 40) & 31
    selector = u32(gate[0] >> 16) & 0xFFFF
    has_code = source == FROM_FAULT and has_error_code(vector)
    if type_ == TASK_GATE:
        return interrupt_task(core, selector, external, has_code, code, return_rip)
    handler = Descriptor()
    if not fetch_handler(core, selector, external, handler):
        return False
    level = core.cpl if is_conforming(handler) else level_of(handler)
    virtual = core.cpu.rflags & VM != 0
    if virtual and level != 0:
        return refuse(core, GP, selector, external)
    stack = Stack()
    inward = level < core.cpl
    if inward:
        if not use_task_stack(core, level, external, stack):
            return False
    else:
        use_current(core, stack)
        stack.code = external
    size: u32 = 4 if type_ & 8 else 2
    if inward and not push_outer(core, stack, size, virtual):
        return False
    done = (
        push(core, stack, size, saved_flags(core, vector, source))
        and push_return(core, stack, size, return_rip)
        and (not has_code or push(core, stack, size, code))
    )
    rip = gate[0] & 0xFFFF | (gate[0] >> 48 << 16 if size == 4 else 0)
    if done and rip > handler.limit:
        return fault(core, GP, external)
    if not done or not mark(core, handler, ACCESSED):
        return False
    adopt(core, stack)
    if virtual:
        drop_virtual_segments(core)
    arrive(core, handler, selector & 0xFFFC | level, rip, type_ & 1 == 0)
    return True


@function
def interrupt_task(core: Ptr[Core], selector: u32, external: u32, has_code: bool, code: u32, return_rip: u64) -> bool:
    """Through a task gate; the error code goes to the new task's stack."""
    if not switch_task(core, selector, BY_CALL, external, return_rip):
        return False
    if not has_code:
        return True
    stack = Stack()
    use_current(core, stack)
    if not push(core, stack, 4 if core.cpu.tr.attributes & 8 else 2, code):
        return False
    adopt(core, stack)
    return True


@function
def push_outer(core: Ptr[Core], stack: Ptr[Stack], size: u32, virtual: bool) -> bool:
    """The interrupted program's stack pointer, and in virtual-8086 mode its data segments."""
    segments = core.cpu.segments
    done = True
    if virtual:
        done = (
            push(core, stack, size, segments[GS].selector)
            and push(core, stack, size, segments[FS].selector)
            and push(core, stack, size, segments[DS].selector)
            and push(core, stack, size, segments[ES].selector)
        )
    return done and push(core, stack, size, segments[SS].selector) and push(core, stack, size, core.cpu.registers[4])


@function
def drop_virtual_segments(core: Ptr[Core]) -> None:
    for number in range(GS + 1):
        if number not in (CS, SS):
            install_null(core.cpu.segments[number], 0, 0)


@function
def arrive(core: Ptr[Core], handler: Ptr[Descriptor], selector: u32, rip: u64, masks: bool) -> None:
    """Begin the handler; an interrupt gate masks further interrupts."""
    install(core.cpu.segments[CS], handler, selector)
    core.cpu.rflags &= ~u64(TF | NT | RF | VM)
    if masks:
        core.cpu.rflags &= ~u64(IF)
    core.cpu.rip = rip
    core.cpu.interrupt_shadow = u8(0)
    update_mode(core)


@function
def interrupt_long(core: Ptr[Core], vector: u32, source: u32, code: u32, return_rip: u64) -> bool:
    """Through the 64-bit IDT (SDM Vol. 3, section 6.14)."""
    gate = Array[u64, 2]()
    if not read_gate(core, vector, source, 16, addressof(gate[0])):
        return False
    if not read_system(core, core.cpu.idtr.base + vector * 16 + 8, 8, addressof(gate[1])):
        return False
    external: u32 = 0 if source == FROM_PROGRAM else 1
    selector = u32(gate[0] >> 16) & 0xFFFF
    handler = Descriptor()
    if not fetch_handler(core, selector, external, handler):
        return False
    if not is_64_bit_code(handler):
        return refuse(core, GP, selector, external)
    level = core.cpl if is_conforming(handler) else level_of(handler)
    stack = Stack()
    if not choose_long_stack(core, u32(gate[0] >> 32) & 7, level, external, stack):
        return False
    stack.pointer &= ~u64(15)
    has_code = source == FROM_FAULT and has_error_code(vector)
    done = (
        push(core, stack, 8, core.cpu.segments[SS].selector)
        and push(core, stack, 8, core.cpu.registers[4])
        and push(core, stack, 8, saved_flags(core, vector, source))
        and push_return(core, stack, 8, return_rip)
        and (not has_code or push(core, stack, 8, code))
    )
    rip = gate[0] & 0xFFFF | gate[0] >> 48 << 16 | gate[1] << 32
    if done and rip + (1 << 47) >> 48:
        return fault(core, GP, external)
    if not done or not mark(core, handler, ACCESSED):
        return False
    adopt(core, stack)
    arrive(core, handler, selector & 0xFFFC | level, rip, u32(gate[0] >> 40) & 1 == 0)
    return True


@function
def choose_long_stack(core: Ptr[Core], table_entry: u32, level: u32, external: u32, stack: Ptr[Stack]) -> bool:
    """The stack of the IST, that of the new level, or the current one (SDM Vol. 3, sections 6.14.4 and 6.14.5)."""
    if table_entry:
        if not use_long_stack(core, 0x24 + (table_entry - 1) * 8, level, external, stack):
            return False
        if level == core.cpl:
            copy_segment(stack.segment, core.cpu.segments[SS])  # SS changes with the level only
        return True
    if level < core.cpl:
        return use_long_stack(core, 4 + level * 8, level, external, stack)
    use_null(stack, level)
    stack.pointer = core.cpu.registers[4]
    stack.mode = core.mode
    copy_segment(stack.segment, core.cpu.segments[SS])
    return True
