"""LLVM IR for operators and conversions: where the language defines what LLVM leaves undefined.

A shift by the width or more shifts all bits out.  Division rounds down, as in Python; by zero it gives 0, and the
remainder is the dividend.  A float outside an integer's range converts to the nearest integer, NaN to 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import tree
from .types import BOOL, UNSIGNED, FloatType, FnPtrType, IntType, PtrType, Type, i64

if TYPE_CHECKING:
    from .emit import FunctionEmitter

INDEX = i64

_PLAIN = {"add": "add", "sub": "sub", "mul": "mul", "and": "and", "or": "or", "xor": "xor"}
_FLOAT = {"add": "fadd", "sub": "fsub", "mul": "fmul", "truediv": "fdiv"}
_ORDERED = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge"}


def binary(out: FunctionEmitter, node: tree.Binary) -> str:
    kind = node.type
    left, right = out.expr(node.left), out.expr(node.right)
    if isinstance(kind, FloatType):
        return out.value(f"{_FLOAT[node.op]} {kind.ir} {left}, {right}")
    if node.op in _PLAIN:
        return out.value(f"{_PLAIN[node.op]} {kind.ir} {left}, {right}")
    assert isinstance(kind, IntType)
    constant = isinstance(node.right, tree.Const)
    if node.op in ("shl", "shr"):
        count = node.right.type
        assert isinstance(count, IntType)
        return _shift(out, node.op, kind, left, right, None if constant else count)
    if kind.signed:
        return _signed_division(out, node.op, kind, left, right)
    return _unsigned_division(out, node.op, kind, left, right, constant)


def _shift(out: FunctionEmitter, op: str, kind: IntType, left: str, right: str, count: IntType | None) -> str:
    """`count` is the type of a count that has to be checked, None for a constant."""
    ir = kind.ir
    name = "shl" if op == "shl" else "ashr" if kind.signed else "lshr"
    if count is None:
        return out.value(f"{name} {ir} {left}, {right}")
    inside = out.value(f"icmp ult {count.ir} {right}, {kind.bits}") if count.mask >= kind.bits else "true"
    amount = convert(out, count, UNSIGNED[kind.bits], right)
    if name == "ashr":
        amount = out.value(f"select i1 {inside}, {ir} {amount}, {ir} {kind.bits - 1}")
        return out.value(f"ashr {ir} {left}, {amount}")
    return out.value(f"select i1 {inside}, {ir} {out.value(f'{name} {ir} {left}, {amount}')}, {ir} 0")


def _unsigned_division(out: FunctionEmitter, op: str, kind: IntType, left: str, right: str, constant: bool) -> str:
    ir, name = kind.ir, "udiv" if op == "floordiv" else "urem"
    if constant:
        return out.value(f"{name} {ir} {left}, {right}")
    zero = out.value(f"icmp eq {ir} {right}, 0")
    safe = out.value(f"select i1 {zero}, {ir} 1, {ir} {right}")
    result = out.value(f"{name} {ir} {left}, {safe}")
    return out.value(f"select i1 {zero}, {ir} {'0' if op == 'floordiv' else left}, {ir} {result}")


def _signed_division(out: FunctionEmitter, op: str, kind: IntType, left: str, right: str) -> str:
    """LLVM rounds towards zero and does not define x / 0 and min / -1, so divide by 1 in these cases."""
    ir = kind.ir
    zero = out.value(f"icmp eq {ir} {right}, 0")
    minus = out.value(f"icmp eq {ir} {right}, -1")
    special = out.value(f"or i1 {zero}, {minus}")
    safe = out.value(f"select i1 {special}, {ir} 1, {ir} {right}")
    rest = out.value(f"srem {ir} {left}, {safe}")
    differs = out.value(f"icmp slt {ir} {out.value(f'xor {ir} {rest}, {safe}')}, 0")
    down = out.value(f"and i1 {differs}, {out.value(f'icmp ne {ir} {rest}, 0')}")
    if op == "mod":
        rest = out.value(f"select i1 {down}, {ir} {out.value(f'add {ir} {rest}, {safe}')}, {ir} {rest}")
        return out.value(f"select i1 {zero}, {ir} {left}, {ir} {rest}")
    quotient = out.value(f"add {ir} {out.value(f'sdiv {ir} {left}, {safe}')}, {out.value(f'sext i1 {down} to {ir}')}")
    negated = out.value(f"sub {ir} 0, {left}")
    quotient = out.value(f"select i1 {minus}, {ir} {negated}, {ir} {quotient}")
    return out.value(f"select i1 {zero}, {ir} 0, {ir} {quotient}")


def compare(out: FunctionEmitter, op: str, kind: Type, left: str, right: str) -> str:
    """Two values of one type; a NaN differs from everything and is in no order."""
    if isinstance(kind, FloatType):
        condition = {"==": "oeq", "!=": "une"}.get(op) or f"o{_ORDERED[op]}"
        return out.value(f"fcmp {condition} {kind.ir} {left}, {right}")
    signed = isinstance(kind, IntType) and kind.signed
    condition = {"==": "eq", "!=": "ne"}.get(op) or f"{'s' if signed else 'u'}{_ORDERED[op]}"
    return out.value(f"icmp {condition} {kind.ir} {left}, {right}")


def convert(out: FunctionEmitter, source: Type, target: Type, value: str) -> str:
    if source is target:
        return value
    if target is BOOL:
        return _to_bool(out, source, value)
    change = f"{source.ir} {value} to {target.ir}"
    if isinstance(target, FloatType):
        if isinstance(source, FloatType):
            return out.value(f"{'fpext' if target.bits > source.bits else 'fptrunc'} {change}")
        signed = isinstance(source, IntType) and source.signed
        return out.value(f"{'si' if signed else 'ui'}tofp {change}")
    if isinstance(source, FloatType) and isinstance(target, IntType):
        name = f"llvm.fpto{'si' if target.signed else 'ui'}.sat.{target.ir}.{source.name}"
        return out.intrinsic(target.ir, name, [f"{source.ir} {value}"])
    if isinstance(target, PtrType | FnPtrType):
        return value if source.ir == "ptr" else out.value(f"inttoptr {change}")
    if source.ir == "ptr":
        return out.value(f"ptrtoint {change}")
    return _resize(out, source, target, value)


def _to_bool(out: FunctionEmitter, source: Type, value: str) -> str:
    if isinstance(source, FloatType):
        return out.value(f"fcmp une {source.ir} {value}, 0.0")
    return out.value(f"icmp ne {source.ir} {value}, {'null' if source.ir == 'ptr' else '0'}")


def _resize(out: FunctionEmitter, source: Type, target: Type, value: str) -> str:
    """Between integers (and from bool): the value wraps, or is extended by its own sign."""
    assert isinstance(target, IntType)
    bits = source.bits if isinstance(source, IntType) else 1
    if bits == target.bits:
        return value
    if bits > target.bits:
        return out.value(f"trunc {source.ir} {value} to {target.ir}")
    extend = "sext" if isinstance(source, IntType) and source.signed else "zext"
    return out.value(f"{extend} {source.ir} {value} to {target.ir}")
