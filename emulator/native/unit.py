"""A unit: the functions that are compiled together into one object file, the thing that is built and cached.

A unit holds the functions it exports and, as private copies, everything these call.  What a unit in `uses` exports
is called there instead.  `RawIR` adds functions written as LLVM IR, which may call compiled functions by their
`symbol` and may be inlined with them.

The key of a unit is a digest of all that decides its machine code: the text of its functions, the layouts, tables
and constants they mention, the options, the LLVM version, the CPU and its features, and this compiler's own text.
It is found without parsing, so that a start with everything in the cache is quick.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache, cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import BuildError
from .function import Function, c_prototype, structs_of
from .layout import StructType, Table
from .llvm import machine
from .types import Type, resolve

if TYPE_CHECKING:
    from .load import Library


class Export(NamedTuple):
    """A C function that raw IR defines; pointers are `Ptr` types, `None` is no result."""

    symbol: str
    parameters: tuple[Any, ...]
    result: Any = None

    @property
    def prototype(self) -> Any:
        """The ctypes type of the function."""
        found = [resolve(t) for t in (self.result, *self.parameters)]
        if None in found:
            raise TypeError(f"the signature of {self.symbol} names something that is no type of emulator.native")
        return c_prototype(*(t for t in found if t is not None))


class RawIR(NamedTuple):
    """Functions written as LLVM IR text.

    `key` stands for the text: two texts that differ have different keys (see `source_key`).  `calls` are the
    compiled functions that the text calls by their quoted symbol; it must not declare them.
    """

    key: str
    text: Callable[[], str]
    calls: tuple[Function, ...] = ()
    exports: tuple[Export, ...] = ()


class Unit:
    """A named set of functions.  `load()` builds it if the cache does not hold it, and maps it into the process."""

    def __init__(
        self,
        name: str,
        exports: Iterable[Function] = (),
        *,
        uses: Iterable[Unit] = (),
        raw: RawIR | None = None,
        optimize: int = 2,
    ) -> None:
        self.name = name
        self.exports = tuple(exports)
        self.uses = tuple(uses)
        self.raw = raw
        self.optimize = optimize
        for item in self.exports:
            if not isinstance(item, Function):
                raise TypeError(f"unit {name}: {item!r} is not a compiled function")
        names = [f.name for f in self.exports] + [e.symbol for e in (raw.exports if raw else ())]
        if len(set(names)) != len(names):
            raise BuildError(f"unit {name} exports two functions of one name")

    @cached_property
    def provided(self) -> dict[str, Function]:
        """What other units provide, by symbol."""
        return {f.symbol: f for unit in self.uses for f in unit.exports if f not in self.exports}

    @cached_property
    def key(self) -> str:
        """The digest that names this unit's object in the cache."""
        parts = [compiler_key(), *machine(), str(self.optimize), ", ".join(f.symbol for f in self.exports)]
        seen: set[Function | StructType] = set()
        roots = [*self.exports, *(self.raw.calls if self.raw else ())]
        texts = {text for function in roots for text in self._describe(function, seen)}
        parts += sorted(texts)
        if self.raw:
            parts.append(self.raw.key)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def assume_key(self, key: str) -> None:
        """Take a key as found: for those who know that it is (see `keys`)."""
        self.__dict__["key"] = key

    def _describe(self, root: Function, seen: set[Function | StructType]) -> Iterator[str]:
        """The texts of a function and of everything it mentions, and so on; each once."""
        waiting = [root]
        while waiting:
            function = waiting.pop()
            if function in seen:
                continue
            seen.add(function)
            elsewhere = self.provided.get(function.symbol) is function
            yield f"{function.symbol} {function.inline} {elsewhere}\n{function.source.text}"
            for item in function.dependencies():
                match item:
                    case Function():
                        waiting.append(item)
                    case StructType():
                        if item not in seen:
                            seen.add(item)
                            yield item.describe()
                    case Table():
                        yield f"{function.symbol} uses {item.describe()}"
                    case (name, value):
                        yield f"{function.symbol} uses {name} = {value!r}"

    def functions(self) -> list[Function]:
        """Every function compiled into this unit: exports, what raw IR calls, and all that these call."""
        found: dict[str, Function] = {}
        waiting = [*(self.raw.calls if self.raw else ()), *reversed(self.exports)]
        while waiting:
            function = waiting.pop()
            known = found.get(function.symbol)
            if known is function or self.provided.get(function.symbol) is function:
                continue
            if known is not None:
                hint = "give one of them another: @function(symbol=...)"
                raise BuildError(f"unit {self.name}: two functions have the symbol {function.symbol}; {hint}")
            found[function.symbol] = function
            waiting += function.body.calls
        return list(found.values())

    def ir(self) -> str:
        """The unit as LLVM IR."""
        from .emit import emit_module

        members = self.functions()
        called = [callee for function in members for callee in function.body.calls]
        called += self.raw.calls if self.raw else ()
        text = emit_module(members, self.exports, [function for function in called if function not in members])
        return text + ("\n" + self.raw.text() if self.raw else "")

    def load(self) -> Library:
        """The unit as callable functions; it is built first if need be, and so are the units it uses."""
        from .load import load

        return load(self)

    def reference(self) -> SimpleNamespace:
        """The exported functions as ordinary Python, under the names they have in the library."""
        return SimpleNamespace(**{function.name: function for function in self.exports})

    def __repr__(self) -> str:
        return f"<unit {self.name}>"


@cache
def compiler_key() -> str:
    """A digest of this package's own text: a changed compiler makes other code from the same source."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def source_key(*parts: Any) -> str:
    """A key for `RawIR` from what its text is made of: modules (their source), structs, and anything with a repr."""
    digest = hashlib.sha256()
    for part in parts:
        path = getattr(part, "__file__", None)
        if path is not None:
            digest.update(Path(path).read_bytes())
        elif isinstance(part, Type):
            digest.update("\n".join(s.describe() for s in structs_of(part)).encode())
        else:
            digest.update(repr(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()
