"""Compiled from structs.py by `python -m imgtools.block.compile`; change that file, not this one."""

from imgtools.block.record import Record

SPARSE_HEADER = Record(
    "SPARSE_HEADER",
    "<4sLLQQQQLQQQB4sH433s",
    (
        "magic",
        "version",
        "flags",
        "capacity",
        "grain_size",
        "descriptor_offset",
        "descriptor_size",
        "gtes_per_gt",
        "rgd_offset",
        "gd_offset",
        "overhead",
        "unclean_shutdown",
        "newline_test",
        "compress_algorithm",
        "padding",
    ),
)
GRAIN_MARKER = Record(
    "GRAIN_MARKER",
    "<QL",
    (
        "lba",
        "size",
    ),
)
METADATA_MARKER = Record(
    "METADATA_MARKER",
    "<QLL496s",
    (
        "sectors",
        "size",
        "type",
        "padding",
    ),
)
COWD_HEADER = Record(
    "COWD_HEADER",
    "<4sLLLLLLLLLL",
    (
        "magic",
        "version",
        "flags",
        "capacity",
        "grain_size",
        "gd_offset",
        "gd_entries",
        "next_free_sector",
        "cylinders",
        "heads",
        "sectors_per_track",
    ),
)
SESPARSE_HEADER = Record(
    "SESPARSE_HEADER",
    "<QQQQQQ32sQQQQQQQQQQQQQQQQ304s",
    (
        "magic",
        "version",
        "capacity",
        "grain_size",
        "grain_table_size",
        "flags",
        "reserved",
        "volatile_header_offset",
        "volatile_header_size",
        "journal_header_offset",
        "journal_header_size",
        "journal_offset",
        "journal_size",
        "gd_offset",
        "gd_size",
        "grain_tables_offset",
        "grain_tables_size",
        "free_bitmap_offset",
        "free_bitmap_size",
        "backmap_offset",
        "backmap_size",
        "grains_offset",
        "grains_size",
        "padding",
    ),
)
SESPARSE_VOLATILE_HEADER = Record(
    "SESPARSE_VOLATILE_HEADER",
    "<QQQQ480s",
    (
        "magic",
        "free_gt_number",
        "next_transaction",
        "replay_journal",
        "padding",
    ),
)
