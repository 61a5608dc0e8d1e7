"""VMDK's structures on disk (all integers little-endian; offsets and sizes count sectors of 512 bytes).

The first three are VMware's "Virtual Disk Format 5.0"; ESX's COWD and seSparse headers are not in that document.
Grain directories and grain tables are plain arrays and are read whole; see `grains`.
"""

from construct import Bytes, Int8ul, Int16ul, Int32ul, Int64ul, Struct

SPARSE_HEADER = Struct(
    "magic" / Bytes(4) * "KDMV",
    "version" / Int32ul * "1 to 3",
    "flags" / Int32ul * "1 newlines tested, 2 second grain directory, 0x10000 compressed, 0x20000 markers",
    "capacity" / Int64ul * "sectors of the extent",
    "grain_size" / Int64ul * "sectors of a grain",
    "descriptor_offset" / Int64ul * "sector of the embedded descriptor; 0: none",
    "descriptor_size" / Int64ul * "its sectors",
    "gtes_per_gt" / Int32ul * "entries of a grain table",
    "rgd_offset" / Int64ul * "sector of the redundant grain directory",
    "gd_offset" / Int64ul * "sector of the grain directory",
    "overhead" / Int64ul * "sectors of metadata in front",
    "unclean_shutdown" / Int8ul * "1: was not closed",
    "newline_test" / Bytes(4) * "damaged where the file was taken for text",
    "compress_algorithm" / Int16ul * "0 none, 1 deflate",
    "padding" / Bytes(433),
)

GRAIN_MARKER = Struct("lba" / Int64ul, "size" / Int32ul)

METADATA_MARKER = Struct("sectors" / Int64ul, "size" / Int32ul, "type" / Int32ul, "padding" / Bytes(496))

COWD_HEADER = Struct(
    "magic" / Bytes(4),
    "version" / Int32ul,
    "flags" / Int32ul,
    "capacity" / Int32ul,
    "grain_size" / Int32ul,
    "gd_offset" / Int32ul,
    "gd_entries" / Int32ul,
    "next_free_sector" / Int32ul,
    "cylinders" / Int32ul,
    "heads" / Int32ul,
    "sectors_per_track" / Int32ul,
)

SESPARSE_HEADER = Struct(
    "magic" / Int64ul,
    "version" / Int64ul,
    "capacity" / Int64ul,
    "grain_size" / Int64ul,
    "grain_table_size" / Int64ul,
    "flags" / Int64ul,
    "reserved" / Bytes(32),
    "volatile_header_offset" / Int64ul,
    "volatile_header_size" / Int64ul,
    "journal_header_offset" / Int64ul,
    "journal_header_size" / Int64ul,
    "journal_offset" / Int64ul,
    "journal_size" / Int64ul,
    "gd_offset" / Int64ul,
    "gd_size" / Int64ul,
    "grain_tables_offset" / Int64ul,
    "grain_tables_size" / Int64ul,
    "free_bitmap_offset" / Int64ul,
    "free_bitmap_size" / Int64ul,
    "backmap_offset" / Int64ul,
    "backmap_size" / Int64ul,
    "grains_offset" / Int64ul,
    "grains_size" / Int64ul,
    "padding" / Bytes(304),
)

SESPARSE_VOLATILE_HEADER = Struct(
    "magic" / Int64ul,
    "free_gt_number" / Int64ul,
    "next_transaction" / Int64ul,
    "replay_journal" / Int64ul,
    "padding" / Bytes(480),
)
