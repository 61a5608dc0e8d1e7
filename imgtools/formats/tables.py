"""Tables of integers: how they stand in a file, and, for formats that are only read, the two shapes that they have:
of one level, or a first one of offsets of second ones, of entries."""

from __future__ import annotations

import sys
from array import array

from imgtools.errors import CorruptImage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.node import Storage

MAX_TABLE_BYTES = 64 << 20
"""Bytes of one table that are read at once: what the largest sound image of these formats has."""
MAX_CACHED_BYTES = 32 << 20
"""Bytes of second tables that are kept."""


def to_native(data: bytes, code: str, *, big: bool) -> array[int]:
    """The integers that stand in `data`, in the byte order of the file; `code` is array's, "I" or "Q"."""
    values = array(code, data)
    if big == (sys.byteorder == "little"):
        values.byteswap()
    return values


def to_disk(values: array[int], *, big: bool) -> bytes:
    """The bytes of `values` in the byte order of the file."""
    if big == (sys.byteorder == "little"):
        values = values[:]
        values.byteswap()
    return values.tobytes()


def read_table(storage: Storage, offset: int, count: int, *, code: str, big: bool, name: str) -> array[int]:
    """The entries of a table; `code` is array's, "I" or "Q". Raises CorruptImage where it is not in the file."""
    length = count * array(code).itemsize
    if length > MAX_TABLE_BYTES or offset + length > storage.size:
        raise CorruptImage(
            f"the {name} of {length} bytes at {offset:#x} is too large, or not in the file",
            path=storage.filename,
            offset=offset,
            structure=name,
        )
    return to_native(storage.read(offset, length), code, big=big)


class TwoLevels:
    """The entries of all blocks, by block; 0 where there is no second table. Not safe for threads by itself."""

    def __init__(self, storage: Storage, first: array[int], entries: int, *, big: bool) -> None:
        self.storage = storage
        self.first = first
        self.entries = entries
        """Entries of a second table."""
        self.big = big
        self._room = max(1, MAX_CACHED_BYTES // (8 * entries))
        self._tables: dict[int, array[int]] = {}

    def absent_until(self, block: int) -> int:
        """The first block behind this one that may have an entry although this one has none: a missing second table
        is looked at once."""
        number = block // self.entries
        return block + 1 if self.first[number] else (number + 1) * self.entries

    def __getitem__(self, block: int) -> int:
        number, index = divmod(block, self.entries)
        offset = self.first[number]
        if not offset:
            return 0
        table = self._tables.get(offset)
        if table is None:
            table = read_table(self.storage, offset, self.entries, code="Q", big=self.big, name="L2 table")
            if len(self._tables) >= self._room:
                self._tables.clear()
            self._tables[offset] = table
        return table[index]
