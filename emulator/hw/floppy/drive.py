"""Floppy drives, and the formats that disks have by their size (ECMA-125, ECMA-147; what the BIOS calls them)."""

from __future__ import annotations

from typing import NamedTuple

from imgtools.errors import BadOption

from ..medium import Medium

DRIVES = 2
SECTOR = 512
TRACKS = 80 + 5  # where the head stops
KBIT_500, KBIT_300, KBIT_250, MBIT_1 = range(4)  # as registers have the data rate
NO_DRIVE, DRIVE_360, DRIVE_1200, DRIVE_720, DRIVE_1440, DRIVE_2880 = range(6)  # as CMOS byte 10h has the kind


class Format(NamedTuple):
    """Tracks, heads and sectors, the data rates that read it, and the kind of drive that is for it."""

    tracks: int
    heads: int
    sectors: int
    rates: tuple[int, ...]
    drive: int

    @property
    def size(self) -> int:
        return self.tracks * self.heads * self.sectors * SECTOR


FORMATS = (
    Format(40, 1, 8, (KBIT_250, KBIT_300), DRIVE_360),
    Format(40, 1, 9, (KBIT_250, KBIT_300), DRIVE_360),
    Format(40, 2, 8, (KBIT_250, KBIT_300), DRIVE_360),
    Format(40, 2, 9, (KBIT_250, KBIT_300), DRIVE_360),
    Format(80, 2, 9, (KBIT_250,), DRIVE_1440),
    Format(80, 2, 15, (KBIT_500,), DRIVE_1200),
    Format(80, 2, 18, (KBIT_500,), DRIVE_1440),
    Format(80, 2, 21, (KBIT_500,), DRIVE_1440),
    Format(80, 2, 36, (MBIT_1,), DRIVE_2880),
)
DEFAULT = FORMATS[6]


def format_of(size: int) -> Format:
    """The smallest format that holds an image; an empty one is a disk of 1.44 MB."""
    if not size:
        return DEFAULT
    for format in FORMATS:
        if size <= format.size:
            return format
    raise BadOption(f"{size} bytes are more than a floppy disk holds, which is at most {FORMATS[-1].size}")


class FloppyDrive:
    """A drive with a disk in it, or None."""

    def __init__(self, medium: Medium | None = None) -> None:
        self.track = 0
        self.kind = DRIVE_1440
        self.insert(medium)
        if medium is not None:
            self.kind = self.format.drive

    def insert(self, medium: Medium | None) -> None:
        """Change the disk, from outside."""
        self.medium = medium
        self.format = format_of(medium.node.size if medium is not None else 0)
        self.changed = True  # until the head moves

    def move(self, track: int) -> None:
        """Move the head, by which the drive sees whether there is a disk."""
        self.track = max(0, min(track, TRACKS))
        if self.medium is not None:
            self.changed = False

    def readable(self, rate: int) -> bool:
        """Whether there is a disk whose sectors can be found at a data rate."""
        return self.medium is not None and rate in self.format.rates and self.track < self.format.tracks

    def offset(self, head: int, sector: int) -> int:
        """Where a sector of the track under the head is in the image."""
        return ((self.track * self.format.heads + head) * self.format.sectors + sector - 1) * SECTOR
