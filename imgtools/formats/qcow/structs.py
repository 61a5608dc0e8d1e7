"""qcow's header (all integers big-endian). The L1 and L2 tables are arrays of u64."""

from construct import Bytes, Int8ub, Int16ub, Int32ub, Int64ub, Struct

HEADER = Struct(
    "magic" / Bytes(4) * "QFI and 0xfb",
    "version" / Int32ub * "1",
    "backing_file_offset" / Int64ub * "where the name of the backing file is; 0: there is none",
    "backing_file_size" / Int32ub * "bytes of that name",
    "mtime" / Int32ub * "of the backing file; not looked at",
    "size" / Int64ub * "bytes of the disk",
    "cluster_bits" / Int8ub * "a cluster has 1 << this bytes",
    "l2_bits" / Int8ub * "an L2 table has 1 << this entries",
    "padding" / Int16ub,
    "crypt_method" / Int32ub * "0 none, 1 AES",
    "l1_table_offset" / Int64ub * "where the L1 table is",
)
