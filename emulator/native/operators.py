"""Types of operators: arithmetic, shifts, pointer arithmetic, comparisons."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import tree
from .tree import UNTYPED, Expr
from .types import BOOL, ArrayType, FloatType, IntType, Ptr, PtrType, i64

if TYPE_CHECKING:
    from .expressions import Expressions

OPERATORS: dict[type[ast.operator], tuple[str, str, Callable[[Any, Any], Any]]] = {
    ast.Add: ("add", "+", operator.add),
    ast.Sub: ("sub", "-", operator.sub),
    ast.Mult: ("mul", "*", operator.mul),
    ast.FloorDiv: ("floordiv", "//", operator.floordiv),
    ast.Mod: ("mod", "%", operator.mod),
    ast.Div: ("truediv", "/", operator.truediv),
    ast.BitAnd: ("and", "&", operator.and_),
    ast.BitOr: ("or", "|", operator.or_),
    ast.BitXor: ("xor", "^", operator.xor),
    ast.LShift: ("shl", "<<", operator.lshift),
    ast.RShift: ("shr", ">>", operator.rshift),
}
COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_BITWISE = ("and", "or", "xor")
_LARGEST_CONSTANT_SHIFT = 1024  # far beyond any type, far below what would fill memory
_COMPARISON_WORDS = {ast.Is: "`is`", ast.IsNot: "`is not`", ast.In: "`in`", ast.NotIn: "`not in`"}


def binary(
    checker: Expressions, node: ast.AST, op: ast.operator, left: Expr, right: Expr, right_node: ast.expr
) -> Expr:
    """Also for `x += y`, whose node is a statement."""
    if type(op) not in OPERATORS:
        checker.fail(node, f"the operator {type(op).__name__} cannot be compiled")
    name, sign, fold = OPERATORS[type(op)]
    if isinstance(left, tree.Const) and isinstance(right, tree.Const) and left.type is right.type is UNTYPED:
        return _fold(checker, node, name, fold, left.value, right.value)
    if isinstance(left.type, PtrType) and name in ("add", "sub"):
        return _pointer_arithmetic(checker, node, name, left, right)
    if name in ("shl", "shr"):
        return _shift(checker, node, name, left, right, right_node)
    left, right = checker.unify(left, right, node, bits=name in (*_BITWISE, "add", "sub", "mul"))
    kind = left.type
    fits = isinstance(kind, IntType) and name != "truediv"
    fits = fits or (isinstance(kind, FloatType) and name in ("add", "sub", "mul", "truediv"))
    fits = fits or (kind is BOOL and name in _BITWISE)
    if not fits:
        hint = "use // for integers" if name == "truediv" else "give one side a type, as in u32(...)"
        checker.fail(node, f"{sign} is not defined for {kind}", hint)
    if name in ("floordiv", "mod") and isinstance(kind, IntType):
        if kind.bits == 128:
            hint = "no machine divides 128 by 128 bits; write it out"
            checker.fail(node, "128-bit division cannot be compiled", hint)
        if isinstance(right, tree.Const) and right.value == 0:
            checker.fail(right_node, "division by the constant 0")
    return tree.Binary(kind, name, left, right)


def _fold(
    checker: Expressions, node: ast.AST, name: str, fold: Callable[[Any, Any], Any], left: Any, right: Any
) -> Expr:
    if name == "shl" and right > _LARGEST_CONSTANT_SHIFT:
        checker.fail(node, f"a constant shifted by {right} fits no type")
    try:
        return tree.Const(UNTYPED, fold(left, right))
    except (ArithmeticError, TypeError, ValueError) as error:
        checker.fail(node, f"this constant cannot be computed: {error}")


def _pointer_arithmetic(checker: Expressions, node: ast.AST, name: str, left: Expr, right: Expr) -> Expr:
    left = _decay(left)
    assert isinstance(left.type, PtrType)
    size = left.type.target.size
    if isinstance(right.type, PtrType):
        right = _decay(right)
        if name == "add" or right.type is not left.type:
            checker.fail(
                node,
                f"{left.type} and {right.type} cannot be {'added' if name == 'add' else 'subtracted'}",
            )
        return tree.Distance(i64, left, right, size)
    if right.type is UNTYPED:
        right = checker.coerce(right, i64, node)
    if not isinstance(right.type, IntType):
        checker.fail(node, f"a pointer is moved by an integer, not by {right.type}")
    if name == "sub":
        right = tree.Neg(i64, right if right.type is i64 else tree.Convert(i64, right))
    return tree.Element(left.type, left, right, size, None)


def _decay(value: Expr) -> Expr:
    """The address of an array as the address of its first element."""
    if isinstance(value.type, PtrType) and isinstance(value.type.target, ArrayType):
        return tree.Convert(Ptr[value.type.target.element], value)
    return value


def _shift(checker: Expressions, node: ast.AST, name: str, left: Expr, right: Expr, right_node: ast.expr) -> Expr:
    sign = "<<" if name == "shl" else ">>"
    if not isinstance(left.type, IntType):
        checker.fail(node, f"{left.type} cannot be shifted", "give it a type, as in u64(...)")
    if isinstance(right, tree.Const):
        count, bits = int(right.value), left.type.bits
        if not 0 <= count < bits:
            hint = f"widen it first, as in u64(x) {sign} {count}" if 0 <= count < 64 else ""
            checker.fail(right_node, f"a {left.type} shifted by {count} has no bits left", hint)
        return tree.Binary(left.type, name, left, tree.Const(left.type, count))
    if not isinstance(right.type, IntType) or right.type.signed:
        checker.fail(right_node, f"a shift count is unsigned, not {right.type}", "convert it, as in u32(...)")
    return tree.Binary(left.type, name, left, right)


def unary(checker: Expressions, node: ast.UnaryOp) -> Expr:
    if isinstance(node.op, ast.Not):
        return tree.Not(BOOL, checker.truth(node.operand))
    value = checker.expr(node.operand)
    if value.type is UNTYPED and isinstance(value, tree.Const):
        if isinstance(node.op, ast.Invert) and isinstance(value.value, float):
            checker.fail(node, "~ is not defined for a float")
        return tree.Const(UNTYPED, ~value.value if isinstance(node.op, ast.Invert) else _sign(node.op) * value.value)
    if isinstance(node.op, ast.UAdd):
        return value
    numeric = isinstance(value.type, IntType | FloatType if isinstance(node.op, ast.USub) else IntType)
    if not numeric:
        hint = "write not x" if value.type is BOOL else ""
        checker.fail(node, f"{'-' if isinstance(node.op, ast.USub) else '~'} is not defined for {value.type}", hint)
    return (tree.Neg if isinstance(node.op, ast.USub) else tree.Invert)(value.type, value)


def compare(checker: Expressions, node: ast.Compare) -> Expr:
    if isinstance(node.ops[0], ast.In | ast.NotIn):
        return _member(checker, node)
    operands = [checker.expr(node.left)]
    ops, pairs = [], []
    for op, right_node in zip(node.ops, node.comparators, strict=True):
        if type(op) not in COMPARISONS:
            hint = "for null pointers write: not p" if isinstance(op, ast.Is | ast.IsNot) else ""
            checker.fail(
                node,
                f"{_COMPARISON_WORDS.get(type(op), 'this comparison')} cannot be compiled here",
                hint,
            )
        here = checker.expr(right_node)
        left, right = checker.unify(operands[-1], here, node)
        if left.type is UNTYPED:
            left, right = (checker.coerce(side, i64, node) for side in (left, right))
        if operands[-1].type is UNTYPED:
            operands[-1] = left
        pairs.append(left.type)
        operands.append(right if here.type is UNTYPED else here)
        ops.append(COMPARISONS[type(op)])
    return tree.Compare(BOOL, ops, operands, pairs)


def _member(checker: Expressions, node: ast.Compare) -> Expr:
    choices = node.comparators[0]
    if len(node.ops) != 1 or not isinstance(choices, ast.Tuple):
        checker.fail(node, "`in` is compiled only with a tuple of constants on its right")
    operand = checker.value(node.left)
    values = []
    for item in choices.elts:
        value = checker.coerce(checker.expr(item), operand.type, item)
        if not isinstance(value, tree.Const) or not isinstance(operand.type, IntType):
            checker.fail(item, "`in` is compiled only with a tuple of integer constants on its right")
        values.append(value.value)
    found = tree.Member(BOOL, operand, values)
    return tree.Not(BOOL, found) if isinstance(node.ops[0], ast.NotIn) else found


def _sign(op: ast.unaryop) -> int:
    return -1 if isinstance(op, ast.USub) else 1
