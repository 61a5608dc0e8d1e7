"""Control of the x87 unit, and the images of its state (Intel SDM Vol. 1, sections 8.1.10, 8.3.8 to 8.3.10).

The environment is 14 or 28 bytes: control, status and tag words, and where the last instruction and its operand are.
Protected mode keeps these as selectors and offsets, real mode as linear addresses. FOP, FCS and FDS are 0, which
processors that deprecate them store (CPUID.7:EBX[13]).
"""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache

from emulator.native import (
    Array,
    Function,
    Ptr,
    addressof,
    copy_bytes,
    function,
    u8,
    u16,
    u32,
    u64,
    unlikely,
)

from ...control import faulted, raised
from ...core import MF, PROTECTED, Core, Op
from ...softfloat.number import TOP
from ..simd.operands import memory_source, read_image, write_image
from .stack import (
    ALL_EMPTY,
    BUSY,
    EMPTY,
    EXCEPTIONS,
    SUMMARY,
    TOP_MASK,
    clear_up,
    error_pending,
    move_top,
    pop,
    set_tag,
    stack,
)

UNIT = "x87"
INITIAL_CONTROL = 0x37F
CONTROL_BITS, CONTROL_ONES = 0x1F3F, 0x40
FLAGS_AND_BUSY = 0x80FF
REGISTERS_BYTES = 80


@function
def load_control(core: Ptr[Core], value: u16) -> None:
    core.cpu.x87_control = value & CONTROL_BITS | CONTROL_ONES
    summarize(core)


@function
def summarize(core: Ptr[Core]) -> None:
    """The summary and busy bits, after masks or flags were loaded."""
    status = core.cpu.x87_status & ~u16(SUMMARY | BUSY)
    if status & EXCEPTIONS & ~core.cpu.x87_control:
        status |= SUMMARY | BUSY
    core.cpu.x87_status = status


@function
def initialize(core: Ptr[Core]) -> None:
    """FNINIT; the contents of the registers stay."""
    core.cpu.x87_control = INITIAL_CONTROL
    core.cpu.x87_status = 0
    core.cpu.x87_tags = ALL_EMPTY
    core.cpu.x87_instruction = 0
    core.cpu.x87_operand = 0
    core.cpu.x87_opcode = 0


# -- instructions that do not wait --------------------------------------------------------------------------


@function
def fninit(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    initialize(core)
    return op + 1


@function
def fnclex(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    core.cpu.x87_status &= ~u16(FLAGS_AND_BUSY)
    return op + 1


@cache
def store_word(field: str) -> Function:
    """FNSTCW, FNSTSW to memory."""
    offset = Core.fields["cpu"].offset(field)

    @function(symbol=f"emulator.tcg.x87.store.{field}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if not write_image(core, op, 0, Ptr[u8](u64(core) + offset), 2, 0):
            return faulted(core, op)
        return op + 1

    return handler


@function
def status_to_register(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """FNSTSW AX."""
    Ptr[u16](addressof(core.cpu.registers))[0] = core.cpu.x87_status
    return op + 1


@function
def nothing(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    return op + 1


# -- instructions that wait ---------------------------------------------------------------------------------


@function
def wait(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """FWAIT, FNOP."""
    if unlikely(error_pending(core)):
        return raised(core, op, MF, 0)
    return op + 1


@function
def fldcw(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    if unlikely(error_pending(core)):
        return raised(core, op, MF, 0)
    place = memory_source(core, op, 2, 0)
    if not place:
        return faulted(core, op)
    load_control(core, Ptr[u16](place)[0])
    return op + 1


@cache
def rotate(by: int) -> Function:
    """FINCSTP, FDECSTP."""

    @function(symbol=f"emulator.tcg.x87.rotate{by}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if unlikely(error_pending(core)):
            return raised(core, op, MF, 0)
        clear_up(core)
        move_top(core, by)
        return op + 1

    return handler


@cache
def free(pops: bool) -> Function:
    """FFREE, FFREEP."""

    @function(symbol=f"emulator.tcg.x87.free{int(pops)}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if unlikely(error_pending(core)):
            return raised(core, op, MF, 0)
        clear_up(core)
        set_tag(core, op.a, EMPTY)
        if pops:
            pop(core)
        return op + 1

    return handler


@function
def empty_mmx(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """EMMS."""
    if unlikely(error_pending(core)):
        return raised(core, op, MF, 0)
    core.cpu.x87_status &= ~u16(TOP_MASK)
    core.cpu.x87_tags = ALL_EMPTY
    return op + 1


# -- tags ---------------------------------------------------------------------------------------------------


@function
def full_tags(core: Ptr[Core]) -> u16:
    """The tag word: valid, zero, special or empty, of each register."""
    tags = u16(0)
    for i in range(8):
        shift = 2 * i
        register = core.cpu.x87[i]
        exponent = register.exponent & 0x7FFF
        tag = u16(0)
        if core.cpu.x87_tags >> shift & EMPTY == EMPTY:
            tag = EMPTY
        elif exponent == 0 and register.significand == 0:
            tag = 1
        elif exponent in (0, 0x7FFF) or register.significand & TOP == 0:
            tag = 2
        tags |= tag << shift
    return tags


@function
def load_tags(core: Ptr[Core], tags: u16) -> None:
    """Whatever is not empty is 0."""
    kept = u16(0)
    for i in range(8):
        if tags >> (2 * i) & EMPTY == EMPTY:
            kept |= u16(EMPTY) << (2 * i)
    core.cpu.x87_tags = kept


# -- images -------------------------------------------------------------------------------------------------


@function
def store_environment(core: Ptr[Core], out: Ptr[u8], wide: bool) -> None:
    """28 bytes if `wide`, else 14."""
    cpu = core.cpu
    words = Array[u32, 7]()
    words[0] = u32(cpu.x87_control)
    words[1] = u32(cpu.x87_status)
    words[2] = u32(full_tags(core))
    instruction = u32(cpu.x87_instruction)
    data = u32(cpu.x87_operand)
    words[3] = instruction
    words[5] = data
    if not core.code_kind & PROTECTED:  # linear addresses of 32 or 20 bits, in two parts
        upper = u32(0xFFFF if wide else 15)
        words[4] = (instruction >> 16 & upper) << 12
        words[6] = (data >> 16 & upper) << 12
        words[3] &= 0xFFFF
        words[5] &= 0xFFFF
    if not wide:
        for i in range(7):
            Ptr[u16](out)[i] = u16(words[i])
        return
    for i in range(7):
        high = u32(0xFFFF_0000) if i < 3 or i == 6 else u32(0)
        Ptr[u32](out)[i] = words[i] | high


@function
def load_environment(core: Ptr[Core], image: Ptr[u8], wide: bool) -> None:
    cpu = core.cpu
    words = Array[u32, 7]()
    for i in range(7):
        words[i] = Ptr[u32](image)[i] if wide else u32(Ptr[u16](image)[i])
    cpu.x87_status = u16(words[1])
    load_tags(core, u16(words[2]))
    cpu.x87_instruction = u64(words[3])
    cpu.x87_operand = u64(words[5])
    if not core.code_kind & PROTECTED:
        cpu.x87_instruction = u64(words[3] & 0xFFFF | words[4] >> 12 << 16)
        cpu.x87_operand = u64(words[5] & 0xFFFF | words[6] >> 12 << 16)
    load_control(core, u16(words[0]))


@cache
def store_image(wide: bool, registers: bool) -> Function:
    """FNSTENV masks all exceptions afterwards; FNSAVE initializes the unit."""
    head = 28 if wide else 14
    total = head + (REGISTERS_BYTES if registers else 0)

    @function(symbol=f"emulator.tcg.x87.store_image{int(wide)}{int(registers)}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        image = Array[u8, 112]()
        out = Ptr[u8](addressof(image))
        store_environment(core, out, wide)
        if registers:
            for i in range(8):
                copy_bytes(out + (head + 10 * i), Ptr[u8](stack(core, i)), 10)
        if not write_image(core, op, 0, out, total, 0):
            return faulted(core, op)
        if registers:
            initialize(core)
        else:
            core.cpu.x87_control |= EXCEPTIONS
            summarize(core)
        return op + 1

    return handler


@cache
def load_image(wide: bool, registers: bool) -> Function:
    """FLDENV, FRSTOR."""
    head = 28 if wide else 14
    total = head + (REGISTERS_BYTES if registers else 0)

    @function(symbol=f"emulator.tcg.x87.load_image{int(wide)}{int(registers)}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if unlikely(error_pending(core)):
            return raised(core, op, MF, 0)
        image = Array[u8, 112]()
        data = Ptr[u8](addressof(image))
        if not read_image(core, op, 0, data, total, 0):
            return faulted(core, op)
        load_environment(core, data, wide)
        if registers:
            for i in range(8):
                copy_bytes(Ptr[u8](stack(core, i)), data + (head + 10 * i), 10)
        return op + 1

    return handler


HANDLERS = {
    "FNINIT": lambda form, size, memory: fninit,
    "FNCLEX": lambda form, size, memory: fnclex,
    "FNSTCW": lambda form, size, memory: store_word("x87_control"),
    "FNSTSW": lambda form, size, memory: store_word("x87_status") if memory else status_to_register,
    "FLDCW": lambda form, size, memory: fldcw,
    "FNSTENV": lambda form, size, memory: store_image(size != 16, False),
    "FNSAVE": lambda form, size, memory: store_image(size != 16, True),
    "FLDENV": lambda form, size, memory: load_image(size != 16, False),
    "FRSTOR": lambda form, size, memory: load_image(size != 16, True),
    "FINCSTP": lambda form, size, memory: rotate(1),
    "FDECSTP": lambda form, size, memory: rotate(7),
    "FFREE": lambda form, size, memory: free(False),
    "FFREEP": lambda form, size, memory: free(True),
    "FWAIT": lambda form, size, memory: wait,
    "FNOP": lambda form, size, memory: wait,
    "FNENI": lambda form, size, memory: nothing,
    "FNDISI": lambda form, size, memory: nothing,
    "FNSETPM": lambda form, size, memory: nothing,
    "EMMS": lambda form, size, memory: empty_mmx,
}
