"""Compiled from structs.py by `python -m imgtools.block.compile`; change that file, not this one."""

from imgtools.block.record import Record

MBR_ENTRY = Record(
    "MBR_ENTRY",
    "<B3sB3sLL",
    (
        "status",
        "first_chs",
        "type",
        "last_chs",
        "first_lba",
        "sectors",
    ),
)
GPT_HEADER = Record(
    "GPT_HEADER",
    "<8sLLLLQQQQ16sQLLL",
    (
        "signature",
        "revision",
        "header_size",
        "header_crc32",
        "reserved",
        "my_lba",
        "alternate_lba",
        "first_usable_lba",
        "last_usable_lba",
        "disk_guid",
        "entries_lba",
        "entries",
        "entry_size",
        "entries_crc32",
    ),
)
GPT_ENTRY = Record(
    "GPT_ENTRY",
    "<16s16sQQQ72s",
    (
        "type_guid",
        "unique_guid",
        "first_lba",
        "last_lba",
        "attributes",
        "name",
    ),
)
