"""One LLVM module as text, and how names, constants and types are spelled in it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from .types import BOOL, FloatType, IntType, Type

if TYPE_CHECKING:
    from .function import Function
    from .layout import Table


class Module:
    """The text of one LLVM module: functions, the tables they use, and declarations of what is elsewhere."""

    def __init__(self) -> None:
        self.definitions: list[str] = []
        self.declarations: dict[str, str] = {}
        self.tables: dict[int, str] = {}

    def declare_function(self, function: Function) -> None:
        """A function that another unit provides."""
        parameters, result = function.signature
        types = ", ".join(t.ir for _, t in parameters)
        symbol = quoted(function.symbol)
        self.declarations[symbol] = f"declare {extension(result)}{result.ir} {symbol}({types})"

    def table(self, table: Table) -> str:
        """The name of a table's data."""
        if id(table) not in self.tables:
            name = self.tables[id(table)] = f'@"table.{len(self.tables)}"'
            ir = table.element.ir
            values = ", ".join(f"{ir} {literal(table.element, value)}" for value in table.values)
            kind = f"[{len(table)} x {ir}]"
            self.definitions.append(f"{name} = private unnamed_addr constant {kind} [{values}], align 64\n")
        return self.tables[id(table)]

    def text(self) -> str:
        return "\n".join([*self.declarations.values(), "", *self.definitions])


def literal(kind: Type, value: Any) -> str:
    """A constant as an LLVM operand."""
    if kind is BOOL:
        return "true" if value else "false"
    if isinstance(kind, FloatType):
        return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016x}"
    if isinstance(kind, IntType):
        return str(value - kind.mask - 1 if value > kind.mask >> 1 else value)
    raise AssertionError(f"no constants of type {kind}")


def quoted(symbol: str) -> str:
    """A symbol as it is written in IR."""
    return f'@"{symbol}"'


def extension(kind: Type) -> str:
    """How the C calling conventions widen a small value."""
    if kind is BOOL:
        return "zeroext "
    if isinstance(kind, IntType) and kind.bits < 64:
        return "signext " if kind.signed else "zeroext "
    return ""
