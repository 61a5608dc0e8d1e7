"""Compiled from structs.py by `python -m imgtools.block.compile`; change that file, not this one."""

from imgtools.block.record import Record

HEADER = Record(
    "HEADER",
    ">6sH32s32s32sLL20s32sL40s",
    (
        "magic",
        "version",
        "cipher_name",
        "cipher_mode",
        "hash_spec",
        "payload_offset",
        "key_bytes",
        "mk_digest",
        "mk_digest_salt",
        "mk_digest_iterations",
        "uuid",
    ),
)
KEY_SLOT = Record(
    "KEY_SLOT",
    ">LL32sLL",
    (
        "active",
        "iterations",
        "salt",
        "key_material_offset",
        "stripes",
    ),
)
