"""Whole blocks of reference counts: their form on disk, and arithmetic on all counts at once.

For arithmetic a block is taken as one large integer whose lanes are the counts. The top bit of every lane serves as a
guard: where all counts are below it, a lane that would borrow from its neighbour is seen by its guard, and none can
carry over. Blocks with larger counts (None is the answer then) are so rare that they may be counted one by one.
"""

from __future__ import annotations

import sys
from array import array

from imgtools.formats.qcow2.mapping import LITTLE

TYPECODES = {8: "B", 16: "H", 32: "I", 64: "Q"}


class CountCodec:
    """Reference counts of one width, from and to their form on disk."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.maximum = (1 << width) - 1
        self.typecode = TYPECODES[max(8, width)]

    def decode(self, data: bytes) -> array[int]:
        """The counts as an array; counts narrower than a byte are expanded, the lowest bits come first."""
        if self.width >= 8:
            counts = array(self.typecode, data)
            if LITTLE and self.width > 8:
                counts.byteswap()
            return counts
        per_byte = 8 // self.width
        expanded = bytearray(len(data) * per_byte)
        for position in range(per_byte):
            shift = position * self.width
            expanded[position::per_byte] = data.translate(bytes(b >> shift & self.maximum for b in range(256)))
        return array("B", expanded)

    def encode(self, counts: array[int]) -> bytes:
        """The counts as they stand on disk."""
        if self.width >= 8:
            if LITTLE and self.width > 8:
                counts = counts[:]
                counts.byteswap()
            return counts.tobytes()
        per_byte, raw = 8 // self.width, counts.tobytes()
        packed = 0
        for position in range(per_byte):
            packed |= int.from_bytes(raw[position::per_byte], "little") << (position * self.width)
        return packed.to_bytes(len(raw) // per_byte, "little")


def add(counts: array[int], small: bytes | bytearray, sign: int, maximum: int) -> array[int] | None:
    """`counts` with `small` (a byte each) added or, where `sign` is -1, taken away.

    None where a count would leave 0..`maximum`, or is too large to be treated in this way.
    """
    width, raw = counts.itemsize, counts.tobytes()
    top, low = (width - 1, 0) if LITTLE else (0, width - 1)
    if not raw[top::width].isascii() or (width == 1 and not small.isascii()):
        return None
    spread = bytearray(len(raw))
    spread[low::width] = small
    old, change = int.from_bytes(raw, sys.byteorder), int.from_bytes(spread, sys.byteorder)
    if sign > 0:
        new = old + change
    else:
        guard = _guard(len(counts), width)
        new = (old | guard) - change
        if new & guard != guard:
            return None
        new ^= guard
    result = new.to_bytes(len(raw), sys.byteorder)
    if width == 1 and result.translate(None, delete=bytes(range(maximum + 1))):
        return None
    return array(counts.typecode, result)


def equal_to(counts: array[int], value: int) -> bytes:
    """A byte for each count: 1 where it is `value` (below 256), or else 0."""
    width, raw = counts.itemsize, counts.tobytes()
    low = 0 if LITTLE else width - 1
    lanes = [raw[position::width] for position in range(width)]
    if any(lane.count(0) != len(lane) for position, lane in enumerate(lanes) if position != low):
        return bytes(count == value for count in counts)
    return lanes[low].translate(bytes(value) + b"\1" + bytes(255 - value))


def _guard(count: int, width: int) -> int:
    """An integer of `count` lanes with the top bit of each set."""
    lane = (1 << (8 * width - 1)).to_bytes(width, sys.byteorder)
    return int.from_bytes(lane * count, sys.byteorder)
