"""Types of statements: a whole function from Python's syntax tree to the typed tree.

Besides types this finds what would go wrong at run time in one mode only: a variable that may have no value, and
a function that may end without one.  `assigned` holds the variables that surely have a value at this point, and
is None where control cannot arrive.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from . import operators, tree
from .expressions import Expressions
from .function import Function
from .intrinsics import unreachable
from .tree import UNTYPED, Expr, Stmt
from .types import VOID, IntType, PtrType, Type, i64, resolve, u32


def check(function: Function) -> tree.Body:
    """The typed tree of a function; CompileError where it leaves the language."""
    return _Checker(function).body()


class _Checker(Expressions):
    def __init__(self, function: Function) -> None:
        super().__init__(function.source)
        self.definition = function.source.definition()
        self.parameters, self.result = function.signature
        self.loops: list[list[set[str] | None]] = []  # for each loop, the states at its breaks
        self.hidden = 0

    def body(self) -> tree.Body:
        self.locals = {name for name, _ in self.parameters} | set(_stored_names(self.definition))
        for name in self.locals:
            if name.startswith("__"):
                self.fail(self.definition, f"the name {name} is reserved", "local names do not begin with __")
        self.variables = dict(self.parameters)
        self.assigned = {name for name, _ in self.parameters}
        statements = self.block(self.definition.body)
        if self.assigned is not None and self.result is not VOID:
            self.fail(self.definition.body[-1], f"{self.definition.name} may end without returning a {self.result}")
        return tree.Body(self.parameters, self.result, statements, self.variables, self.calls)

    def block(self, nodes: Iterable[ast.stmt]) -> list[Stmt]:
        out: list[Stmt] = []
        for node in nodes:
            method = getattr(self, f"_{type(node).__name__.lower()}", None)
            if method is None or not isinstance(node, _STATEMENTS):
                self.fail(node, f"{type(node).__name__} statements cannot be compiled")
            out += method(node)
        return out

    # -- variables ------------------------------------------------------------------------------------------

    def declare(self, node: ast.AST, name: str, kind: Type) -> None:
        known = self.variables.get(name)
        if known is not None and known is not kind:
            self.fail(node, f"{name} is already a {known}", "a variable has one type in the whole function")
        self.variables[name] = kind

    def assign(self, node: ast.stmt, target: ast.expr, value: Expr) -> Stmt:
        """One target of an assignment, its value checked already."""
        if isinstance(target, ast.Name):
            kind = self.variables.get(target.id)
            if kind is None:
                if value.type is UNTYPED:
                    hint = f"give it one: {target.id}: u32 = ..."
                    self.fail(node, f"the type of {target.id} is not known from a constant", hint)
                if value.type is VOID:
                    self.fail(node, "this call returns nothing, so it cannot be assigned")
                kind = self.variables[target.id] = value.type
            if not kind.is_scalar:
                self.fail(node, f"the local {kind} cannot be assigned as a whole", "assign its elements")
            value = self.coerce(value, kind, node)
            if self.assigned is not None:
                self.assigned.add(target.id)
            return tree.Assign(node.lineno, target.id, value)
        address = self.place(target)
        assert isinstance(address.type, PtrType)
        kind = address.type.target
        if not kind.is_scalar:
            hint = "copy it with copy_bytes, or assign its parts"
            self.fail(target, f"a {kind} cannot be assigned as a whole", hint)
        return tree.Store(node.lineno, address, self.coerce(value, kind, node))

    def temporary(self, node: ast.expr, value: Expr) -> tuple[tree.Var, Stmt]:
        """A variable of ours that keeps the value of `node`."""
        if value.type is VOID:
            self.fail(node, "this call returns nothing, so it cannot be assigned")
        self.hidden += 1
        name = f"__t{self.hidden}"
        self.variables[name] = value.type
        return tree.Var(value.type, name), tree.Assign(node.lineno, name, value)

    def _assign(self, node: ast.Assign) -> list[Stmt]:
        target = node.targets[0]
        if len(node.targets) != 1:
            self.fail(node, "chained assignment cannot be compiled", "write one assignment for each variable")
        memory = self.local_memory(node)
        if memory is not None:
            return [memory]
        if not isinstance(target, ast.Tuple):
            return [self.assign(node, target, self.expr(node.value))]
        if not isinstance(node.value, ast.Tuple) or len(node.value.elts) != len(target.elts):
            self.fail(node, "a tuple is assigned from a tuple of the same length")
        before: list[Stmt] = []
        values: list[Expr] = []
        for item in node.value.elts:
            value = self.expr(item)
            if value.type is not UNTYPED:
                value, kept = self.temporary(item, value)
                before.append(kept)
            values.append(value)
        return before + [self.assign(node, t, v) for t, v in zip(target.elts, values, strict=True)]

    def local_memory(self, node: ast.Assign) -> Stmt | None:
        """`x = Segment()`, `x = Array[u8, 16]()`: a local struct or array."""
        target, value = node.targets[0], node.value
        if not isinstance(target, ast.Name) or not isinstance(value, ast.Call):
            return None
        kind = resolve(self.callee(value.func))
        if kind is None or kind.is_scalar:
            return None
        if value.args or value.keywords:
            self.fail(value, f"a local {kind} starts as zeros", "assign its parts")
        self.declare(node, target.id, kind)
        if self.assigned is not None:
            self.assigned.add(target.id)
        return tree.Clear(node.lineno, target.id)

    def _annassign(self, node: ast.AnnAssign) -> list[Stmt]:
        if not isinstance(node.target, ast.Name):
            self.fail(node, "only local variables are annotated")
        try:
            kind = resolve(self.source.evaluate(node.annotation))
        except (NameError, TypeError, AttributeError) as error:
            self.fail(node.annotation, f"this is not a type: {error}")
        if kind is None or kind is VOID:
            self.fail(node.annotation, "this is not a type of emulator.native")
        self.declare(node, node.target.id, kind)
        if not kind.is_scalar:
            self.fail(node, f"a variable cannot hold a whole {kind}", f"write {node.target.id} = {kind}()")
        return [] if node.value is None else [self.assign(node, node.target, self.expr(node.value))]

    def _augassign(self, node: ast.AugAssign) -> list[Stmt]:
        """`x op= y`; the place is evaluated once, before the value."""
        if isinstance(node.target, ast.Name):
            left = self.expr(ast.copy_location(ast.Name(node.target.id, ast.Load()), node.target))
            value = operators.binary(self, node, node.op, left, self.expr(node.value), node.value)
            return [self.assign(node, node.target, value)]
        address, keep = self.temporary(node.target, self.place(node.target))
        assert isinstance(address.type, PtrType)
        kind = address.type.target
        if not kind.is_scalar:
            self.fail(node.target, f"a {kind} cannot be assigned as a whole")
        value = operators.binary(self, node, node.op, tree.Load(kind, address), self.expr(node.value), node.value)
        return [keep, tree.Store(node.lineno, address, self.coerce(value, kind, node))]

    # -- control flow ---------------------------------------------------------------------------------------

    def _if(self, node: ast.If) -> list[Stmt]:
        test = self.truth(node.test)
        before = _copy(self.assigned)
        body = self.block(node.body)
        after, self.assigned = self.assigned, before
        orelse = self.block(node.orelse)
        self.assigned = _merge([after, self.assigned])
        return [tree.If(node.lineno, test, body, orelse)]

    def _match(self, node: ast.Match) -> list[Stmt]:
        subject = self.value(node.subject)
        if not isinstance(subject.type, IntType):
            self.fail(node.subject, f"match takes an integer, not {subject.type}")
        before, states = self.assigned, []
        cases: list[tuple[list[int], list[Stmt]]] = []
        default: list[Stmt] | None = None
        seen: set[int] = set()
        for case in node.cases:
            if case.guard is not None or default is not None:
                self.fail(case.pattern, "a case has no guard, and none follows `case _`")
            values = self.pattern(case.pattern, subject.type)
            self.assigned = _copy(before)
            body = self.block(case.body)
            states.append(self.assigned)
            if values is None:
                default = body
                continue
            cases.append(([v for v in values if v not in seen], body))
            seen.update(values)
        self.assigned = _merge(states if default is not None else [*states, before])
        return [tree.Switch(node.lineno, subject, cases, default or [])]

    def pattern(self, node: ast.pattern, kind: Type) -> list[int] | None:
        """The constants of a case; None for `case _`."""
        if isinstance(node, ast.MatchAs) and node.pattern is None and node.name is None:
            return None
        if isinstance(node, ast.MatchOr):
            parts = [self.pattern(part, kind) for part in node.patterns]
            return [value for part in parts for value in part or []]
        if isinstance(node, ast.MatchValue):
            value = self.coerce(self.expr(node.value), kind, node)
            if isinstance(value, tree.Const):
                return [value.value]
        hint = "a bare name is a new variable to Python; write module.NAME or a number"
        self.fail(node, "a case is a constant, constants joined by |, or _", hint)

    def _while(self, node: ast.While) -> list[Stmt]:
        if node.orelse:
            self.fail(node.orelse[0], "else after a loop cannot be compiled")
        test = self.truth(node.test)
        endless = isinstance(test, tree.Const) and test.value
        before = _copy(self.assigned)
        body, breaks = self.loop(node.body)
        self.assigned = _merge(breaks if endless else [*breaks, before])
        return [tree.While(node.lineno, test, body)]

    def loop(self, nodes: list[ast.stmt]) -> tuple[list[Stmt], list[set[str] | None]]:
        self.loops.append([])
        body = self.block(nodes)
        return body, self.loops.pop()

    def _for(self, node: ast.For) -> list[Stmt]:
        if node.orelse:
            self.fail(node.orelse[0], "else after a loop cannot be compiled")
        call, target = node.iter, node.target
        ranged = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "range"
        if not isinstance(target, ast.Name) or not isinstance(call, ast.Call) or not ranged or call.keywords:
            self.fail(node.iter, "for loops over range(...) only")
        if not 1 <= len(call.args) <= 3:
            self.fail(call, "range takes one to three arguments")
        bounds = [self.expr(argument) for argument in call.args]
        start, stop = (tree.Const(UNTYPED, 0), bounds[0]) if len(bounds) == 1 else bounds[:2]
        step = bounds[2] if len(bounds) == 3 else tree.Const(UNTYPED, 1)
        if not isinstance(step, tree.Const) or step.value == 0:
            self.fail(call.args[2], "the step of a range is a constant other than 0")
        start, stop = self.unify(start, stop, call)
        kind = self.variables.get(target.id) or (start.type if start.type is not UNTYPED else _index_type(start, stop))
        if not isinstance(kind, IntType):
            self.fail(call, f"a range counts integers, not {kind}")
        self.declare(target, target.id, kind)
        start, stop = self.coerce(start, kind, call), self.coerce(stop, kind, call)
        before = _copy(self.assigned)
        if self.assigned is not None:
            self.assigned.add(target.id)
        body, breaks = self.loop(node.body)
        self.assigned = _merge([*breaks, before])
        return [tree.ForRange(node.lineno, target.id, start, stop, int(step.value), body)]

    def _break(self, node: ast.Break) -> list[Stmt]:
        self.loops[-1].append(self.assigned)
        self.assigned = None
        return [tree.Break(node.lineno)]

    def _continue(self, node: ast.Continue) -> list[Stmt]:
        self.assigned = None
        return [tree.Continue(node.lineno)]

    def _return(self, node: ast.Return) -> list[Stmt]:
        if (node.value is None) != (self.result is VOID):
            wanted = "nothing" if self.result is VOID else f"a {self.result}"
            self.fail(node, f"{self.definition.name} returns {wanted}")
        value = None if node.value is None else self.value(node.value, self.result)
        self.assigned = None
        return [tree.Return(node.lineno, value)]

    # -- the rest -------------------------------------------------------------------------------------------

    def _expr(self, node: ast.Expr) -> list[Stmt]:
        if isinstance(node.value, ast.Constant):
            return []  # a docstring or `...`
        value = self.expr(node.value)
        if not isinstance(value, tree.Call | tree.CallPointer | tree.Apply):
            self.fail(node, "this expression does nothing")
        if isinstance(value, tree.Apply) and value.intrinsic is unreachable:
            self.assigned = None
        return [tree.Evaluate(node.lineno, value)]

    def _assert(self, node: ast.Assert) -> list[Stmt]:
        message = node.msg.value if isinstance(node.msg, ast.Constant) else ast.unparse(node.test)
        return [tree.Assert(node.lineno, self.truth(node.test), str(message))]

    def _pass(self, node: ast.Pass) -> list[Stmt]:
        return []


_STATEMENTS = (
    ast.Assign | ast.AnnAssign | ast.AugAssign | ast.If | ast.Match | ast.While | ast.For | ast.Break | ast.Continue
    | ast.Return | ast.Expr | ast.Assert | ast.Pass
)  # fmt: skip


def _stored_names(definition: ast.FunctionDef) -> Iterable[str]:
    for node in ast.walk(definition):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _copy(state: set[str] | None) -> set[str] | None:
    return None if state is None else set(state)


def _merge(states: Iterable[set[str] | None]) -> set[str] | None:
    """The state where several paths meet."""
    reachable = [state for state in states if state is not None]
    return set.intersection(*reachable) if reachable else None


def _index_type(start: Expr, stop: Expr) -> Type:
    """The type of a loop variable between two constants."""
    small = all(isinstance(bound, tree.Const) and u32.holds(bound.value) for bound in (start, stop))
    return u32 if small else i64
