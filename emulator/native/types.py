"""The types of the language: integers of stated width, floats, bool, pointers, arrays, function pointers.

A type is an object that is used three ways: as an annotation (`x: u32`), as an explicit conversion (`u8(x)`,
which wraps in compiled code and in ordinary Python alike), and by the compiler, which asks it for its LLVM
names and its ctypes class.  Each type exists once (`Ptr[u8] is Ptr[u8]`), so types are compared by identity.

Memory layout is decided by ctypes and by nothing else.  Pointers and function pointers lie in memory as 64-bit
integers, and `bool` as one byte that is true when it is not zero.
"""

from __future__ import annotations

import builtins
import ctypes
from functools import cache
from typing import Any


class Type:
    """What every type answers: its name, its LLVM names as a value and in memory, and its ctypes class."""

    is_scalar = True
    """Can a variable of this type be held in a register?  Arrays and structs live in memory only."""

    def __init__(self, name: str, ir: str, memory_ir: str, ctype: Any) -> None:
        self.name = name
        self.ir = ir
        self.memory_ir = memory_ir
        self.ctype = ctype

    @property
    def size(self) -> int:
        return ctypes.sizeof(self.ctype)

    def __str__(self) -> str:
        return self.name

    __repr__ = __str__


class IntType(Type):
    """An integer of `bits` bits.  Every result is the mathematical one, wrapped to this type."""

    def __init__(self, bits: int, signed: bool) -> None:
        kind = f"{'' if signed else 'u'}int{bits}"
        ctype = ctypes.c_uint64 * 2 if bits == 128 else getattr(ctypes, f"c_{kind}")
        super().__init__(f"{'i' if signed else 'u'}{bits}", f"i{bits}", f"i{bits}", ctype)
        self.bits = bits
        self.signed = signed
        self.mask = (1 << bits) - 1
        self.min = -(1 << bits - 1) if signed else 0
        self.max = self.mask >> 1 if signed else self.mask

    def holds(self, value: int) -> bool:
        return self.min <= value <= self.max

    def wrap(self, value: int) -> int:
        value &= self.mask
        return value - self.mask - 1 if value > self.max else value

    def __call__(self, value: Any) -> int:
        """The explicit conversion, as ordinary Python."""
        return self.wrap(int(value))


class FloatType(Type):
    """An IEEE 754 binary float, rounded to nearest even."""

    def __init__(self, bits: int) -> None:
        ir, ctype = {32: ("float", ctypes.c_float), 64: ("double", ctypes.c_double)}[bits]
        super().__init__(f"f{bits}", ir, ir, ctype)
        self.bits = bits

    def __call__(self, value: Any) -> float:
        """The explicit conversion, as ordinary Python."""
        return float(self.ctype(value).value)


class PtrType(Type):
    """`Ptr[T]`, the address of a T.  Pointers to structs and arrays are how these are passed about."""

    def __init__(self, target: Type) -> None:
        super().__init__(f"Ptr[{target}]", "ptr", "ptr", ctypes.c_uint64)
        self.target = target

    def __call__(self, value: Any) -> int:
        """The explicit conversion, as ordinary Python: an address is an integer there."""
        return int(value) & (1 << 64) - 1


class ArrayType(Type):
    """`Array[T, n]`, n elements one after the other: a field, a local variable, or a pointer's target."""

    is_scalar = False

    def __init__(self, element: Type, length: int) -> None:
        super().__init__(f"Array[{element}, {length}]", "ptr", "", element.ctype * length)
        self.element = element
        self.length = length

    def __call__(self) -> Any:
        """A new array of zeros: a local in compiled code, a ctypes array in ordinary Python."""
        return self.ctype()


class FnPtrType(Type):
    """`FnPtr[[A, B], R]`, the address of a C function: how compiled code calls back into Python."""

    def __init__(self, parameters: tuple[Type, ...], result: Type) -> None:
        super().__init__(f"FnPtr[[{', '.join(map(str, parameters))}], {result}]", "ptr", "ptr", ctypes.c_uint64)
        self.parameters = parameters
        self.result = result
        self.prototype = ctypes.CFUNCTYPE(result.ctype, *(t.ctype for t in parameters))

    def __call__(self, function: Any) -> Any:
        """`FnPtr[...](callable)`: a callback.  Keep it alive as long as native code may call it."""
        return self.prototype(function)


BOOL = Type("bool", "i1", "i8", ctypes.c_bool)
"""The type of comparisons, written `bool`."""
VOID = Type("None", "void", "void", None)
"""The result of a function that returns nothing, written `None`."""


def resolve(annotation: Any) -> Type | None:
    """The type that an annotation's value stands for; None when it is no type of the language."""
    if isinstance(annotation, Type):
        return annotation
    if annotation is builtins.bool:
        return BOOL
    return VOID if annotation is None else None


def _part(annotation: Any) -> Type:
    found = resolve(annotation)
    if found is None or found is VOID:
        raise TypeError(f"{annotation!r} is not a type of emulator.native")
    return found


class _PtrMaker:
    """Makes `Ptr[T]` a type."""

    def __getitem__(self, target: Any) -> PtrType:
        return _pointer(_part(target))


class _ArrayMaker:
    """Makes `Array[T, n]` a type."""

    def __getitem__(self, item: tuple[Any, int]) -> ArrayType:
        element, length = item
        if not isinstance(length, int) or length < 1:
            raise TypeError(f"the length of an Array is a positive integer, not {length!r}")
        return _array(_part(element), length)


class _FnPtrMaker:
    """Makes `FnPtr[[A, B], R]` a type."""

    def __getitem__(self, item: tuple[list[Any], Any]) -> FnPtrType:
        parameters, result = item
        return _function_pointer(tuple(map(_part, parameters)), VOID if result is None else _part(result))


_pointer = cache(PtrType)
_array = cache(ArrayType)
_function_pointer = cache(FnPtrType)

Ptr = _PtrMaker()
Array = _ArrayMaker()
FnPtr = _FnPtrMaker()

u8, u16, u32, u64, u128 = (IntType(bits, False) for bits in (8, 16, 32, 64, 128))
i8, i16, i32, i64, i128 = (IntType(bits, True) for bits in (8, 16, 32, 64, 128))
f32, f64 = FloatType(32), FloatType(64)
UNSIGNED = {kind.bits: kind for kind in (u8, u16, u32, u64, u128)}


def converts(source: Type, target: Type) -> bool:
    """Is the conversion implicit?  Only those that keep every value (and an array's name for its address)."""
    if source is target:
        return True
    if isinstance(target, IntType):
        if source is BOOL:
            return True
        return isinstance(source, IntType) and target.min <= source.min and source.max <= target.max
    if isinstance(target, FloatType):
        return isinstance(source, FloatType) and source.bits < target.bits
    if isinstance(source, PtrType) and isinstance(target, PtrType):
        return isinstance(source.target, ArrayType) and source.target.element is target.target
    return False


def common(left: Type, right: Type) -> Type | None:
    """The type of both operands of a binary operator: the wider one, when it holds all values of the other."""
    if converts(left, right):
        return right
    if converts(right, left):
        return left
    return None
