"""VDI's structures on disk (all integers little-endian). The block map is an array of u32; see `blockmap`."""

from construct import Bytes, Int32ul, Int64ul, Struct

HEADER = Struct(
    "text" / Bytes(64) * "for people; not looked at",
    "signature" / Int32ul * "0xbeda107f",
    "version" / Int32ul * "major << 16 | minor",
    "header_size" / Int32ul * "bytes from this field on, to the last that is used",
    "image_type" / Int32ul * "1 dynamic, 2 static, 3 undo, 4 differencing",
    "image_flags" / Int32ul,
    "description" / Bytes(256),
    "offset_bmap" / Int32ul * "where the block map begins",
    "offset_data" / Int32ul * "where block 0 of the file begins",
    "cylinders" / Int32ul,
    "heads" / Int32ul,
    "sectors" / Int32ul,
    "sector_size" / Int32ul * "always 512",
    "unused" / Int32ul,
    "disk_size" / Int64ul * "bytes of the disk",
    "block_size" / Int32ul * "bytes of a block",
    "block_extra" / Int32ul * "bytes before each block",
    "blocks_in_image" / Int32ul * "blocks of the disk: entries of the map",
    "blocks_allocated" / Int32ul * "blocks of the file that are in use",
    "uuid_image" / Bytes(16) * "of this image",
    "uuid_last_snap" / Bytes(16) * "changes with each snapshot",
    "uuid_link" / Bytes(16) * "of the image before, in a chain",
    "uuid_parent" / Bytes(16) * "of the parent, in a chain",
    "padding" / Bytes(56),
)
