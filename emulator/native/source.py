"""Where a function's text is, and what the names in it mean.

Syntax trees come from whole files, so that every node carries the line and column that an editor shows.  A name
in a compiled function is a local variable or it is resolved once, when the function is compiled, as Python
would: enclosing functions, module, builtins.
"""

from __future__ import annotations

import ast
import builtins
import enum
import linecache
import re
from functools import cache, cached_property
from types import FunctionType, ModuleType
from typing import Any, NoReturn

from .errors import CompileError

MISSING = object()
_DOTTED_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


class SourceFile:
    """A parsed file; functions are found by the line of their first decorator."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.lines = linecache.getlines(path)
        self._definitions: dict[int, ast.FunctionDef] | None = None

    def definition(self, first_line: int) -> ast.FunctionDef | None:
        if self._definitions is None:
            tree = ast.parse("".join(self.lines), self.path)
            found = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
            self._definitions = {min([n.lineno, *(d.lineno for d in n.decorator_list)]): n for n in found}
        return self._definitions.get(first_line)


@cache
def _source_file(path: str) -> SourceFile:
    return SourceFile(path)


class Source:
    """One function's text and the scope it was defined in."""

    def __init__(self, function: FunctionType) -> None:
        self.function = function
        self.file = _source_file(function.__code__.co_filename)
        self.first_line = function.__code__.co_firstlineno

    @cached_property
    def scopes(self) -> tuple[dict[str, Any], ...]:
        """Enclosing functions, module, builtins."""
        cells = zip(self.function.__code__.co_freevars, self.function.__closure__ or (), strict=True)
        closure = {name: cell.cell_contents for name, cell in cells}
        return closure, self.function.__globals__, vars(builtins)

    def definition(self) -> ast.FunctionDef:
        node = self.file.definition(self.first_line)
        if node is None:
            name = self.function.__qualname__
            raise CompileError(f"the source of {name} is not available", self.file.path, self.first_line)
        return node

    @cached_property
    def text(self) -> str:
        """The function's lines without the outer indentation, blank lines and comments: what its key is made of.

        They end with the last line that has code, or is indented as the body is and follows that one.
        """
        lines = self.file.lines
        last = max((line for _, _, line in self.function.__code__.co_lines() if line), default=self.first_line)
        margin = _indentation(lines[self.first_line - 1])
        while last < len(lines) and (not lines[last].strip() or _indentation(lines[last]) > margin):
            last += 1
        kept = (line[margin:].rstrip() for line in lines[self.first_line - 1 : last])
        return "\n".join(line for line in kept if line and not line.lstrip().startswith("#"))

    def names(self) -> set[str]:
        """Every dotted name in the text: more than are used, never fewer."""
        return set(_DOTTED_NAME.findall(self.text))

    def lookup(self, dotted: str) -> Any:
        """What a dotted name means outside the function, or MISSING."""
        first, *rest = dotted.split(".")
        for scope in self.scopes:
            if first in scope:
                value = scope[first]
                break
        else:
            return MISSING
        for name in rest:
            if not isinstance(value, ModuleType | enum.EnumMeta):
                return MISSING
            value = getattr(value, name, MISSING)
        return value

    def evaluate(self, node: ast.expr) -> Any:
        """The value of an annotation or of a type expression such as `Ptr[Cpu]`."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node = ast.copy_location(ast.parse(node.value, mode="eval").body, node)
        code = compile(ast.Expression(node), self.file.path, "eval")
        return eval(code, self.function.__globals__, self.scopes[0])

    def fail(self, node: ast.AST, message: str, hint: str = "") -> NoReturn:
        line, column = getattr(node, "lineno", self.first_line), getattr(node, "col_offset", 0)
        text = self.file.lines[line - 1].rstrip("\n") if line <= len(self.file.lines) else ""
        end = node.end_col_offset if getattr(node, "end_lineno", line) == line else None  # type: ignore[attr-defined]
        column, stop = (len(text.encode()[:byte].decode(errors="replace")) for byte in (column, end))
        raise CompileError(message, self.file.path, line, column, max(1, stop - column), text, hint)


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())


def dotted_name(node: ast.expr) -> str | None:
    """`a.b.c` as text, None for any other expression."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(parts)])
