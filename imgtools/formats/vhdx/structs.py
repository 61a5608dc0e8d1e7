"""VHDX's structures on disk (all integers little-endian), as in Microsoft's [MS-VHDX].

The block allocation table is an array of u64: a state in the lowest three bits, and in the highest 44 the mebibyte
of the file at which the block begins.
"""

from construct import Bytes, Int16ul, Int32ul, Int64ul, Struct

FILE_IDENTIFIER = Struct("signature" / Bytes(8) * "vhdxfile", "creator" / Bytes(512) * "UTF-16")

HEADER = Struct(
    "signature" / Bytes(4) * "head",
    "checksum" / Int32ul * "CRC-32C of the header, this field taken as 0",
    "sequence_number" / Int64ul * "of the two headers the one with the higher number counts",
    "file_write_guid" / Bytes(16) * "changes when the file is opened for writing",
    "data_write_guid" / Bytes(16) * "changes when the disk's content does",
    "log_guid" / Bytes(16) * "zero: the log is empty",
    "log_version" / Int16ul,
    "version" / Int16ul * "1",
    "log_length" / Int32ul * "bytes of the log",
    "log_offset" / Int64ul * "where the log is",
    "padding" / Bytes(4016),
)

REGION_TABLE = Struct(
    "signature" / Bytes(4) * "regi",
    "checksum" / Int32ul * "CRC-32C of 64 KiB, this field taken as 0",
    "entry_count" / Int32ul,
    "reserved" / Int32ul,
)

REGION_ENTRY = Struct(
    "guid" / Bytes(16),
    "file_offset" / Int64ul,
    "length" / Int32ul,
    "required" / Int32ul * "1: who does not know it must not open the file",
)

METADATA_TABLE = Struct(
    "signature" / Bytes(8) * "metadata", "reserved" / Int16ul, "entry_count" / Int16ul, "padding" / Bytes(20)
)

METADATA_ENTRY = Struct(
    "item_id" / Bytes(16),
    "offset" / Int32ul * "from the beginning of the region",
    "length" / Int32ul,
    "flags" / Int32ul * "1 user's, 2 of the disk, 4 required",
    "reserved" / Int32ul,
)

LOG_ENTRY = Struct(
    "signature" / Bytes(4) * "loge",
    "checksum" / Int32ul,
    "entry_length" / Int32ul,
    "tail" / Int32ul * "where in the log the oldest entry is that is still needed",
    "sequence_number" / Int64ul,
    "descriptor_count" / Int32ul,
    "reserved" / Int32ul,
    "log_guid" / Bytes(16),
    "flushed_file_offset" / Int64ul * "the file is at least as long",
    "last_file_offset" / Int64ul * "and is to become as long as this",
)

DATA_DESCRIPTOR = Struct(
    "signature" / Bytes(4) * "desc",
    "trailing_bytes" / Bytes(4),
    "leading_bytes" / Bytes(8),
    "file_offset" / Int64ul,
    "sequence_number" / Int64ul,
)

ZERO_DESCRIPTOR = Struct(
    "signature" / Bytes(4) * "zero",
    "reserved" / Int32ul,
    "zero_length" / Int64ul,
    "file_offset" / Int64ul,
    "sequence_number" / Int64ul,
)
