"""What an image names: other files, which whoever wrote the image has chosen.

A format says it by `Format.references`, from its header alone and without opening any of them; whoever is to trust
an image looks at them first (`operations.audit`). Opening one is the gate's business (`block.gate`).
"""

from __future__ import annotations

import os

from imgtools.block.gate import SAME_DIRECTORY, combine, has_protocol

PLAIN, OUTSIDE, PROTOCOL = "plain", "outside", "protocol"


class Reference:
    """A file that an image names: as what ("backing file"), and where in the image's file the name is, if known."""

    def __init__(self, role: str, name: str, offset: int | None = None) -> None:
        self.role = role
        self.name = name
        self.offset = offset

    def reach(self, referrer: str) -> str:
        """How far the name goes from the image at `referrer`: PLAIN stays in its directory, OUTSIDE leaves it, links
        followed, PROTOCOL is no plain file name at all."""
        if has_protocol(self.name) or "\0" in self.name:
            return PROTOCOL
        path = os.path.realpath(combine(referrer, self.name))
        return PLAIN if SAME_DIRECTORY.admits(referrer, path) else OUTSIDE
