"""VHDX's headers, regions and metadata items: parsed, checked, and built for a new image.

[MS-VHDX] 2.2 (headers, region tables) and 2.6 (metadata). All places are multiples of a mebibyte, the first of which
belongs to the headers.
"""

from __future__ import annotations

import os

from imgtools.align import is_power_of_two
from imgtools.errors import CorruptImage, InvalidFormat, OutOfBounds, UnsupportedFeature
from imgtools.formats.vhdx.checksum import is_sealed, sealed
from imgtools.formats.vhdx.records import HEADER, METADATA_ENTRY, METADATA_TABLE, REGION_ENTRY, REGION_TABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.node import Storage

MIB = 1 << 20
SIGNATURE = b"vhdxfile"
HEADERS = (64 << 10, 128 << 10)
REGION_TABLES = (192 << 10, 256 << 10)
TABLE_SIZE = 64 << 10
"""Of a region table, and of the metadata table."""
MAX_ENTRIES = 2047
"""Entries of a table: what fits."""

BAT_REGION = bytes.fromhex("6677c22d23f600429d64115e9bfd4a08")
METADATA_REGION = bytes.fromhex("06a27c8b90479a4bb8fe575f050f886e")
FILE_PARAMETERS = bytes.fromhex("3767a1ca36fa434db3b633f0aa44e76b")
VIRTUAL_SIZE = bytes.fromhex("2442a52f1bcd7648b2115dbed83bf4b8")
PAGE_83 = bytes.fromhex("ab12cabee6b2234593efc309e000c746")
LOGICAL_SECTOR = bytes.fromhex("1dbf41816fa90947ba47f233a8faab5f")
PHYSICAL_SECTOR = bytes.fromhex("c748a3cd5d4471449cc9e9885251c556")
PARENT_LOCATOR = bytes.fromhex("2d5fd3a80bb34d45abf7d3d84834ab0c")
ITEM_SIZES = {FILE_PARAMETERS: 8, VIRTUAL_SIZE: 8, PAGE_83: 16, LOGICAL_SECTOR: 4, PHYSICAL_SECTOR: 4}
"""The items that every image has, and their sizes."""

LAST_NUMBER = (1 << 64) - 1
NO_LOG = bytes(16)
HAS_PARENT = 2
REQUIRED = 4
MIN_BLOCK_SIZE, MAX_BLOCK_SIZE = MIB, 256 * MIB
MAX_SIZE = 64 << 40
MAX_BAT_ENTRIES = 1 << 24
"""Entries of a block allocation table that are read: 128 MiB, a disk of 16 TiB in the smallest blocks."""
BITMAP_SECTORS = 1 << 23
"""Sectors that a block of sector bitmaps speaks of."""


class Layout:
    """What the image says of itself, as values: where its tables are, and how large the disk and its blocks are."""

    def __init__(self, storage: Storage) -> None:
        self.path = storage.filename
        self.bat_offset, self.bat_length = 0, 0
        self.metadata_offset, self.metadata_length = 0, 0
        self._read_regions(storage)
        items = self._read_items(storage)
        self.block_size, self.flags = items[FILE_PARAMETERS] & 0xFFFFFFFF, items[FILE_PARAMETERS] >> 32
        self.size = items[VIRTUAL_SIZE]
        self.sector_size = items[LOGICAL_SECTOR]
        self._check(items[PHYSICAL_SECTOR])
        self.blocks = -(-self.size // self.block_size)
        self.chunk_ratio = BITMAP_SECTORS * self.sector_size // self.block_size
        """Payload blocks after which the table has an entry of a block of sector bitmaps."""
        self.bat_entries = self.blocks + max(0, self.blocks - 1) // self.chunk_ratio
        self._check_bat(storage)

    def entry_index(self, block: int) -> int:
        """Which of the table's entries is that of a block."""
        return block + block // self.chunk_ratio

    def entry_offset(self, block: int) -> int:
        """Where in the file that entry lies."""
        return self.bat_offset + 8 * self.entry_index(block)

    def _read_regions(self, storage: Storage) -> None:
        for offset in REGION_TABLES:
            content = storage.read(offset, TABLE_SIZE)
            if len(content) == TABLE_SIZE and content.startswith(b"regi") and is_sealed(content):
                break
        else:
            raise self._corrupt("there is no valid region table", REGION_TABLES[0])
        table = REGION_TABLE.parse(content)
        if table.entry_count > MAX_ENTRIES:
            raise self._corrupt(f"the region table has {table.entry_count} entries", offset + 8)
        for index in range(table.entry_count):
            entry = REGION_ENTRY.parse(content, REGION_TABLE.size + index * REGION_ENTRY.size)
            place = offset + REGION_TABLE.size + index * REGION_ENTRY.size
            if entry.file_offset < MIB or entry.file_offset % MIB or entry.length % MIB or not entry.length:
                raise self._corrupt("a region is not of whole mebibytes behind the first", place)
            if entry.guid == BAT_REGION:
                self.bat_offset, self.bat_length = entry.file_offset, entry.length
            elif entry.guid == METADATA_REGION:
                self.metadata_offset, self.metadata_length = entry.file_offset, entry.length
            elif entry.required & 1:
                raise UnsupportedFeature(
                    f"the image needs an unknown region ({entry.guid.hex()})", path=self.path, offset=place
                )
        if not self.bat_offset or not self.metadata_offset:
            raise self._corrupt("a region that every image has is missing", offset)
        if self._overlap():
            raise self._corrupt("block allocation table and metadata lie over each other", offset)

    def _overlap(self) -> bool:
        return (
            self.bat_offset < self.metadata_offset + self.metadata_length
            and self.metadata_offset < self.bat_offset + self.bat_length
        )

    def _read_items(self, storage: Storage) -> dict[bytes, int]:
        """The metadata items that are known, as numbers."""
        start = self.metadata_offset
        content = storage.read(start, TABLE_SIZE) if start < storage.size else b""
        if len(content) < TABLE_SIZE or not content.startswith(b"metadata"):
            raise self._corrupt("there is no metadata table", start)
        count = METADATA_TABLE.parse(content).entry_count
        if count > MAX_ENTRIES:
            raise self._corrupt(f"the metadata table has {count} entries", start)
        items = {}
        for index in range(count):
            place = METADATA_TABLE.size + index * METADATA_ENTRY.size
            entry = METADATA_ENTRY.parse(content, place)
            if entry.item_id == PARENT_LOCATOR:
                raise self._differencing()
            size = ITEM_SIZES.get(entry.item_id)
            if size is None:
                if entry.flags & REQUIRED:
                    raise UnsupportedFeature(
                        f"the image needs an unknown metadata item ({entry.item_id.hex()})",
                        path=self.path,
                        offset=start + place,
                    )
                continue
            if entry.length < size or entry.offset < TABLE_SIZE or entry.offset + size > self.metadata_length:
                raise self._corrupt("a metadata item lies outside of its region", start + place)
            data = storage.read(start + entry.offset, size)
            if len(data) < size:
                raise self._corrupt("a metadata item is not in the file", start + place)
            items[entry.item_id] = int.from_bytes(data, "little")
        if len(items) < len(ITEM_SIZES):
            raise self._corrupt("a metadata item that every image has is missing", start)
        return items

    def _check(self, physical_sector: int) -> None:
        if self.flags & HAS_PARENT:
            raise self._differencing()
        if not MIN_BLOCK_SIZE <= self.block_size <= MAX_BLOCK_SIZE or not is_power_of_two(self.block_size):
            raise self._corrupt(f"blocks of {self.block_size} bytes", self.metadata_offset)
        if self.sector_size not in (512, 4096) or physical_sector not in (512, 4096):
            raise self._corrupt(f"sectors of {self.sector_size} bytes", self.metadata_offset)
        if self.size > MAX_SIZE:
            raise OutOfBounds(f"a disk of {self.size} bytes: the format allows {MAX_SIZE}", path=self.path)
        if self.size % self.sector_size:
            raise self._corrupt(f"a disk of {self.size} bytes is no whole number of sectors", self.metadata_offset)

    def _check_bat(self, storage: Storage) -> None:
        if self.bat_entries > MAX_BAT_ENTRIES:
            raise OutOfBounds(f"a table of {self.bat_entries} blocks: at most {MAX_BAT_ENTRIES}", path=self.path)
        if 8 * self.bat_entries > self.bat_length or self.bat_offset + 8 * self.bat_entries > storage.size:
            raise self._corrupt("the block allocation table is too small, or not in the file", self.bat_offset)

    def _differencing(self) -> UnsupportedFeature:
        return UnsupportedFeature(
            "differencing VHDX images are not supported",
            path=self.path,
            structure="metadata",
            hint="Merge it into its parent with the program that made it.",
        )

    def _corrupt(self, message: str, offset: int) -> CorruptImage:
        return CorruptImage(f"VHDX: {message}", path=self.path, offset=offset, structure="header")


class Headers:
    """The two headers, of which one is current; `update` makes the other one that."""

    def __init__(self, storage: Storage) -> None:
        if not storage.read(0, len(SIGNATURE)) == SIGNATURE:
            raise InvalidFormat("Image is not in VHDX format", path=storage.filename, offset=0, structure="header")
        valid: list[tuple[int, int, Any]] = []
        for index, offset in enumerate(HEADERS):
            content = storage.read(offset, HEADER.size)
            if len(content) == HEADER.size and content.startswith(b"head") and is_sealed(content):
                header = HEADER.parse(content)
                valid.append((header.sequence_number, -index, header))
        if not valid:
            raise CorruptImage("No valid VHDX header found", path=storage.filename, offset=HEADERS[0])
        _, index, self.current = max(valid, key=lambda item: item[:2])
        self.index = -index
        self._check(storage)

    def _check(self, storage: Storage) -> None:
        header = self.current
        if header.version != 1 or header.log_version:
            raise UnsupportedFeature(f"VHDX version {header.version} is not known", path=storage.filename)
        if header.sequence_number == LAST_NUMBER:
            raise CorruptImage("the headers' sequence numbers are used up", path=storage.filename, structure="header")
        if header.log_offset % MIB or header.log_length % MIB or (header.log_length and header.log_offset < MIB):
            raise CorruptImage("the log is not of whole mebibytes behind the first", path=storage.filename)

    @property
    def offset(self) -> int:
        """Where the current header is."""
        return HEADERS[self.index]

    def update(self, storage: Storage, **changes: Any) -> None:
        """Write the header that is not current with other values and a higher number; it is on disk on return."""
        fields = {**vars(self.current), **changes, "sequence_number": self.current.sequence_number + 1}
        index = 1 - self.index
        storage.write(HEADERS[index], sealed(HEADER.build(**fields)))
        storage.flush()
        self.current, self.index = HEADER.parse(HEADER.build(**fields)), index


def random_guid() -> bytes:
    """A GUID of version 4 with its first three fields little-endian."""
    value = bytearray(os.urandom(16))
    value[7] = value[7] & 0x0F | 0x40
    value[8] = value[8] & 0x3F | 0x80
    return bytes(value)
