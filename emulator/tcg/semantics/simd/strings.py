"""PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM: the string comparisons of SSE4.2 (Intel SDM Vol. 2, section 4.1).

The immediate says how: bit 0 words instead of bytes, bit 1 signed, bits 3:2 the comparison, bits 5:4 what is negated,
bit 6 which index, or the form of the mask.
"""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache

from emulator.native import Function, Ptr, clz, ctz, function, i8, i16, i32, i64, u8, u16, u32, u64
from emulator.x86.notation import Form
from emulator.x86.state import Cpu

from ...control import faulted
from ...core import Core, Op
from ...flags import CF, OF, SF, ZF, set_status
from .operands import register, source_operand

UNIT = "simd"
RAX, RCX, RDX = 0, 1, 2
XMM0 = Cpu.offset("xmm")
WORDS, SIGNED, NEGATE, ONLY_VALID, HIGHEST = 1, 2, 1 << 4, 1 << 5, 1 << 6


@function
def element(data: Ptr[u8], index: u32, immediate: u32) -> i32:
    if immediate & WORDS:
        word = Ptr[u16](data)[index]
        return i32(i16(word)) if immediate & SIGNED else i32(word)
    byte = data[index]
    return i32(i8(byte)) if immediate & SIGNED else i32(byte)


@function
def implicit_length(data: Ptr[u8], count: u32, immediate: u32) -> u32:
    """Up to the first zero."""
    for i in range(count):
        if element(data, i, immediate) == 0:
            return i
    return count


@function
def explicit_length(value: u64, wide: bool, count: u32) -> u32:
    """The magnitude of a general register."""
    number = i64(value) if wide else i64(i32(u32(value)))
    magnitude = u64(0) - u64(number) if number < 0 else u64(number)
    return u32(min(magnitude, u64(count)))


@function
def matches(a: Ptr[u8], a_length: u32, b: Ptr[u8], b_length: u32, place: u32, count: u32, immediate: u32) -> bool:
    """Whether the comparison holds at a place of b."""
    valid = place < b_length
    found = False
    match immediate >> 2 & 3:
        case 0:  # any of a
            for i in range(a_length):
                found = found or element(a, i, immediate) == element(b, place, immediate)
            return valid and found
        case 1:  # in a range of a
            for i in range(0, a_length - (a_length & 1), 2):
                value = element(b, place, immediate)
                found = found or element(a, i, immediate) <= value <= element(a, i + 1, immediate)
            return valid and found
        case 2:  # equal; ends match ends
            if valid and place < a_length:
                return element(a, place, immediate) == element(b, place, immediate)
            return valid == (place < a_length)
    for i in range(min(a_length, count - place)):  # a begins here
        if place + i >= b_length or element(a, i, immediate) != element(b, place + i, immediate):
            return False
    return True


@function(inline="never")
def compare_strings(core: Ptr[Core], a: Ptr[u8], a_length: u32, b: Ptr[u8], b_length: u32, immediate: u32) -> u32:
    """The matches as bits, and the flags."""
    count = u32(8 if immediate & WORDS else 16)
    found: u32 = 0
    for i in range(count):
        holds = matches(a, a_length, b, b_length, i, count, immediate)
        negated = immediate & NEGATE and (not immediate & ONLY_VALID or i < b_length)
        if holds != bool(negated):
            found |= u32(1) << i
    flags = u64(0)
    if found:
        flags |= CF
    if b_length < count:
        flags |= ZF
    if a_length < count:
        flags |= SF
    if found & 1:
        flags |= OF
    set_status(core, flags)
    return found


@function
def put_index(core: Ptr[Core], found: u32, immediate: u32) -> None:
    """ECX: the lowest or the highest match, or the number of elements."""
    index = u32(8 if immediate & WORDS else 16)
    if found:
        index = 31 - clz(found) if immediate & HIGHEST else ctz(found)
    core.cpu.registers[RCX] = u64(index)


@function
def put_mask(core: Ptr[Core], found: u32, immediate: u32) -> None:
    """XMM0: a bit, or all bits of the element, for each match."""
    target = register(core, XMM0)
    Ptr[u64](target)[0] = u64(found)
    Ptr[u64](target)[1] = 0
    if immediate & HIGHEST == 0:
        return
    for i in range(16):
        place = i >> 1 if immediate & WORDS else i
        target[i] = 0xFF if found >> place & 1 else u8(0)


@cache
def comparison(explicit: bool, index: bool, wide: bool) -> Function:
    @function(symbol=f"emulator.tcg.pcmpstr{int(explicit)}{int(index)}{int(wide)}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        b = source_operand(core, op, 16, 0)
        if not b:
            return faulted(core, op)
        a = register(core, op.a)
        immediate = u32(op.immediate)
        count = u32(8 if immediate & WORDS else 16)
        if explicit:
            a_length = explicit_length(core.cpu.registers[RAX], wide, count)
            b_length = explicit_length(core.cpu.registers[RDX], wide, count)
        else:
            a_length = implicit_length(a, count, immediate)
            b_length = implicit_length(b, count, immediate)
        found = compare_strings(core, a, a_length, b, b_length, immediate)
        if index:
            put_index(core, found, immediate)
        else:
            put_mask(core, found, immediate)
        return op + 1

    return handler


def _maker(explicit: bool, index: bool):
    def make(form: Form, size: int, memory: bool) -> Function:
        return comparison(explicit, index, explicit and size == 64)

    return make


HANDLERS = {
    "PCMPESTRI": _maker(True, True),
    "PCMPESTRM": _maker(True, False),
    "PCMPISTRI": _maker(False, True),
    "PCMPISTRM": _maker(False, False),
}
