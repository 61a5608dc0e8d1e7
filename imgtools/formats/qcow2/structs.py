"""qcow2's structures on disk, as declared in QEMU's docs/interop/qcow2 (all integers big-endian).

The tables (L1, L2, refcount table and blocks) are plain arrays and are read whole; see `tables` and `refcount`.
"""

from construct import Bytes, Int8ub, Int16ub, Int32ub, Int64ub, Struct

HEADER_V2 = Struct(
    "magic" / Bytes(4) * "QFI and 0xfb",
    "version" / Int32ub * "2 or 3",
    "backing_file_offset" / Int64ub * "where the name of the backing file is; 0: there is none",
    "backing_file_size" / Int32ub * "bytes of that name",
    "cluster_bits" / Int32ub * "a cluster has 1 << this bytes",
    "size" / Int64ub * "bytes of the disk",
    "crypt_method" / Int32ub * "0 none, 1 AES, 2 LUKS",
    "l1_size" / Int32ub * "entries of the L1 table",
    "l1_table_offset" / Int64ub * "where the L1 table begins",
    "refcount_table_offset" / Int64ub * "where the refcount table begins",
    "refcount_table_clusters" / Int32ub * "clusters of the refcount table",
    "nb_snapshots" / Int32ub * "internal snapshots",
    "snapshots_offset" / Int64ub * "where the snapshot table begins",
)

HEADER_V3 = Struct(
    *HEADER_V2.subcons,
    "incompatible_features"
    / Int64ub
    * "who does not know them must not open it: 1 dirty, 2 corrupt, 4 data file, 8 compression, 16 extended L2",
    "compatible_features" / Int64ub * "1 lazy refcounts",
    "autoclear_features" / Int64ub * "cleared by a writer that does not know them: 1 bitmaps, 2 raw data file",
    "refcount_order" / Int32ub * "a count has 1 << this bits",
    "header_length" / Int32ub * "bytes of this header",
)

HEADER_FULL = Struct(
    *HEADER_V3.subcons,
    "compression_type" / Int8ub * "0 zlib, 1 zstd",
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

LUKS_EXTENSION = Struct("offset" / Int64ub, "length" / Int64ub)

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
