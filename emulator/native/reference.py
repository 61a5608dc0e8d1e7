"""Python from the typed tree: the reference that compiled code is compared with, and what a debugger steps through.

Every statement becomes Python with the wrapping written out, `x = (x + y) & 0xff`.  The code objects carry the file
name and the line numbers of the source, and locals keep their names, so tracebacks and pdb show the function as it
was written.
"""

from __future__ import annotations

import ast
import ctypes
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import runtime, tree
from .tree import Expr, Stmt
from .types import BOOL, FloatType, IntType, Type

if TYPE_CHECKING:
    from .function import Function

_SYMBOLS = {"add": "+", "sub": "-", "mul": "*", "and": "&", "or": "|", "xor": "^"}
_STAYS_INSIDE = ("and", "or", "xor", "shr", "mod")  # results of in-range operands that cannot leave the type


def make_reference(function: Function) -> Callable[..., Any]:
    """The function as ordinary Python over values that are in range already."""
    writer = _Writer(function)
    module = ast.parse(writer.text())
    for node in ast.walk(module):
        if isinstance(node, ast.stmt | ast.expr | ast.pattern | ast.arg):
            node.lineno = node.end_lineno = writer.line_numbers[node.lineno - 1]
            node.col_offset = node.end_col_offset = 0
    exec(compile(module, function.source.file.path, "exec"), writer.names)
    made: Callable[..., Any] = writer.names[function.name]
    return made


class _Writer:
    """Writes the text of one function and collects the objects it names."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.body = function.body
        self.lines: list[str] = []
        self.line_numbers: list[int] = []
        self.names: dict[str, Any] = {f"__{builtin.__name__}": builtin for builtin in (int, min, max, range)}

    def text(self) -> str:
        self.write(0, self.function.source.first_line, f"def {self.function.name}({self.parameters()}):")
        self.block(1, self.body.statements)
        return "\n".join(self.lines)

    def parameters(self) -> str:
        return ", ".join(name for name, _ in self.body.parameters)

    def write(self, depth: int, line: int, text: str) -> None:
        self.lines.append("    " * depth + text)
        self.line_numbers.append(line)

    def name(self, value: Any, hint: str) -> str:
        """The name under which generated text finds an object."""
        name = f"__{hint}_{id(value):x}"
        self.names[name] = value
        return name

    def helper(self, function: Callable[..., Any]) -> str:
        name = f"__{function.__name__}"
        self.names[name] = function
        return name

    # -- statements -----------------------------------------------------------------------------------------

    def block(self, depth: int, statements: list[Stmt]) -> None:
        for statement in statements:
            getattr(self, f"_{type(statement).__name__.lower()}")(depth, statement)
        if not statements:
            self.write(depth, self.line_numbers[-1], "pass")

    def _assign(self, depth: int, node: tree.Assign) -> None:
        self.write(depth, node.line, f"{node.name} = {self.expr(node.value)}")

    def _store(self, depth: int, node: tree.Store) -> None:
        kind = node.value.type
        name = f"__store_{kind.name}" if isinstance(kind, IntType) else f"__store_{type(kind).__name__}_{kind.ir}"
        self.names[name] = runtime.storer(kind)
        self.write(depth, node.line, f"{name}({self.expr(node.value)}, {self.expr(node.address)})")

    def _clear(self, depth: int, node: tree.Clear) -> None:
        size = self.body.variables[node.name].size
        self.names["__address"] = ctypes.addressof
        self.write(depth, node.line, f"__memory_{node.name} = {self.helper(runtime.clear)}({size})")
        self.write(depth, node.line, f"{node.name} = __address(__memory_{node.name})")

    def _evaluate(self, depth: int, node: tree.Evaluate) -> None:
        self.write(depth, node.line, self.expr(node.value))

    def _assert(self, depth: int, node: tree.Assert) -> None:
        self.write(depth, node.line, f"assert {self.expr(node.test)}, {node.message!r}")

    def _if(self, depth: int, node: tree.If) -> None:
        self.write(depth, node.line, f"if {self.expr(node.test)}:")
        self.block(depth + 1, node.body)
        if node.orelse:
            self.write(depth, node.line, "else:")
            self.block(depth + 1, node.orelse)

    def _switch(self, depth: int, node: tree.Switch) -> None:
        self.write(depth, node.line, f"match {self.expr(node.subject)}:")
        for values, body in node.cases:
            if values:
                self.write(depth + 1, node.line, f"case {' | '.join(map(str, values))}:")
                self.block(depth + 2, body)
        self.write(depth + 1, node.line, "case _:")
        self.block(depth + 2, node.default)

    def _while(self, depth: int, node: tree.While) -> None:
        self.write(depth, node.line, f"while {self.expr(node.test)}:")
        self.block(depth + 1, node.body)

    def _forrange(self, depth: int, node: tree.ForRange) -> None:
        bounds = f"{self.expr(node.start)}, {self.expr(node.stop)}, {node.step}"
        self.write(depth, node.line, f"for {node.name} in __range({bounds}):")
        self.block(depth + 1, node.body)

    def _break(self, depth: int, node: tree.Break) -> None:
        self.write(depth, node.line, "break")

    def _continue(self, depth: int, node: tree.Continue) -> None:
        self.write(depth, node.line, "continue")

    def _return(self, depth: int, node: tree.Return) -> None:
        self.write(depth, node.line, "return" if node.value is None else f"return {self.expr(node.value)}")

    # -- expressions: each text is one Python operand, in parentheses where it needs them -------------------

    def expr(self, node: Expr) -> str:
        text: str = getattr(self, f"_{type(node).__name__.lower()}")(node)
        return text

    def call(self, helper: Callable[..., Any], *arguments: str | int) -> str:
        return f"{self.helper(helper)}({', '.join(map(str, arguments))})"

    def wrap(self, kind: Type, text: str) -> str:
        if isinstance(kind, FloatType):
            return self.call(runtime.round_f32, text) if kind.bits == 32 else f"({text})"
        assert isinstance(kind, IntType)
        if kind.signed:
            return f"(({text} + {kind.max + 1:#x} & {kind.mask:#x}) - {kind.max + 1:#x})"
        return f"({text} & {kind.mask:#x})"

    def _const(self, node: tree.Const) -> str:
        if isinstance(node.value, float):
            return self.name(node.value, "float")
        return f"({node.value})" if node.value < 0 else str(node.value)

    def _var(self, node: tree.Var) -> str:
        return node.name

    _local = _var

    def _tableaddress(self, node: tree.TableAddress) -> str:
        self.name(node.table, "table")  # keeps its memory alive
        return str(node.table.address)

    def _neg(self, node: tree.Neg) -> str:
        return self.wrap(node.type, f"(-{self.expr(node.operand)})")

    def _invert(self, node: tree.Invert) -> str:
        return self.wrap(node.type, f"(~{self.expr(node.operand)})")

    def _not(self, node: tree.Not) -> str:
        return f"(not {self.expr(node.operand)})"

    def _binary(self, node: tree.Binary) -> str:
        left, right, kind = self.expr(node.left), self.expr(node.right), node.type
        match node.op:
            case "shl" | "shr":
                assert isinstance(kind, IntType)
                shift = runtime.shift_left if node.op == "shl" else runtime.shift_right
                text = self.call(shift, left, right, kind.bits)
            case "floordiv":
                text = self.call(runtime.floor_divide, left, right)
            case "mod":
                text = self.call(runtime.remainder, left, right)
            case "truediv":
                text = self.call(runtime.float_divide, left, right)
            case _:
                text = f"({left} {_SYMBOLS[node.op]} {right})"
        return text if node.op in _STAYS_INSIDE else self.wrap(kind, text)

    def _convert(self, node: tree.Convert) -> str:
        source, target, text = node.operand.type, node.type, self.expr(node.operand)
        if target is BOOL:
            return f"({text} != 0)"
        if isinstance(source, FloatType) and isinstance(target, IntType):
            return self.call(runtime.float_to_int, text, self.name(target, "type"))
        if isinstance(target, FloatType):
            if isinstance(source, FloatType):
                return self.wrap(target, text)
            return self.call(runtime.int_to_float, text, self.name(target, "type"))
        if isinstance(target, IntType):
            text = f"__int({text})" if source is BOOL else text
            inside = source is BOOL or (
                isinstance(source, IntType) and target.holds(source.min) and target.holds(source.max)
            )
            return text if inside else self.wrap(target, text)
        return text

    def _compare(self, node: tree.Compare) -> str:
        """In Python numbers of different types compare by value, and so do the pairs in their common type."""
        text = self.expr(node.operands[0])
        for op, operand in zip(node.ops, node.operands[1:], strict=True):
            text += f" {op} {self.expr(operand)}"
        return f"({text})"

    def _member(self, node: tree.Member) -> str:
        return f"({self.expr(node.operand)} in {tuple(node.values)})"

    def _logical(self, node: tree.Logical) -> str:
        return f"({f' {node.op} '.join(map(self.expr, node.operands))})"

    def _choice(self, node: tree.Choice) -> str:
        return f"({self.expr(node.yes)} if {self.expr(node.test)} else {self.expr(node.no)})"

    def _load(self, node: tree.Load) -> str:
        kind = node.type
        name = f"__load_{kind.name}" if isinstance(kind, IntType) else f"__load_{type(kind).__name__}_{kind.ir}"
        self.names[name] = runtime.loader(kind)
        return f"{name}({self.expr(node.address)})"

    def _field(self, node: tree.Field) -> str:
        return f"({self.expr(node.base)} + {node.offset})"

    def _element(self, node: tree.Element) -> str:
        base, index = self.expr(node.base), self.expr(node.index)
        if node.length is not None:
            return f"({base} + {self.call(runtime.check_index, index, node.length)} * {node.size})"
        return f"({base} + {index} * {node.size} & {runtime.ADDRESS_MASK:#x})"

    def _distance(self, node: tree.Distance) -> str:
        return self.call(runtime.distance, self.expr(node.left), self.expr(node.right), node.size)

    def _call(self, node: tree.Call) -> str:
        name = self.name(_later(node.function), node.function.name)
        return f"{name}({', '.join(map(self.expr, node.arguments))})"

    def _callpointer(self, node: tree.CallPointer) -> str:
        signature = self.name(node.signature, "signature")
        return self.call(runtime.call_pointer, signature, self.expr(node.pointer), *map(self.expr, node.arguments))

    def _apply(self, node: tree.Apply) -> str:
        extra = [] if node.extra is None else [str(node.extra)]
        kind = self.name(node.type, "type")
        if node.intrinsic.name in ("min", "max"):
            return f"__{node.intrinsic.name}({', '.join(map(self.expr, node.arguments))})"
        if node.intrinsic.name == "atomic_store":
            kind = self.name(node.arguments[1].type, "type")
        helper = runtime.atomic_swap if node.intrinsic.name == "atomic_store" else getattr(runtime, node.intrinsic.name)
        return self.call(helper, *map(self.expr, node.arguments), kind, *extra)


def _later(function: Function) -> Callable[..., Any]:
    """A callee, translated when it is first called: functions may call each other in a circle."""
    return lambda *arguments: function.reference(*arguments)
