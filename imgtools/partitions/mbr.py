"""The master boot record, and the logical partitions inside an extended one.

Sector 0 has four entries at 446 and the signature 55 AA at 510. An entry of an extended type is the head of a
chain: each link is a sector like the first, whose first entry is a logical partition (its place counted from the
link) and whose second entry leads to the next link (counted from the extended partition).
"""

from __future__ import annotations

from imgtools.partitions import Partition
from imgtools.partitions.records import MBR_ENTRY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from imgtools.block.node import Node

ENTRIES_OFFSET = 446
ENTRIES = 4
SIGNATURE_OFFSET, SIGNATURE = 510, b"\x55\xaa"
EXTENDED_TYPES = (0x05, 0x0F, 0x85)
PROTECTIVE_TYPE = 0xEE
"""Of the one entry with which a disk that has a GPT fends off tools that know none."""
FIRST_LOGICAL = 5
MAX_LOGICAL = 128
"""Links that are followed: more than Linux knows device names for, and an end to a chain that loops."""
STATUSES = (0x00, 0x80)
"""Inactive, active. A boot sector of a file system that has no table has other bytes there."""


def protects_gpt(disk: Node) -> bool:
    """Whether the boot record says that the disk is divided by a GPT."""
    return any(entry.type == PROTECTIVE_TYPE for entry in read_entries(disk, 0))


def read_mbr(disk: Node, sector_size: int) -> list[Partition]:
    """The primary partitions (1 to 4) and the logical ones (from 5)."""
    entries = read_entries(disk, 0)
    if any(entry.status not in STATUSES for entry in entries):
        return []
    found = []
    for number, entry in enumerate(entries, 1):
        if entry.type and entry.sectors:
            found.append(partition_of(number, entry, 0, sector_size))
    for entry in entries:
        if entry.type in EXTENDED_TYPES:
            found += logical_partitions(disk, entry.first_lba, sector_size)
    return found


def read_entries(disk: Node, offset: int) -> list[Any]:
    """The four entries of the boot record at `offset`; none where there is no boot record."""
    if offset + SIGNATURE_OFFSET + len(SIGNATURE) > disk.size:
        return []
    sector = disk.read(offset, SIGNATURE_OFFSET + len(SIGNATURE))
    if not sector.endswith(SIGNATURE):
        return []
    return [MBR_ENTRY.parse(sector, ENTRIES_OFFSET + index * MBR_ENTRY.size) for index in range(ENTRIES)]


def logical_partitions(disk: Node, extended_lba: int, sector_size: int) -> Iterator[Partition]:
    """The logical partitions of the extended partition that starts at `extended_lba`, link by link."""
    link_lba = extended_lba
    for number in range(FIRST_LOGICAL, FIRST_LOGICAL + MAX_LOGICAL):
        entries = read_entries(disk, link_lba * sector_size)
        if not entries:
            return
        if entries[0].type and entries[0].sectors:
            yield partition_of(number, entries[0], link_lba, sector_size)
        if entries[1].type not in EXTENDED_TYPES or not entries[1].first_lba:
            return
        link_lba = extended_lba + entries[1].first_lba


def partition_of(number: int, entry: Any, base_lba: int, sector_size: int) -> Partition:
    start = (base_lba + entry.first_lba) * sector_size
    return Partition(number, start, entry.sectors * sector_size, f"{entry.type:02x}")
