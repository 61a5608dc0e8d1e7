"""The GUID partition table (UEFI specification, chapter 5).

A header in sector 1 names an array of entries; a copy of both is at the end of the disk. Each has a CRC, and the
copy serves where the first is damaged.
"""

from __future__ import annotations

import zlib

from imgtools.partitions import Partition
from imgtools.partitions.records import GPT_ENTRY, GPT_HEADER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.node import Node

SIGNATURE = b"EFI PART"
MAX_ENTRIES = 1024
"""Tools make 128 entries and let one ask for a few hundred; Linux names at most 255 of them."""
MAX_ENTRY_SIZE = 4096
"""Entries are 128 bytes; the specification lets them grow by powers of two, which nobody does."""


def read_gpt(disk: Node, sector_size: int) -> list[Partition] | None:
    """The partitions in the table or its copy; None where neither is there whole."""
    for lba in (1, disk.size // sector_size - 1):
        header = read_header(disk, lba, sector_size)
        if header is not None and (entries := read_entries(disk, header, sector_size)) is not None:
            return partitions_of(entries, header, sector_size)
    return None


def read_header(disk: Node, lba: int, sector_size: int) -> Any:
    """The header in sector `lba`; None where there is none, or it is damaged or beyond the limits."""
    if lba < 1 or (lba + 1) * sector_size > disk.size:
        return None
    sector = disk.read(lba * sector_size, sector_size)
    header = GPT_HEADER.parse(sector)
    if header.signature != SIGNATURE or not GPT_HEADER.size <= header.header_size <= sector_size:
        return None
    crc = GPT_HEADER.offset_of("header_crc32")
    covered = sector[:crc] + bytes(4) + sector[crc + 4 : header.header_size]
    if zlib.crc32(covered) != header.header_crc32 or header.my_lba != lba:
        return None
    if header.entries > MAX_ENTRIES or not GPT_ENTRY.size <= header.entry_size <= MAX_ENTRY_SIZE:
        return None
    return header


def read_entries(disk: Node, header: Any, sector_size: int) -> bytes | None:
    """The array that a header names; None where it is damaged or lies outside the disk."""
    start, length = header.entries_lba * sector_size, header.entries * header.entry_size
    if start + length > disk.size:
        return None
    entries = disk.read(start, length)
    return entries if zlib.crc32(entries) == header.entries_crc32 else None


def partitions_of(entries: bytes, header: Any, sector_size: int) -> list[Partition]:
    found = []
    for index in range(header.entries):
        entry = GPT_ENTRY.parse(entries, index * header.entry_size)
        if not any(entry.type_guid):
            continue
        size = (entry.last_lba - entry.first_lba + 1) * sector_size
        name = entry.name.decode("utf-16-le", errors="replace").partition("\0")[0]
        found.append(Partition(index + 1, entry.first_lba * sector_size, size, guid_text(entry.type_guid), name))
    return found


def guid_text(guid: bytes) -> str:
    """A GUID as it is written: the first three of its five groups are little-endian."""
    groups = (guid[3::-1], guid[5:3:-1], guid[7:5:-1], guid[8:10], guid[10:])
    return "-".join(group.hex() for group in groups)
