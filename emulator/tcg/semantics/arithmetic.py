"""Addition to negation, logic, and the moves of data (Intel SDM Vol. 1, sections 7.3.1 to 7.3.4)."""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache, partial

from emulator.native import Function, Ptr, function
from emulator.x86.notation import Form

from ..core import Core
from ..flags import ADJUST, carry_flag, overflow_flag, setters
from ..operands import TYPES
from .templates import binary, compare, shape_of, unary, width

# In a function made for a type the type's name has to occur in the body, not only in annotations, to be found.


@cache
def operation(name: str, bits: int) -> Function:
    """The operation of a mnemonic at a width."""
    return OPERATIONS[name](TYPES[bits], f"emulator.tcg.{name}{bits}")


def _add(kind, symbol):
    added = setters(kind).added

    @function(symbol=symbol, inline="always")
    def add(core: Ptr[Core], a: kind, b: kind) -> kind:
        total = kind(a + b)
        added(core, a, b, total)
        return total

    return add


def _adc(kind, symbol):
    added = setters(kind).added

    @function(symbol=symbol, inline="always")
    def adc(core: Ptr[Core], a: kind, b: kind) -> kind:
        total = a + b + kind(carry_flag(core))
        added(core, a, b, total)
        return total

    return adc


def _sub(kind, symbol):
    subtracted = setters(kind).subtracted

    @function(symbol=symbol, inline="always")
    def sub(core: Ptr[Core], a: kind, b: kind) -> kind:
        difference = kind(a - b)
        subtracted(core, a, b, difference)
        return difference

    return sub


def _sbb(kind, symbol):
    subtracted = setters(kind).subtracted

    @function(symbol=symbol, inline="always")
    def sbb(core: Ptr[Core], a: kind, b: kind) -> kind:
        difference = a - b - kind(carry_flag(core))
        subtracted(core, a, b, difference)
        return difference

    return sbb


def _and(kind, symbol):
    logic = setters(kind).logic

    @function(symbol=symbol, inline="always")
    def and_(core: Ptr[Core], a: kind, b: kind) -> kind:
        result = kind(a & b)
        logic(core, result)
        return result

    return and_


def _or(kind, symbol):
    logic = setters(kind).logic

    @function(symbol=symbol, inline="always")
    def or_(core: Ptr[Core], a: kind, b: kind) -> kind:
        result = kind(a | b)
        logic(core, result)
        return result

    return or_


def _xor(kind, symbol):
    logic = setters(kind).logic

    @function(symbol=symbol, inline="always")
    def xor(core: Ptr[Core], a: kind, b: kind) -> kind:
        result = kind(a ^ b)
        logic(core, result)
        return result

    return xor


def _inc(kind, symbol):
    added = setters(kind).added

    @function(symbol=symbol, inline="always")
    def inc(core: Ptr[Core], a: kind) -> kind:
        """CF stays: only the carry into the sign bit and out of bit 3 are the addition's."""
        kept = carry_flag(core)
        added(core, a, kind(1), a + 1)
        overflow = overflow_flag(core)
        core.carry = kept << 63 | (kept ^ overflow) << 62 | core.carry & ADJUST
        return a + 1

    return inc


def _dec(kind, symbol):
    subtracted = setters(kind).subtracted

    @function(symbol=symbol, inline="always")
    def dec(core: Ptr[Core], a: kind) -> kind:
        kept = carry_flag(core)
        subtracted(core, a, kind(1), a - 1)
        overflow = overflow_flag(core)
        core.carry = kept << 63 | (kept ^ overflow) << 62 | core.carry & ADJUST
        return a - 1

    return dec


def _neg(kind, symbol):
    subtracted = setters(kind).subtracted

    @function(symbol=symbol, inline="always")
    def neg(core: Ptr[Core], a: kind) -> kind:
        difference = kind(0) - a
        subtracted(core, 0, a, difference)
        return difference

    return neg


def _not(kind, symbol):
    @function(symbol=symbol, inline="always")
    def not_(core: Ptr[Core], a: kind) -> kind:
        return kind(~a)

    return not_


OPERATIONS = {
    "ADD": _add, "ADC": _adc, "SUB": _sub, "SBB": _sbb, "AND": _and, "OR": _or, "XOR": _xor,
    "INC": _inc, "DEC": _dec, "NEG": _neg, "NOT": _not,
}  # fmt: skip


def _binary_handler(name: str, form: Form, size: int, memory: bool) -> Function:
    bits = width(form.operands[0], size)
    return binary(operation(name, bits), shape_of(form, memory), bits)


def _compare_handler(name: str, form: Form, size: int, memory: bool) -> Function:
    """CMP is SUB and TEST is AND, without the result."""
    bits = width(form.operands[0], size)
    return compare(operation(name, bits), shape_of(form, memory), bits)


def _unary_handler(name: str, form: Form, size: int, memory: bool) -> Function:
    bits = width(form.operands[0], size)
    return unary(operation(name, bits), shape_of(form, memory), bits)


HANDLERS = {name: partial(_binary_handler, name) for name in ("ADD", "ADC", "SUB", "SBB", "AND", "OR", "XOR")}
HANDLERS |= {name: partial(_unary_handler, name) for name in ("INC", "DEC", "NEG", "NOT")}
HANDLERS |= {"CMP": partial(_compare_handler, "SUB"), "TEST": partial(_compare_handler, "AND")}
