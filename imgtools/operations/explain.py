"""What lies in an image, field by field, by the declarations that parse it (see `block.structure`).

from imgtools.operations.explain import explain

with imgtools.open("disk.qcow2") as disk:
    for part in explain(disk, "header"):
        for field in part.fields:
            print(field.offset, field.size, field.name, field.value, field.meaning)
"""

from __future__ import annotations

from itertools import islice

from imgtools.block.structure import LISTED, fields_of, structure_of, structures_of
from imgtools.errors import UnsupportedFeature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgtools.block.node import Node
    from imgtools.block.structure import Field, Structure


class Part:
    """One structure of an image: the `size` bytes at `offset` of its file, and the fields that they are made of.

    `index` is its number where there may be several of its kind, None otherwise.
    """

    def __init__(self, structure: Structure, index: int | None, offset: int, size: int, fields: list[Field]) -> None:
        self.structure = structure
        self.index = index
        self.offset = offset
        self.size = size
        self.fields = fields

    @property
    def name(self) -> str:
        return self.structure.name if self.index is None else f"{self.structure.name} {self.index}"


def explain(node: Node, name: str | None = None, index: int | None = None) -> Iterator[Part]:
    """The structures of an image, or only those of that name, or of them the one with that number.

    Of a table, the first entries that are not blank. Raises BadOption where there is no such structure, OutOfBounds
    where there is no such number, UnsupportedFeature where the format has none at all.
    """
    below = node.unfiltered
    structures = structures_of(below) if name is None else (structure_of(below, name),)
    if not structures:
        raise UnsupportedFeature(f"a {below.driver} image has no structures to explain", path=node.filename)
    for structure in structures:
        count = structure.count(below)
        if index is not None:
            found = structure.read(below, index)
            entries = iter(() if found is None else ((index, *found),))
        else:
            entries = islice(structure.entries(below), LISTED)
        for number, offset, declaration, data in entries:
            fields = list(fields_of(declaration, data, offset))
            yield Part(structure, None if count is None else number, offset, len(data), fields)
