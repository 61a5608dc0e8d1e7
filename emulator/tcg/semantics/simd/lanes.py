"""Integer arithmetic on the lanes of MMX and XMM registers (Intel SDM Vol. 1, sections 9.4, 11.4.2, 12.6 and 12.10).

An operation of one lane is a function of two numbers; `each_lane` makes it one of whole registers. LLVM turns the loop
into an instruction of the host.
"""

# mypy: ignore-errors

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

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
)
from emulator.x86.notation import Form

from .operands import computed, lane_bytes

UNIT = "simd"
WIDER = {u8: u32, u16: u32, u32: u64, i8: i32, i16: i32, i32: i64}


@cache
def each_lane(lane: Function, kind: type, width: int) -> Function:
    """target[i] = lane(target[i], source[i])"""
    count = width // kind.size

    @function(symbol=f"{lane.symbol}.x{count}", inline="always")
    def operation(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
        out = Array[kind, count]()
        for i in range(count):
            out[i] = lane(Ptr[kind](target)[i], Ptr[kind](source)[i])
        copy_bytes(target, Ptr[u8](addressof(out)), width)

    return operation


@cache
def pairs(lane: Function, kind: type, width: int) -> Function:
    """lane of neighbours: those of the target, then those of the source."""
    count = width // kind.size
    half = count // 2

    @function(symbol=f"{lane.symbol}.pairs{width}", inline="always")
    def operation(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
        out = Array[kind, count]()
        for i in range(half):
            out[i] = lane(Ptr[kind](target)[2 * i], Ptr[kind](target)[2 * i + 1])
            out[half + i] = lane(Ptr[kind](source)[2 * i], Ptr[kind](source)[2 * i + 1])
        copy_bytes(target, Ptr[u8](addressof(out)), width)

    return operation


# -- one lane -----------------------------------------------------------------------------------------------


def add(kind, symbol):
    @function(symbol=symbol, inline="always")
    def lane(a: kind, b: kind) -> kind:
        return kind(a + b)

    return lane


def sub(kind, symbol):
    @function(symbol=symbol, inline="always")
    def lane(a: kind, b: kind) -> kind:
        return kind(a - b)

    return lane


def add_saturated(kind, symbol):
    wide, lowest, highest = WIDER[kind], kind.min, kind.max

    @function(symbol=symbol, inline="always")
    def lane(a: kind, b: kind) -> kind:
        return kind(max(min(wide(a) + wide(b), highest), lowest))

    return lane


def sub_saturated(kind, symbol):
    """An unsigned difference stops at 0."""
    if not kind.signed:

        @function(symbol=symbol, inline="always")
        def lane(a: kind, b: kind) -> kind:
            return kind(a - min(a, b))

        return lane
    wide, lowest, highest = WIDER[kind], kind.min, kind.max

    @function(symbol=symbol, inline="always")
    def lane(a: kind, b: kind) -> kind:
        return kind(max(min(wide(a) - wide(b), highest), lowest))

    return lane


def average(kind, symbol):
    wide = WIDER[kind]

    @function(symbol=symbol, inline="always")
    def lane(a: kind, b: kind) -> kind:
        return kind((wide(a) + wide(b) + 1) >> 1)

    return lane


def smaller(kind, symbol):
    @function(symbol=symbol, inline="always")
    def lane(a: kind, b: kind) -> kind:
        return min(a, kind(b))

    return lane


def larger(kind, symbol):
    @function(symbol=symbol, inline="always")
    def lane(a: kind, b: kind) -> kind:
        return max(a, kind(b))

    return lane


def equal(kind, symbol):
    @function(symbol=symbol, inline="always")
    def lane(a: kind, b: kind) -> kind:
        return ~kind(0) if a == b else kind(0)

    return lane


def greater(kind, symbol):
    @function(symbol=symbol, inline="always")
    def lane(a: kind, b: kind) -> kind:
        return kind(-1) if a > b else kind(0)

    return lane


def low_product(kind, symbol):
    @function(symbol=symbol, inline="always")
    def lane(a: kind, b: kind) -> kind:
        return kind(a * b)

    return lane


def high_product(kind, symbol):
    wide = WIDER[kind]

    @function(symbol=symbol, inline="always")
    def lane(a: kind, b: kind) -> kind:
        return kind(wide(a) * wide(b) >> 16)

    return lane


def rounded_product(kind, symbol):
    @function(symbol=symbol, inline="always")
    def lane(a: i16, b: i16) -> i16:
        return i16(((i32(a) * i32(b) >> 14) + 1) >> 1)

    return lane


def even_product(kind, symbol):
    """Of the lower halves of a lane."""
    half = {u64: u32, i64: i32}[kind]

    @function(symbol=symbol, inline="always")
    def lane(a: kind, b: kind) -> kind:
        return kind(half(a)) * kind(half(b))

    return lane


def sign(kind, symbol):
    @function(symbol=symbol, inline="always")
    def lane(a: kind, b: kind) -> kind:
        return kind(0) - a if b < 0 else a if b > 0 else kind(0)

    return lane


def absolute(kind, symbol):
    @function(symbol=symbol, inline="always")
    def lane(a: kind, b: kind) -> kind:
        return kind(0) - b if b < 0 else kind(b)

    return lane


def logical_and(kind, symbol):
    @function(symbol=symbol, inline="always")
    def lane(a: kind, b: kind) -> kind:
        return kind(a & b)

    return lane


def and_not(kind, symbol):
    @function(symbol=symbol, inline="always")
    def lane(a: kind, b: kind) -> kind:
        return kind(~a & b)

    return lane


def logical_or(kind, symbol):
    @function(symbol=symbol, inline="always")
    def lane(a: kind, b: kind) -> kind:
        return kind(a | b)

    return lane


def exclusive_or(kind, symbol):
    @function(symbol=symbol, inline="always")
    def lane(a: kind, b: kind) -> kind:
        return kind(a ^ b)

    return lane


LANES = {
    "PADDB": (add, u8), "PADDW": (add, u16), "PADDD": (add, u32), "PADDQ": (add, u64),
    "PSUBB": (sub, u8), "PSUBW": (sub, u16), "PSUBD": (sub, u32), "PSUBQ": (sub, u64),
    "PADDSB": (add_saturated, i8), "PADDSW": (add_saturated, i16),
    "PADDUSB": (add_saturated, u8), "PADDUSW": (add_saturated, u16),
    "PSUBSB": (sub_saturated, i8), "PSUBSW": (sub_saturated, i16),
    "PSUBUSB": (sub_saturated, u8), "PSUBUSW": (sub_saturated, u16),
    "PAVGB": (average, u8), "PAVGW": (average, u16),
    "PMINUB": (smaller, u8), "PMINUW": (smaller, u16), "PMINUD": (smaller, u32),
    "PMINSB": (smaller, i8), "PMINSW": (smaller, i16), "PMINSD": (smaller, i32),
    "PMAXUB": (larger, u8), "PMAXUW": (larger, u16), "PMAXUD": (larger, u32),
    "PMAXSB": (larger, i8), "PMAXSW": (larger, i16), "PMAXSD": (larger, i32),
    "PCMPEQB": (equal, u8), "PCMPEQW": (equal, u16), "PCMPEQD": (equal, u32), "PCMPEQQ": (equal, u64),
    "PCMPGTB": (greater, i8), "PCMPGTW": (greater, i16), "PCMPGTD": (greater, i32), "PCMPGTQ": (greater, i64),
    "PMULLW": (low_product, u16), "PMULLD": (low_product, u32),
    "PMULHW": (high_product, i16), "PMULHUW": (high_product, u16), "PMULHRSW": (rounded_product, i16),
    "PMULUDQ": (even_product, u64), "PMULDQ": (even_product, i64),
    "PSIGNB": (sign, i8), "PSIGNW": (sign, i16), "PSIGND": (sign, i32),
    "PABSB": (absolute, i8), "PABSW": (absolute, i16), "PABSD": (absolute, i32),
    "PAND": (logical_and, u64), "PANDN": (and_not, u64), "POR": (logical_or, u64), "PXOR": (exclusive_or, u64),
}  # fmt: skip
LANES |= {f"{name}{kind}": LANES[f"P{name}"] for name in ("AND", "OR", "XOR") for kind in ("PS", "PD")}
LANES |= {f"ANDN{kind}": LANES["PANDN"] for kind in ("PS", "PD")}

PAIRS = {
    "PHADDW": (add, u16), "PHADDD": (add, u32), "PHADDSW": (add_saturated, i16),
    "PHSUBW": (sub, u16), "PHSUBD": (sub, u32), "PHSUBSW": (sub_saturated, i16),
}  # fmt: skip


# -- sums ---------------------------------------------------------------------------------------------------


@cache
def sum_of_products(width: int) -> Function:
    """PMADDWD."""
    count = width // 4

    @function(symbol=f"emulator.tcg.pmaddwd{width}", inline="always")
    def operation(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
        a = Ptr[i16](target)
        b = Ptr[i16](source)
        out = Array[i32, count]()
        for i in range(count):
            out[i] = i32(a[2 * i]) * i32(b[2 * i]) + i32(a[2 * i + 1]) * i32(b[2 * i + 1])
        copy_bytes(target, Ptr[u8](addressof(out)), width)

    return operation


@cache
def sum_of_mixed_products(width: int) -> Function:
    """PMADDUBSW: unsigned bytes by signed ones, the sums saturated."""
    count = width // 2

    @function(symbol=f"emulator.tcg.pmaddubsw{width}", inline="always")
    def operation(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
        b = Ptr[i8](source)
        out = Array[i16, count]()
        for i in range(count):
            total = i32(target[2 * i]) * i32(b[2 * i]) + i32(target[2 * i + 1]) * i32(b[2 * i + 1])
            out[i] = i16(max(min(total, 32767), -32768))
        copy_bytes(target, Ptr[u8](addressof(out)), width)

    return operation


@cache
def sum_of_differences(width: int) -> Function:
    """PSADBW, for each 8 bytes."""
    count = width // 8

    @function(symbol=f"emulator.tcg.psadbw{width}", inline="always")
    def operation(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
        out = Array[u64, count]()
        for i in range(count):
            total: u64 = 0
            for k in range(8):
                a = target[8 * i + k]
                b = source[8 * i + k]
                total += max(a, b) - min(a, b)
            out[i] = total
        copy_bytes(target, Ptr[u8](addressof(out)), width)

    return operation


@function
def sliding_differences(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
    """MPSADBW: four bytes of the source against eight places in the target."""
    start = immediate & 4
    block = (immediate & 3) * 4
    out = Array[u16, 8]()
    for i in range(8):
        total: u16 = 0
        for k in range(4):
            a = target[start + i + k]
            b = source[block + k]
            total += max(a, b) - min(a, b)
        out[i] = total
    copy_bytes(target, Ptr[u8](addressof(out)), 16)


@function
def smallest_word(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
    """PHMINPOSUW: the smallest word and where it is."""
    words = Ptr[u16](source)
    place: u64 = 0
    for i in range(1, 8):
        if words[i] < words[place]:
            place = u64(i)
    least = u64(words[place])
    Ptr[u64](target)[0] = least | place << 16
    Ptr[u64](target)[1] = 0


SUMS = {"PMADDWD": sum_of_products, "PMADDUBSW": sum_of_mixed_products, "PSADBW": sum_of_differences}
WHOLE = {"MPSADBW": sliding_differences, "PHMINPOSUW": smallest_word}


@cache
def lane_of(make: Callable, kind: type) -> Function:
    return make(kind, f"emulator.tcg.lane.{make.__name__}.{kind}")


def _lanes(table: dict, whole: Callable, form: Form, size: int, memory: bool) -> Function:
    make, kind = table[form.mnemonic]
    return computed(whole(lane_of(make, kind), kind, lane_bytes(form)), form)


def _sums(form: Form, size: int, memory: bool) -> Function:
    return computed(SUMS[form.mnemonic](lane_bytes(form)), form)


HANDLERS = dict.fromkeys(LANES, partial(_lanes, LANES, each_lane))
HANDLERS |= dict.fromkeys(PAIRS, partial(_lanes, PAIRS, pairs))
HANDLERS |= dict.fromkeys(SUMS, _sums)
HANDLERS |= {
    name: lambda form, size, memory, operation=operation: computed(operation, form) for name, operation in WHOLE.items()
}
