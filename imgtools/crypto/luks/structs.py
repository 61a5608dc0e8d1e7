"""LUKS's structures on disk (all integers big-endian); offsets are in sectors of 512 bytes."""

from construct import Bytes, Int16ub, Int32ub, Struct

HEADER = Struct(
    "magic" / Bytes(6),
    "version" / Int16ub,
    "cipher_name" / Bytes(32),
    "cipher_mode" / Bytes(32),
    "hash_spec" / Bytes(32),
    "payload_offset" / Int32ub,
    "key_bytes" / Int32ub,
    "mk_digest" / Bytes(20),
    "mk_digest_salt" / Bytes(32),
    "mk_digest_iterations" / Int32ub,
    "uuid" / Bytes(40),
)
KEY_SLOT = Struct(
    "active" / Int32ub,
    "iterations" / Int32ub,
    "salt" / Bytes(32),
    "key_material_offset" / Int32ub,
    "stripes" / Int32ub,
)
