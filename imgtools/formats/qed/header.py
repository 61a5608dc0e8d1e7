"""QED's header: what it says, and what is refused of it."""

from __future__ import annotations

import os

from imgtools.align import is_power_of_two
from imgtools.errors import InvalidFormat, OutOfBounds, UnsupportedFeature
from imgtools.formats.qed.records import HEADER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.node import Storage

MAGIC = b"QED\0"
BACKING, NEED_CHECK, RAW_BACKING = 1, 2, 4
KNOWN_FEATURES = BACKING | NEED_CHECK | RAW_BACKING
MIN_CLUSTER, MAX_CLUSTER = 4096, 64 << 20
MAX_TABLE_CLUSTERS = 16
MAX_BACKING_NAME = 1023
ZERO_CLUSTER = 1


def parse_header(storage: Storage) -> Any:
    """The header, its `backing_name` (or None) with it. Raises what `open` does."""
    path = storage.filename
    header = HEADER.parse(storage.read_whole(0, HEADER.size))
    if header.magic != MAGIC:
        raise InvalidFormat("Image not in QED format", path=path, offset=0, structure="header")
    unknown = header.features & ~KNOWN_FEATURES
    if unknown:
        raise UnsupportedFeature(f"Unsupported QED features: {unknown:x}", path=path, offset=16, structure="header")
    if not MIN_CLUSTER <= header.cluster_size <= MAX_CLUSTER or not is_power_of_two(header.cluster_size):
        raise InvalidFormat(f"clusters of {header.cluster_size} bytes", path=path, offset=4, structure="header")
    if not 1 <= header.table_size <= MAX_TABLE_CLUSTERS or not is_power_of_two(header.table_size):
        raise InvalidFormat(f"tables of {header.table_size} clusters", path=path, offset=8, structure="header")
    entries = header.table_size * header.cluster_size // 8
    if header.size > header.cluster_size * entries * entries or header.size >= 1 << 63 or header.size % 512:
        raise OutOfBounds(f"a disk of {header.size} bytes", path=path, offset=48, structure="header")
    header.backing_name = None
    if header.features & BACKING:
        name = storage.read(header.backing_file_offset, min(header.backing_file_size, MAX_BACKING_NAME + 1))
        if header.backing_file_size > MAX_BACKING_NAME or len(name) < header.backing_file_size:
            raise InvalidFormat("Backing file name too long", path=path, offset=60, structure="header")
        header.backing_name = os.fsdecode(name)
    return header
