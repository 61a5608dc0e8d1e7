"""Widen lanes and shift them (Intel SDM Vol. 1, sections 9.4.7, 11.4.2 and 12.10.7)."""

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
    i8,
    i16,
    i32,
    i64,
    u8,
    u16,
    u32,
    u64,
    u128,
)
from emulator.x86.notation import Form

from .operands import (
    computed,
    lane_bytes,
    shifted,
)

UNIT = "simd"


# -- widen --------------------------------------------------------------------------------------------------


@cache
def widen(narrow: type, wide: type) -> Function:
    """PMOVSX, PMOVZX."""
    count = 16 // wide.size

    @function(symbol=f"emulator.tcg.widen.{narrow}.{wide}", inline="always")
    def operation(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
        out = Array[wide, count]()
        for i in range(count):
            out[i] = wide(Ptr[narrow](source)[i])
        copy_bytes(target, Ptr[u8](addressof(out)), 16)

    return operation


SIGNED = {"B": i8, "W": i16, "D": i32, "Q": i64}
PLAIN = {"B": u8, "W": u16, "D": u32, "Q": u64}
WIDEN = {
    f"PMOV{letter}X{narrow}{wide}": (kinds[narrow], kinds[wide])
    for letter, kinds in (("S", SIGNED), ("Z", PLAIN))
    for narrow, wide in ("BW", "BD", "BQ", "WD", "WQ", "DQ")
}


# -- shift --------------------------------------------------------------------------------------------------


@cache
def shift(name: str, kind: type, width: int) -> Function:
    """Every lane by one 64-bit count; beyond the lane's width nothing but the sign of PSRA is left."""
    count = width // kind.size
    bits = kind.bits
    left, arithmetic = name.startswith("PSLL"), name.startswith("PSRA")

    @function(symbol=f"emulator.tcg.{name.lower()}{width}", inline="always")
    def operation(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
        distance = u32(min(Ptr[u64](source)[0], u64(bits)))
        if arithmetic:
            distance = min(distance, bits - 1)
        for i in range(count):
            value = Ptr[kind](target)[i]
            Ptr[kind](target)[i] = value << distance if left else value >> distance

    return operation


@cache
def shift_bytes(left: bool) -> Function:
    """PSLLDQ, PSRLDQ."""

    @function(symbol=f"emulator.tcg.shift_bytes{int(left)}", inline="always")
    def operation(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
        distance = u32(min(Ptr[u64](source)[0], u64(16))) * 8
        value = Ptr[u128](target)[0]
        Ptr[u128](target)[0] = value << distance if left else value >> distance

    return operation


SHIFTS = {
    "PSLLW": u16, "PSLLD": u32, "PSLLQ": u64, "PSRLW": u16, "PSRLD": u32, "PSRLQ": u64, "PSRAW": i16, "PSRAD": i32,
}  # fmt: skip


def _shift(form: Form, size: int, memory: bool) -> Function:
    operation = shift(form.mnemonic, SHIFTS[form.mnemonic], lane_bytes(form))
    return shifted(operation, form) if form.operands[1].method == "I" else computed(operation, form)


HANDLERS = {
    name: lambda form, size, memory, kinds=kinds: computed(widen(*kinds), form) for name, kinds in WIDEN.items()
}
HANDLERS |= dict.fromkeys(SHIFTS, _shift)
HANDLERS |= {
    "PSLLDQ": lambda form, size, memory: shifted(shift_bytes(True), form),
    "PSRLDQ": lambda form, size, memory: shifted(shift_bytes(False), form),
}
