"""Structs and constant tables: the memory that compiled code and Python share.

`@struct` turns a class of annotations into a `StructType`.  Its layout is that of a `ctypes.Structure` (natural
alignment unless packed), so ctypes and numpy (`numpy.dtype(Cpu.ctype)`) see the same fields:

    @struct
    class Segment:
        base: u64
        limit: u32

    seg = Segment()            # a zeroed ctypes instance
    seg.base = 0x1000
    Segment.offset("limit")    # 8

`table(u8, values)` is an array of constants, placed in the unit's read-only data.
"""

from __future__ import annotations

import ctypes
import hashlib
import sys
from collections.abc import Callable, Iterable
from typing import Any, overload

from .types import FloatType, IntType, Type, resolve


class StructType(Type):
    """A struct: named fields, each a scalar, an array or another struct."""

    is_scalar = False

    def __init__(self, name: str, doc: str | None = None) -> None:
        super().__init__(name, "ptr", "", None)
        self.__doc__ = doc
        self.fields: dict[str, Type] = {}

    def define(self, fields: dict[str, Type], packed: bool) -> None:
        """Fix the fields; apart from the constructor because a field may be a pointer to this very struct."""
        layout: dict[str, Any] = {"_fields_": [(name, t.ctype) for name, t in fields.items()]}
        if packed:
            layout["_pack_"] = 1
        self.fields = fields
        self.ctype = type(self.name, (ctypes.Structure,), layout)

    def offset(self, field: str) -> int:
        """The byte offset of a field; dotted for fields of inner structs."""
        first, _, rest = field.partition(".")
        if first not in self.fields:
            raise KeyError(f"struct {self.name} has no field {first!r}")
        here: int = getattr(self.ctype, first).offset
        if not rest:
            return here
        inner = self.fields[first]
        if not isinstance(inner, StructType):
            raise KeyError(f"{self.name}.{first} is not a struct")
        return here + inner.offset(rest)

    def describe(self) -> str:
        """The layout as text, for the keys of the units that use it."""
        parts = (f"{name}@{self.offset(name)}: {t}" for name, t in self.fields.items())
        return f"struct {self.name}({', '.join(parts)}; {self.size})"

    def __call__(self, *values: Any, **fields: Any) -> Any:
        """A new struct of zeros: a local in compiled code, a ctypes structure in ordinary Python."""
        return self.ctype(*values, **fields)

    def __repr__(self) -> str:
        return f"<struct {self.name}, {self.size} bytes>"


@overload
def struct(cls: type) -> StructType: ...
@overload
def struct(*, packed: bool = False) -> Callable[[type], StructType]: ...
def struct(cls: type | None = None, *, packed: bool = False) -> Any:
    """Declare a struct from a class whose body is annotations."""
    caller = sys._getframe(1)
    if cls is None:
        return lambda body: _declare(body, packed, caller.f_globals, dict(caller.f_locals))
    return _declare(cls, packed, caller.f_globals, dict(caller.f_locals))


def _declare(cls: type, packed: bool, module: dict[str, Any], local: dict[str, Any]) -> StructType:
    made = StructType(cls.__name__, cls.__doc__)
    local[cls.__name__] = made
    fields: dict[str, Type] = {}
    for name, annotation in cls.__annotations__.items():
        value = eval(annotation, module, local) if isinstance(annotation, str) else annotation
        found = resolve(value)
        if found is None or found.ctype is None:
            raise TypeError(f"field {cls.__name__}.{name}: {annotation!r} is not a type of emulator.native")
        fields[name] = found
    if not fields:
        raise TypeError(f"struct {cls.__name__} has no fields")
    made.define(fields, packed)
    return made


class Table:
    """A constant array: `TABLE[i]` in compiled code, an ordinary sequence in Python."""

    def __init__(self, element: Type, values: Iterable[Any]) -> None:
        if not isinstance(element, IntType | FloatType) or element.size > 8:
            raise TypeError(f"a table holds integers or floats of at most 64 bits, not {element}")
        self.element = element
        self.values = tuple(values)
        if not self.values:
            raise ValueError("a table has at least one value")
        if isinstance(element, IntType):
            for index, value in enumerate(self.values):
                if not element.holds(value):
                    raise ValueError(f"table value {value} at index {index} does not fit {element}")
        self.memory = (element.ctype * len(self.values))(*self.values)

    @property
    def address(self) -> int:
        return ctypes.addressof(self.memory)

    def describe(self) -> str:
        """The contents as text, for the keys of the units that use it."""
        return f"table {self.element} {hashlib.sha256(bytes(self.memory)).hexdigest()}"

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> Any:
        return self.values[index]


def table(element: Type, values: Iterable[Any]) -> Table:
    """Declare a table of constants of one scalar type."""
    return Table(element, values)
