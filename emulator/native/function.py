"""`@function`: a Python function in the compiled subset.

Declaring one costs nothing: it is parsed and checked when it is first called or compiled.  Calling it runs it as
ordinary Python, with integers that wrap and memory that is shared with native code; that is the reference of the
compiled code and the way to debug it.  A `Unit` turns functions into machine code.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from functools import cache, cached_property
from types import FunctionType
from typing import TYPE_CHECKING, Any, Literal, overload

from .layout import StructType, Table
from .source import Source
from .types import VOID, ArrayType, FnPtrType, PtrType, Type, resolve

if TYPE_CHECKING:
    import ast

    from .tree import Body

Inline = Literal["always", "never", "auto"]
Signature = tuple[list[tuple[str, Type]], Type]


class Function:
    """A function of the compiled subset.  `symbol` is its name in the object file and in raw IR."""

    def __init__(self, python: FunctionType, inline: Inline = "auto", symbol: str | None = None) -> None:
        self.name = python.__name__
        self.symbol = symbol or f"{python.__module__}.{python.__qualname__}"
        self.inline = inline
        self.source = Source(python)
        self.__doc__ = python.__doc__
        self.__name__ = python.__name__
        self.__wrapped__ = python

    @cached_property
    def signature(self) -> Signature:
        """The parameters with their types, and the type of the result."""
        node = self.source.definition()
        extra = [*node.args.posonlyargs, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
        if any(extra) or node.args.defaults:
            self.source.fail(node, "parameters are positional, without defaults")
        parameters = [(arg.arg, self._annotation(arg, arg.annotation)) for arg in node.args.args]
        return parameters, VOID if node.returns is None else self._annotation(node, node.returns, result=True)

    def _annotation(self, place: ast.AST, annotation: ast.expr | None, result: bool = False) -> Type:
        if annotation is None:
            self.source.fail(place, "a parameter needs a type", "annotate it, as in x: u64")
        try:
            kind = resolve(self.source.evaluate(annotation))
        except (NameError, TypeError, AttributeError) as error:
            self.source.fail(annotation, f"this is not a type: {error}")
        if kind is None or (kind is VOID and not result):
            self.source.fail(annotation, "this is not a type of emulator.native")
        if not kind.is_scalar:
            self.source.fail(annotation, f"a {kind} is passed by its address", f"write Ptr[{kind}]")
        return kind

    @cached_property
    def body(self) -> Body:
        """The checked function."""
        from .check import check

        return check(self)

    @cached_property
    def reference(self) -> Callable[..., Any]:
        """The function as Python: arguments are not converted, they have to be values of their types."""
        from .reference import make_reference

        return make_reference(self)

    @cached_property
    def prototype(self) -> Any:
        """The ctypes type of the compiled function."""
        parameters, result = self.signature
        for kind in (result, *(t for _, t in parameters)):
            if kind.name in ("u128", "i128"):
                self.source.fail(self.source.definition(), f"{self.name} cannot be called from Python with a {kind}")
        return c_prototype(result, *(t for _, t in parameters))

    def __call__(self, *arguments: Any) -> Any:
        """Run as ordinary Python.  Pointers may be addresses, or ctypes objects as for the compiled function."""
        parameters, _ = self.signature
        if len(arguments) != len(parameters):
            raise TypeError(f"{self.name} takes {len(parameters)} arguments, {len(arguments)} given")
        return self.reference(*(_convert(a, t) for a, (_, t) in zip(arguments, parameters, strict=True)))

    def dependencies(self) -> Iterator[Function | StructType | Table | tuple[str, Any]]:
        """What the text mentions: functions, layouts, tables, and types and constants with their names."""
        for name in sorted(self.source.names()):
            value = self.source.lookup(name)
            if isinstance(value, Function | Table):
                yield value
            elif isinstance(value, Type):
                yield name, str(value)
                yield from reachable_structs(value)
            elif isinstance(value, int | float):
                yield name, value

    def __repr__(self) -> str:
        return f"<compiled function {self.symbol}>"


@overload
def function(python: Callable[..., Any]) -> Function: ...
@overload
def function(*, inline: Inline = "auto", symbol: str | None = None) -> Callable[[Callable[..., Any]], Function]: ...
def function(python: Any = None, *, inline: Inline = "auto", symbol: str | None = None) -> Any:
    """Declare a compiled function.  `symbol` renames it, for functions made in a loop or by a factory."""
    if python is None:
        return lambda wrapped: Function(wrapped, inline, symbol)
    return Function(python, inline, symbol)


@cache
def reachable_structs(kind: Type) -> tuple[StructType, ...]:
    """`structs_of`, remembered: keys ask for the same few types thousands of times."""
    return tuple(structs_of(kind))


def structs_of(kind: Type, seen: set[Type] | None = None) -> Iterator[StructType]:
    """The structs that a type reaches, through pointers and fields too."""
    seen = set() if seen is None else seen
    if kind in seen:
        return
    seen.add(kind)
    if isinstance(kind, StructType):
        yield kind
        for inner in kind.fields.values():
            yield from structs_of(inner, seen)
    elif isinstance(kind, PtrType):
        yield from structs_of(kind.target, seen)
    elif isinstance(kind, ArrayType):
        yield from structs_of(kind.element, seen)
    elif isinstance(kind, FnPtrType):
        for part in (*kind.parameters, kind.result):
            yield from structs_of(part, seen)


def c_prototype(result: Type, *parameters: Type) -> Any:
    """The ctypes type of a compiled function: pointers go in as `c_void_p`, and come out as integers."""
    return ctypes.CFUNCTYPE(result.ctype, *(ctypes.c_void_p if t.ir == "ptr" else t.ctype for t in parameters))


def _convert(value: Any, kind: Type) -> Any:
    """An argument from outside, as a value of the Python mode."""
    if isinstance(kind, PtrType | FnPtrType):
        return value if isinstance(value, int) else ctypes.cast(value, ctypes.c_void_p).value or 0
    return kind(value) if callable(kind) else bool(value)
