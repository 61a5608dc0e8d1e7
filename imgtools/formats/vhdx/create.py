"""New VHDX images, laid out as QEMU does: headers, log, block allocation table, metadata, blocks.

As in QEMU's, the blocks of a fixed image are "zero" at first and get their places when they are written, unless
`block_state_zero` is off; then they are there from the start.
"""

from __future__ import annotations

import random
from array import array

from imgtools.align import is_power_of_two, round_up
from imgtools.errors import BadOption
from imgtools.formats.tables import to_disk
from imgtools.formats.vhdx import header as head
from imgtools.formats.vhdx.checksum import sealed
from imgtools.formats.vhdx.header import MIB
from imgtools.formats.vhdx.node import FULLY_PRESENT
from imgtools.formats.vhdx.records import (
    FILE_IDENTIFIER,
    HEADER,
    METADATA_ENTRY,
    METADATA_TABLE,
    REGION_ENTRY,
    REGION_TABLE,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.graph import Context

CREATOR = "QEMU v7.2.22"
"""Whose layout this is."""
SECTOR = 512
AUTOMATIC = ((32 << 40, 64 * MIB), (100 << 30, 32 * MIB), (1 << 30, 16 * MIB), (-1, 8 * MIB))
"""(disks larger than this, get blocks of this size)."""
ROOM = 4 * MIB
"""Behind the metadata: where QEMU lets the first block begin."""
ZERO_STATE = 2
LEAVE_ALLOCATED = 1
"""The flag of a fixed image."""
ITEM_FLAGS = {
    head.FILE_PARAMETERS: 4,
    head.VIRTUAL_SIZE: 6,
    head.PAGE_83: 6,
    head.LOGICAL_SECTOR: 6,
    head.PHYSICAL_SECTOR: 6,
}


def create(path: str, size: int, options: dict[str, Any], context: Context) -> None:
    """Make an image of `size` bytes."""
    if size > head.MAX_SIZE:
        raise BadOption("Image size too large; max of 64TB", path=path)
    block_size = _block_size(size, options.get("block_size") or 0)
    log_length = round_up(max(options.get("log_size") or 0, MIB), MIB)
    if log_length >= 1 << 32:
        raise BadOption("Log size must be smaller than 4 GB", path=path)
    subformat, zero_state = options.get("subformat") or "dynamic", options.get("block_state_zero") is not False
    if subformat not in ("dynamic", "fixed"):
        raise BadOption(f"Parameter 'subformat' does not accept value '{subformat}'", path=path)
    fixed = subformat == "fixed"
    blocks = -(-size // block_size)
    chunk_ratio = head.BITMAP_SECTORS * SECTOR // block_size
    entries = blocks + max(0, blocks - 1) // chunk_ratio
    bat_offset = MIB + log_length
    bat_length = round_up(max(8 * entries, 1), MIB)
    metadata_offset = bat_offset + bat_length
    first_block = metadata_offset + MIB + ROOM
    with context.create_storage(path) as storage:
        storage.truncate(first_block + size if fixed else first_block)
        storage.write(0, FILE_IDENTIFIER.build(signature=head.SIGNATURE, creator=CREATOR.encode("utf-16-le")))
        sequence, guids = random.getrandbits(32), {"file_write_guid": head.random_guid()}
        guids["data_write_guid"] = head.random_guid()
        for number, offset in enumerate(head.HEADERS):
            fields = {"signature": b"head", "sequence_number": sequence + number, "version": 1, **guids}
            fields |= {"log_length": log_length, "log_offset": MIB}
            storage.write(offset, sealed(HEADER.build(**fields)))
        regions = REGION_TABLE.build(signature=b"regi", entry_count=2)
        regions += REGION_ENTRY.build(guid=head.BAT_REGION, file_offset=bat_offset, length=bat_length)
        regions += REGION_ENTRY.build(guid=head.METADATA_REGION, file_offset=metadata_offset, length=MIB)
        for offset in head.REGION_TABLES:
            storage.write(offset, sealed(regions.ljust(head.TABLE_SIZE, b"\0")))
        if zero_state:
            storage.write(bat_offset, _table(blocks, chunk_ratio, block_size, None, ZERO_STATE))
        elif fixed:
            storage.write(bat_offset, _table(blocks, chunk_ratio, block_size, first_block, FULLY_PRESENT))
        storage.write(metadata_offset, _metadata(size, block_size, LEAVE_ALLOCATED if fixed else 0))


def _block_size(size: int, wanted: int) -> int:
    """The size of blocks: as wanted, or by that of the disk, within the format's limits."""
    if not wanted:
        return next(block for larger_than, block in AUTOMATIC if size > larger_than)
    wanted = min(round_up(wanted, MIB), head.MAX_BLOCK_SIZE)
    if not is_power_of_two(wanted):
        raise BadOption("Block size must be a power of two")
    return wanted


def _table(blocks: int, chunk_ratio: int, block_size: int, first: int | None, state: int) -> bytes:
    """The block allocation table: each block in that state, from `first` on where that is given."""
    table = array("Q")
    for start in range(0, blocks, chunk_ratio):
        stop = min(start + chunk_ratio, blocks)
        if first is None:
            table.extend(array("Q", (state,)) * (stop - start))
        else:
            table.extend(
                array("Q", range(first + start * block_size | state, first + stop * block_size | state, block_size))
            )
        if stop < blocks:
            table.append(0)
    return to_disk(table, big=False)


def _metadata(size: int, block_size: int, flags: int) -> bytes:
    """The metadata table and its items."""
    values = {
        head.FILE_PARAMETERS: block_size | flags << 32,
        head.VIRTUAL_SIZE: size,
        head.PAGE_83: int.from_bytes(head.random_guid(), "little"),
        head.LOGICAL_SECTOR: SECTOR,
        head.PHYSICAL_SECTOR: SECTOR,
    }
    table = METADATA_TABLE.build(signature=b"metadata", entry_count=len(values))
    items = b""
    for item, value in values.items():
        length = head.ITEM_SIZES[item]
        place = head.TABLE_SIZE + len(items)
        table += METADATA_ENTRY.build(item_id=item, offset=place, length=length, flags=ITEM_FLAGS[item])
        items += value.to_bytes(length, "little")
    return table.ljust(head.TABLE_SIZE, b"\0") + items
