"""Compiled from structs.py by `python -m imgtools.block.compile`; change that file, not this one."""

from imgtools.block.record import Record

FOOTER = Record(
    "FOOTER",
    ">8sLLQL4sL4sQQHBBLL16sB427s",
    (
        "cookie",
        "features",
        "version",
        "data_offset",
        "timestamp",
        "creator_application",
        "creator_version",
        "creator_os",
        "original_size",
        "current_size",
        "cylinders",
        "heads",
        "sectors",
        "disk_type",
        "checksum",
        "uuid",
        "saved_state",
        "padding",
    ),
)
DYNAMIC_HEADER = Record(
    "DYNAMIC_HEADER",
    ">8sQQLLLL16sLL512s192s256s",
    (
        "cookie",
        "data_offset",
        "table_offset",
        "version",
        "max_table_entries",
        "block_size",
        "checksum",
        "parent_uuid",
        "parent_timestamp",
        "reserved",
        "parent_name",
        "parent_locators",
        "padding",
    ),
)
