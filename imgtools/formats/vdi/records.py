"""Compiled from structs.py by `python -m imgtools.block.compile`; change that file, not this one."""

from imgtools.block.record import Record

HEADER = Record(
    "HEADER",
    "<64sLLLLL256sLLLLLLLQLLLL16s16s16s16s56s",
    (
        "text",
        "signature",
        "version",
        "header_size",
        "image_type",
        "image_flags",
        "description",
        "offset_bmap",
        "offset_data",
        "cylinders",
        "heads",
        "sectors",
        "sector_size",
        "unused",
        "disk_size",
        "block_size",
        "block_extra",
        "blocks_in_image",
        "blocks_allocated",
        "uuid_image",
        "uuid_last_snap",
        "uuid_link",
        "uuid_parent",
        "padding",
    ),
)
