"""Is a whole table one run of clusters in a row? Found out by comparing memory.

Entries of consecutive clusters form a ramp. Take 2**k of them whose cluster numbers differ in their lowest k bits
only: where k + cluster_bits is a multiple of 8, their low bytes are the same in every such window, and the high ones
constant within it. A window is built once, its high bytes are overwritten as the run goes on, and a table is compared
with a part of it: some ten times faster than looking at the entries, or than arithmetic on one large integer.
"""

from __future__ import annotations

import sys
from array import array

SMALLEST_WINDOW_BITS = 9
ENTRY = 8


class Ramp:
    """Compares runs of 64-bit numbers, `step` apart, in the host's byte order. `step` is a power of two."""

    def __init__(self, step: int) -> None:
        step_bits = step.bit_length() - 1
        bits = SMALLEST_WINDOW_BITS + -(SMALLEST_WINDOW_BITS + step_bits) % 8
        self._span = step << bits
        """What a window covers, a power of 256."""
        self._step = step
        self._entries = 1 << bits
        # Made of 256 equal parts that differ in the highest byte that varies: quicker than entry by entry.
        part = array("Q", range(0, self._span >> 8, step)).tobytes()
        self._window = bytearray(part * 256)
        highest = b"".join(bytes([value]) * (self._entries >> 8) for value in range(256))
        self._window[_place((bits + step_bits) // 8 - 1) :: ENTRY] = highest
        self._base = 0
        self._constant_bytes = range((bits + step_bits) // 8, ENTRY)

    def matches(self, table: array[int], first: int) -> bool:
        """Whether `table` holds first, first + step, first + 2 * step, ..."""
        view = memoryview(table).cast("B")
        done = 0
        while done < len(view):
            self._move(first - first % self._span)
            start = (first % self._span) // self._step * ENTRY
            length = min(len(view) - done, len(self._window) - start)
            if not self._window.startswith(view[done : done + length], start):
                return False
            done += length
            first += length // ENTRY * self._step
        return True

    def _move(self, base: int) -> None:
        """Let the window begin at `base`, a multiple of its span."""
        changed = base ^ self._base
        if not changed:
            return
        for significance in self._constant_bytes:
            if changed >> (8 * significance) & 0xFF:
                self._window[_place(significance) :: ENTRY] = bytes([base >> (8 * significance) & 0xFF]) * self._entries
        self._base = base


def _place(significance: int) -> int:
    """Where in an entry of the host's byte order the byte of that significance lies."""
    return significance if sys.byteorder == "little" else ENTRY - 1 - significance
