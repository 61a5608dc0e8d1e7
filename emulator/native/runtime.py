"""What the Python mode of compiled functions calls: memory, division, and the intrinsics by their names.

Values are plain `int`, `bool` and `float`, always within their type; an address is an `int`.  Each helper says
in Python what the LLVM IR of the same operation does.  Memory is read and written where native code would, so a
wild pointer is as fatal here as there; only the bounds of arrays and tables are checked.
"""

from __future__ import annotations

import ctypes
import math
import struct
from collections.abc import Callable
from typing import Any

from .types import BOOL, FloatType, FnPtrType, IntType, Type

ADDRESS_MASK = (1 << 64) - 1


def loader(kind: Type) -> Callable[[int], Any]:
    """A function that reads a value of this type at an address."""
    if kind is BOOL:
        return lambda address: ctypes.c_uint8.from_address(address).value != 0
    if isinstance(kind, IntType) and kind.bits == 128:
        return lambda address: kind.wrap(int.from_bytes(ctypes.string_at(address, 16), "little"))
    ctype = kind.ctype
    return lambda address: ctype.from_address(address).value


def storer(kind: Type) -> Callable[[Any, int], None]:
    """A function that writes a value of this type at an address."""
    if isinstance(kind, IntType) and kind.bits == 128:
        return lambda value, address: _copy_in(address, (value & kind.mask).to_bytes(16, "little"))
    ctype = ctypes.c_uint8 if kind is BOOL else kind.ctype

    def store(value: Any, address: int) -> None:
        ctype.from_address(address).value = value

    return store


def _copy_in(address: int, data: bytes) -> None:
    ctypes.memmove(address, data, len(data))


def check_index(index: int, length: int) -> int:
    if not 0 <= index < length:
        raise IndexError(f"index {index} is outside the array's {length} elements")
    return index


def clear(size: int) -> Any:
    """The memory of a local array or struct."""
    return (ctypes.c_uint64 * (-(-size // 8)))()


def call_pointer(signature: FnPtrType, address: int, *arguments: Any) -> Any:
    result = signature.prototype(address)(*arguments)
    return (result or 0) if signature.result.ctype is not None else None


# -- arithmetic ---------------------------------------------------------------------------------------------


def shift_left(value: int, count: int, bits: int) -> int:
    return value << count if count < bits else 0


def shift_right(value: int, count: int, bits: int) -> int:
    return value >> min(count, bits)


def floor_divide(left: int, right: int) -> int:
    return left // right if right else 0


def remainder(left: int, right: int) -> int:
    return left % right if right else left


def distance(left: int, right: int, size: int) -> int:
    """Between two addresses in elements, rounded towards zero."""
    span = (left - right + (1 << 63) & ADDRESS_MASK) - (1 << 63)
    return abs(span) // size * (1 if span >= 0 else -1)


def float_divide(left: float, right: float) -> float:
    if right:
        return left / right
    if left == 0 or math.isnan(left) or math.isnan(right):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def round_f32(value: float) -> float:
    return ctypes.c_float(value).value


def float_to_int(value: float, kind: IntType) -> int:
    """Towards zero, held within the type; NaN is 0."""
    if math.isnan(value):
        return 0
    if math.isinf(value):
        return kind.max if value > 0 else kind.min
    return max(kind.min, min(kind.max, int(value)))


def int_to_float(value: int, kind: FloatType) -> float:
    """Rounded once, to nearest even: through a double it could be rounded twice."""
    spare = abs(value).bit_length() - 24
    if kind.bits == 32 and spare > 0:
        half, rest = 1 << spare - 1, abs(value) & (1 << spare) - 1
        kept = abs(value) >> spare
        kept += rest > half or (rest == half and kept & 1)
        value = (kept << spare) * (1 if value > 0 else -1)
    return float(value)


# -- intrinsics: the first parameters are the arguments, `kind` is the type of the result -------------------


def popcount(value: int, kind: IntType) -> int:
    return (value & kind.mask).bit_count()


def clz(value: int, kind: IntType) -> int:
    return kind.bits - (value & kind.mask).bit_length()


def ctz(value: int, kind: IntType) -> int:
    return (value & -value).bit_length() - 1 if value else kind.bits


def bswap(value: int, kind: IntType) -> int:
    size = kind.bits // 8
    return kind.wrap(int.from_bytes((value & kind.mask).to_bytes(size, "little"), "big"))


def mulhi(left: int, right: int, kind: IntType) -> int:
    return kind.wrap(left * right >> kind.bits)


def fshl(high: int, low: int, count: int, kind: IntType) -> int:
    """The upper half of high:low shifted left by count modulo the width."""
    joined = (high & kind.mask) << kind.bits | low & kind.mask
    return kind.wrap(joined << count % kind.bits >> kind.bits)


def fshr(high: int, low: int, count: int, kind: IntType) -> int:
    """The lower half of high:low shifted right by count modulo the width."""
    joined = (high & kind.mask) << kind.bits | low & kind.mask
    return kind.wrap(joined >> count % kind.bits)


def rotl(value: int, count: int, kind: IntType) -> int:
    return fshl(value, value, count, kind)


def rotr(value: int, count: int, kind: IntType) -> int:
    return fshr(value, value, count, kind)


def sign_extend(value: int, kind: IntType, bits: int) -> int:
    """Bit `bits` - 1 is the sign."""
    sign = 1 << bits - 1
    return kind.wrap((value & (sign << 1) - 1 ^ sign) - sign)


def likely(value: bool, kind: Type) -> bool:
    return value


unlikely = likely


def unreachable(kind: Type) -> None:
    raise AssertionError("unreachable() was reached")


def float_to_bits(value: float, kind: IntType) -> int:
    return int.from_bytes(struct.pack("<f" if kind.bits == 32 else "<d", value), "little")


def float_from_bits(value: int, kind: FloatType) -> float:
    number: float = struct.unpack("<f" if kind.bits == 32 else "<d", value.to_bytes(kind.bits // 8, "little"))[0]
    return number


def sqrt(value: float, kind: FloatType) -> float:
    root = math.sqrt(value) if value >= 0 else math.nan
    return round_f32(root) if kind.bits == 32 else root


def atomic_load(address: int, kind: IntType) -> int:
    value: int = loader(kind)(address)
    return value


def atomic_swap(address: int, value: int, kind: IntType) -> int:
    old = atomic_load(address, kind)
    storer(kind)(value, address)
    return old


def atomic_add(address: int, value: int, kind: IntType) -> int:
    return atomic_swap(address, kind.wrap(atomic_load(address, kind) + value), kind)


def atomic_and(address: int, value: int, kind: IntType) -> int:
    return atomic_swap(address, atomic_load(address, kind) & value, kind)


def atomic_or(address: int, value: int, kind: IntType) -> int:
    return atomic_swap(address, atomic_load(address, kind) | value, kind)


def atomic_xor(address: int, value: int, kind: IntType) -> int:
    return atomic_swap(address, atomic_load(address, kind) ^ value, kind)


def atomic_cas(address: int, expected: int, new: int, kind: IntType) -> int:
    old = atomic_load(address, kind)
    if old == expected:
        storer(kind)(new, address)
    return old


def copy_bytes(target: int, source: int, count: int, kind: Type) -> None:
    ctypes.memmove(target, source, count)


def fill_bytes(target: int, value: int, count: int, kind: Type) -> None:
    ctypes.memset(target, value, count)
