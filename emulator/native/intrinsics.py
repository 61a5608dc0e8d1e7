"""Operations that have no operator: bit counting, rotations, high products, hints, atomics, block copies.

These are names only, so that importing them is quick.  `intrinsic_rules` says which arguments each takes and which
LLVM IR it becomes; `runtime` has a function of the same name for the Python mode.
"""

from __future__ import annotations

from typing import Any


class Intrinsic:
    """One operation; it has a meaning in compiled functions only."""

    def __init__(self, name: str, meaning: str) -> None:
        self.name = name
        self.__doc__ = meaning

    def __call__(self, *_: Any) -> Any:
        raise TypeError(f"{self.name} has a meaning in compiled functions only")

    def __repr__(self) -> str:
        return f"<intrinsic {self.name}>"


popcount = Intrinsic("popcount", "The number of one bits.")
clz = Intrinsic("clz", "The number of zero bits above the highest one bit; the width for 0.")
ctz = Intrinsic("ctz", "The number of zero bits below the lowest one bit; the width for 0.")
bswap = Intrinsic("bswap", "The bytes in reverse order.")
mulhi = Intrinsic("mulhi", "The upper half of the product.")
rotl = Intrinsic("rotl", "rotl(x, n): rotated left by n modulo the width.")
rotr = Intrinsic("rotr", "rotr(x, n): rotated right by n modulo the width.")
fshl = Intrinsic("fshl", "fshl(high, low, n): the upper half of high:low shifted left by n modulo the width.")
fshr = Intrinsic("fshr", "fshr(high, low, n): the lower half of high:low shifted right by n modulo the width.")
minimum = Intrinsic("min", "The smaller of two integers, written min.")
maximum = Intrinsic("max", "The larger of two integers, written max.")
sign_extend = Intrinsic("sign_extend", "sign_extend(x, bits): bit number bits - 1 repeated through all higher bits.")
likely = Intrinsic("likely", "A condition that is mostly true.")
unlikely = Intrinsic("unlikely", "A condition that is mostly false.")
unreachable = Intrinsic("unreachable", "Control never arrives here; if it does, native code does anything.")
float_to_bits = Intrinsic("float_to_bits", "The bits of an f32 as u32, of an f64 as u64.")
float_from_bits = Intrinsic("float_from_bits", "The f32 with these bits of a u32, the f64 of a u64.")
sqrt = Intrinsic("sqrt", "The square root of a float, correctly rounded.")
addressof = Intrinsic("addressof", "addressof(p.field), addressof(p[i]): the pointer to it.")
sizeof = Intrinsic("sizeof", "The size of a type in bytes.")
atomic_load = Intrinsic("atomic_load", "atomic_load(p): sequentially consistent, as all atomics here.")
atomic_store = Intrinsic("atomic_store", "atomic_store(p, value).")
atomic_add = Intrinsic("atomic_add", "atomic_add(p, value): the value before.")
atomic_and = Intrinsic("atomic_and", "atomic_and(p, value): the value before.")
atomic_or = Intrinsic("atomic_or", "atomic_or(p, value): the value before.")
atomic_xor = Intrinsic("atomic_xor", "atomic_xor(p, value): the value before.")
atomic_swap = Intrinsic("atomic_swap", "atomic_swap(p, value): the value before.")
atomic_cas = Intrinsic(
    "atomic_cas", "atomic_cas(p, expected, new): the value before; new is stored if that was expected."
)
copy_bytes = Intrinsic("copy_bytes", "copy_bytes(target, source, count), which may overlap.")
fill_bytes = Intrinsic("fill_bytes", "fill_bytes(target, byte, count).")
