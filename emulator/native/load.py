"""Loading objects: LLVM's ORC JIT links them into this process, and ctypes calls them.

A library stays loaded as long as the process lives: machine code may be on any thread's stack.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

from .build import build, progress_bar, with_used
from .cache import ObjectCache
from .errors import BuildError
from .llvm import binding

if TYPE_CHECKING:
    from .build import Listener
    from .function import Function
    from .unit import Export, Unit

_loaded: dict[str, Library] = {}
_lock = threading.RLock()


class Library:
    """The functions of one loaded unit, as attributes: `library.decode(address, length)`.

    Pointers are passed as addresses, or as `ctypes.byref(x)`.  Calls release the GIL.
    """

    def __init__(self, unit: Unit, tracker: Any) -> None:
        self._tracker = tracker
        self._unit = unit
        self._exports = _exports(unit)

    def address(self, name: str) -> int:
        """Where a function's machine code begins."""
        found: int = self._tracker[self._exports[name].symbol]
        return found

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._exports:
            raise AttributeError(f"unit {self._unit.name} exports no function {name}")
        made = self._exports[name].prototype(self.address(name))
        setattr(self, name, made)
        return made

    def __repr__(self) -> str:
        return f"<library {self._unit.name}: {', '.join(self._exports)}>"


def load(unit: Unit, cache: ObjectCache | None = None, progress: Listener | None = None) -> Library:
    """Load a unit and those it uses, building what is missing.  A unit is loaded once."""
    return load_all([unit], cache, progress)[0]


def load_all(
    units: Sequence[Unit], cache: ObjectCache | None = None, progress: Listener | None = None
) -> list[Library]:
    """Load several units; what is missing is built at the same time."""
    with _lock:
        if any(unit.key not in _loaded for unit in units):
            with _shown(progress) as listener:
                objects = build(units, cache=cache, progress=listener)
            for part in with_used(units):
                if part.key not in _loaded:
                    _loaded[part.key] = Library(part, _link(part, objects[part.key]))
        return [_loaded[unit.key] for unit in units]


def _shown(progress: Listener | None) -> AbstractContextManager[Listener | None]:
    """A bar on a terminal, where nobody else shows how far a build is."""
    return progress_bar() if progress is None and sys.stderr.isatty() else nullcontext(progress)


@cache
def _jit() -> Any:
    return binding().create_lljit_compiler()


def _link(unit: Unit, data: bytes) -> Any:
    builder = binding().JITLibraryBuilder().add_object_img(data).add_current_process()
    for used in unit.uses:
        for name, export in _exports(used).items():
            builder.import_symbol(export.symbol, _loaded[used.key].address(name))
    for export in _exports(unit).values():
        builder.export_symbol(export.symbol)
    try:
        return builder.link(_jit(), unit.key)
    except RuntimeError as error:
        raise BuildError(f"unit {unit.name} cannot be linked: {error}") from None


def _exports(unit: Unit) -> dict[str, Function | Export]:
    """What a unit exports, by the names that Python uses."""
    raw = unit.raw.exports if unit.raw else ()
    return {function.name: function for function in unit.exports} | {export.symbol: export for export in raw}
