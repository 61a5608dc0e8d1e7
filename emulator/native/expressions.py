"""Types of expressions: from Python's syntax tree to the typed tree.

The rules, in one place: an integer constant takes the type of its neighbour, if it fits; a value converts
implicitly only to a type that holds all values of its own; everything else is written, as in `u8(x)`.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable
from typing import Any, NoReturn

from . import intrinsic_rules, operators, tree
from .function import Function
from .intrinsics import Intrinsic, maximum, minimum
from .layout import StructType, Table
from .source import MISSING, Source, dotted_name
from .tree import UNTYPED, Expr
from .types import (
    BOOL,
    VOID,
    Array,
    ArrayType,
    FloatType,
    FnPtrType,
    IntType,
    Ptr,
    PtrType,
    Type,
    common,
    converts,
    i64,
    resolve,
    u64,
)


class Expressions:
    """Checks the expressions of one function.  `check` adds statements and variables."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.locals: set[str] = set()
        self.variables: dict[str, Type] = {}
        self.assigned: set[str] | None = set()
        self.calls: list[Any] = []

    def fail(self, node: ast.AST, message: str, hint: str = "") -> NoReturn:
        self.source.fail(node, message, hint)

    # -- entry points ---------------------------------------------------------------------------------------

    def expr(self, node: ast.expr) -> Expr:
        """Any expression; its type may still be UNTYPED if it is a constant."""
        known = self.constant(node)
        if known is not None:
            return known
        method: Callable[[Any], Expr] | None = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            self.fail(node, f"{_construct(node)} cannot be compiled", _HINTS.get(type(node), ""))
        return method(node)

    def value(self, node: ast.expr, wanted: Type | None = None) -> Expr:
        """An expression with a type; with `wanted`, of that type."""
        found = self.expr(node)
        if wanted is not None:
            return self.coerce(found, wanted, node)
        if found.type is UNTYPED:
            self.fail(node, "the type of this constant is not known here", "give it one, as in u32(...)")
        if found.type is VOID:
            self.fail(node, "this call returns nothing, so it cannot be used as a value")
        return found

    def truth(self, node: ast.expr) -> Expr:
        """An expression as a condition: numbers and pointers are true when they are not zero."""
        found = self.expr(node)
        if found.type is BOOL:
            return found
        if isinstance(found, tree.Const):
            return tree.Const(BOOL, builtins.bool(found.value))
        if found.type is UNTYPED or found.type is VOID:
            self.fail(node, f"a {found.type} cannot be a condition")
        return tree.Convert(BOOL, found)

    def constant(self, node: ast.expr) -> Expr | None:
        """A name that means a number or a table outside the function."""
        name = dotted_name(node)
        if name is None or name.partition(".")[0] in self.locals:
            return None
        value = self.source.lookup(name)
        if isinstance(value, builtins.bool):
            return tree.Const(BOOL, value)
        if isinstance(value, int):
            return tree.Const(UNTYPED, int(value))
        if isinstance(value, float):
            return tree.Const(UNTYPED, value)
        if isinstance(value, Table):
            return tree.TableAddress(Ptr[Array[value.element, len(value)]], value)
        return None

    # -- conversions ----------------------------------------------------------------------------------------

    def coerce(self, value: Expr, wanted: Type, node: ast.AST, bits: bool = False) -> Expr:
        """The implicit conversion, or an error.  `bits`: a negative constant may stand for its bit pattern."""
        if value.type is wanted:
            return value
        if value.type is UNTYPED:
            return self._coerce_constant(value, wanted, node, bits)
        if wanted is BOOL and isinstance(value.type, IntType):
            self.fail(node, f"expected bool, found {value.type}", "compare it, as in x != 0, or write bool(x)")
        if not converts(value.type, wanted):
            explicit = f"convert explicitly: {wanted}(...)" if _castable(value.type, wanted) else ""
            self.fail(node, f"expected {wanted}, found {value.type}", explicit)
        return tree.Convert(wanted, value)

    def _coerce_constant(self, value: Expr, wanted: Type, node: ast.AST, bits: bool) -> Expr:
        if isinstance(value, tree.Choice):
            yes, no = (self.coerce(arm, wanted, node, bits) for arm in (value.yes, value.no))
            return tree.Choice(wanted, value.test, yes, no)
        assert isinstance(value, tree.Const)
        number = value.value
        if isinstance(wanted, FloatType):
            return tree.Const(wanted, wanted(number))
        if not isinstance(wanted, IntType) or not isinstance(number, int):
            self.fail(node, f"the constant {number} is not a {wanted}")
        if bits and -(wanted.mask // 2) - 1 <= number < 0:
            number = wanted.wrap(number)
        if not wanted.holds(number):
            hint = f"widen the other operand, or wrap it: {wanted}({number})"
            self.fail(node, f"the constant {number} does not fit {wanted} ({wanted.min} to {wanted.max})", hint)
        return tree.Const(wanted, number)

    def unify(self, left: Expr, right: Expr, node: ast.AST, bits: bool = False) -> tuple[Expr, Expr]:
        """Both operands in their common type (both stay UNTYPED if they are)."""
        if left.type is UNTYPED and right.type is UNTYPED:
            return left, right
        if left.type is UNTYPED:
            return self.coerce(left, right.type, node, bits), right
        if right.type is UNTYPED:
            return left, self.coerce(right, left.type, node, bits)
        joint = common(left.type, right.type)
        if joint is None or joint is VOID:
            hint = f"convert one of them, as in {left.type}(...)" if _castable(right.type, left.type) else ""
            self.fail(node, f"{left.type} and {right.type} have no common type", hint)
        return self.coerce(left, joint, node), self.coerce(right, joint, node)

    def convert(self, wanted: Type, node: ast.Call) -> Expr:
        """`u8(x)`, `f64(x)`, `Ptr[Cpu](address)`: the explicit conversions."""
        if not wanted.is_scalar:
            hint = "make a local of it: x = " + ast.unparse(node)
            self.fail(node, f"a {wanted} is not a value", hint)
        if len(node.args) != 1 or node.keywords:
            self.fail(node, f"{wanted}(...) takes one value")
        if wanted is BOOL:
            return self.truth(node.args[0])
        value = self.expr(node.args[0])
        if isinstance(value, tree.Const) and isinstance(wanted, IntType) and isinstance(value.value, int):
            return tree.Const(wanted, wanted.wrap(int(value.value)))
        if value.type is UNTYPED:
            address = isinstance(wanted, PtrType | FnPtrType)
            value = self.coerce(value, u64 if address else wanted, node.args[0], bits=True)
        if value.type is wanted:
            return value
        if not _castable(value.type, wanted):
            hint = f"go through u64: {wanted}(u64(...))" if isinstance(value.type, IntType) else ""
            self.fail(node, f"{value.type} cannot be converted to {wanted}", hint)
        return tree.Convert(wanted, value)

    # -- leaves ---------------------------------------------------------------------------------------------

    def _constant(self, node: ast.Constant) -> Expr:
        if isinstance(node.value, builtins.bool):
            return tree.Const(BOOL, node.value)
        if isinstance(node.value, int | float):
            return tree.Const(UNTYPED, node.value)
        hint = "a null pointer is written Ptr[T](0)" if node.value is None else ""
        self.fail(node, f"the constant {node.value!r} cannot be compiled", hint)

    def _name(self, node: ast.Name) -> Expr:
        if node.id in self.locals:
            if self.assigned is not None and node.id not in self.assigned:
                self.fail(node, f"{node.id} may be used before it has a value")
            kind = self.variables[node.id]
            return tree.Var(kind, node.id) if kind.is_scalar else tree.Local(Ptr[kind], node.id)
        if self.source.lookup(node.id) is MISSING:
            self.fail(node, f"{node.id} is not defined")
        what = "constants, tables, types, compiled functions and intrinsics"
        self.fail(node, f"{node.id} cannot be used as a value here", f"from outside a function can be used: {what}")

    # -- operators ------------------------------------------------------------------------------------------

    def _binop(self, node: ast.BinOp) -> Expr:
        return operators.binary(self, node, node.op, self.expr(node.left), self.expr(node.right), node.right)

    def _unaryop(self, node: ast.UnaryOp) -> Expr:
        return operators.unary(self, node)

    def _compare(self, node: ast.Compare) -> Expr:
        return operators.compare(self, node)

    def _boolop(self, node: ast.BoolOp) -> Expr:
        operands = [self.truth(value) for value in node.values]
        return tree.Logical(BOOL, "and" if isinstance(node.op, ast.And) else "or", operands)

    def _ifexp(self, node: ast.IfExp) -> Expr:
        test = self.truth(node.test)
        yes, no = self.unify(self.expr(node.body), self.expr(node.orelse), node)
        if yes.type is VOID:
            self.fail(node, "a conditional expression has a value on both sides")
        return tree.Choice(yes.type, test, yes, no)

    # -- memory ---------------------------------------------------------------------------------------------

    def _attribute(self, node: ast.Attribute) -> Expr:
        return _read(self.place(node))

    def _subscript(self, node: ast.Subscript) -> Expr:
        return _read(self.place(node))

    def place(self, node: ast.expr) -> Expr:
        """The address of a field or an element; its type is a pointer to what lies there."""
        if isinstance(node, ast.Attribute):
            base = self.value(node.value)
            target = base.type.target if isinstance(base.type, PtrType) else None
            if not isinstance(target, StructType):
                self.fail(node, f"{base.type} has no fields")
            if node.attr not in target.fields:
                self.fail(node, f"struct {target} has no field {node.attr}", f"it has: {', '.join(target.fields)}")
            return tree.Field(Ptr[target.fields[node.attr]], base, target.offset(node.attr))
        if isinstance(node, ast.Subscript):
            base = self.value(node.value)
            if not isinstance(base.type, PtrType):
                self.fail(node, f"{base.type} cannot be indexed")
            return self._element(node, base, base.type.target)
        self.fail(node, "this has no address", "fields and elements have one; for a local use Array[T, 1]")

    def _element(self, node: ast.Subscript, base: Expr, target: Type) -> Expr:
        if isinstance(node.slice, ast.Slice | ast.Tuple):
            self.fail(node, "slices cannot be compiled", "loop over the elements, or use copy_bytes")
        length = target.length if isinstance(target, ArrayType) else None
        element = target.element if isinstance(target, ArrayType) else target
        index = self.expr(node.slice)
        if isinstance(index, tree.Const) and length is not None and not 0 <= index.value < length:
            self.fail(node.slice, f"index {index.value} is outside the array's {length} elements")
        if index.type is UNTYPED:
            index = self.coerce(index, i64, node.slice)
        if not isinstance(index.type, IntType) or index.type.bits > 64:
            self.fail(node.slice, f"an index is an integer of at most 64 bits, not {index.type}")
        return tree.Element(Ptr[element], base, index, element.size, length)

    # -- calls ----------------------------------------------------------------------------------------------

    def _call(self, node: ast.Call) -> Expr:
        callee = self.callee(node.func)
        if callee is min or callee is max:
            callee = _BUILTINS[callee]
        kind = resolve(callee)
        if kind is not None and kind is not VOID:
            return self.convert(kind, node)
        if isinstance(callee, Intrinsic):
            return intrinsic_rules.check(callee, self, node)
        if isinstance(callee, Function):
            names, result = callee.signature
            self.calls.append(callee)
            return tree.Call(result, callee, self._arguments(node, [t for _, t in names], callee.name))
        if callee is len and len(node.args) == 1:
            return self._length(node)
        if callee is not MISSING:
            name = ast.unparse(node.func)
            hint = "decorate it with @function" if callable(callee) and hasattr(callee, "__code__") else ""
            self.fail(node, f"{name} is not a compiled function", hint)
        pointer = self.value(node.func)
        if not isinstance(pointer.type, FnPtrType):
            self.fail(node, f"{pointer.type} cannot be called")
        arguments = self._arguments(node, list(pointer.type.parameters), "this function pointer")
        return tree.CallPointer(pointer.type.result, pointer.type, pointer, arguments)

    def callee(self, node: ast.expr) -> Any:
        """What is called, if it is known at compile time."""
        base = node.value if isinstance(node, ast.Subscript) else node
        name = dotted_name(base)
        if name is None or name.partition(".")[0] in self.locals:
            return MISSING
        value = self.source.lookup(name)
        if value is MISSING:
            self.fail(node, f"{name} is not defined")
        if base is not node:
            try:
                return self.source.evaluate(node)
            except (TypeError, KeyError, NameError) as error:
                self.fail(node, f"this is not a type: {error}")
        return value

    def _arguments(self, node: ast.Call, wanted: list[Type], name: str) -> list[Expr]:
        if node.keywords:
            self.fail(node, "keyword arguments cannot be compiled", "pass them by position")
        if len(node.args) != len(wanted):
            self.fail(node, f"{name} takes {len(wanted)} arguments, {len(node.args)} given")
        return [self.value(argument, kind) for argument, kind in zip(node.args, wanted, strict=True)]

    def _length(self, node: ast.Call) -> Expr:
        value = self.value(node.args[0])
        if not isinstance(value.type, PtrType) or not isinstance(value.type.target, ArrayType):
            self.fail(node, f"{value.type} has no length", "arrays and tables have one")
        return tree.Const(UNTYPED, value.type.target.length)


def _read(address: Expr) -> Expr:
    """What lies at an address: a scalar is loaded, an array or struct stays its address."""
    assert isinstance(address.type, PtrType)
    target = address.type.target
    return tree.Load(target, address) if target.is_scalar else address


def _castable(source: Type, target: Type) -> bool:
    """Is there an explicit conversion?  None between floats and 128 bits: no machine has one."""
    if {source.name, target.name} & {"u128", "i128"} and isinstance(source, FloatType) | isinstance(target, FloatType):
        return False
    if isinstance(target, IntType):
        address = isinstance(source, PtrType | FnPtrType) and target is u64
        return address or source is BOOL or isinstance(source, IntType | FloatType)
    if isinstance(target, FloatType):
        return source is BOOL or isinstance(source, IntType | FloatType)
    if isinstance(target, PtrType):
        return source is u64 or isinstance(source, PtrType)
    if isinstance(target, FnPtrType):
        return source is u64
    return False


def _construct(node: ast.AST) -> str:
    words = {
        "JoinedStr": "an f-string",
        "Lambda": "a lambda",
        "NamedExpr": "`:=`",
        "ListComp": "a comprehension",
    }
    return words.get(type(node).__name__, f"{type(node).__name__}")


_HINTS: dict[type[ast.AST], str] = {
    ast.List: "make a local array: x = Array[u8, 4]()",
    ast.Tuple: "a function returns one value; return more through a pointer",
    ast.NamedExpr: "assign on a line of its own",
}
_BUILTINS: dict[Any, Intrinsic] = {min: minimum, max: maximum}
