"""Parallels' header (all integers little-endian). The block table is an array of u32 behind it."""

from construct import Bytes, Int32ul, Int64ul, Struct

HEADER = Struct(
    "magic" / Bytes(16) * "WithoutFreeSpace or WithouFreSpacExt",
    "version" / Int32ul * "2",
    "heads" / Int32ul,
    "cylinders" / Int32ul,
    "tracks" / Int32ul * "sectors of a block",
    "bat_entries" / Int32ul * "entries of the block table",
    "sectors" / Int64ul * "sectors of the disk; with the first magic only the lower 32 bits",
    "in_use" / Int32ul * "0x746f6e59: was not closed",
    "data_offset" / Int32ul * "sector at which the blocks begin; 0: behind the table",
    "flags" / Int32ul,
    "extension_offset" / Int64ul * "sector of the format extension: dirty bitmaps",
)
