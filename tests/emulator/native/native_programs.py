"""Functions from text, and both modes of a function side by side."""

from __future__ import annotations

import itertools
import linecache
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import emulator.native
from emulator.native import Function, Unit
from emulator.native.cache import ObjectCache
from emulator.native.load import Library, load
from emulator.native.worker import compile_ir

_numbers = itertools.count()


def define(text: str, **names: Any) -> dict[str, Any]:
    """Execute source text in a namespace where the whole package is imported, keeping the text for the compiler."""
    path = f"<program {next(_numbers)}>"
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)
    namespace = {name: getattr(emulator.native, name) for name in emulator.native.__all__} | names
    namespace["__name__"] = f"program{next(_numbers)}"
    exec(compile(text, path, "exec"), namespace)
    return namespace


@cache
def _cache() -> ObjectCache:
    return ObjectCache(Path(tempfile.mkdtemp(prefix="native-test-")) / "native")


def compiled(*functions: Function, uses: tuple[Unit, ...] = (), optimize: int = 1) -> Library:
    """The functions as machine code, compiled in this process because that is quicker for small ones."""
    unit = Unit("test", functions, uses=uses, optimize=optimize)
    if _cache().read(unit.key) is None:
        _cache().write(unit.key, compile_ir(unit.ir(), unit.optimize))
    return load(unit, cache=_cache())


def both(function: Function, *arguments: Any) -> Any:
    """The result of both modes, which has to be one."""
    native = getattr(compiled(function), function.name)(*arguments)
    python = function(*arguments)
    assert type(native) is type(python)
    assert native == python or (native != native and python != python)
    return native
