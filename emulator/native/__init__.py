"""Compiled functions: a typed subset of Python, turned into machine code by LLVM and cached on disk.

    from emulator.native import Ptr, Unit, function, u32, u64

    @function
    def total(values: Ptr[u32], count: u64) -> u64:
        sum: u64 = 0
        for i in range(count):
            sum += values[i]
        return sum

    total(array, 3)                              # as ordinary Python, the reference
    Unit("example", [total]).load().total(array, 3)   # as machine code

docs/native-compiler.md describes the language.  Importing this package loads neither LLVM nor the compiler itself;
that happens when a unit is loaded.
"""

from .errors import BuildError, CompileError, NativeError
from .function import Function, function
from .intrinsics import (
    addressof,
    atomic_add,
    atomic_and,
    atomic_cas,
    atomic_load,
    atomic_or,
    atomic_store,
    atomic_swap,
    atomic_xor,
    bswap,
    clz,
    copy_bytes,
    ctz,
    fill_bytes,
    float_from_bits,
    float_to_bits,
    fshl,
    fshr,
    likely,
    mulhi,
    popcount,
    rotl,
    rotr,
    sign_extend,
    sizeof,
    sqrt,
    unlikely,
    unreachable,
)
from .layout import StructType, Table, struct, table
from .types import Array, FnPtr, Ptr, f32, f64, i8, i16, i32, i64, i128, u8, u16, u32, u64, u128
from .unit import Export, RawIR, Unit, source_key

__all__ = [
    "Array",
    "BuildError",
    "CompileError",
    "Export",
    "FnPtr",
    "Function",
    "NativeError",
    "Ptr",
    "RawIR",
    "StructType",
    "Table",
    "Unit",
    "addressof",
    "atomic_add",
    "atomic_and",
    "atomic_cas",
    "atomic_load",
    "atomic_or",
    "atomic_store",
    "atomic_swap",
    "atomic_xor",
    "bswap",
    "clz",
    "copy_bytes",
    "ctz",
    "f32",
    "f64",
    "fill_bytes",
    "float_from_bits",
    "float_to_bits",
    "fshl",
    "fshr",
    "function",
    "i8",
    "i16",
    "i32",
    "i64",
    "i128",
    "likely",
    "mulhi",
    "popcount",
    "rotl",
    "rotr",
    "sign_extend",
    "sizeof",
    "source_key",
    "sqrt",
    "struct",
    "table",
    "u8",
    "u16",
    "u32",
    "u64",
    "u128",
    "unlikely",
    "unreachable",
]
