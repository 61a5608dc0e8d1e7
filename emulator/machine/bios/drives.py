"""Which drive has which number, and what a CD-ROM changes about that when it emulates a drive.

Floppies count from 0, hard disks from 80h, CD-ROMs from E0h. `"El Torito" Bootable CD-ROM Format Specification` 1.0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from struct import pack, unpack, unpack_from

from emulator.hw.medium import Medium, OnError
from emulator.machine.config import CDROM, Drive
from emulator.machine.config import FLOPPY as FLOPPY_INTERFACE

from .drive import CD, CD_SECTOR, FLOPPY, HARD_DISK, SECTOR, BiosDrive, cdrom, floppy, hard_disk, size_of

FIRST_NUMBERS = {FLOPPY: 0, HARD_DISK: 0x80, CD: 0xE0}
# Section 2.2: the boot record, the validation entry and the initial entry of the catalog
BOOT_RECORD, RECORD_START, CATALOG_POINTER = 17, b"\0CD001\1EL TORITO SPECIFICATION", 0x47
VALIDATION, BOOTABLE = 1, 0x88
NO_EMULATION, FLOPPY_1200, FLOPPY_1440, FLOPPY_2880, HARD_DISK_IMAGE = range(5)
FLOPPY_KILOBYTES = {FLOPPY_1200: 1200, FLOPPY_1440: 1440, FLOPPY_2880: 2880}
DEFAULT_SEGMENT = 0x7C0


class NotBootable(Exception):
    """Why a drive cannot be booted."""


@dataclass
class Emulation:
    """What a CD-ROM boots: its image, and the drive that it is shown as."""

    cd: BiosDrive
    number: int
    media: int
    catalog: int  # sectors of the CD-ROM
    image: int
    segment: int
    count: int  # sectors of 512 bytes to load
    drive: BiosDrive | None = None

    def packet(self) -> bytes:
        """The specification packet (section 4.1)."""
        geometry = b"\0\0\0"
        if self.drive is not None:
            last = self.drive.cylinders - 1
            position = last >> 2 & 0xC0 | self.drive.track_sectors
            geometry = bytes((last & 0xFF, position, self.drive.heads - 1))
        fields = pack("<BBBBIHHHH", 19, self.media, self.number, 0, self.image, 0, 0, self.segment, self.count)
        return fields + geometry


class Drives:
    """The drives of a machine by number."""

    def __init__(self, drives: Iterable[Drive], on_error: OnError) -> None:
        self.drives: dict[int, list[BiosDrive]] = {FLOPPY: [], HARD_DISK: [], CD: []}
        for drive in drives:
            medium = partial(Medium, drive.node, read_only=drive.read_only, on_error=on_error)
            if drive.interface == FLOPPY_INTERFACE:
                self.drives[FLOPPY].append(floppy(medium(SECTOR)))
            elif drive.media == CDROM:
                self.drives[CD].append(cdrom(medium(CD_SECTOR)))
            else:
                self.drives[HARD_DISK].append(hard_disk(medium(SECTOR)))
        self.emulation: Emulation | None = None
        self.by_number: dict[int, BiosDrive] = {}
        self.number()

    def number(self) -> None:
        """Count the drives; an emulated one is the first of its kind."""
        self.by_number.clear()
        for kind, first in FIRST_NUMBERS.items():
            self.by_number.update(enumerate(self._of(kind), first))

    def _of(self, kind: int) -> list[BiosDrive]:
        emulated = self.emulation.drive if self.emulation is not None else None
        if emulated is not None and emulated.kind == kind:
            return [emulated, *self.drives[kind]]
        return self.drives[kind]

    def count(self, kind: int) -> int:
        return len(self._of(kind))

    def end_emulation(self) -> None:
        if self.emulation is not None and self.emulation.drive is not None:
            self.emulation = None
            self.number()

    def start_emulation(self, cd: BiosDrive) -> Emulation:
        """Make the CD-ROM what its boot catalog says."""
        self.emulation = None
        self.emulation = boot = read_catalog(cd, self)
        self.number()
        return boot


def read_catalog(cd: BiosDrive, drives: Drives) -> Emulation:
    """The initial entry of the boot catalog."""
    record = _read(cd, BOOT_RECORD)
    if not record.startswith(RECORD_START):
        raise NotBootable("the CD-ROM has no El Torito boot record")
    catalog = unpack_from("<I", record, CATALOG_POINTER)[0]
    data = _read(cd, catalog)
    if data[0] != VALIDATION or data[30:32] != b"\x55\xaa" or sum(unpack("<16H", data[:32])) & 0xFFFF:
        raise NotBootable(f"the boot catalog of the CD-ROM, sector {catalog}, is damaged")
    indicator, media, segment, _, _, count, image = unpack_from("<BBHBBHI", data, 32)
    media &= 15
    if indicator != BOOTABLE or media > HARD_DISK_IMAGE:
        raise NotBootable("the first entry of the CD-ROM's boot catalog is not bootable")
    start = image * CD_SECTOR
    room = size_of(cd.medium) - start
    if count * SECTOR > room or room < SECTOR:
        raise NotBootable("the boot image of the CD-ROM is behind its end")
    drive: BiosDrive | None = None
    if media == HARD_DISK_IMAGE:
        sectors = _partition_end(cd.read(image)) or room // SECTOR
        drive = hard_disk(cd.medium, start, min(sectors, room // SECTOR))
    elif media != NO_EMULATION:
        drive = floppy(cd.medium, start, FLOPPY_KILOBYTES[media])
    kind = CD if drive is None else drive.kind
    number = FIRST_NUMBERS[kind] + (drives.drives[CD].index(cd) if drive is None else 0)
    return Emulation(cd, number, media, catalog, image, segment or DEFAULT_SEGMENT, count, drive)


def _partition_end(sector: bytes) -> int:
    """How long the disk is whose first sector this is: to the end of its one partition (section 2.2, media type 4)."""
    start, count = unpack_from("<II", sector, 446 + 8)
    return int(start + count)


def _read(cd: BiosDrive, sector: int) -> bytes:
    if sector >= cd.sectors:
        raise NotBootable(f"the CD-ROM ends before sector {sector}")
    return cd.read(sector)
