"""Interleave, pack, shuffle, blend, insert, extract and test lanes (Intel SDM Vol. 1, sections 9.4.3, 9.4.5, 11.4.1.4,
12.6 and 12.10).
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
from emulator.x86.state import Cpu

from ...control import faulted
from ...core import IN_MEMORY, Core, Op
from ...flags import CF, ZF, set_status
from .operands import (
    computed,
    destination,
    extracted,
    is_mmx,
    lane_bytes,
    register,
    source_operand,
)

UNIT = "simd"
XMM0 = Cpu.offset("xmm")


# -- interleave and pack ------------------------------------------------------------------------------------


@cache
def interleave(kind: type, high: bool, width: int) -> Function:
    """PUNPCKL, PUNPCKH: the lanes of one half of both operands, by turns."""
    count = width // kind.size
    half = count // 2
    first = half if high else 0

    @function(symbol=f"emulator.tcg.interleave{kind}.{int(high)}.{width}", inline="always")
    def operation(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
        out = Array[kind, count]()
        for i in range(half):
            out[2 * i] = Ptr[kind](target)[first + i]
            out[2 * i + 1] = Ptr[kind](source)[first + i]
        copy_bytes(target, Ptr[u8](addressof(out)), width)

    return operation


@cache
def pack(wide: type, narrow: type, width: int) -> Function:
    """PACKSS, PACKUS: lanes of half the width, saturated."""
    count = width // wide.size
    lowest, highest = narrow.min, narrow.max

    @function(symbol=f"emulator.tcg.pack.{wide}.{narrow}.{width}", inline="always")
    def operation(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
        out = Array[narrow, 2 * count]()
        for i in range(count):
            out[i] = narrow(max(min(Ptr[wide](target)[i], highest), lowest))
            out[count + i] = narrow(max(min(Ptr[wide](source)[i], highest), lowest))
        copy_bytes(target, Ptr[u8](addressof(out)), width)

    return operation


INTERLEAVE = {
    "PUNPCKLBW": (u8, False), "PUNPCKLWD": (u16, False), "PUNPCKLDQ": (u32, False), "PUNPCKLQDQ": (u64, False),
    "PUNPCKHBW": (u8, True), "PUNPCKHWD": (u16, True), "PUNPCKHDQ": (u32, True), "PUNPCKHQDQ": (u64, True),
    "UNPCKLPS": (u32, False), "UNPCKLPD": (u64, False), "UNPCKHPS": (u32, True), "UNPCKHPD": (u64, True),
}  # fmt: skip
PACK = {"PACKSSWB": (i16, i8), "PACKSSDW": (i32, i16), "PACKUSWB": (i16, u8), "PACKUSDW": (i32, u16)}


# -- shuffle ------------------------------------------------------------------------------------------------


@cache
def shuffle_words(first: int, kind: type, width: int) -> Function:
    """PSHUFW, PSHUFLW, PSHUFHW, PSHUFD: four lanes of the source, from `first` on, in any order; others are copied."""

    @function(symbol=f"emulator.tcg.shuffle.{kind}.{first}.{width}", inline="always")
    def operation(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
        out = Array[u8, width]()
        copy_bytes(Ptr[u8](addressof(out)), source, width)
        lanes = Ptr[kind](addressof(out))
        for i in range(4):
            lanes[first + i] = Ptr[kind](source)[first + (immediate >> (2 * i) & 3)]
        copy_bytes(target, Ptr[u8](addressof(out)), width)

    return operation


@function(inline="always")
def shuffle_singles(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
    """SHUFPS: two lanes of the target, then two of the source."""
    a = Ptr[u32](target)
    b = Ptr[u32](source)
    out = Array[u32, 4]()
    out[0] = a[immediate & 3]
    out[1] = a[immediate >> 2 & 3]
    out[2] = b[immediate >> 4 & 3]
    out[3] = b[immediate >> 6 & 3]
    copy_bytes(target, Ptr[u8](addressof(out)), 16)


@function(inline="always")
def shuffle_doubles(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
    low = Ptr[u64](target)[immediate & 1]
    high = Ptr[u64](source)[immediate >> 1 & 1]
    Ptr[u64](target)[0] = low
    Ptr[u64](target)[1] = high


@cache
def shuffle_bytes(width: int) -> Function:
    """PSHUFB: bytes of the target by number; bit 7 makes a zero."""
    last = width - 1

    @function(symbol=f"emulator.tcg.pshufb{width}", inline="always")
    def operation(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
        out = Array[u8, width]()
        for i in range(width):
            number = source[i]
            out[i] = u8(0) if number & 0x80 else target[number & last]
        copy_bytes(target, Ptr[u8](addressof(out)), width)

    return operation


@cache
def align_right(width: int) -> Function:
    """PALIGNR: `width` bytes from byte `immediate` on of target and source, one above the other, and zeros."""
    double, triple = 2 * width, 3 * width

    @function(symbol=f"emulator.tcg.palignr{width}", inline="always")
    def operation(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
        bytes_ = Array[u8, triple]()
        copy_bytes(Ptr[u8](addressof(bytes_)), source, width)
        copy_bytes(Ptr[u8](addressof(bytes_[width])), target, width)
        copy_bytes(target, Ptr[u8](addressof(bytes_)) + min(immediate, double), width)

    return operation


# -- blend --------------------------------------------------------------------------------------------------


@cache
def blend(kind: type) -> Function:
    """BLENDPS, BLENDPD, PBLENDW: the lanes of the source whose bit in the immediate is set."""
    count = 16 // kind.size

    @function(symbol=f"emulator.tcg.blend.{kind}", inline="always")
    def operation(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
        for i in range(count):
            if immediate >> i & 1:
                Ptr[kind](target)[i] = Ptr[kind](source)[i]

    return operation


@cache
def blend_by_sign(kind: type) -> Function:
    """BLENDVPS, BLENDVPD, PBLENDVB: the lanes of the source whose lane in XMM0 has its highest bit set."""
    count = 16 // kind.size
    mask_kind = {u8: i8, u32: i32, u64: i64}[kind]

    @function(symbol=f"emulator.tcg.blendv.{kind}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        source = source_operand(core, op, 16, 15)
        if not source:
            return faulted(core, op)
        target = Ptr[kind](register(core, op.a))
        out = Array[kind, count]()
        for i in range(count):
            chosen = Ptr[mask_kind](register(core, XMM0))[i] < 0
            out[i] = Ptr[kind](source)[i] if chosen else target[i]
        copy_bytes(Ptr[u8](target), Ptr[u8](addressof(out)), 16)
        return op + 1

    return handler


# -- insert and extract -------------------------------------------------------------------------------------


@cache
def insert(kind: type, width: int) -> Function:
    """PINSR: a lane from a general register or memory."""
    last = width // kind.size - 1

    @function(symbol=f"emulator.tcg.insert.{kind}.{width}", inline="always")
    def operation(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
        Ptr[kind](target)[immediate & last] = Ptr[kind](source)[0]

    return operation


@function(inline="always")
def insert_single(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
    """INSERTPS of memory; of a register the immediate says which lane."""
    Ptr[u32](target)[immediate >> 4 & 3] = Ptr[u32](source)[0]
    for i in range(4):
        if immediate >> i & 1:
            Ptr[u32](target)[i] = 0


@function(inline="always")
def insert_single_lane(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
    insert_single(target, source + 4 * (immediate >> 6 & 3), immediate)


@cache
def extract(kind: type, width: int) -> Function:
    last = width // kind.size - 1

    @function(symbol=f"emulator.tcg.extract.{kind}.{width}", inline="always")
    def operation(source: Ptr[u8], immediate: u32) -> u64:
        return u64(Ptr[kind](source)[immediate & last])

    return operation


@cache
def _extract_handler(kind: type) -> Function:
    """PEXTRB, PEXTRW, PEXTRD, PEXTRQ and EXTRACTPS to a register or memory."""
    size = kind.size
    last = 16 // size - 1
    store = destination(size).store

    @function(symbol=f"emulator.tcg.pextr.{kind}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        lane = Ptr[kind](register(core, op.b)) + (u32(op.immediate) & last)
        if op.flags & IN_MEMORY:
            if not store(core, op, Ptr[u8](lane), 0):
                return faulted(core, op)
        else:
            Ptr[u64](register(core, op.a))[0] = u64(lane[0])
        return op + 1

    return handler


def _insert(form: Form, size: int, memory: bool) -> Function:
    code = form.operands[1]
    kind = {"b": u8, "w": u16, "y": u64 if size == 64 else u32}[code.memory_type]
    return computed(insert(kind, lane_bytes(form)), form, kind.size)


def _insert_single(form: Form, size: int, memory: bool) -> Function:
    return computed(insert_single if memory else insert_single_lane, form)


def _extract(form: Form, size: int, memory: bool) -> Function:
    if form.operands[0].method == "G":
        return extracted(extract(u16, 8 if is_mmx(form) else 16), form)
    kinds = {"b": u8, "w": u16, "d": u32, "y": u64 if size == 64 else u32}
    return _extract_handler(kinds[form.operands[0].memory_type])


@cache
def sign_bits(kind: type, width: int) -> Function:
    """PMOVMSKB, MOVMSKPS, MOVMSKPD: the highest bit of every lane."""
    count = width // kind.size

    @function(symbol=f"emulator.tcg.signs.{kind}.{width}", inline="always")
    def operation(source: Ptr[u8], immediate: u32) -> u64:
        found: u64 = 0
        for i in range(count):
            found |= u64(Ptr[kind](source)[i] < 0) << i
        return found

    return operation


# -- test ---------------------------------------------------------------------------------------------------


@function
def test_bits(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    """PTEST: ZF = no common bit, CF = no bit of the source outside the target."""
    source = source_operand(core, op, 16, 15)
    if not source:
        return faulted(core, op)
    a = Ptr[u128](register(core, op.a))[0]
    b = Ptr[u128](source)[0]
    set_status(core, (ZF if a & b == 0 else u64(0)) | (CF if ~a & b == 0 else u64(0)))
    return op + 1


def _by_width(make, *arguments):
    return lambda form, size, memory: computed(make(*arguments, lane_bytes(form)), form)


def _fixed(operation):
    return lambda form, size, memory: computed(operation, form)


HANDLERS = {name: _by_width(interleave, *arguments) for name, arguments in INTERLEAVE.items()}
HANDLERS |= {name: _by_width(pack, *arguments) for name, arguments in PACK.items()}
HANDLERS |= {
    "PSHUFW": _fixed(shuffle_words(0, u16, 8)),
    "PSHUFLW": _fixed(shuffle_words(0, u16, 16)),
    "PSHUFHW": _fixed(shuffle_words(4, u16, 16)),
    "PSHUFD": _fixed(shuffle_words(0, u32, 16)),
    "SHUFPS": _fixed(shuffle_singles),
    "SHUFPD": _fixed(shuffle_doubles),
    "PSHUFB": _by_width(shuffle_bytes),
    "PALIGNR": _by_width(align_right),
    "BLENDPS": _fixed(blend(u32)),
    "BLENDPD": _fixed(blend(u64)),
    "PBLENDW": _fixed(blend(u16)),
    "BLENDVPS": lambda form, size, memory: blend_by_sign(u32),
    "BLENDVPD": lambda form, size, memory: blend_by_sign(u64),
    "PBLENDVB": lambda form, size, memory: blend_by_sign(u8),
    "PINSRB": _insert,
    "PINSRW": _insert,
    "PINSRD": _insert,
    "INSERTPS": _insert_single,
    "PEXTRB": _extract,
    "PEXTRW": _extract,
    "PEXTRD": _extract,
    "EXTRACTPS": _extract,
    "PMOVMSKB": lambda form, size, memory: extracted(sign_bits(i8, 8 if is_mmx(form) else 16), form),
    "MOVMSKPS": lambda form, size, memory: extracted(sign_bits(i32, 16), form),
    "MOVMSKPD": lambda form, size, memory: extracted(sign_bits(i64, 16), form),
    "PTEST": lambda form, size, memory: test_bits,
}
