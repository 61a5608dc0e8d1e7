"""Compiled from structs.py by `python -m imgtools.block.compile`; change that file, not this one."""

from imgtools.block.record import Record

HEADER_V2 = Record(
    "HEADER_V2",
    ">4sLQLLQLLQQLLQ",
    (
        "magic",
        "version",
        "backing_file_offset",
        "backing_file_size",
        "cluster_bits",
        "size",
        "crypt_method",
        "l1_size",
        "l1_table_offset",
        "refcount_table_offset",
        "refcount_table_clusters",
        "nb_snapshots",
        "snapshots_offset",
    ),
)
HEADER_V3 = Record(
    "HEADER_V3",
    ">4sLQLLQLLQQLLQQQQLL",
    (
        "magic",
        "version",
        "backing_file_offset",
        "backing_file_size",
        "cluster_bits",
        "size",
        "crypt_method",
        "l1_size",
        "l1_table_offset",
        "refcount_table_offset",
        "refcount_table_clusters",
        "nb_snapshots",
        "snapshots_offset",
        "incompatible_features",
        "compatible_features",
        "autoclear_features",
        "refcount_order",
        "header_length",
    ),
)
HEADER_FULL = Record(
    "HEADER_FULL",
    ">4sLQLLQLLQQLLQQQQLLB7s",
    (
        "magic",
        "version",
        "backing_file_offset",
        "backing_file_size",
        "cluster_bits",
        "size",
        "crypt_method",
        "l1_size",
        "l1_table_offset",
        "refcount_table_offset",
        "refcount_table_clusters",
        "nb_snapshots",
        "snapshots_offset",
        "incompatible_features",
        "compatible_features",
        "autoclear_features",
        "refcount_order",
        "header_length",
        "compression_type",
        "padding",
    ),
)
EXTENSION = Record(
    "EXTENSION",
    ">LL",
    (
        "type",
        "length",
    ),
)
FEATURE_NAME = Record(
    "FEATURE_NAME",
    ">BB46s",
    (
        "kind",
        "bit",
        "name",
    ),
)
SNAPSHOT = Record(
    "SNAPSHOT",
    ">QLHHLLQLL",
    (
        "l1_table_offset",
        "l1_size",
        "id_size",
        "name_size",
        "date_seconds",
        "date_nanoseconds",
        "vm_clock_nanoseconds",
        "vm_state_size",
        "extra_data_size",
    ),
)
SNAPSHOT_EXTRA = Record(
    "SNAPSHOT_EXTRA",
    ">QQ",
    (
        "vm_state_size",
        "disk_size",
    ),
)
LUKS_EXTENSION = Record(
    "LUKS_EXTENSION",
    ">QQ",
    (
        "offset",
        "length",
    ),
)
BITMAPS_EXTENSION = Record(
    "BITMAPS_EXTENSION",
    ">LLQQ",
    (
        "nb_bitmaps",
        "reserved",
        "directory_size",
        "directory_offset",
    ),
)
BITMAP_ENTRY = Record(
    "BITMAP_ENTRY",
    ">QLLBBHL",
    (
        "table_offset",
        "table_size",
        "flags",
        "type",
        "granularity_bits",
        "name_size",
        "extra_data_size",
    ),
)
