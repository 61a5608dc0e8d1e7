"""LLVM IR from the typed tree, as text.

LLVM Language Reference, sections "Instruction Reference" and "Intrinsic Functions".  Every variable is an alloca at
the function's entry, which LLVM's mem2reg turns into registers.  No operation has undefined behaviour for any
operand, save wild pointers and `unreachable()`: divisors and shift counts are guarded where they are not constant,
and loads and stores promise no alignment.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import TYPE_CHECKING, Any

from . import arithmetic, intrinsic_rules, tree
from .module import Module, extension, literal, quoted
from .tree import Expr, Stmt
from .types import BOOL, UNSIGNED, VOID, FloatType, IntType, Type

if TYPE_CHECKING:
    from .function import Function


def emit_module(functions: Iterable[Function], exports: Container[Function], outside: Iterable[Function]) -> str:
    """The text of a module that defines `functions`; those `outside` are declared."""
    module = Module()
    for function in functions:
        module.definitions.append(FunctionEmitter(module, function).text(function in exports))
    for function in outside:
        module.declare_function(function)
    return module.text()


class FunctionEmitter:
    """The text of one function.  Lines go into the current block; a terminated block opens a new one on demand."""

    def __init__(self, module: Module, function: Function) -> None:
        self.module = module
        self.function = function
        self.body = function.body
        self.lines: list[str] = []
        self.counter = 0
        self.current = "entry"
        self.open = True
        self.loops: list[tuple[str, str]] = []  # the labels that continue and break go to
        self.extra_slots: list[str] = []

    def text(self, exported: bool) -> str:
        body = self.body
        arguments = ", ".join(f'{kind.ir} %"a.{name}"' for name, kind in body.parameters)
        for name, kind in body.parameters:
            self.line(f'store {kind.ir} %"a.{name}", ptr {_slot(name)}')
        self.block(body.statements)
        if self.open:
            self.terminate("ret void" if body.result is VOID else "unreachable")
        slots = [_allocation(name, kind) for name, kind in body.variables.items()] + self.extra_slots
        attributes = {"always": " alwaysinline", "never": " noinline"}.get(self.function.inline, "")
        head = f"define {'' if exported else 'internal '}{extension(body.result)}{body.result.ir} "
        head += f"{quoted(self.function.symbol)}({arguments}) nounwind{attributes} {{\nentry:"
        return "\n".join([head, *slots, *self.lines, "}\n"])

    # -- writing --------------------------------------------------------------------------------------------

    def line(self, text: str) -> None:
        if not self.open:
            self.begin(self.label())
        self.lines.append(f"  {text}")

    def value(self, text: str) -> str:
        """An instruction with a result."""
        self.counter += 1
        name = f"%t{self.counter}"
        self.line(f"{name} = {text}")
        return name

    def label(self) -> str:
        self.counter += 1
        return f"b{self.counter}"

    def begin(self, label: str) -> None:
        """Start a block; the one before falls into it."""
        if self.open:
            self.terminate(f"br label %{label}")
        self.lines.append(f"{label}:")
        self.current = label
        self.open = True

    def terminate(self, text: str) -> None:
        self.line(text)
        self.open = False

    def branch(self, test: str, yes: str, no: str) -> None:
        self.terminate(f"br i1 {test}, label %{yes}, label %{no}")

    def intrinsic(self, result: str, name: str, arguments: Iterable[str]) -> str:
        """A call to an LLVM intrinsic, which is declared on the way."""
        arguments = list(arguments)
        types = ", ".join(argument.split(" ", 1)[0] for argument in arguments)
        self.module.declarations[name] = f"declare {result} @{name}({types})"
        call = f"call {result} @{name}({', '.join(arguments)})"
        if result != "void":
            return self.value(call)
        self.line(call)
        return ""

    # -- statements -----------------------------------------------------------------------------------------

    def block(self, statements: list[Stmt]) -> None:
        for statement in statements:
            _dispatch(self, statement)(statement)

    def _assign(self, node: tree.Assign) -> None:
        self.line(f"store {node.value.type.ir} {self.expr(node.value)}, ptr {_slot(node.name)}")

    def _store(self, node: tree.Store) -> None:
        kind, value = node.value.type, self.expr(node.value)
        if kind is BOOL:
            value = self.value(f"zext i1 {value} to i8")
        self.line(f"store {kind.memory_ir} {value}, ptr {self.expr(node.address)}, align 1")

    def _clear(self, node: tree.Clear) -> None:
        size = self.body.variables[node.name].size
        arguments = [f"ptr {_slot(node.name)}", "i8 0", f"i64 {size}", "i1 false"]
        self.intrinsic("void", "llvm.memset.p0.i64", arguments)

    def _evaluate(self, node: tree.Evaluate) -> None:
        self.expr(node.value)

    def _assert(self, node: tree.Assert) -> None:
        """Nothing: the reference checks it."""

    def _if(self, node: tree.If) -> None:
        yes, end = self.label(), self.label()
        no = self.label() if node.orelse else end
        self.branch(self.expr(node.test), yes, no)
        self.begin(yes)
        self.block(node.body)
        if node.orelse:
            self.jump(end)
            self.begin(no)
            self.block(node.orelse)
        self.begin(end)

    def jump(self, label: str) -> None:
        if self.open:
            self.terminate(f"br label %{label}")

    def _switch(self, node: tree.Switch) -> None:
        subject, ir = self.expr(node.subject), node.subject.type.ir
        end, default = self.label(), self.label()
        labels = [self.label() for _ in node.cases]
        targets = [
            f"{ir} {literal(node.subject.type, value)}, label %{label}"
            for (values, _), label in zip(node.cases, labels, strict=True)
            for value in values
        ]
        self.terminate(f"switch {ir} {subject}, label %{default} [ {' '.join(targets)} ]")
        for (_, body), label in zip(node.cases, labels, strict=True):
            self.begin(label)
            self.block(body)
            self.jump(end)
        self.begin(default)
        self.block(node.default)
        self.begin(end)

    def _while(self, node: tree.While) -> None:
        head, body, end = self.label(), self.label(), self.label()
        self.begin(head)
        self.branch(self.expr(node.test), body, end)
        self.begin(body)
        self.loop(node.body, head, end)
        self.jump(head)
        self.begin(end)

    def loop(self, body: list[Stmt], next_round: str, end: str) -> None:
        self.loops.append((next_round, end))
        self.block(body)
        self.loops.pop()

    def _forrange(self, node: tree.ForRange) -> None:
        """The counter is ours; it runs until it equals the first value that is not reached, so it cannot wrap."""
        kind = node.start.type
        assert isinstance(kind, IntType)
        ir, sign, step = kind.ir, "s" if kind.signed else "u", node.step
        start, stop = self.expr(node.start), self.expr(node.stop)
        self.counter += 1
        counter = f'%"count.{self.counter}"'
        self.extra_slots.append(f"  {counter} = alloca {ir}")
        body, advance, end = self.label(), self.label(), self.label()
        limit = stop if abs(step) == 1 else self._limit(kind, start, stop, step)
        self.line(f"store {ir} {start}, ptr {counter}")
        self.branch(self.value(f"icmp {sign}{'lt' if step > 0 else 'gt'} {ir} {start}, {stop}"), body, end)
        self.begin(body)
        self.line(f"store {ir} {self.value(f'load {ir}, ptr {counter}')}, ptr {_slot(node.name)}")
        self.loop(node.body, advance, end)
        self.begin(advance)
        step_text = literal(kind, kind.wrap(step))
        here = self.value(f"add {ir} {self.value(f'load {ir}, ptr {counter}')}, {step_text}")
        self.line(f"store {ir} {here}, ptr {counter}")
        self.branch(self.value(f"icmp ne {ir} {here}, {limit}"), body, end)
        self.begin(end)

    def _limit(self, kind: IntType, start: str, stop: str, step: int) -> str:
        """start + rounds * step, with rounds = (distance - 1) // |step| + 1; meaningless for an empty range."""
        ir, size = kind.ir, abs(step)
        if size > kind.mask:
            return self.value(f"add {ir} {start}, {literal(kind, kind.wrap(step))}")
        ends = f"{stop}, {start}" if step > 0 else f"{start}, {stop}"
        last = self.value(f"sub {ir} {self.value(f'sub {ir} {ends}')}, 1")
        rounds = self.value(f"add {ir} {self.value(f'udiv {ir} {last}, {literal(UNSIGNED[kind.bits], size)}')}, 1")
        return self.value(f"add {ir} {start}, {self.value(f'mul {ir} {rounds}, {literal(kind, kind.wrap(step))}')}")

    def _break(self, node: tree.Break) -> None:
        self.terminate(f"br label %{self.loops[-1][1]}")

    def _continue(self, node: tree.Continue) -> None:
        self.terminate(f"br label %{self.loops[-1][0]}")

    def _return(self, node: tree.Return) -> None:
        self.terminate("ret void" if node.value is None else f"ret {node.value.type.ir} {self.expr(node.value)}")

    # -- expressions ----------------------------------------------------------------------------------------

    def expr(self, node: Expr) -> str:
        """Emit an expression; its value as an operand."""
        result: str = _dispatch(self, node)(node)
        return result

    def _const(self, node: tree.Const) -> str:
        return literal(node.type, node.value)

    def _var(self, node: tree.Var) -> str:
        return self.value(f"load {node.type.ir}, ptr {_slot(node.name)}")

    def _local(self, node: tree.Local) -> str:
        return _slot(node.name)

    def _tableaddress(self, node: tree.TableAddress) -> str:
        return self.module.table(node.table)

    def _neg(self, node: tree.Neg) -> str:
        operand, ir = self.expr(node.operand), node.type.ir
        return self.value(f"fneg {ir} {operand}" if isinstance(node.type, FloatType) else f"sub {ir} 0, {operand}")

    def _invert(self, node: tree.Invert) -> str:
        return self.value(f"xor {node.type.ir} {self.expr(node.operand)}, -1")

    def _not(self, node: tree.Not) -> str:
        return self.value(f"xor i1 {self.expr(node.operand)}, true")

    def _binary(self, node: tree.Binary) -> str:
        return arithmetic.binary(self, node)

    def _convert(self, node: tree.Convert) -> str:
        return arithmetic.convert(self, node.operand.type, node.type, self.expr(node.operand))

    def _compare(self, node: tree.Compare) -> str:
        """A chain stops at the first pair that is false."""
        end = self.label()
        outcomes: list[tuple[str, str]] = []
        left = self.expr(node.operands[0])
        for number, (op, kind) in enumerate(zip(node.ops, node.pairs, strict=True)):
            right = self.expr(node.operands[number + 1])
            pair = (
                arithmetic.convert(self, node.operands[number].type, kind, left),
                arithmetic.convert(self, node.operands[number + 1].type, kind, right),
            )
            test = arithmetic.compare(self, op, kind, *pair)
            if number == len(node.ops) - 1:
                return self.join(end, outcomes, test)
            outcomes.append(("false", self.current))
            following = self.label()
            self.branch(test, following, end)
            self.begin(following)
            left = right
        raise AssertionError("a comparison has an operator")

    def join(self, end: str, outcomes: list[tuple[str, str]], last: str) -> str:
        """The i1 that several paths bring to the block `end`."""
        if not outcomes:
            return last
        outcomes.append((last, self.current))
        self.begin(end)
        return self.value("phi i1 " + ", ".join(f"[ {value}, %{label} ]" for value, label in outcomes))

    def _member(self, node: tree.Member) -> str:
        operand, ir = self.expr(node.operand), node.type.ir
        tests = [
            self.value(f"icmp eq {node.operand.type.ir} {operand}, {literal(node.operand.type, value)}")
            for value in node.values
        ]
        found = tests[0] if tests else "false"
        for test in tests[1:]:
            found = self.value(f"or {ir} {found}, {test}")
        return found

    def _logical(self, node: tree.Logical) -> str:
        end = self.label()
        outcomes: list[tuple[str, str]] = []
        for operand in node.operands[:-1]:
            test, following = self.expr(operand), self.label()
            outcomes.append(("false" if node.op == "and" else "true", self.current))
            self.branch(test, *((following, end) if node.op == "and" else (end, following)))
            self.begin(following)
        return self.join(end, outcomes, self.expr(node.operands[-1]))

    def _choice(self, node: tree.Choice) -> str:
        yes, no, end = self.label(), self.label(), self.label()
        self.branch(self.expr(node.test), yes, no)
        arms = []
        for label, arm in ((yes, node.yes), (no, node.no)):
            self.begin(label)
            value = self.expr(arm)
            arms.append(f"[ {value}, %{self.current} ]")
            self.jump(end)
        self.begin(end)
        return self.value(f"phi {node.type.ir} {', '.join(arms)}")

    def _load(self, node: tree.Load) -> str:
        loaded = self.value(f"load {node.type.memory_ir}, ptr {self.expr(node.address)}, align 1")
        return self.value(f"icmp ne i8 {loaded}, 0") if node.type is BOOL else loaded

    def _field(self, node: tree.Field) -> str:
        base = self.expr(node.base)
        return self.value(f"getelementptr i8, ptr {base}, i64 {node.offset}") if node.offset else base

    def _element(self, node: tree.Element) -> str:
        base, index = self.expr(node.base), self.expr(node.index)
        index = arithmetic.convert(self, node.index.type, arithmetic.INDEX, index)
        return self.value(f"getelementptr [{node.size} x i8], ptr {base}, i64 {index}")

    def _distance(self, node: tree.Distance) -> str:
        left, right = (self.value(f"ptrtoint ptr {self.expr(side)} to i64") for side in (node.left, node.right))
        return self.value(f"sdiv i64 {self.value(f'sub i64 {left}, {right}')}, {node.size}")

    def _call(self, node: tree.Call) -> str:
        types = [t.ir for _, t in node.function.signature[0]]
        arguments = [f"{ir} {self.expr(argument)}" for ir, argument in zip(types, node.arguments, strict=True)]
        return self._finish_call(node.type, quoted(node.function.symbol), arguments)

    def _callpointer(self, node: tree.CallPointer) -> str:
        pointer = self.expr(node.pointer)
        arguments = [f"{a.type.ir} {extension(a.type)}{self.expr(a)}" for a in node.arguments]
        return self._finish_call(node.type, pointer, arguments)

    def _finish_call(self, result: Type, callee: str, arguments: list[str]) -> str:
        call = f"call {extension(result)}{result.ir} {callee}({', '.join(arguments)})"
        if result is not VOID:
            return self.value(call)
        self.line(call)
        return ""

    def _apply(self, node: tree.Apply) -> str:
        return intrinsic_rules.emit(self, node)


def _slot(name: str) -> str:
    return f'%"v.{name}"'


def _allocation(name: str, kind: Type) -> str:
    if kind.is_scalar:
        return f"  {_slot(name)} = alloca {kind.ir}"
    return f"  {_slot(name)} = alloca [{kind.size} x i8], align 16"


def _dispatch(emitter: FunctionEmitter, node: Expr | Stmt) -> Callable[[Any], Any]:
    method: Callable[[Any], Any] = getattr(emitter, f"_{type(node).__name__.lower()}")
    return method
