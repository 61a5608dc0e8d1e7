"""The header of a hosted sparse extent ("KDMV"), its footer, and where a new one's tables go.

VMware's "Virtual Disk Format 5.0", "Hosted Sparse Extent Header" and "Stream-Optimized Compressed Sparse
Extents". An extent that was written as a stream has a directory offset of all ones in its header; the header
that counts is then the footer, in the last but one sector.
"""

from __future__ import annotations

from imgtools.align import div_up, round_up
from imgtools.errors import CorruptImage, InvalidFormat, OutOfBounds, UnsupportedFeature
from imgtools.formats.vmdk.extents import SECTOR
from imgtools.formats.vmdk.records import METADATA_MARKER, SPARSE_HEADER
from imgtools.sizes import LARGEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.node import Storage

MAGIC = b"KDMV"
NEWLINE_TEST_VALID, REDUNDANT_DIRECTORY, ZEROED_GRAINS, COMPRESSED, MARKERS = 1, 2, 4, 1 << 16, 1 << 17
"""Bits of `flags`."""
DEFLATE = 1
"""The one `compress_algorithm`."""
GD_AT_END = (1 << 64) - 1
NEWLINE_TEST = b"\n \r\n"
"""Bytes that a transfer in text mode would change."""
END_OF_STREAM, FOOTER = 0, 3
"""Types of metadata markers."""

GRAIN_SECTORS = 128
GTES_PER_GT = 512
"""The specification's number, and the most that QEMU reads."""
DESCRIPTOR_SECTORS = 20


def read_header(storage: Storage, *, writable: bool) -> Any:
    """The header that counts (`in_footer` says which that was), its sizes checked. Raises where it cannot be used."""
    header = SPARSE_HEADER.parse(storage.read_whole(0, SECTOR))
    in_footer = header.gd_offset == GD_AT_END
    if in_footer:
        header = _read_footer(storage)
        if writable:
            raise UnsupportedFeature(
                "a streamOptimized VMDK that ends in a footer must be read only",
                path=storage.filename,
                structure="header",
                hint="Convert it to another subformat to write to it.",
            )
    header.in_footer = in_footer
    _check(header, storage, writable)
    return header


def _read_footer(storage: Storage) -> Any:
    start = round_up(storage.size, SECTOR) - 3 * SECTOR
    data = storage.read_whole(start, 3 * SECTOR) if start > 0 else bytes(3 * SECTOR)
    marker = METADATA_MARKER.parse(data)
    header = SPARSE_HEADER.parse(data, SECTOR)
    end = METADATA_MARKER.parse(data, 2 * SECTOR)
    markers = (marker.size, marker.type, end.sectors, end.size, end.type)
    if header.magic != MAGIC or markers != (0, FOOTER, 0, 0, END_OF_STREAM) or header.gd_offset == GD_AT_END:
        raise CorruptImage(
            "Invalid footer",
            path=storage.filename,
            offset=max(0, start),
            structure="footer",
            hint="The file may have been cut short; a stream's directory is at its end.",
        )
    return header


def _check(header: Any, storage: Storage, writable: bool) -> None:
    path = storage.filename
    if header.version > 3:
        raise UnsupportedFeature(f"Unsupported VMDK version {header.version}", path=path, offset=4, structure="header")
    if header.version == 3 and writable and header.compress_algorithm != DEFLATE:
        raise UnsupportedFeature("VMDK version 3 must be read only", path=path, offset=4, structure="header")
    if header.gtes_per_gt > GTES_PER_GT:
        raise OutOfBounds("L2 table size too big", path=path, structure="header")
    if not header.gtes_per_gt or not header.grain_size:
        raise InvalidFormat("L1 entry size is invalid", path=path, structure="header")
    if header.overhead > div_up(storage.size, SECTOR):
        raise CorruptImage(
            f"File truncated, expecting at least {header.overhead * SECTOR} bytes", path=path, structure="header"
        )
    if header.capacity * SECTOR > LARGEST:
        raise OutOfBounds("File too large", path=path, structure="header")


class Geometry:
    """Where everything lies in a new sparse extent of `capacity` sectors, in sectors: as QEMU lays it out."""

    def __init__(self, capacity: int) -> None:
        table_sectors = GTES_PER_GT * 4 // SECTOR
        self.capacity = capacity
        self.tables = div_up(div_up(capacity, GRAIN_SECTORS), GTES_PER_GT)
        self.directory_sectors = div_up(self.tables * 4, SECTOR)
        area = self.directory_sectors + self.tables * table_sectors
        self.rgd_offset = 1 + DESCRIPTOR_SECTORS
        self.gd_offset = self.rgd_offset + area
        self.overhead = round_up(self.gd_offset + area, GRAIN_SECTORS)
        self.table_sectors = table_sectors

    def table_places(self, directory_offset: int) -> range:
        """The sectors of the grain tables behind a directory."""
        first = directory_offset + self.directory_sectors
        return range(first, first + self.tables * self.table_sectors, self.table_sectors)

    def header(self, *, compressed: bool, zeroed_grains: bool) -> bytes:
        """The header's sector."""
        flags = NEWLINE_TEST_VALID | REDUNDANT_DIRECTORY
        flags |= (COMPRESSED | MARKERS if compressed else 0) | (ZEROED_GRAINS if zeroed_grains else 0)
        return SPARSE_HEADER.build(
            magic=MAGIC,
            version=3 if compressed else 2 if zeroed_grains else 1,
            flags=flags,
            capacity=self.capacity,
            grain_size=GRAIN_SECTORS,
            descriptor_offset=1,
            descriptor_size=DESCRIPTOR_SECTORS,
            gtes_per_gt=GTES_PER_GT,
            rgd_offset=self.rgd_offset,
            gd_offset=self.gd_offset,
            overhead=self.overhead,
            newline_test=NEWLINE_TEST,
            compress_algorithm=DEFLATE if compressed else 0,
        )
