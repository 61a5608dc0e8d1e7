"""qcow2's structures on disk, as declared in QEMU's docs/interop/qcow2 (all integers big-endian).

The tables (L1, L2, refcount table and blocks) are plain arrays and are read whole; see `tables` and `refcount`.
"""

from construct import Bytes, Int8ub, Int16ub, Int32ub, Int64ub, Struct

HEADER_V2 = Struct(
    "magic" / Bytes(4),
    "version" / Int32ub,
    "backing_file_offset" / Int64ub,
    "backing_file_size" / Int32ub,
    "cluster_bits" / Int32ub,
    "size" / Int64ub,
    "crypt_method" / Int32ub,
    "l1_size" / Int32ub,
    "l1_table_offset" / Int64ub,
    "refcount_table_offset" / Int64ub,
    "refcount_table_clusters" / Int32ub,
    "nb_snapshots" / Int32ub,
    "snapshots_offset" / Int64ub,
)

HEADER_V3 = Struct(
    *HEADER_V2.subcons,
    "incompatible_features" / Int64ub,
    "compatible_features" / Int64ub,
    "autoclear_features" / Int64ub,
    "refcount_order" / Int32ub,
    "header_length" / Int32ub,
)

HEADER_FULL = Struct(
    *HEADER_V3.subcons,
    "compression_type" / Int8ub,
    "padding" / Bytes(7),
)

EXTENSION = Struct("type" / Int32ub, "length" / Int32ub)

FEATURE_NAME = Struct("kind" / Int8ub, "bit" / Int8ub, "name" / Bytes(46))

SNAPSHOT = Struct(
    "l1_table_offset" / Int64ub,
    "l1_size" / Int32ub,
    "id_size" / Int16ub,
    "name_size" / Int16ub,
    "date_seconds" / Int32ub,
    "date_nanoseconds" / Int32ub,
    "vm_clock_nanoseconds" / Int64ub,
    "vm_state_size" / Int32ub,
    "extra_data_size" / Int32ub,
)

SNAPSHOT_EXTRA = Struct("vm_state_size" / Int64ub, "disk_size" / Int64ub)

BITMAPS_EXTENSION = Struct(
    "nb_bitmaps" / Int32ub,
    "reserved" / Int32ub,
    "directory_size" / Int64ub,
    "directory_offset" / Int64ub,
)

BITMAP_ENTRY = Struct(
    "table_offset" / Int64ub,
    "table_size" / Int32ub,
    "flags" / Int32ub,
    "type" / Int8ub,
    "granularity_bits" / Int8ub,
    "name_size" / Int16ub,
    "extra_data_size" / Int32ub,
)
