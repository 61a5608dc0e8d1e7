"""VHD's structures on disk (all integers big-endian), as in Microsoft's "Virtual Hard Disk Image Format Specification".

The block allocation table is an array of u32: the sector at which each block begins, 0xFFFFFFFF for none.
"""

from construct import Bytes, Enum, Int8ub, Int16ub, Int32ub, Int64ub, Struct

FOOTER = Struct(
    "cookie" / Bytes(8) * "conectix",
    "features" / Int32ub * "bit 1 is always set; bit 0: temporary",
    "version" / Int32ub * "major << 16 | minor",
    "data_offset" / Int64ub * "where the dynamic header is; all ones in a fixed image",
    "timestamp" / Int32ub * "seconds since 2000-01-01, UTC",
    "creator_application" / Bytes(4) * "by some of them the size is that of the geometry",
    "creator_version" / Int32ub * "major << 16 | minor",
    "creator_os" / Bytes(4) * "Wi2k or Mac",
    "original_size" / Int64ub * "bytes of the disk when it was made",
    "current_size" / Int64ub * "bytes of the disk",
    "cylinders" / Int16ub,
    "heads" / Int8ub,
    "sectors" / Int8ub * "sectors of a track",
    "disk_type" / Enum(Int32ub, fixed=2, dynamic=3, differencing=4),
    "checksum" / Int32ub * "ones' complement of the sum of the footer's other bytes",
    "uuid" / Bytes(16),
    "saved_state" / Int8ub * "1: the machine is suspended",
    "padding" / Bytes(427),
)

DYNAMIC_HEADER = Struct(
    "cookie" / Bytes(8) * "cxsparse",
    "data_offset" / Int64ub * "not used: all ones",
    "table_offset" / Int64ub * "where the block allocation table is",
    "version" / Int32ub * "major << 16 | minor",
    "max_table_entries" / Int32ub * "entries of the table",
    "block_size" / Int32ub * "bytes of a block, without its sector bitmap",
    "checksum" / Int32ub * "ones' complement of the sum of the header's other bytes",
    "parent_uuid" / Bytes(16) * "of a differencing image's parent",
    "parent_timestamp" / Int32ub,
    "reserved" / Int32ub,
    "parent_name" / Bytes(512) * "UTF-16",
    "parent_locators" / Bytes(192) * "eight ways to find the parent",
    "padding" / Bytes(256),
)
