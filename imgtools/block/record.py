"""Records: what a declared structure becomes once it is compiled.

A format declares its on-disk structures with construct, in its `structs.py`; that is the truth, and what
`explain` reads. Importing construct takes four times as long as starting Python, so each fixed-size
declaration is compiled ahead into a `Record`, a table for the standard library's `struct`, in `records.py`
beside it. `python -m imgtools.block.compile` writes those files; a test keeps them equal to their source.
"""

from __future__ import annotations

import struct
from types import SimpleNamespace

from imgtools.errors import InvalidFormat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.node import Buffer


class Record:
    """A structure of fixed size: its fields, where they lie, and how to read and write them."""

    def __init__(self, name: str, layout: str, fields: tuple[str, ...]) -> None:
        self.name = name
        self.fields = fields
        self._struct = struct.Struct(layout)
        self.size = self._struct.size

    def parse(self, data: Buffer, offset: int = 0) -> Any:
        """The fields as attributes. Raises InvalidFormat where `data` is too short to hold them all."""
        if len(data) - offset < self.size:
            raise InvalidFormat(f"{self.name} is cut short", structure=self.name, offset=offset)
        return SimpleNamespace(**dict(zip(self.fields, self._struct.unpack_from(data, offset), strict=True)))

    def build(self, **values: Any) -> bytes:
        """The bytes of a structure; fields that are not given are zero."""
        return self._struct.pack(*[values.get(field, b"" if code == "s" else 0) for field, code in self._codes()])

    def offset_of(self, field: str) -> int:
        """Where `field` begins."""
        index = self.fields.index(field)
        order, codes = self._struct.format[0], self._items()
        return struct.calcsize(order + "".join(codes[:index]))

    def _items(self) -> list[str]:
        items, number = [], ""
        for character in self._struct.format[1:]:
            number += character
            if not character.isdigit():
                items.append(number)
                number = ""
        return items

    def _codes(self) -> list[tuple[str, str]]:
        return [(field, item[-1]) for field, item in zip(self.fields, self._items(), strict=True)]
