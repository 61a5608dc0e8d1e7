"""What can go wrong, and how it is said.

`CompileError` is a mistake in a compiled function: it carries the file, line and column, and prints the line
with a caret and, where there is one, a hint.  `BuildError` is LLVM or a build process failing: a defect of a raw
IR text or of the compiler, never of the user's data.
"""

from __future__ import annotations


class NativeError(Exception):
    """Base of every error this package raises on purpose."""


class CompileError(NativeError):
    """A construct outside the language or a type that does not fit, at a place in a source file."""

    def __init__(
        self,
        message: str,
        path: str,
        line: int,
        column: int = 0,
        width: int = 1,
        source_line: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.line = line
        self.column = column
        self.width = width
        self.source_line = source_line
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.path}:{self.line}:{self.column + 1}: {self.message}"
        if self.source_line:
            shown = self.source_line.expandtabs(1)
            text += f"\n    {shown.lstrip()}"
            text += f"\n    {' ' * (self.column - len(shown) + len(shown.lstrip()))}{'^' * self.width}"
        if self.hint:
            text += f"\nhint: {self.hint}"
        return text


class BuildError(NativeError):
    """A unit could not be turned into machine code, or two of its parts do not fit together."""
