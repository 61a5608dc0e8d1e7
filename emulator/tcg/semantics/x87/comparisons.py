"""Comparisons (Intel SDM Vol. 1, section 8.3.6)."""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache

from emulator.native import (
    Array,
    Function,
    Ptr,
    addressof,
    function,
    u16,
    u32,
    u64,
    unlikely,
)
from emulator.x86.notation import Form

from ...control import faulted, raised
from ...core import MF, Core, Op
from ...flags import CF, PF, ZF, set_status
from ...softfloat.arithmetic import EQUAL, LESS, UNORDERED
from ...softfloat.arithmetic import compare as compare_numbers
from ...softfloat.number import (
    DENORMAL,
    FINITE,
    INFINITE,
    INVALID,
    QUIET,
    SIGNALING,
    ZERO,
    Number,
)
from ..simd.operands import memory_source
from .arithmetic import READERS
from .stack import (
    C0,
    C2,
    C3,
    clear_up,
    error_pending,
    is_empty,
    is_nan,
    note,
    operand,
    pop,
    underflow,
)
from .stack import (
    CONDITIONS as CONDITION_CODES,
)

UNIT = "x87"


@function(inline="never")
def order(core: Ptr[Core], op: Ptr[Op], b: Ptr[Number], empty: bool, quiet: bool, out: Ptr[u32]) -> bool:
    """Compare ST(0); false if an exception forbids to pop. A quiet NaN is invalid too unless `quiet`."""
    out[0] = UNORDERED
    if empty or is_empty(core, 0):
        return underflow(core, op)
    a = Number()
    operand(core, 0, a)
    if is_nan(a) or is_nan(b):
        invalid = not quiet or a.kind > QUIET or b.kind > QUIET
        return note(core, op, INVALID if invalid else u32(0))
    out[0] = compare_numbers(a, b)
    return note(core, op, DENORMAL if a.denormal | b.denormal else u32(0))


@function
def set_codes(core: Ptr[Core], found: u32) -> None:
    codes = u16(0)
    if found == UNORDERED:
        codes = C3 | C2 | C0
    elif found == LESS:
        codes = C0
    elif found == EQUAL:
        codes = C3
    core.cpu.x87_status = core.cpu.x87_status & ~u16(CONDITION_CODES) | codes


@cache
def compare_memory(kind: str, pops: bool) -> Function:
    read, size = READERS[kind]

    @function(symbol=f"emulator.tcg.x87.compare.{kind}.{int(pops)}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if unlikely(error_pending(core)):
            return raised(core, op, MF, 0)
        place = memory_source(core, op, size, 0)
        if unlikely(not place):
            return faulted(core, op)
        b = Number()
        found = Array[u32, 1]()
        read(place, b)
        clear_up(core)
        done = order(core, op, b, False, False, Ptr[u32](addressof(found)))
        set_codes(core, found[0])
        if pops and done:
            pop(core)
        return op + 1

    return handler


@cache
def compare_register(quiet: bool, pops: int, to_flags: bool, fixed: int) -> Function:
    """FCOM to FUCOMIP; `fixed` is the register that no operand names: 1, or 8 for a zero (FTST), or 0."""

    @function(symbol=f"emulator.tcg.x87.compare.{int(quiet)}{pops}{int(to_flags)}{fixed}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if unlikely(error_pending(core)):
            return raised(core, op, MF, 0)
        number = u32(op.b) if to_flags else u32(op.a)
        if fixed:
            number = u32(fixed)
        b = Number()
        empty = False
        if fixed != 8:
            operand(core, number, b)
            empty = is_empty(core, number)
        found = Array[u32, 1]()
        done = order(core, op, b, empty, quiet, Ptr[u32](addressof(found)))
        if to_flags:
            set_flags(core, found[0])
        else:
            clear_up(core)
            set_codes(core, found[0])
        if done:
            for _ in range(pops):
                pop(core)
        return op + 1

    return handler


@function
def set_flags(core: Ptr[Core], found: u32) -> None:
    flags = u64(0)
    if found == UNORDERED:
        flags = ZF | PF | CF
    elif found == LESS:
        flags = CF
    elif found == EQUAL:
        flags = ZF
    set_status(core, flags)


@function
def examine(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """FXAM: what ST(0) holds (SDM Vol. 2, FXAM), and its sign in C1."""
    if unlikely(error_pending(core)):
        return raised(core, op, MF, 0)
    value = Number()
    operand(core, 0, value)
    codes = u16(0)
    if is_empty(core, 0):
        codes = C3 | C0
    elif value.kind == QUIET or value.kind == SIGNALING:
        codes = C0
    elif value.kind == INFINITE:
        codes = C2 | C0
    elif value.kind == ZERO:
        codes = C3
    elif value.kind == FINITE:
        codes = C3 | C2 if value.denormal else u16(C2)
    codes |= u16(value.sign) << 9
    core.cpu.x87_status = core.cpu.x87_status & ~u16(CONDITION_CODES) | codes
    return op + 1


def fcom(form: Form, size: int, memory: bool) -> Function:
    name = form.mnemonic.removeprefix("F").removeprefix("I")
    if form.operands and form.operands[0].text in READERS:
        return compare_memory(form.operands[0].text, name.endswith("P"))
    pops = len(name) - len(name.rstrip("P"))
    return compare_register(name.startswith("U"), pops, "I" in name, 0 if form.operands else 1)


COMPARISONS = ("FCOM", "FCOMP", "FCOMPP", "FCOMI", "FCOMIP", "FICOM", "FICOMP")
COMPARISONS += ("FUCOM", "FUCOMP", "FUCOMPP", "FUCOMI", "FUCOMIP")
HANDLERS = dict.fromkeys(COMPARISONS, fcom)
HANDLERS |= {
    "FTST": lambda form, size, memory: compare_register(False, 0, False, 8),
    "FXAM": lambda form, size, memory: examine,
}
