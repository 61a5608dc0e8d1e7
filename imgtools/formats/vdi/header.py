"""VDI's header: parsed, checked, and built for a new image.

`parse_header` lets pass only what can be read without a doubt. Layouts that can be read but not safely
written (see `refuse_unsafe_write`) are left for the node to open read-only.
"""

from __future__ import annotations

import os

from imgtools.align import div_up, is_power_of_two, round_up
from imgtools.errors import CorruptImage, ImageError, InvalidFormat, OutOfBounds, UnsupportedFeature
from imgtools.formats.vdi.records import HEADER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.node import Storage

SECTOR = 512
SIGNATURE = 0xBEDA107F
VERSION = 0x00010001
TEXT = b"<<< QEMU VM Virtual Disk Image >>>\n"
HEADER_SIZE = 0x180
"""What QEMU puts there: all from the field itself to the UUIDs, less what was added in version 1.1."""

DYNAMIC, STATIC = 1, 2
REFUSED_TYPES = {3: "undo", 4: "differencing"}
BLOCK_SIZE = 1 << 20
"""Of every new image, and the only one that QEMU reads."""

MAX_BLOCKS = 0x1FFFFF80
"""QEMU's limit: a block map of 2 GiB less one sector. It is read in pages, so a large one costs no memory."""
MAX_DISK_SIZE = MAX_BLOCKS * BLOCK_SIZE


def parse_header(storage: Storage) -> Any:
    """The fields of the image's header; raises where the image cannot be read."""
    header = HEADER.parse(storage.read_whole(0, HEADER.size))
    try:
        _check_identity(header)
        _check_geometry(header)
        _check_map(header, storage)
    except ImageError as error:
        error.path, error.structure = storage.filename, error.structure or "header"
        raise
    return header


def _check_identity(header: Any) -> None:
    """That this is a VDI image which stands alone."""
    if header.signature != SIGNATURE:
        raise InvalidFormat(f"Image not in VDI format (bad signature {header.signature:08x})", offset=0x40)
    if header.version != VERSION:
        version = f"{header.version >> 16}.{header.version & 0xFFFF}"
        raise UnsupportedFeature(f"unsupported VDI image (version {version})", offset=0x44)
    if header.image_type in REFUSED_TYPES:
        raise UnsupportedFeature(
            f"unsupported VDI image ({REFUSED_TYPES[header.image_type]} image)",
            offset=HEADER.offset_of("image_type"),
            hint="It holds only the changes to a parent, which it knows by UUID and not by a file name. "
            "Clone it with VirtualBox (VBoxManage clonemedium) to get an image that stands alone.",
        )
    if header.image_type not in (DYNAMIC, STATIC):
        raise UnsupportedFeature(
            f"unsupported VDI image (image type {header.image_type})", offset=HEADER.offset_of("image_type")
        )
    for field in ("link", "parent"):
        if any(getattr(header, f"uuid_{field}")):
            raise UnsupportedFeature(
                f"unsupported VDI image (non-NULL {field} UUID)", offset=HEADER.offset_of(f"uuid_{field}")
            )


def _check_geometry(header: Any) -> None:
    """That sizes and offsets are such that blocks can be found."""
    if header.disk_size > MAX_DISK_SIZE:
        raise OutOfBounds(
            f"Unsupported VDI image size (size is {header.disk_size:#x}, max supported is {MAX_DISK_SIZE:#x})",
            offset=HEADER.offset_of("disk_size"),
        )
    header.disk_size = round_up(header.disk_size, SECTOR)
    if header.offset_bmap % SECTOR:
        raise InvalidFormat(
            f"unsupported VDI image (unaligned block map offset {header.offset_bmap:#x})",
            offset=HEADER.offset_of("offset_bmap"),
        )
    if header.offset_data % SECTOR:
        raise InvalidFormat(
            f"unsupported VDI image (unaligned data offset {header.offset_data:#x})",
            offset=HEADER.offset_of("offset_data"),
        )
    if header.sector_size != SECTOR:
        raise UnsupportedFeature(
            f"unsupported VDI image (sector size {header.sector_size} is not {SECTOR})",
            offset=HEADER.offset_of("sector_size"),
        )
    if header.block_size < SECTOR or not is_power_of_two(header.block_size):
        raise UnsupportedFeature(
            f"unsupported VDI image (block size {header.block_size} is not {BLOCK_SIZE})",
            offset=HEADER.offset_of("block_size"),
        )


def _check_map(header: Any, storage: Storage) -> None:
    """That the block map covers the disk and lies in the file."""
    room = header.blocks_in_image * header.block_size
    if header.disk_size > room:
        raise InvalidFormat(
            f"unsupported VDI image (disk size {header.disk_size}, image bitmap has room for {room})",
            offset=HEADER.offset_of("disk_size"),
        )
    if header.blocks_in_image > MAX_BLOCKS:
        raise OutOfBounds(
            f"unsupported VDI image (too many blocks {header.blocks_in_image}, max is {MAX_BLOCKS})",
            offset=HEADER.offset_of("blocks_in_image"),
        )
    if map_end(header) > storage.size:
        raise CorruptImage(
            f"the block map ends at {map_end(header):#x}, past the end of the file ({storage.size:#x})",
            structure="block map",
            offset=header.offset_bmap,
            hint="The file was cut short.",
        )


def map_end(header: Any) -> int:
    """Where the block map ends."""
    return int(header.offset_bmap + 4 * header.blocks_in_image)


def overlapping_metadata(header: Any) -> str | None:
    """What of header, block map and blocks lies on top of another, in words; None where all is in order."""
    if header.blocks_in_image and header.offset_bmap < HEADER.size:
        return "the block map lies over the header"
    if header.blocks_in_image and header.offset_data < map_end(header):
        return "the blocks lie over the header or the block map"
    return None


def refuse_unsafe_write(header: Any, path: str) -> None:
    """Raise where a write could land on metadata, or would need what nobody's images can show to be right."""
    overlap = overlapping_metadata(header)
    if overlap:
        raise CorruptImage(
            f"{overlap}, so the image cannot be written", path=path, structure="header", hint="Convert it to a new one."
        )
    if header.block_extra:
        raise UnsupportedFeature(
            f"unsupported VDI image for writing (each block has {header.block_extra} extra bytes)",
            path=path,
            offset=HEADER.offset_of("block_extra"),
            structure="header",
            hint="It can be read: convert it to a new image.",
        )


def new_header(size: int, *, static: bool) -> bytes:
    """The header of a new image, as QEMU lays it out: map behind the header, blocks behind the map."""
    blocks = div_up(size, BLOCK_SIZE)
    return HEADER.build(
        text=TEXT,
        signature=SIGNATURE,
        version=VERSION,
        header_size=HEADER_SIZE,
        image_type=STATIC if static else DYNAMIC,
        offset_bmap=SECTOR,
        offset_data=SECTOR + round_up(4 * blocks, SECTOR),
        sector_size=SECTOR,
        disk_size=round_up(size, SECTOR),
        block_size=BLOCK_SIZE,
        blocks_in_image=blocks,
        blocks_allocated=blocks if static else 0,
        uuid_image=_random_uuid(),
        uuid_last_snap=_random_uuid(),
    )


def _random_uuid() -> bytes:
    """A UUID of version 4 with its first three fields little-endian, as VirtualBox stores them."""
    value = bytearray(os.urandom(16))
    value[7] = value[7] & 0x0F | 0x40
    value[8] = value[8] & 0x3F | 0x80
    return bytes(value)
