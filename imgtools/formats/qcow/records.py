"""Compiled from structs.py by `python -m imgtools.block.compile`; change that file, not this one."""

from imgtools.block.record import Record

HEADER = Record(
    "HEADER",
    ">4sLQLLQBBHLQ",
    (
        "magic",
        "version",
        "backing_file_offset",
        "backing_file_size",
        "mtime",
        "size",
        "cluster_bits",
        "l2_bits",
        "padding",
        "crypt_method",
        "l1_table_offset",
    ),
)
