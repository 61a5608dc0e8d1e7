"""What lies in a qcow image, for those who explain it (see `block.structure`)."""

from __future__ import annotations

from construct import Int64ub, Struct

from imgtools.formats.qcow.structs import HEADER
from imgtools.formats.two_levels import structures, way

__all__ = ["STRUCTURES", "way"]

STRUCTURES = structures(HEADER, Struct("offset" / Int64ub))
