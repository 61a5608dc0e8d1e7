"""Lazy status flags (Intel SDM Vol. 1, section 3.4.3.1).

Three words hold all six flags, whatever set them and at whatever width:

- `nonzero` is 0 if ZF is set;
- `sign` has SF in bit 63, and PF is the parity of its low byte;
- `carry` has CF in bit 63, the carry into the sign bit in bit 62 (OF is the difference of the two), AF in bit 3.

An addition's carries are a vector: bit i is the carry out of bit i. Moved up so that the operand's highest bit becomes
bit 63, that is `carry`; no operation has to be remembered.
"""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

from emulator.native import Function, Ptr, function, i8, i16, i32, i64, popcount, u8, u16, u32, u64

from .core import Core

SIGNED = {u8: i8, u16: i16, u32: i32, u64: i64}
CF, PF, AF, ZF, SF, TF, IF, DF, OF = 1, 1 << 2, 1 << 4, 1 << 6, 1 << 7, 1 << 8, 1 << 9, 1 << 10, 1 << 11
STATUS = CF | PF | AF | ZF | SF | OF
ADJUST = 8  # AF in `carry`
TOP = 1 << 63


@function(inline="always")
def carry_flag(core: Ptr[Core]) -> u64:
    return core.carry >> 63


@function(inline="always")
def overflow_flag(core: Ptr[Core]) -> u64:
    return (core.carry ^ core.carry << 1) >> 63


@function(inline="always")
def parity_flag(core: Ptr[Core]) -> bool:
    return popcount(u8(core.sign)) & 1 == 0


@function(inline="always")
def set_carry(core: Ptr[Core], carry: u64, overflow: u64) -> None:
    """CF and OF; AF stays as it is."""
    core.carry = carry << 63 | (carry ^ overflow) << 62 | core.carry & ADJUST


@function
def get_status(core: Ptr[Core]) -> u64:
    """The status flags as they stand in RFLAGS."""
    flags = carry_flag(core) | overflow_flag(core) << 11 | (core.carry & ADJUST) << 1
    flags |= core.sign >> 63 << 7
    if parity_flag(core):
        flags |= PF
    if core.nonzero == 0:
        flags |= ZF
    return flags


@function
def set_status(core: Ptr[Core], flags: u64) -> None:
    core.nonzero = ~flags & ZF
    core.sign = flags >> 7 << 63 | (~flags >> 2 & 1)
    core.carry = 0
    set_carry(core, flags & CF, flags >> 11 & 1)
    core.carry |= flags >> 1 & ADJUST


@function
def get_rflags(core: Ptr[Core]) -> u64:
    return core.cpu.rflags | get_status(core)


def _conditions() -> list[Function]:
    """The eight conditions of Jcc, SETcc and CMOVcc, and their negations (SDM Vol. 1, appendix B)."""

    @function(inline="always")
    def overflow(core: Ptr[Core]) -> bool:
        return overflow_flag(core) != 0

    @function(inline="always")
    def below(core: Ptr[Core]) -> bool:
        return i64(core.carry) < 0

    @function(inline="always")
    def equal(core: Ptr[Core]) -> bool:
        return core.nonzero == 0

    @function(inline="always")
    def below_or_equal(core: Ptr[Core]) -> bool:
        return i64(core.carry) < 0 or core.nonzero == 0

    @function(inline="always")
    def sign(core: Ptr[Core]) -> bool:
        return i64(core.sign) < 0

    @function(inline="always")
    def less(core: Ptr[Core]) -> bool:
        return i64(core.sign ^ core.carry ^ core.carry << 1) < 0

    @function(inline="always")
    def less_or_equal(core: Ptr[Core]) -> bool:
        return less(core) or core.nonzero == 0

    return [
        negatable
        for plain in (overflow, below, equal, below_or_equal, sign, parity_flag, less, less_or_equal)
        for negatable in (plain, _negated(plain))
    ]


def _negated(condition: Function) -> Function:
    @function(symbol=f"emulator.tcg.flags.not_{condition.name}", inline="always")
    def negated(core: Ptr[Core]) -> bool:
        return not condition(core)

    return negated


CONDITIONS = _conditions()


@cache
def setters(kind: type) -> SimpleNamespace:
    """The functions that set flags from operands and results of an unsigned type."""
    wide = SIGNED[kind]
    up = 64 - kind.bits
    name = f"emulator.tcg.flags.%s_{kind}"

    @function(symbol=name % "result", inline="always")
    def result(core: Ptr[Core], value: kind) -> None:
        """ZF, SF and PF."""
        extended = u64(i64(wide(kind(value))))
        core.nonzero = extended
        core.sign = extended

    @function(symbol=name % "carries", inline="always")
    def carries(core: Ptr[Core], vector: kind) -> None:
        """CF, OF and AF from the carries of all bits."""
        core.carry = u64(vector) if up == 0 else u64(vector) << up | u64(vector & kind(ADJUST))

    @function(symbol=name % "added", inline="always")
    def added(core: Ptr[Core], a: kind, b: kind, total: kind) -> None:
        """All flags of a + b, with or without a carry."""
        result(core, total)
        carries(core, kind(a & b | (a | b) & ~total))

    @function(symbol=name % "subtracted", inline="always")
    def subtracted(core: Ptr[Core], a: kind, b: kind, difference: kind) -> None:
        result(core, difference)
        carries(core, kind(~a & b | (~a | b) & difference))

    @function(symbol=name % "logic", inline="always")
    def logic(core: Ptr[Core], value: kind) -> None:
        """CF = OF = 0, and AF, which is undefined, is 0 too."""
        result(core, kind(value))
        core.carry = 0

    return SimpleNamespace(result=result, added=added, subtracted=subtracted, logic=logic)
