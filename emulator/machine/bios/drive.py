"""A drive as INT 13h sees it: a piece of a medium, in sectors, with a geometry."""

from __future__ import annotations

from dataclasses import dataclass
from struct import unpack_from

from emulator.hw.medium import BadSector, Medium

SECTOR, CD_SECTOR = 512, 2048
FLOPPY, HARD_DISK, CD = range(3)
MAX_CYLINDERS = 1024
PARTITIONS, ENTRY = 446, 16
PARTITION_HEADS, PARTITION_SECTORS = (16, 32, 64, 128, 240, 255), (32, 63)
SIGNATURE = b"\x55\xaa"
# Floppies by their size in KiB: cylinders, heads, sectors, the drive type of AH = 08h
FLOPPIES = {
    160: (40, 1, 8, 1), 180: (40, 1, 9, 1), 320: (40, 2, 8, 1), 360: (40, 2, 9, 1), 720: (80, 2, 9, 3),
    1200: (80, 2, 15, 2), 1440: (80, 2, 18, 4), 1680: (80, 2, 21, 4), 2880: (80, 2, 36, 6),
}  # fmt: skip
DEFAULT_FLOPPY = FLOPPIES[1440]


@dataclass
class BiosDrive:
    """`start` and `sectors` say which piece of the medium it is."""

    medium: Medium
    kind: int
    sectors: int
    sector_size: int = SECTOR
    start: int = 0  # in bytes
    heads: int = 0
    track_sectors: int = 0
    cylinders: int = 0
    floppy_type: int = 0

    @property
    def name(self) -> str:
        return self.medium.node.filename

    @property
    def read_only(self) -> bool:
        return self.medium.read_only

    def read(self, sector: int, count: int = 1) -> bytes:
        """Sectors that are there; an image that fails is a BadSector."""
        return bytes(self.medium.read(self.start + sector * self.sector_size, count * self.sector_size))


def size_of(medium: Medium) -> int:
    """In bytes."""
    return medium.sectors * medium.sector_size


def hard_disk(medium: Medium, start: int = 0, sectors: int | None = None) -> BiosDrive:
    """A hard disk, or the image of one on a CD-ROM."""
    count = medium.sectors if sectors is None else sectors
    drive = BiosDrive(medium, HARD_DISK, count, start=start)
    drive.heads, drive.track_sectors = geometry_of_partitions(drive) or geometry_of_size(count)
    drive.cylinders = max(1, min(MAX_CYLINDERS, count // (drive.heads * drive.track_sectors)))
    return drive


def floppy(medium: Medium, start: int = 0, kilobytes: int | None = None) -> BiosDrive:
    """A floppy of one of the usual sizes; any other is one of 1440 KiB as far as its data goes."""
    there = size_of(medium) - start
    wanted = there >> 10 if kilobytes is None else kilobytes
    cylinders, heads, track_sectors, kind = FLOPPIES.get(wanted, DEFAULT_FLOPPY)
    count = min(cylinders * heads * track_sectors, there // SECTOR)
    return BiosDrive(medium, FLOPPY, count, SECTOR, start, heads, track_sectors, cylinders, kind)


def cdrom(medium: Medium) -> BiosDrive:
    return BiosDrive(medium, CD, medium.sectors, CD_SECTOR)


def geometry_of_size(sectors: int) -> tuple[int, int]:
    """Heads and sectors of a track: as few heads as 1024 cylinders allow ("LBA assist" in the EDD specification)."""
    heads = next((heads for heads in (16, 32, 64, 128) if sectors <= MAX_CYLINDERS * heads * 63), 255)
    return heads, 63


def geometry_of_partitions(drive: BiosDrive) -> tuple[int, int] | None:
    """What who partitioned the disk assumed: where partitions end is the last sector of the last head."""
    try:
        sector = drive.read(0) if drive.sectors else b""
    except BadSector:
        return None
    if not sector.endswith(SIGNATURE):
        return None
    for place in range(PARTITIONS, PARTITIONS + 4 * ENTRY, ENTRY):
        kind, head, position = unpack_from("<BBB", sector, place + 4)
        size = unpack_from("<I", sector, place + 12)[0]
        heads, track_sectors = head + 1, position & 63
        if kind and size and heads in PARTITION_HEADS and track_sectors in PARTITION_SECTORS:
            return heads, track_sectors
    return None
