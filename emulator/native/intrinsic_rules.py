"""The rules of the intrinsics: which arguments each takes, and which LLVM IR it becomes.

LLVM Language Reference, "Intrinsic Functions" and "Atomic Memory Ordering Constraints".  What an intrinsic is in
Python is the function of its name in `runtime`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import tree
from .intrinsics import Intrinsic
from .tree import Apply, Const, Expr
from .types import BOOL, VOID, FloatType, IntType, Ptr, PtrType, Type, f32, f64, resolve, u8, u32, u64

if TYPE_CHECKING:
    from .emit import FunctionEmitter
    from .expressions import Expressions

Emit = Callable[["FunctionEmitter", Apply], str]
Check = Callable[[Intrinsic, "Expressions", ast.Call], Expr]


@dataclass(frozen=True)
class Rule:
    check: Check
    emit: Emit


def check(intrinsic: Intrinsic, checker: Expressions, node: ast.Call) -> Expr:
    """A use of an intrinsic."""
    if node.keywords:
        checker.fail(node, f"{intrinsic.name} takes no keyword arguments")
    return RULES[intrinsic.name].check(intrinsic, checker, node)


def emit(out: FunctionEmitter, node: Apply) -> str:
    return RULES[node.intrinsic.name].emit(out, node)


def _arguments(self: Intrinsic, checker: Expressions, node: ast.Call, wanted: int) -> list[ast.expr]:
    if len(node.args) != wanted:
        checker.fail(node, f"{self.name} takes {wanted} arguments, {len(node.args)} given")
    return node.args


# -- which arguments ----------------------------------------------------------------------------------------


def _same_integers(arity: int) -> Check:
    """`arity` integers of one type, and a result of that type."""

    def check(self: Intrinsic, checker: Expressions, node: ast.Call) -> Expr:
        arguments = _arguments(self, checker, node, arity)
        first = checker.value(arguments[0])
        if not isinstance(first.type, IntType):
            checker.fail(node.args[0], f"{self.name} takes an integer, not {first.type}")
        rest = [checker.value(argument, first.type) for argument in arguments[1:]]
        return Apply(first.type, self, [first, *rest])

    return check


def _counted(arity: int) -> Check:
    """`arity` integers of one type and an unsigned count, taken modulo the width."""

    def check(self: Intrinsic, checker: Expressions, node: ast.Call) -> Expr:
        *arguments, count_node = _arguments(self, checker, node, arity + 1)
        first = checker.value(arguments[0])
        if not isinstance(first.type, IntType):
            checker.fail(node.args[0], f"{self.name} takes an integer, not {first.type}")
        values = [first, *(checker.value(argument, first.type) for argument in arguments[1:])]
        count = checker.expr(count_node)
        if isinstance(count, Const):
            count = Const(first.type, int(count.value) % first.type.bits)
        elif not isinstance(count.type, IntType) or count.type.signed:
            checker.fail(count_node, f"a count is unsigned, not {count.type}", "convert it, as in u32(...)")
        else:
            count = tree.Convert(first.type, count) if count.type is not first.type else count
        return Apply(first.type, self, [*values, count])

    return check


def _extreme(self: Intrinsic, checker: Expressions, node: ast.Call) -> Expr:
    left, right = (checker.expr(argument) for argument in _arguments(self, checker, node, 2))
    left, right = checker.unify(left, right, node)
    if not isinstance(left.type, IntType):
        checker.fail(node, f"{self.name} takes integers, not {left.type}")
    return Apply(left.type, self, [left, right])


def _byte_swap(self: Intrinsic, checker: Expressions, node: ast.Call) -> Expr:
    applied = _same_integers(1)(self, checker, node)
    if applied.type.size == 1:
        checker.fail(node, "a single byte cannot be swapped")
    return applied


def _sign_extend(self: Intrinsic, checker: Expressions, node: ast.Call) -> Expr:
    value_node, bits_node = _arguments(self, checker, node, 2)
    value, bits = checker.value(value_node), checker.expr(bits_node)
    if not isinstance(value.type, IntType):
        checker.fail(value_node, f"sign_extend takes an integer, not {value.type}")
    if not isinstance(bits, Const) or not 1 <= bits.value <= value.type.bits:
        checker.fail(bits_node, f"the number of bits is a constant from 1 to {value.type.bits}")
    return Apply(value.type, self, [value], bits.value)


def _hint(self: Intrinsic, checker: Expressions, node: ast.Call) -> Expr:
    (argument,) = _arguments(self, checker, node, 1)
    return Apply(BOOL, self, [checker.truth(argument)])


def _statement(self: Intrinsic, checker: Expressions, node: ast.Call) -> Expr:
    _arguments(self, checker, node, 0)
    return Apply(VOID, self, [])


def _float_bits(source: tuple[Type, ...], target: dict[Type, Type]) -> Check:
    def check(self: Intrinsic, checker: Expressions, node: ast.Call) -> Expr:
        (argument,) = _arguments(self, checker, node, 1)
        value = checker.value(argument)
        if value.type not in source:
            checker.fail(argument, f"{self.name} takes {' or '.join(map(str, source))}, not {value.type}")
        return Apply(target[value.type], self, [value])

    return check


def _square_root(self: Intrinsic, checker: Expressions, node: ast.Call) -> Expr:
    (argument,) = _arguments(self, checker, node, 1)
    value = checker.value(argument)
    if not isinstance(value.type, FloatType):
        checker.fail(argument, f"sqrt takes a float, not {value.type}")
    return Apply(value.type, self, [value])


def _address_of(self: Intrinsic, checker: Expressions, node: ast.Call) -> Expr:
    (argument,) = _arguments(self, checker, node, 1)
    found = checker.constant(argument)
    if found is None and isinstance(argument, ast.Name):
        found = checker.expr(argument)
        if not isinstance(found, tree.Local):
            checker.fail(argument, f"the local {argument.id} has no address", "use a local Array[T, 1]")
    if isinstance(found, tree.Const):
        checker.fail(argument, "a constant has no address", "use a table")
    return found if found is not None else checker.place(argument)


def _size_of(self: Intrinsic, checker: Expressions, node: ast.Call) -> Expr:
    (argument,) = _arguments(self, checker, node, 1)
    try:
        kind = resolve(checker.source.evaluate(argument))
    except (NameError, TypeError, AttributeError):
        kind = None
    if kind is None or kind is VOID:
        checker.fail(argument, "sizeof takes a type")
    return Const(tree.UNTYPED, kind.size)


def _atomic(*wanted: str) -> Check:
    """A pointer to an integer, and values of that type."""

    def check(self: Intrinsic, checker: Expressions, node: ast.Call) -> Expr:
        pointer_node, *rest = _arguments(self, checker, node, 1 + len(wanted))
        pointer = checker.value(pointer_node)
        target = pointer.type.target if isinstance(pointer.type, PtrType) else None
        if not isinstance(target, IntType) or target.bits > 64:
            checker.fail(pointer_node, f"{self.name} takes a pointer to an integer, not {pointer.type}")
        values = [checker.value(argument, target) for argument in rest]
        return Apply(VOID if self.name == "atomic_store" else target, self, [pointer, *values])

    return check


def _block(*wanted: Type) -> Check:
    def check(self: Intrinsic, checker: Expressions, node: ast.Call) -> Expr:
        arguments = _arguments(self, checker, node, len(wanted))
        return Apply(VOID, self, [checker.value(a, kind) for a, kind in zip(arguments, wanted, strict=True)])

    return check


# -- which LLVM IR ------------------------------------------------------------------------------------------


def _llvm(name: str, *fixed: str) -> Emit:
    """A call to the LLVM intrinsic `llvm.name` of the operand type, with constant arguments after the others."""

    def emit(out: FunctionEmitter, node: Apply) -> str:
        ir = node.type.ir
        arguments = [f"{a.type.ir} {out.expr(a)}" for a in node.arguments]
        kind = {"double": "f64", "float": "f32"}.get(ir, ir)
        return out.intrinsic(ir, f"llvm.{name}.{kind}", [*arguments, *fixed])

    return emit


def _rotate(name: str) -> Emit:
    def emit(out: FunctionEmitter, node: Apply) -> str:
        ir = node.type.ir
        value, count = (out.expr(a) for a in node.arguments)
        return out.intrinsic(ir, f"llvm.{name}.{ir}", [f"{ir} {value}", f"{ir} {value}", f"{ir} {count}"])

    return emit


def _emit_extreme(name: str) -> Emit:
    def emit(out: FunctionEmitter, node: Apply) -> str:
        assert isinstance(node.type, IntType)
        return _llvm(f"{'s' if node.type.signed else 'u'}{name}")(out, node)

    return emit


def _emit_high_product(out: FunctionEmitter, node: Apply) -> str:
    assert isinstance(node.type, IntType)
    bits = node.type.bits
    extend = "sext" if node.type.signed else "zext"
    left, right = (out.value(f"{extend} i{bits} {out.expr(a)} to i{2 * bits}") for a in node.arguments)
    product = out.value(f"mul i{2 * bits} {left}, {right}")
    return out.value(f"trunc i{2 * bits} {out.value(f'lshr i{2 * bits} {product}, {bits}')} to i{bits}")


def _emit_sign_extend(out: FunctionEmitter, node: Apply) -> str:
    assert isinstance(node.type, IntType)
    value, ir = out.expr(node.arguments[0]), node.type.ir
    spare = node.type.bits - node.extra
    return out.value(f"ashr {ir} {out.value(f'shl {ir} {value}, {spare}')}, {spare}")


def _emit_hint(expected: str) -> Emit:
    def emit(out: FunctionEmitter, node: Apply) -> str:
        return out.intrinsic("i1", "llvm.expect.i1", [f"i1 {out.expr(node.arguments[0])}", f"i1 {expected}"])

    return emit


def _emit_unreachable(out: FunctionEmitter, node: Apply) -> str:
    out.terminate("unreachable")
    return ""


def _emit_bits(out: FunctionEmitter, node: Apply) -> str:
    (value,) = node.arguments
    return out.value(f"bitcast {value.type.ir} {out.expr(value)} to {node.type.ir}")


def _emit_atomic_load(out: FunctionEmitter, node: Apply) -> str:
    return out.value(f"load atomic {node.type.ir}, ptr {out.expr(node.arguments[0])} seq_cst, align {node.type.size}")


def _emit_atomic_store(out: FunctionEmitter, node: Apply) -> str:
    pointer, value = node.arguments
    address, stored = out.expr(pointer), out.expr(value)
    out.line(f"store atomic {value.type.ir} {stored}, ptr {address} seq_cst, align {value.type.size}")
    return ""


def _emit_atomic_rmw(operation: str) -> Emit:
    def emit(out: FunctionEmitter, node: Apply) -> str:
        address, operand = (out.expr(a) for a in node.arguments)
        return out.value(f"atomicrmw {operation} ptr {address}, {node.type.ir} {operand} seq_cst")

    return emit


def _emit_compare_exchange(out: FunctionEmitter, node: Apply) -> str:
    ir = node.type.ir
    address, expected, new = (out.expr(a) for a in node.arguments)
    pair = out.value(f"cmpxchg ptr {address}, {ir} {expected}, {ir} {new} seq_cst seq_cst")
    return out.value(f"extractvalue {{ {ir}, i1 }} {pair}, 0")


def _emit_block(name: str) -> Emit:
    def emit(out: FunctionEmitter, node: Apply) -> str:
        arguments = [f"{a.type.ir} {out.expr(a)}" for a in node.arguments]
        out.intrinsic("void", name, [*arguments, "i1 false"])
        return ""

    return emit


def _no_code(out: FunctionEmitter, node: Apply) -> str:
    raise AssertionError("this intrinsic is gone once it is checked")


RULES: dict[str, Rule] = {
    "popcount": Rule(_same_integers(1), _llvm("ctpop")),
    "clz": Rule(_same_integers(1), _llvm("ctlz", "i1 false")),
    "ctz": Rule(_same_integers(1), _llvm("cttz", "i1 false")),
    "bswap": Rule(_byte_swap, _llvm("bswap")),
    "mulhi": Rule(_same_integers(2), _emit_high_product),
    "rotl": Rule(_counted(1), _rotate("fshl")),
    "rotr": Rule(_counted(1), _rotate("fshr")),
    "fshl": Rule(_counted(2), _llvm("fshl")),
    "fshr": Rule(_counted(2), _llvm("fshr")),
    "min": Rule(_extreme, _emit_extreme("min")),
    "max": Rule(_extreme, _emit_extreme("max")),
    "sign_extend": Rule(_sign_extend, _emit_sign_extend),
    "likely": Rule(_hint, _emit_hint("true")),
    "unlikely": Rule(_hint, _emit_hint("false")),
    "unreachable": Rule(_statement, _emit_unreachable),
    "float_to_bits": Rule(_float_bits((f32, f64), {f32: u32, f64: u64}), _emit_bits),
    "float_from_bits": Rule(_float_bits((u32, u64), {u32: f32, u64: f64}), _emit_bits),
    "sqrt": Rule(_square_root, _llvm("sqrt")),
    "addressof": Rule(_address_of, _no_code),
    "sizeof": Rule(_size_of, _no_code),
    "atomic_load": Rule(_atomic(), _emit_atomic_load),
    "atomic_store": Rule(_atomic("value"), _emit_atomic_store),
    "atomic_add": Rule(_atomic("value"), _emit_atomic_rmw("add")),
    "atomic_and": Rule(_atomic("value"), _emit_atomic_rmw("and")),
    "atomic_or": Rule(_atomic("value"), _emit_atomic_rmw("or")),
    "atomic_xor": Rule(_atomic("value"), _emit_atomic_rmw("xor")),
    "atomic_swap": Rule(_atomic("value"), _emit_atomic_rmw("xchg")),
    "atomic_cas": Rule(_atomic("expected", "new"), _emit_compare_exchange),
    "copy_bytes": Rule(_block(Ptr[u8], Ptr[u8], u64), _emit_block("llvm.memmove.p0.p0.i64")),
    "fill_bytes": Rule(_block(Ptr[u8], u8, u64), _emit_block("llvm.memset.p0.i64")),
}
