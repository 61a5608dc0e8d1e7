"""INT 13h: floppies, hard disks and CD-ROMs by their nodes, by geometry and by packets.

The extensions are those of "BIOS Enhanced Disk Drive Specification", version 3.0; emulation of drives by CD-ROMs
(4Ah to 4Dh) is of the "El Torito" specification 1.0, section 4.
"""

from __future__ import annotations

from struct import pack, unpack
from typing import TYPE_CHECKING

from emulator.hw.medium import BadSector
from emulator.machine.firmware import CARRY, Method, Service, call
from emulator.x86.instruction import ES

from . import data
from .drive import CD, FLOPPY, HARD_DISK, SECTOR, BiosDrive

if TYPE_CHECKING:
    from emulator.machine.firmware import Firmware

    from .drives import Drives

OK, BAD_COMMAND, WRITE_PROTECTED, NOT_FOUND, NO_CHANGE_LINE, LOCKED = 0, 1, 3, 4, 6, 0xB1
FAILED, NO_MEDIA, TIMEOUT = 0x20, 0x31, 0x80
KEEPS_AH = (0x15, 0x41)  # functions that return something else than a status there
MAX_PACKET = 127  # sectors
EDD_3 = 0x30
PACKETS, LOCKS, PARAMETERS, WIDE_ADDRESSES = 1, 2, 4, 8  # AH = 41h: CX
NO_DRIVE = 0xFFFF
GEOMETRY_VALID, REMOVABLE, WRITE_VERIFY, CHANGE_LINE, LOCKABLE = 2, 4, 8, 16, 32
FLAT = 0xFFFFFFFF


class Disk(Service):
    """The functions of one drive, which DL says."""

    def __init__(self, firmware: Firmware, drives: Drives) -> None:
        super().__init__(firmware)
        self.drives = drives
        self.statuses = {True: OK, False: OK}  # of the last call: of a floppy, of a hard disk
        self.floppy_table = firmware.add_code(bytes((0xAF, 2, 0x25, 2, 18, 0x1B, 0xFF, 0x6C, 0xF6, 15, 8)))

    @property
    def drive(self) -> BiosDrive | None:
        return self.drives.by_number.get(self.caller.dl)

    def perform(self, method: Method) -> None:
        """All return a status: into AH, the carry flag and the BIOS data area."""
        function, is_floppy = self.caller.ah, self.caller.dl < 0x80
        if self.drive is None and function not in (0x00, 0x01, 0x08, 0x15, 0x4A, 0x4B, 0x4C, 0x4D):
            status = TIMEOUT if is_floppy else BAD_COMMAND
        else:
            status = method()
        if function not in KEEPS_AH or status:
            self.caller.ah = status
        self.caller.set_flag(CARRY, status != OK)
        self.statuses[is_floppy] = status
        self.put(data.FLOPPY_STATUS if is_floppy else data.DISK_STATUS, status)

    # -- transfers ------------------------------------------------------------------------------------------

    def _transfer(self, operation: str, first: int, count: int, address: int) -> int:
        """Sectors from `first` on, between the drive and memory; `verify` only looks whether they are there."""
        drive = self.drive
        assert drive is not None
        if first + count > drive.sectors:
            return NOT_FOUND
        place, size = drive.start + first * drive.sector_size, count * drive.sector_size
        if operation == "write" and drive.read_only:
            return WRITE_PROTECTED
        try:
            if operation == "read":
                self._read(drive, place, address, size)
            elif operation == "write":
                window = self.space.window(address, size)
                drive.medium.write(place, self.space.read(address, size) if window is None else window)
        except BadSector:
            return FAILED
        return OK

    def _read(self, drive: BiosDrive, place: int, address: int, size: int) -> None:
        window = self.space.window(address, size, writable=True)
        if window is None:
            self.space.write(address, drive.medium.read(place, size))
        elif size:
            drive.medium.readinto(place, window)
            self.space.written(address, size)

    def _by_geometry(self, operation: str) -> int:
        """CX and DH say where: cylinder, head, sector."""
        caller, drive = self.caller, self.drive
        assert drive is not None
        cylinder, sector = caller.ch | (caller.cl & 0xC0) << 2, caller.cl & 63
        count = caller.al
        if not sector or sector > drive.track_sectors or caller.dh >= drive.heads or not count:
            caller.al = 0
            return BAD_COMMAND
        first = (cylinder * drive.heads + caller.dh) * drive.track_sectors + sector - 1
        status = self._transfer(operation, first, count, caller.es(caller.bx))
        if status:
            caller.al = 0
        return BAD_COMMAND if status == NOT_FOUND else status

    @call(0x13, 0x02)
    def read_sectors(self) -> int:
        return self._by_geometry("read")

    @call(0x13, 0x03)
    def write_sectors(self) -> int:
        return self._by_geometry("write")

    @call(0x13, 0x04)
    def verify_sectors(self) -> int:
        return self._by_geometry("verify")

    @call(0x13, 0x05)
    def format_track(self) -> int:
        """A track of a floppy is filled with F6h."""
        drive = self.drive
        assert drive is not None
        if drive.kind != FLOPPY:
            return BAD_COMMAND
        first = (self.caller.ch * drive.heads + self.caller.dh) * drive.track_sectors
        if self.caller.dh >= drive.heads or first + drive.track_sectors > drive.sectors:
            return NOT_FOUND
        if drive.read_only:
            return WRITE_PROTECTED
        try:
            drive.medium.write(drive.start + first * SECTOR, b"\xf6" * drive.track_sectors * SECTOR)
        except BadSector:
            return FAILED
        return OK

    # -- state ----------------------------------------------------------------------------------------------

    @call(0x13, 0x00, 0x0D)
    def reset(self) -> int:
        return OK

    @call(0x13, 0x09, 0x0C, 0x11, 0x14, 0x17, 0x18, 0x47)
    def nothing(self) -> int:
        """Initialise, seek, recalibrate, diagnose, set the media: there is nothing to do."""
        if self.caller.ah == 0x18:
            self.caller.set_segment(ES, 0xF000)
            self.caller.di = self.floppy_table
        return OK

    @call(0x13, 0x10)
    def is_ready(self) -> int:
        return OK

    @call(0x13, 0x01)
    def last_status(self) -> int:
        return self.statuses[self.caller.dl < 0x80]

    @call(0x13, 0x08)
    def geometry(self) -> int:
        drive, caller = self.drive, self.caller
        is_floppy = caller.dl < 0x80
        if drive is None or drive.kind == CD:
            if not is_floppy:
                return BAD_COMMAND
            caller.ax = caller.bx = caller.cx = caller.dx = 0
            caller.dl = self.drives.count(FLOPPY)
            return OK
        last = drive.cylinders - 1
        caller.ch, caller.cl = last & 0xFF, last >> 2 & 0xC0 | drive.track_sectors
        caller.dh, caller.dl = drive.heads - 1, self.drives.count(drive.kind)
        if is_floppy:
            caller.bx = drive.floppy_type
            caller.set_segment(ES, 0xF000)
            caller.di = self.floppy_table
        caller.al = 0
        return OK

    @call(0x13, 0x15)
    def kind(self) -> int:
        """0 no drive, 1 a floppy, 3 a hard disk and its sectors."""
        drive, caller = self.drive, self.caller
        if drive is None or drive.kind == CD:
            caller.ah = 0
            if caller.dl >= 0x80:
                caller.cx = caller.dx = 0
        elif drive.kind == FLOPPY:
            caller.ah = 1
        else:
            caller.ah = 3
            caller.cx, caller.dx = drive.sectors >> 16, drive.sectors
        return OK

    @call(0x13, 0x16)
    def was_changed(self) -> int:
        return OK if self.drive is not None and self.drive.kind == FLOPPY else NO_CHANGE_LINE

    # -- extensions -----------------------------------------------------------------------------------------

    @call(0x13, 0x41)
    def has_extensions(self) -> int:
        drive = self.drive
        if self.caller.bx != 0x55AA or drive is None or drive.kind == FLOPPY:
            return BAD_COMMAND
        self.caller.bx = 0xAA55
        self.caller.cx = PACKETS | LOCKS | PARAMETERS
        self.caller.ah = EDD_3
        return OK

    def _by_packet(self, operation: str) -> int:
        """DS:SI points to how many, where to and where from; a packet of 24 bytes may have an address of 64 bits."""
        drive = self.drive
        assert drive is not None
        packet = self.caller.ds(self.caller.si)
        if drive.kind == FLOPPY or self.get(packet) < 16:
            return BAD_COMMAND
        count, offset, segment, first = unpack("<HHHQ", self.space.read(packet + 2, 14))
        address = segment * 16 + offset
        if address == 0xFFFF * 16 + 0xFFFF and self.get(packet) >= 24:
            address = self.get(packet + 16, 8)
        if count > MAX_PACKET:
            status = BAD_COMMAND
        else:
            status = self._transfer(operation, first, count, address)
        if status:
            self.put(packet + 2, 0, 2)
        return status

    @call(0x13, 0x42)
    def read_packet(self) -> int:
        return self._by_packet("read")

    @call(0x13, 0x43)
    def write_packet(self) -> int:
        return self._by_packet("write")

    @call(0x13, 0x44)
    def verify_packet(self) -> int:
        return self._by_packet("verify")

    @call(0x13, 0x45)
    def lock(self) -> int:
        """Lock the media, unlock it, or say whether it is locked: it cannot be taken out."""
        if self.drive is not None and self.drive.kind == CD and self.caller.al == 2:
            self.caller.al = 0
        return OK

    @call(0x13, 0x46)
    def eject(self) -> int:
        return LOCKED

    @call(0x13, 0x48)
    def parameters(self) -> int:
        """Geometry, number and size of sectors; version 3.0 adds where the drive is, which is left out."""
        drive, place = self.drive, self.caller.ds(self.caller.si)
        assert drive is not None
        size = self.get(place, 2)
        if size < 26 or drive.kind == FLOPPY:
            return BAD_COMMAND
        flags = GEOMETRY_VALID if drive.kind == HARD_DISK else REMOVABLE | CHANGE_LINE | LOCKABLE
        values = pack(
            "<HHIIIQH", 26, flags, drive.cylinders, drive.heads, drive.track_sectors, drive.sectors, drive.sector_size
        )
        if size >= 30:
            values = pack("<H", 30) + values[2:] + pack("<I", FLAT)
        self.space.write(place, values)
        return OK

    @call(0x13, 0x49)
    def media_changed(self) -> int:
        return OK

    @call(0x13, 0x4E)
    def hardware(self) -> int:
        """DMA and prefetch: nothing changes for other drives."""
        if self.caller.al not in (0, 2, 3, 5):
            return BAD_COMMAND
        self.caller.al = 0
        return OK

    # -- El Torito ------------------------------------------------------------------------------------------

    @call(0x13, 0x4A, 0x4C)
    def start_emulation(self) -> int:
        """Only booting starts it."""
        return BAD_COMMAND

    @call(0x13, 0x4B)
    def emulation_status(self) -> int:
        """The specification packet; AL = 0 ends the emulation, too."""
        boot = self.drives.emulation
        if boot is None or self.caller.dl not in (boot.number, 0x7F):
            return BAD_COMMAND
        self.space.write(self.caller.ds(self.caller.si), boot.packet())
        if self.caller.al == 0:
            self.drives.end_emulation()
        return OK

    @call(0x13, 0x4D)
    def boot_catalog(self) -> int:
        """Sectors of the boot catalog."""
        boot, packet = self.drives.emulation, self.caller.ds(self.caller.si)
        if boot is None or self.get(packet) < 8:
            return BAD_COMMAND
        count, address, first = unpack("<BIH", self.space.read(packet + 1, 7))
        address = (address >> 16) * 16 + (address & 0xFFFF)
        if boot.catalog + first + count > boot.cd.sectors:
            return NOT_FOUND
        try:
            self.space.write(address, boot.cd.read(boot.catalog + first, count))
        except BadSector:
            return FAILED
        return OK

    @call(0x13)
    def unknown(self) -> int:
        return BAD_COMMAND
