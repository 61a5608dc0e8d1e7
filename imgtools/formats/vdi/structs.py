"""VDI's structures on disk (all integers little-endian). The block map is an array of u32; see `blockmap`."""

from construct import Bytes, Int32ul, Int64ul, Struct

HEADER = Struct(
    "text" / Bytes(64),
    "signature" / Int32ul,
    "version" / Int32ul,
    "header_size" / Int32ul,
    "image_type" / Int32ul,
    "image_flags" / Int32ul,
    "description" / Bytes(256),
    "offset_bmap" / Int32ul,
    "offset_data" / Int32ul,
    "cylinders" / Int32ul,
    "heads" / Int32ul,
    "sectors" / Int32ul,
    "sector_size" / Int32ul,
    "unused" / Int32ul,
    "disk_size" / Int64ul,
    "block_size" / Int32ul,
    "block_extra" / Int32ul,
    "blocks_in_image" / Int32ul,
    "blocks_allocated" / Int32ul,
    "uuid_image" / Bytes(16),
    "uuid_last_snap" / Bytes(16),
    "uuid_link" / Bytes(16),
    "uuid_parent" / Bytes(16),
    "padding" / Bytes(56),
)
