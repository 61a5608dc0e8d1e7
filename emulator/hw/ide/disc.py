"""What a CD-ROM or DVD-ROM drive tells of itself and of a disc with one data track (MMC-6, chapters 5 to 7)."""

from __future__ import annotations

from struct import pack
from typing import NamedTuple

FRAME, RAW = 2048, 2352  # bytes of user data, and of all that is in a sector of a CD
CD_LIMIT = 80 * 60 * 75  # sectors; a disc with more is a DVD
CD_ROM, DVD_ROM = 0x08, 0x10  # profiles
LEAD_IN = 150  # sectors before sector 0
DATA_TRACK = 0x14  # ADR 1, control 4
LEAD_OUT = 0xAA
SYNC = b"\0" + b"\xff" * 10 + b"\0"
ONLY_CURRENT, ONLY_ONE = 1, 2  # requests of GET CONFIGURATION


class Feature(NamedTuple):
    """What a drive can do (5.3): number, version, whether always, with which profiles, its own data."""

    number: int
    version: int
    persistent: bool
    profiles: tuple[int, ...]
    data: bytes = b""


ALL = (0, CD_ROM, DVD_ROM)
FEATURES = (
    Feature(0x0001, 2, True, ALL, bytes((0, 0, 0, 2, 1, 0, 0, 0))),  # core, over ATAPI
    Feature(0x0003, 0, True, ALL, bytes((0x29, 0, 0, 0))),  # removable medium: a tray, ejects, locks
    Feature(0x0010, 0, False, (CD_ROM, DVD_ROM), pack(">IHBx", FRAME, 16, 0)),  # random readable
    Feature(0x001E, 2, False, (CD_ROM,), bytes(4)),  # CD read
    Feature(0x001F, 1, False, (DVD_ROM,), bytes(4)),  # DVD read
)


def profile(sectors: int) -> int:
    return CD_ROM if sectors <= CD_LIMIT else DVD_ROM


def configuration(current: int, kind: int, first: int) -> bytes:
    """GET CONFIGURATION (6.6)."""
    listed = b"".join(pack(">HBx", number, number == current) for number in (DVD_ROM, CD_ROM))
    body = b""
    for feature in (Feature(0, 0, True, ALL, listed), *FEATURES):
        is_current = current in feature.profiles
        wanted = feature.number == first if kind == ONLY_ONE else feature.number >= first
        if wanted and (kind != ONLY_CURRENT or is_current):
            flags = feature.version << 2 | feature.persistent << 1 | is_current
            body += pack(">HBB", feature.number, flags, len(feature.data)) + feature.data
    return pack(">IHH", len(body) + 4, 0, current) + body


def mode_pages(page: int, *, locked: bool) -> bytes:
    """MODE SENSE: one page, or all with 3Fh; nothing if there is no such page."""
    pages = {
        0x01: bytes((0, 5, 0, 0, 0, 0)),  # error recovery: five retries
        0x0E: bytes((4, 0, 0, 0, 0, 0, 1, 0xFF, 2, 0xFF, 0, 0, 0, 0)),  # audio
        0x2A: _capabilities(locked=locked),
    }
    wanted = pages if page == 0x3F else [number for number in pages if number == page]
    return b"".join(bytes((number, len(pages[number]))) + pages[number] for number in wanted)


def _capabilities(*, locked: bool) -> bytes:
    """Page 2Ah (SFF-8020i, 10.8.3.4): reads all, writes nothing, a tray that locks; speeds in kB/s."""
    speed, buffer = 706, 512
    return bytes((0x3B, 0, 0x70, 0, 0x29 | locked << 1, 0)) + pack(">HHHHxxxx", speed, 2, buffer, speed)


def contents(sectors: int, kind: int, first: int, *, in_minutes: bool) -> bytes | None:
    """READ TOC/PMA/ATIP (6.25): format 0 is the tracks, 1 the sessions; None if it is another, or no such track."""
    if kind == 1:
        return pack(">HBB", 10, 1, 1) + _track(1, 0, in_minutes=in_minutes)
    if kind or (first > 1 and first != LEAD_OUT):
        return None
    tracks = _track(LEAD_OUT, sectors, in_minutes=in_minutes)
    if first <= 1:
        tracks = _track(1, 0, in_minutes=in_minutes) + tracks
    return pack(">HBB", len(tracks) + 2, 1, 1) + tracks


def _track(number: int, sector: int, *, in_minutes: bool) -> bytes:
    return bytes((0, DATA_TRACK, number, 0)) + (b"\0" + minutes(sector) if in_minutes else pack(">I", sector))


def minutes(sector: int) -> bytes:
    """Minute, second, frame."""
    seconds, frame = divmod(sector + LEAD_IN, 75)
    return bytes((min(seconds // 60, 255), seconds % 60, frame))


def sector_of(minute: int, second: int, frame: int) -> int:
    return (minute * 60 + second) * 75 + frame - LEAD_IN


def information() -> bytes:
    """READ DISC INFORMATION (6.22): complete, one session, one track."""
    return pack(">HBBBBBB", 32, 0x0E, 1, 1, 1, 1, 0x20) + bytes(8) + b"\xff" * 8 + bytes(10)


def track_information(sectors: int) -> bytes:
    """READ TRACK INFORMATION (6.27)."""
    return pack(">HBBxBBxIIIII", 34, 1, 1, DATA_TRACK & 15, 1, 0, 0, 0, 0, sectors).ljust(36, b"\0")


def raw_frame(sector: int, data: bytes | bytearray) -> bytes:
    """A sector of mode 1 as a whole (MMC-6, 4.2.3.8.5), without codes to correct errors."""
    return SYNC + minutes(sector) + b"\x01" + data + bytes(RAW - 16 - FRAME)
