"""Compiled from structs.py by `python -m imgtools.block.compile`; change that file, not this one."""

from imgtools.block.record import Record

HEADER = Record(
    "HEADER",
    "<16sLLLLLQLLLQ",
    (
        "magic",
        "version",
        "heads",
        "cylinders",
        "tracks",
        "bat_entries",
        "sectors",
        "in_use",
        "data_offset",
        "flags",
        "extension_offset",
    ),
)
