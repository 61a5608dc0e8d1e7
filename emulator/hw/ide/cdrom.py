"""A CD-ROM drive with a disc of one data track: the operations of packets (MMC-6; SFF-8020i for what that left out)."""

from __future__ import annotations

from struct import pack, unpack_from

from ..medium import BadSector, Medium
from . import disc
from .disc import FRAME, RAW
from .packet import (
    BAD_FIELD,
    ILLEGAL_REQUEST,
    LOCKED,
    MEDIUM_CHANGED,
    MEDIUM_ERROR,
    NO_MEDIUM,
    NO_SENSE,
    NOT_READY,
    OUT_OF_RANGE,
    SAVING_UNSUPPORTED,
    TRAY_OPEN,
    UNIT_ATTENTION,
    UNREADABLE,
    Check,
    PacketUnit,
    packet,
)
from .unit import Refused

INQUIRY, REQUEST_SENSE, GET_CONFIGURATION, GET_EVENT = 0x12, 0x03, 0x46, 0x4A
ALWAYS = (INQUIRY, REQUEST_SENSE, GET_CONFIGURATION, GET_EVENT)  # done even if the disc was changed
NEW_MEDIA, MEDIA_REMOVED, MEDIA_CLASS = 2, 3, 4  # GET EVENT STATUS NOTIFICATION
USER_DATA, WHOLE_FRAME = 0x10, 0xF8  # READ CD: what of a frame is wanted
SAVED = 3  # a page control of MODE SENSE


def bad_field() -> Check:
    return Check(ILLEGAL_REQUEST, BAD_FIELD)


class CdRom(PacketUnit):
    """The drive. Its medium is of 2048-byte sectors, or None."""

    wiring = (*PacketUnit.wiring, "medium")

    def __init__(self, medium: Medium | None, *, model: str = "IMGTOOLS CD-ROM", serial: str = "") -> None:
        self.medium = medium
        self.open = self.locked = self.changed_disc = False
        self.event = 0
        super().__init__(model, serial)

    def reset(self) -> None:
        super().reset()
        self.locked = False
        self.sector = 0  # where the stream begins
        self.frame = FRAME  # bytes that it has of each sector

    def insert(self, medium: Medium | None) -> None:
        """Change the disc, from outside."""
        self.medium, self.open = medium, False
        self.changed_disc = medium is not None
        self.event = NEW_MEDIA if medium is not None else MEDIA_REMOVED

    def loaded(self) -> Medium:
        """The disc, for an operation that needs it."""
        if self.open or self.medium is None:
            raise Check(NOT_READY, TRAY_OPEN if self.open else NO_MEDIUM)
        return self.medium

    @property
    def profile(self) -> int:
        there = self.medium is not None and not self.open
        return disc.profile(self.medium.sectors) if there else 0  # type: ignore[union-attr]

    def before(self, operation: int) -> None:
        if operation not in ALWAYS and self.changed_disc:
            self.changed_disc = False
            raise Check(UNIT_ATTENTION, MEDIUM_CHANGED)
        if operation != REQUEST_SENSE:
            self.sense_key = self.sense_code = NO_SENSE

    def refusal(self, bad: BadSector) -> Refused:
        return Check(MEDIUM_ERROR, UNREADABLE)

    # -- the drive --------------------------------------------------------------------------------------------

    @packet(0x00)
    def test_unit_ready(self, data: bytes) -> None:
        self.loaded()
        self.done()

    @packet(REQUEST_SENSE)
    def request_sense(self, data: bytes) -> None:
        sense = pack(">BxBxxxxB4xHxxxx", 0x70, self.sense_key, 10, self.sense_code)
        self.sense_key = self.sense_code = NO_SENSE
        self.answer(sense, data[4])

    @packet(INQUIRY)
    def inquiry(self, data: bytes) -> None:
        if data[1] & 1 or data[2]:
            raise bad_field()
        head = bytes((0x05, 0x80, 0x05, 0x32, 31, 0, 0, 0))  # a CD-ROM drive, removable, MMC by ATAPI
        self.answer(head + f"{'IMGTOOLS':8}{'CD-ROM':16}{'1.0':4}".encode(), data[4])

    @packet(0x5A)
    def mode_sense(self, data: bytes) -> None:
        control, page = data[2] >> 6, data[2] & 0x3F
        if control == SAVED:
            raise Check(ILLEGAL_REQUEST, SAVING_UNSUPPORTED)
        pages = disc.mode_pages(page, locked=self.locked)
        if not pages:
            raise bad_field()
        medium_type = 0x70 if self.open or self.medium is None else 0x01
        self.answer(pack(">HBxxxxx", len(pages) + 6, medium_type) + pages, unpack_from(">H", data, 7)[0])

    @packet(GET_CONFIGURATION)
    def get_configuration(self, data: bytes) -> None:
        kind, first, allocated = data[1] & 3, *unpack_from(">H3xH", data, 2)
        if kind == 3:
            raise bad_field()
        self.answer(disc.configuration(self.profile, kind, first), allocated)

    @packet(GET_EVENT)
    def get_event_status(self, data: bytes) -> None:
        """Only polled, and only about the medium."""
        if not data[1] & 1:
            raise bad_field()
        allocated = unpack_from(">H", data, 7)[0]
        if not data[4] & 1 << MEDIA_CLASS:
            self.answer(pack(">HBB", 2, 0x80, 1 << MEDIA_CLASS), allocated)
            return
        event, self.event = self.event, 0
        there = self.medium is not None and not self.open
        self.answer(pack(">HBBBBxx", 6, MEDIA_CLASS, 1 << MEDIA_CLASS, event, there << 1 | self.open), allocated)

    @packet(0x1E)
    def prevent_removal(self, data: bytes) -> None:
        self.locked = bool(data[4] & 1)
        self.done()

    @packet(0x1B)
    def start_stop(self, data: bytes) -> None:
        if data[4] & 0xF2 == 2:  # the tray
            opens = not data[4] & 1
            if opens and self.locked:
                raise Check(ILLEGAL_REQUEST, LOCKED)
            if opens != self.open:
                self.open = opens
                self.event = MEDIA_REMOVED if opens else NEW_MEDIA
                self.changed_disc = not opens and self.medium is not None
        self.done()

    @packet(0xBB)
    def set_speed(self, data: bytes) -> None:
        self.done()

    @packet(0xBD)
    def mechanism_status(self, data: bytes) -> None:
        self.answer(pack(">BBxxxBH", 0, self.open << 4, 0, 0), unpack_from(">H", data, 8)[0])

    # -- the disc ---------------------------------------------------------------------------------------------

    @packet(0x25)
    def read_capacity(self, data: bytes) -> None:
        self.answer(pack(">II", max(self.loaded().sectors - 1, 0), FRAME), 8)

    @packet(0x43)
    def read_toc(self, data: bytes) -> None:
        in_minutes, first, allocated = bool(data[1] & 2), data[6], unpack_from(">H", data, 7)[0]
        toc = disc.contents(self.loaded().sectors, data[2] & 15 or data[9] >> 6, first, in_minutes=in_minutes)
        if toc is None:
            raise bad_field()
        self.answer(toc, allocated)

    @packet(0x51)
    def read_disc_information(self, data: bytes) -> None:
        self.loaded()
        if data[1] & 7:
            raise bad_field()
        self.answer(disc.information(), unpack_from(">H", data, 7)[0])

    @packet(0x52)
    def read_track_information(self, data: bytes) -> None:
        self.answer(disc.track_information(self.loaded().sectors), unpack_from(">H", data, 7)[0])

    @packet(0x42)
    def read_subchannel(self, data: bytes) -> None:
        """There is no audio on the disc, and none that is played."""
        self.loaded()
        self.answer(bytes((0, 0x15, 0, 0)), unpack_from(">H", data, 7)[0])

    @packet(0x2B)
    def seek(self, data: bytes) -> None:
        if unpack_from(">I", data, 2)[0] >= self.loaded().sectors:
            raise Check(ILLEGAL_REQUEST, OUT_OF_RANGE)
        self.done()

    @packet(0x28)
    def read_10(self, data: bytes) -> None:
        self._read(*unpack_from(">IxH", data, 2))

    @packet(0xA8)
    def read_12(self, data: bytes) -> None:
        self._read(*unpack_from(">II", data, 2))

    @packet(0xBE)
    def read_cd(self, data: bytes) -> None:
        first, count = unpack_from(">I", data, 2)[0], int.from_bytes(data[6:9], "big")
        self._read_frames(first, count, data[9] & 0xF8)

    @packet(0xB9)
    def read_cd_msf(self, data: bytes) -> None:
        first, end = disc.sector_of(*data[3:6]), disc.sector_of(*data[6:9])
        if not 0 <= first <= end:
            raise bad_field()
        self._read_frames(first, end - first, data[9] & 0xF8)

    def _read_frames(self, first: int, count: int, wanted: int) -> None:
        if wanted not in (0, USER_DATA, WHOLE_FRAME):
            raise bad_field()
        self._read(first, count if wanted else 0, RAW if wanted == WHOLE_FRAME else FRAME)

    def _read(self, first: int, count: int, frame: int = FRAME) -> None:
        if first + count > self.loaded().sectors:
            raise Check(ILLEGAL_REQUEST, OUT_OF_RANGE)
        self.sector, self.frame = first, frame
        self.give(count * frame)

    def stream(self, offset: int, length: int, views: list[memoryview]) -> None:
        if self.frame == FRAME:
            self.loaded().readv(self.sector * FRAME + offset, length, views)
            return
        for view in views:
            self._stream_raw(offset, view)
            offset += len(view)

    def _stream_raw(self, offset: int, view: memoryview) -> None:
        medium = self.loaded()
        place = 0
        while place < len(view):
            number, inside = divmod(offset + place, RAW)
            data = disc.raw_frame(self.sector + number, medium.read((self.sector + number) * FRAME, FRAME))
            piece = data[inside : inside + len(view) - place]
            view[place : place + len(piece)] = piece
            place += len(piece)
