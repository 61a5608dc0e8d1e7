"""Compiled from structs.py by `python -m imgtools.block.compile`; change that file, not this one."""

from imgtools.block.record import Record

HEADER = Record(
    "HEADER",
    "<4sLLLQQQQQLL",
    (
        "magic",
        "cluster_size",
        "table_size",
        "header_size",
        "features",
        "compat_features",
        "autoclear_features",
        "l1_table_offset",
        "size",
        "backing_file_offset",
        "backing_file_size",
    ),
)
