"""ESX's own sparse extents, for reading: COWD (vmfsSparse) and seSparse.

Neither is in VMware's public specification. COWD is the hosted sparse format with larger tables and no
redundancy. An seSparse extent has a directory and tables of 64-bit entries whose top four bits tell what they
are; a grain's number is kept in them with its upper 12 bits rotated to the front. Both are opened read-only.
"""

from __future__ import annotations

from array import array

from imgtools.align import div_up
from imgtools.errors import CorruptImage, InvalidFormat, OutOfBounds, UnsupportedFeature
from imgtools.formats.tables import to_native
from imgtools.formats.vmdk.extents import SECTOR
from imgtools.formats.vmdk.grains import ZEROED, GrainExtent, check_geometry, read_array
from imgtools.formats.vmdk.records import COWD_HEADER, SESPARSE_HEADER, SESPARSE_VOLATILE_HEADER
from imgtools.sizes import LARGEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.node import Storage

COWD_MAGIC = b"COWD"
COWD_TABLE_ENTRIES = 4096

SESPARSE_MAGIC = 0xCAFEBABE
SESPARSE_VOLATILE_MAGIC = 0xCAFECAFE
SESPARSE_VERSION = 0x0000000200000001
SESPARSE_GRAIN_SECTORS = 8
SESPARSE_TABLE_SECTORS = 64
ENTRY_KIND = 0xF << 60
TABLE_ALLOCATED = 1 << 60
"""The upper half of a directory entry whose table exists; the lower half is the table's number."""
GRAIN_UNMAPPED, GRAIN_ZEROED, GRAIN_ALLOCATED = 1 << 60, 2 << 60, 3 << 60


class CowdExtent(GrainExtent):
    """A "COWD" extent: VMFSSPARSE, the delta files of ESX snapshots before VMFS 6."""

    writable = False

    def __init__(self, storage: Storage) -> None:
        header = COWD_HEADER.parse(storage.read_whole(0, SECTOR))
        needed = check_geometry(
            storage.filename,
            capacity=header.capacity,
            grain_sectors=header.grain_size,
            table_entries=COWD_TABLE_ENTRIES,
        )
        if header.gd_entries < needed:
            raise CorruptImage(
                f"the grain directory has {header.gd_entries} entries; {needed} are needed",
                path=storage.filename,
                offset=COWD_HEADER.offset_of("gd_entries"),
                structure="header",
            )
        super().__init__(
            storage,
            capacity=header.capacity,
            grain_sectors=header.grain_size,
            table_entries=COWD_TABLE_ENTRIES,
            directory=read_array(storage, header.gd_offset, needed, "grain directory"),
            zeroed_grains=False,
        )


class SeSparseExtent(GrainExtent):
    """A SESPARSE extent: the delta files of ESX snapshots on VMFS 6, and of Horizon View."""

    writable = False
    typecode = "Q"

    def __init__(self, storage: Storage) -> None:
        self.header = header = _read_sesparse_header(storage)
        entries = check_geometry(
            storage.filename,
            capacity=header.capacity,
            grain_sectors=header.grain_size,
            table_entries=SESPARSE_TABLE_SECTORS * SECTOR // 8,
        )
        if header.gd_size * SECTOR // 8 < entries:
            raise CorruptImage(
                f"the grain directory of {header.gd_size} sectors is too small for {entries} entries",
                path=storage.filename,
                structure="const header",
            )
        super().__init__(
            storage,
            capacity=header.capacity,
            grain_sectors=header.grain_size,
            table_entries=SESPARSE_TABLE_SECTORS * SECTOR // 8,
            directory=self._table_sectors(storage, header, entries),
            zeroed_grains=True,
        )

    @staticmethod
    def _table_sectors(storage: Storage, header: Any, entries: int) -> array[int]:
        """The grain directory, its entries turned into the sectors of the tables."""
        directory = read_array(storage, header.gd_offset, entries, "grain directory", "Q")
        for index, entry in enumerate(directory):
            if entry:
                if entry >> 32 != TABLE_ALLOCATED >> 32:
                    raise CorruptImage(
                        f"grain directory entry {index} is {entry:#x}",
                        path=storage.filename,
                        offset=header.gd_offset * SECTOR + index * 8,
                        structure="grain directory",
                    )
                sector = header.grain_tables_offset + (entry & 0xFFFFFFFF) * SESPARSE_TABLE_SECTORS
                directory[index] = min(sector, LARGEST // SECTOR)
        return directory

    def decode(self, data: bytes) -> array[int]:
        """The table's entries, turned into the sectors of the grains."""
        table = to_native(data, "Q", big=False)
        first = self.header.grains_offset
        for position, entry in enumerate(table):
            if not entry:
                continue
            kind = entry & ENTRY_KIND
            if kind == GRAIN_ALLOCATED:
                number = (entry & 0x0FFF000000000000) >> 48 | (entry & 0x0000FFFFFFFFFFFF) << 12
                table[position] = min(first + number * SESPARSE_GRAIN_SECTORS, LARGEST // SECTOR)
            elif kind in (GRAIN_UNMAPPED, GRAIN_ZEROED):
                table[position] = ZEROED
            else:
                raise CorruptImage(f"grain table entry {entry:#x}", path=self.path, structure="grain table")
        return table


def _read_sesparse_header(storage: Storage) -> Any:
    """The constant header, if nothing in it is unknown: the format is not documented, so nothing is guessed."""
    header = SESPARSE_HEADER.parse(storage.read_whole(0, SECTOR))
    _demand(storage, header.magic == SESPARSE_MAGIC, f"Bad const header magic: {header.magic:#018x}", InvalidFormat)
    _demand(storage, header.version == SESPARSE_VERSION, f"Unsupported version: {header.version:#018x}")
    grain, table = header.grain_size, header.grain_table_size
    _demand(storage, grain == SESPARSE_GRAIN_SECTORS, f"Unsupported grain size: {grain}")
    _demand(storage, table == SESPARSE_TABLE_SECTORS, f"Unsupported grain table size: {table}")
    _demand(storage, header.flags == 0, f"Unsupported flags: {header.flags:#018x}")
    reserved = " ".join(f"{value:#018x}" for value in to_native(header.reserved, "Q", big=False))
    _demand(storage, not any(header.reserved), f"Unsupported reserved bits: {reserved}")
    _demand(storage, not any(header.padding), "Unsupported non-zero const header padding")
    places = (header.volatile_header_offset, header.gd_offset, header.grain_tables_offset, header.grains_offset)
    if max(*places, header.capacity) * SECTOR > LARGEST or max(places) > div_up(storage.size, SECTOR):
        raise OutOfBounds("the const header points past the end of the file", path=storage.filename)
    _check_volatile_header(storage, header.volatile_header_offset * SECTOR)
    return header


def _check_volatile_header(storage: Storage, offset: int) -> None:
    header = SESPARSE_VOLATILE_HEADER.parse(storage.read_whole(offset, SECTOR))
    good = header.magic == SESPARSE_VOLATILE_MAGIC
    _demand(storage, good, f"Bad volatile header magic: {header.magic:#018x}", InvalidFormat)
    _demand(storage, not header.replay_journal, "Image is dirty, Replaying journal not supported")
    _demand(storage, not any(header.padding), "Unsupported non-zero volatile header padding")


def _demand(
    storage: Storage,
    holds: bool,
    message: str,
    kind: type[InvalidFormat] | type[UnsupportedFeature] = UnsupportedFeature,
) -> None:
    if not holds:
        raise kind(message, path=storage.filename, structure="seSparse header")
