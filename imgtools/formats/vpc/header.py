"""VHD's footer and dynamic header: parsed, checked, and built for a new image.

How large the disk is depends on who made it. Virtual PC takes the geometry (cylinders * heads * sectors), which cannot
say every size, Hyper-V `current_size`; an image says by its creator which one to believe. QEMU writes images of both
kinds and decides as `disk_size` does; so do new images here (`force_size` chooses the exact size).
"""

from __future__ import annotations

import os
import time

from imgtools.align import is_power_of_two, round_up
from imgtools.errors import CorruptImage, InvalidFormat, OutOfBounds, UnsupportedFeature
from imgtools.formats.vpc.records import DYNAMIC_HEADER, FOOTER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.node import Storage

SECTOR = 512
COOKIE, DYNAMIC_COOKIE = b"conectix", b"cxsparse"
FIXED, DYNAMIC, DIFFERENCING = 2, 3, 4
NO_OFFSET = (1 << 64) - 1
VERSION = 0x10000
BLOCK_SIZE = 2 << 20
EXACT_CREATORS = (b"win ", b"qem2", b"d2v ", b"tap\0", b"CTXS")
"""Creators whose images have the size that `current_size` says."""
MAX_GEOMETRY = (65535, 16, 255)
"""The largest there is, 127 GiB: an image with it has the size that `current_size` says."""
MAX_CHS_SECTORS = 65535 * 16 * 255
MAX_SECTORS = 2040 << 21
"""2040 GiB, the format's limit: a table of two-mebibyte blocks, whose sectors have 32 bits."""
MAX_ENTRIES = 1 << 24
"""Entries of a table that are read, 64 MiB: sixteen times what the largest disk of ordinary blocks has."""
EPOCH = 946_684_800
"""2000-01-01 in Unix time."""


class Header:
    """What the image says of itself: its footer, its dynamic header (None in a fixed image), the disk's size."""

    def __init__(self, footer: Any, dynamic: Any, size: int) -> None:
        self.footer = footer
        self.dynamic = dynamic
        self.size = size


def parse(storage: Storage, size_from: str | None = None) -> Header:
    """The header of the image in `storage`; `size_from` may be "current_size" or "chs". Raises what `open` does."""
    footer = _find_footer(storage)
    path = storage.filename
    if footer.disk_type == DIFFERENCING:
        raise UnsupportedFeature(
            "unsupported VPC image (differencing image)",
            path=path,
            offset=FOOTER.offset_of("disk_type"),
            structure="footer",
            hint="It holds only the changes to a parent. Merge it into its parent with the program that made it.",
        )
    size = disk_size(footer, size_from)
    if size > MAX_SECTORS * SECTOR:
        raise OutOfBounds(
            f"the disk has {size} bytes, the format allows {MAX_SECTORS * SECTOR}", path=path, structure="footer"
        )
    if footer.disk_type == FIXED:
        if size > storage.size - SECTOR:
            raise CorruptImage(
                f"the disk has {size} bytes, but there are only {storage.size - SECTOR} in front of the footer",
                path=path,
                structure="footer",
                hint="The file was cut short.",
            )
        return Header(footer, None, size)
    if footer.disk_type != DYNAMIC:
        raise InvalidFormat(f"unknown VPC image type {footer.disk_type}", path=path, offset=60, structure="footer")
    return Header(footer, _parse_dynamic(storage, footer.data_offset, size), size)


def _find_footer(storage: Storage) -> Any:
    """The footer: its copy in front of a dynamic image, or at the end of a fixed one."""
    for offset in (0, storage.size - FOOTER.size):
        content = storage.read(max(0, offset), FOOTER.size)
        if len(content) < FOOTER.size or not content.startswith(COOKIE):
            continue
        footer = FOOTER.parse(content)
        if footer.checksum != checksum(content, FOOTER.offset_of("checksum")):
            raise InvalidFormat(
                "Incorrect header checksum",
                path=storage.filename,
                offset=offset + FOOTER.offset_of("checksum"),
                structure="footer",
            )
        return footer
    raise InvalidFormat("invalid VPC image", path=storage.filename, offset=0, structure="footer")


def _parse_dynamic(storage: Storage, offset: int, size: int) -> Any:
    path = storage.filename
    content = storage.read(offset, DYNAMIC_HEADER.size) if offset < storage.size else b""
    if len(content) < DYNAMIC_HEADER.size or not content.startswith(DYNAMIC_COOKIE):
        raise InvalidFormat("Invalid header magic", path=path, offset=offset, structure="dynamic header")
    header = DYNAMIC_HEADER.parse(content)
    if header.block_size < SECTOR or not is_power_of_two(header.block_size):
        raise InvalidFormat(
            f"Invalid block size {header.block_size}", path=path, offset=offset + 32, structure="dynamic header"
        )
    needed = -(-size // header.block_size)
    if header.max_table_entries < needed:
        raise InvalidFormat("Page table too small", path=path, offset=offset + 28, structure="dynamic header")
    if needed > MAX_ENTRIES:
        raise OutOfBounds(
            f"Max Table Entries too large ({needed})", path=path, offset=offset + 28, structure="dynamic header"
        )
    if header.table_offset + 4 * needed > storage.size:
        raise CorruptImage(
            "Error reading pagetable: it is not in the file",
            path=path,
            offset=offset + DYNAMIC_HEADER.offset_of("table_offset"),
            structure="dynamic header",
        )
    return header


def disk_size(footer: Any, size_from: str | None = None) -> int:
    """The bytes of the disk, by its geometry or by `current_size`, as its creator means it."""
    geometry = (footer.cylinders, footer.heads, footer.sectors)
    exact = footer.creator_application in EXACT_CREATORS or geometry == MAX_GEOMETRY
    if size_from is not None:
        exact = size_from == "current_size"
    if exact:
        return int(footer.current_size) // SECTOR * SECTOR
    return int(footer.cylinders * footer.heads * footer.sectors * SECTOR)


def checksum(content: bytes, position: int) -> int:
    """The checksum of a structure in which it stands at `position`."""
    return ~(sum(content) - sum(content[position : position + 4])) & 0xFFFFFFFF


def geometry_of(sectors: int) -> tuple[int, int, int]:
    """(cylinders, heads, sectors of a track) for a disk: the specification's "CHS Calculation"."""
    sectors = min(sectors, MAX_CHS_SECTORS)
    if sectors > 65535 * 16 * 63:
        return sectors // (16 * 255), 16, 255
    track, tracks = 17, sectors // 17
    heads = max(4, (tracks + 1023) // 1024)
    if tracks >= heads * 1024 or heads > 16:
        track, heads, tracks = 31, 16, sectors // 31
    if tracks >= heads * 1024:
        track, heads, tracks = 63, 16, sectors // 63
    return tracks // heads, heads, track


def choose_geometry(size: int, *, exact: bool) -> tuple[int, tuple[int, int, int]]:
    """(sectors, geometry) of a new disk: the next size that a geometry can say, unless `exact` or too large for one."""
    sectors = -(-size // SECTOR)
    if exact or sectors > MAX_CHS_SECTORS:
        return sectors, MAX_GEOMETRY
    if not sectors:
        return 0, (0, 0, 0)
    tried = sectors
    while True:
        cylinders, heads, track = geometry_of(tried)
        if cylinders * heads * track >= sectors:
            return cylinders * heads * track, (cylinders, heads, track)
        tried += 1


def new_footer(sectors: int, geometry: tuple[int, int, int], *, fixed: bool, exact: bool) -> bytes:
    """The footer of a new image, as QEMU fills it in."""
    fields = {
        "cookie": COOKIE,
        "features": 2,
        "version": VERSION,
        "data_offset": NO_OFFSET if fixed else FOOTER.size,
        "timestamp": int(time.time()) - EPOCH,
        "creator_application": b"qem2" if exact else b"qemu",
        "creator_version": 0x50003,
        "creator_os": b"Wi2k",
        "original_size": sectors * SECTOR,
        "current_size": sectors * SECTOR,
        "cylinders": geometry[0],
        "heads": geometry[1],
        "sectors": geometry[2],
        "disk_type": FIXED if fixed else DYNAMIC,
        "uuid": _random_uuid(),
    }
    fields["checksum"] = checksum(FOOTER.build(**fields), FOOTER.offset_of("checksum"))
    return FOOTER.build(**fields)


def new_dynamic_header(sectors: int) -> bytes:
    """The dynamic header of a new image, whose table lies behind it."""
    fields = {
        "cookie": DYNAMIC_COOKIE,
        "data_offset": NO_OFFSET,
        "table_offset": FOOTER.size + DYNAMIC_HEADER.size,
        "version": VERSION,
        "max_table_entries": -(-sectors * SECTOR // BLOCK_SIZE),
        "block_size": BLOCK_SIZE,
    }
    fields["checksum"] = checksum(DYNAMIC_HEADER.build(**fields), DYNAMIC_HEADER.offset_of("checksum"))
    return DYNAMIC_HEADER.build(**fields)


def table_bytes(entries: int) -> int:
    """The room that a table takes: whole sectors."""
    return round_up(4 * entries, SECTOR)


def _random_uuid() -> bytes:
    value = bytearray(os.urandom(16))
    value[6] = value[6] & 0x0F | 0x40
    value[8] = value[8] & 0x3F | 0x80
    return bytes(value)
