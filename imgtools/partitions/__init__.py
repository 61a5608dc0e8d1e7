"""The partitions of a disk, as its GPT or MBR lists them.

    from imgtools.partitions import read_partitions

    with imgtools.open("disk.qcow2") as disk:
        for partition in read_partitions(disk):
            print(partition.number, partition.start, partition.size, partition.type)

The table is the guest's: whatever it says, this reads no more than a bounded number of sectors, and partitions
that do not lie on the disk are left out.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.node import Node

SECTOR_SIZES = (512, 4096)
"""A table counts in sectors of a size that it does not tell."""


class Partition:
    """One partition: its number as Linux counts, where it lies in bytes, and what its table says it is.

    `type` is a GUID ("0fc63daf-8483-4772-8e79-3d69d8477de4") in a GPT, two hexadecimal digits ("83") in an MBR.
    """

    def __init__(self, number: int, start: int, size: int, type: str, name: str = "") -> None:
        self.number = number
        self.start = start
        self.size = size
        self.type = type
        self.name = name

    def __repr__(self) -> str:
        return f"<partition {self.number}: {self.start}+{self.size} {self.type} {self.name!r}>"


def read_partitions(disk: Node) -> list[Partition]:
    """The partitions of `disk` by number; none where it has no table that holds together."""
    from imgtools.partitions.gpt import read_gpt
    from imgtools.partitions.mbr import protects_gpt, read_mbr

    found = None
    if protects_gpt(disk):
        tables = (read_gpt(disk, sector_size) for sector_size in SECTOR_SIZES)
        found = next((table for table in tables if table is not None), None)
    if found is None:
        found = read_mbr(disk, SECTOR_SIZES[0])
    return [partition for partition in found if 0 < partition.size <= disk.size - partition.start]
