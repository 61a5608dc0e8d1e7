"""On-disk structures made readable, by the declarations that parse them.

A format names a module (`Format.structures`) whose STRUCTURES say what lies in its images: a name, a construct
declaration, and where it is. Whoever explains an image needs nothing else:

    for structure in structures_of(node):
        print(structure.name, structure.count(node))
    print("\\n".join(structures_of(node)[0].describe(node)))

What is shown is what is in the file: flush a node that was written to first.
"""

from __future__ import annotations

from importlib import import_module

from imgtools.block.registry import find_driver
from imgtools.errors import BadOption, CorruptImage, OutOfBounds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from construct import Construct

    from imgtools.block.node import Node, Storage

LISTED = 64
"""Entries of a table that are listed; there may be millions."""
SEARCHED = 1 << 16
"""Entries that are looked at for those."""
TEXT_COLUMN = 32


class Structure:
    """One kind of structure in an image of one format.

    `declaration` is a construct declaration, or a function of the node, the bytes and the index that gives one, for a
    structure whose form depends on them; `locate` gives (storage, offset) of the one with a given index; `count` how
    many there are (None where there is exactly one), which `counted` names ("guest cluster"). `size` is the bytes to
    read.
    """

    def __init__(
        self,
        name: str,
        summary: str,
        declaration: Construct | Callable[[Any, bytes, int], Construct],
        locate: Callable[[Any, int], tuple[Storage, int] | None],
        *,
        size: Callable[[Any], int] | int,
        count: Callable[[Any], int] | None = None,
        counted: str = "",
        blank: int = 0,
    ) -> None:
        self.name = name
        self.summary = summary
        self.declaration = declaration
        self.locate = locate
        self.size = size
        self._count = count
        self.counted = counted
        self.blank = bytes((blank,))
        """The byte that an entry consists of which says nothing."""

    def count(self, node: Node) -> int | None:
        """How many there are; None for a structure that is there once."""
        return None if self._count is None else self._count(node)

    def read(self, node: Node, index: int = 0) -> tuple[int, Construct, bytes] | None:
        """(offset in its file, declaration, bytes) of the one with that index; None where there is none."""
        count = self.count(node)
        if index < 0 or index >= (1 if count is None else count):
            raise OutOfBounds(
                f"there is no {self.counted or self.name} {index}: {count or 1} in all", path=node.filename
            )
        place = self.locate(node, index)
        if place is None:
            return None
        storage, offset = place
        size = self.size if isinstance(self.size, int) else self.size(node)
        data = storage.read(offset, size) if offset + size <= storage.size else b""
        if len(data) < size:
            raise CorruptImage(
                f"the {self.name} at {offset:#x} is not in the file, or not all of it",
                path=node.filename,
                offset=offset,
                structure=self.name,
            )
        declaration = self.declaration if hasattr(self.declaration, "parse") else self.declaration(node, data, index)
        return offset, declaration, data

    def describe(self, node: Node, index: int | None = None) -> Iterator[str]:
        """The lines that show one of them; or, of a table without an index, its first entries that are not zero."""
        count = self.count(node)
        if index is None and count is not None and count != 1:
            yield from self._list(node, count)
            return
        found = self.read(node, index or 0)
        title = self.name if count is None else f"{self.name} {index}"
        if found is None:
            yield f"{title}: not there"
            return
        offset, declaration, data = found
        yield f"{title}: {len(data)} bytes at {offset:#x}"
        for field in fields_of(declaration, data, offset):
            yield field.line()

    def entries(self, node: Node) -> Iterator[tuple[int, int, Construct, bytes]]:
        """Those that say something, among the first SEARCHED: (index, offset, declaration, bytes)."""
        count = self.count(node)
        for index in range(1 if count is None else min(count, SEARCHED)):
            found = self.read(node, index)
            if found is not None and found[2].strip(self.blank):
                yield index, *found

    def _list(self, node: Node, count: int) -> Iterator[str]:
        yield f"{self.name}: {count} entries"
        for listed, (index, offset, declaration, data) in enumerate(self.entries(node)):
            if listed == LISTED:
                yield "  ... and more: ask for one by its number"
                return
            yield f"  {index}: {in_one_line(declaration, data)}  at {offset:#x}"
        if count > SEARCHED:
            yield f"  (only the first {SEARCHED} were looked at)"


def structures_of(node: Node) -> tuple[Structure, ...]:
    """What lies in images of the node's format; nothing where that is not declared."""
    module = _module(node)
    return () if module is None else module.STRUCTURES


def structure_of(node: Node, name: str) -> Structure:
    """The structure of that name; raises BadOption where there is none."""
    structures = structures_of(node)
    for structure in structures:
        if structure.name == name:
            return structure
    known = ", ".join(structure.name for structure in structures)
    hint = f"There are: {known}." if known else f"{node.driver} images have none."
    raise BadOption(f"there is no structure '{name}' in a {node.driver} image", path=node.filename, hint=hint)


def way_to(node: Node, offset: int) -> list[tuple[Structure, int]]:
    """The entries of tables, in order, that lead to the byte at `offset` of the node's disk."""
    module = _module(node)
    return [] if module is None else [(structure_of(node, name), index) for name, index in module.way(node, offset)]


def _module(node: Node) -> Any:
    driver = find_driver(node.driver)
    name = getattr(driver, "structures", "")
    return import_module(name) if name else None


class Field:
    """One field of a structure: `offset` in its file and `size` in bytes (None for bits), its value, what it means."""

    def __init__(self, offset: int | None, size: int | None, name: str, value: Any, meaning: str = "") -> None:
        self.offset = offset
        self.size = size
        self.name = name
        self.value = value
        self.meaning = meaning

    def line(self) -> str:
        """Where the field lies, its name, its value."""
        place = "" if self.offset is None else f"{self.offset:#x}"
        return f"  {place:>8}  {self.name:<{TEXT_COLUMN - 2}}{as_text(self.value)}"


def fields_of(declaration: Any, data: bytes, offset: int) -> Iterator[Field]:
    """The fields of a structure whose bytes `data` lie at `offset` of a file; what is reserved is left out."""
    values = declaration.parse(data)
    if not hasattr(declaration, "subcons"):
        for name, value in members(values):
            yield Field(None, None, name, value)
        return
    position = offset
    for member in declaration.subcons:
        size = member.sizeof()
        if member.name and not member.name.startswith(("padding", "reserved")):
            yield Field(position, size, member.name, values[member.name], member.docs)
        position += size


def in_one_line(declaration: Any, data: bytes) -> str:
    """The fields of a small structure, one behind the other; flags by their names alone."""
    words = []
    for name, value in members(declaration.parse(data)):
        if value is True:
            words.append(name)
        elif value is not False:
            words.append(f"{name}={as_text(value)}")
    return " ".join(words)


def members(values: Any) -> Iterator[tuple[str, Any]]:
    """The names and values of what construct parsed; a plain value is one without siblings."""
    if not isinstance(values, dict):
        yield "value", values
        return
    for name, value in values.items():
        if not name.startswith(("_", "padding", "reserved")):
            yield name, value


def as_text(value: Any) -> str:
    """A value for people: numbers also in hexadecimal, bytes with their letters."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if hasattr(value, "intvalue"):  # construct's, of an enumeration: a text that knows its number
        return f"{value} ({int(value)})"
    if isinstance(value, int):
        return str(value) if value < 10 else f"{value} ({value:#x})"
    if isinstance(value, bytes):
        shown = value.rstrip(b"\0") or value[:1]
        text = repr(shown)[1:]
        return f"{shown.hex(' ')}  {text}" if len(shown) <= 16 else text
    if isinstance(value, dict):
        return ", ".join(name for name, is_set in members(value) if is_set) or "none"
    return str(value)
