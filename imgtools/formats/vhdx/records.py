"""Compiled from structs.py by `python -m imgtools.block.compile`; change that file, not this one."""

from imgtools.block.record import Record

FILE_IDENTIFIER = Record(
    "FILE_IDENTIFIER",
    ">8s512s",
    (
        "signature",
        "creator",
    ),
)
HEADER = Record(
    "HEADER",
    "<4sLQ16s16s16sHHLQ4016s",
    (
        "signature",
        "checksum",
        "sequence_number",
        "file_write_guid",
        "data_write_guid",
        "log_guid",
        "log_version",
        "version",
        "log_length",
        "log_offset",
        "padding",
    ),
)
REGION_TABLE = Record(
    "REGION_TABLE",
    "<4sLLL",
    (
        "signature",
        "checksum",
        "entry_count",
        "reserved",
    ),
)
REGION_ENTRY = Record(
    "REGION_ENTRY",
    "<16sQLL",
    (
        "guid",
        "file_offset",
        "length",
        "required",
    ),
)
METADATA_TABLE = Record(
    "METADATA_TABLE",
    "<8sHH20s",
    (
        "signature",
        "reserved",
        "entry_count",
        "padding",
    ),
)
METADATA_ENTRY = Record(
    "METADATA_ENTRY",
    "<16sLLLL",
    (
        "item_id",
        "offset",
        "length",
        "flags",
        "reserved",
    ),
)
LOG_ENTRY = Record(
    "LOG_ENTRY",
    "<4sLLLQLL16sQQ",
    (
        "signature",
        "checksum",
        "entry_length",
        "tail",
        "sequence_number",
        "descriptor_count",
        "reserved",
        "log_guid",
        "flushed_file_offset",
        "last_file_offset",
    ),
)
DATA_DESCRIPTOR = Record(
    "DATA_DESCRIPTOR",
    "<4s4s8sQQ",
    (
        "signature",
        "trailing_bytes",
        "leading_bytes",
        "file_offset",
        "sequence_number",
    ),
)
ZERO_DESCRIPTOR = Record(
    "ZERO_DESCRIPTOR",
    "<4sLQQQ",
    (
        "signature",
        "reserved",
        "zero_length",
        "file_offset",
        "sequence_number",
    ),
)
