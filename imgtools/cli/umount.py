"""imgtools umount: take a mounted directory away."""

from __future__ import annotations

from imgtools.cli.getopt import Command, UsageError
from imgtools.mount.leaving import unmount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMMAND = Command(
    "umount",
    "DIRECTORY",
    "Take away a directory of imgtools mount, and wait until its image is closed.",
    (),
)


def run(arguments: Any) -> int:
    if len(arguments.operands) != 1:
        raise UsageError("Expecting one directory")
    unmount(arguments.operands[0])
    return 0
