"""The directory of persistent bitmaps.

Specification: qcow2, "Bitmaps extension" and "Bitmap directory": entries of variable length, aligned to 8 bytes.
"""

from __future__ import annotations

from imgtools.align import round_up
from imgtools.formats.qcow2.records import BITMAP_ENTRY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

MAX_DIRECTORY_BYTES = 64 << 20
"""QEMU's limit."""


def directory_entries(directory: bytes, count: int) -> Iterator[tuple[Any, bytes]]:
    """(entry, name) of up to `count` bitmaps; ends early where the directory is cut short."""
    offset = 0
    for _ in range(count):
        if offset + BITMAP_ENTRY.size > len(directory):
            return
        entry = BITMAP_ENTRY.parse(directory, offset)
        start = offset + BITMAP_ENTRY.size + entry.extra_data_size
        yield entry, directory[start : start + entry.name_size]
        offset = round_up(start + entry.name_size, 8)
