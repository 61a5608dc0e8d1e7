"""The typed tree: what a function means once its types are known.

`check` makes it from the Python syntax tree; `emit` turns it into LLVM IR and `reference` into Python.  Each
expression has exactly one type and every conversion is a node, so neither back end decides anything about types:
that is what keeps the two modes equal.  An array or struct is represented by its address (a `Ptr` to it).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .types import FnPtrType, Type

if TYPE_CHECKING:
    from .function import Function
    from .intrinsics import Intrinsic
    from .layout import Table


class _Untyped(Type):
    """The type of a constant before its neighbour has given it one."""


UNTYPED = _Untyped("constant", "", "", None)


@dataclass(slots=True)
class Expr:
    type: Type


@dataclass(slots=True)
class Const(Expr):
    value: Any


@dataclass(slots=True)
class Var(Expr):
    name: str


@dataclass(slots=True)
class Neg(Expr):
    operand: Expr


@dataclass(slots=True)
class Invert(Expr):
    operand: Expr


@dataclass(slots=True)
class Not(Expr):
    operand: Expr


@dataclass(slots=True)
class Binary(Expr):
    """Arithmetic.  Both operands have the node's type, but a shift's count is any unsigned integer."""

    op: str
    left: Expr
    right: Expr


@dataclass(slots=True)
class Compare(Expr):
    """`a < b < c`: each pair is compared in the type `pairs` names; evaluation stops at the first false."""

    ops: list[str]
    operands: list[Expr]
    pairs: list[Type]


@dataclass(slots=True)
class Member(Expr):
    """`x in (1, 2, 3)` for constants."""

    operand: Expr
    values: list[int]


@dataclass(slots=True)
class Logical(Expr):
    """`and`, `or` of truth values; evaluation stops as soon as the answer is known."""

    op: str
    operands: list[Expr]


@dataclass(slots=True)
class Choice(Expr):
    """`a if test else b`."""

    test: Expr
    yes: Expr
    no: Expr


@dataclass(slots=True)
class Convert(Expr):
    operand: Expr


@dataclass(slots=True)
class Load(Expr):
    address: Expr


@dataclass(slots=True)
class Field(Expr):
    """The address of a struct's field."""

    base: Expr
    offset: int


@dataclass(slots=True)
class Element(Expr):
    """The address of element `index`; `length` is that of the array, None behind a plain pointer."""

    base: Expr
    index: Expr
    size: int
    length: int | None


@dataclass(slots=True)
class Distance(Expr):
    """`p - q` in elements."""

    left: Expr
    right: Expr
    size: int


@dataclass(slots=True)
class TableAddress(Expr):
    table: Table


@dataclass(slots=True)
class Local(Expr):
    """The address of a local array or struct."""

    name: str


@dataclass(slots=True)
class Call(Expr):
    function: Function
    arguments: list[Expr]


@dataclass(slots=True)
class CallPointer(Expr):
    signature: FnPtrType
    pointer: Expr
    arguments: list[Expr]


@dataclass(slots=True)
class Apply(Expr):
    """An intrinsic; `extra` is what it needs beside its arguments (a constant, a name)."""

    intrinsic: Intrinsic
    arguments: list[Expr]
    extra: Any = None


@dataclass(slots=True)
class Stmt:
    line: int


@dataclass(slots=True)
class Assign(Stmt):
    name: str
    value: Expr


@dataclass(slots=True)
class Store(Stmt):
    """The value is evaluated before the address, as in Python."""

    address: Expr
    value: Expr


@dataclass(slots=True)
class Clear(Stmt):
    """The declaration of a local array or struct: it is zero from here on."""

    name: str


@dataclass(slots=True)
class Evaluate(Stmt):
    value: Expr


@dataclass(slots=True)
class Assert(Stmt):
    """Checked in Python mode only."""

    test: Expr
    message: str


@dataclass(slots=True)
class If(Stmt):
    test: Expr
    body: list[Stmt]
    orelse: list[Stmt]


@dataclass(slots=True)
class Switch(Stmt):
    """`match` on constants."""

    subject: Expr
    cases: list[tuple[list[int], list[Stmt]]]
    default: list[Stmt]


@dataclass(slots=True)
class While(Stmt):
    test: Expr
    body: list[Stmt]


@dataclass(slots=True)
class ForRange(Stmt):
    """Bounds are evaluated once, and a store to the variable in the body does not change the count."""

    name: str
    start: Expr
    stop: Expr
    step: int
    body: list[Stmt]


@dataclass(slots=True)
class Break(Stmt):
    pass


@dataclass(slots=True)
class Continue(Stmt):
    pass


@dataclass(slots=True)
class Return(Stmt):
    value: Expr | None


@dataclass(slots=True)
class Body:
    """A checked function."""

    parameters: list[tuple[str, Type]]
    result: Type
    statements: list[Stmt]
    variables: dict[str, Type] = field(default_factory=dict)
    calls: list[Function] = field(default_factory=list)
