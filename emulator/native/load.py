"""Loading objects: LLVM's ORC JIT links them into this process, and ctypes calls them.

A library stays loaded as long as the process lives: machine code may be on any thread's stack.
"""

from __future__ import annotations

import ctypes
import threading
from functools import cache
from typing import TYPE_CHECKING, Any

from .build import build, with_used
from .cache import ObjectCache
from .errors import BuildError
from .llvm import binding

if TYPE_CHECKING:
    from .build import Listener
    from .unit import Unit

_loaded: dict[str, Library] = {}
_lock = threading.RLock()


class Library:
    """The functions of one loaded unit, as attributes: `library.decode(address, length)`.

    Pointers are passed as addresses, or as `ctypes.byref(x)`.  Calls release the GIL.
    """

    def __init__(self, unit: Unit, tracker: Any) -> None:
        self._tracker = tracker
        self._unit = unit
        self._functions: dict[str, Any] = {}
        for function in unit.exports:
            self._functions[function.name] = (tracker[function.symbol], lambda f=function: f.prototype)
        for export in unit.raw.exports if unit.raw else ():
            self._functions[export.symbol] = (tracker[export.symbol], lambda e=export: _prototype(e.types()))

    def address(self, name: str) -> int:
        """Where a function's machine code begins."""
        found: int = self._functions[name][0]
        return found

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._functions:
            raise AttributeError(f"unit {self._unit.name} exports no function {name}")
        address, prototype = self._functions[name]
        made = prototype()(address)
        setattr(self, name, made)
        return made

    def __repr__(self) -> str:
        return f"<library {self._unit.name}: {', '.join(self._functions)}>"


def load(unit: Unit, cache: ObjectCache | None = None, progress: Listener | None = None) -> Library:
    """Load a unit and those it uses, building what is missing.  A unit is loaded once."""
    with _lock:
        if unit.key not in _loaded:
            objects = build([unit], cache=cache, progress=progress)
            for part in with_used([unit]):
                if part.key not in _loaded:
                    _loaded[part.key] = Library(part, _link(part, objects[part.key]))
        return _loaded[unit.key]


@cache
def _jit() -> Any:
    return binding().create_lljit_compiler()


def _link(unit: Unit, data: bytes) -> Any:
    builder = binding().JITLibraryBuilder().add_object_img(data).add_current_process()
    for used in unit.uses:
        library = _loaded[used.key]
        for function in used.exports:
            builder.import_symbol(function.symbol, library.address(function.name))
    for symbol in [f.symbol for f in unit.exports] + [e.symbol for e in (unit.raw.exports if unit.raw else ())]:
        builder.export_symbol(symbol)
    try:
        return builder.link(_jit(), unit.key)
    except RuntimeError as error:
        raise BuildError(f"unit {unit.name} cannot be linked: {error}") from None


def _prototype(types: Any) -> Any:
    parameters, result = types
    arguments = [ctypes.c_void_p if t.ir == "ptr" else t.ctype for t in parameters]
    return ctypes.CFUNCTYPE(ctypes.c_uint64 if result.ir == "ptr" else result.ctype, *arguments)
