"""QED's header (all integers little-endian). The L1 and L2 tables are arrays of u64."""

from construct import Bytes, Int32ul, Int64ul, Struct

HEADER = Struct(
    "magic" / Bytes(4) * "QED",
    "cluster_size" / Int32ul,
    "table_size" / Int32ul * "clusters of a table",
    "header_size" / Int32ul * "clusters of the header",
    "features" / Int64ul * "1 backing file, 2 was not closed, 4 the backing file is raw",
    "compat_features" / Int64ul,
    "autoclear_features" / Int64ul,
    "l1_table_offset" / Int64ul * "where the L1 table is",
    "size" / Int64ul * "bytes of the disk",
    "backing_file_offset" / Int32ul * "where the name of the backing file is",
    "backing_file_size" / Int32ul * "bytes of that name",
)
