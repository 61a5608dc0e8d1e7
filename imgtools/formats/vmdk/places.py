"""Places: which sectors of a file its grains take, and what follows from that.

A run of grains is one number, its first sector above its length; an image may have millions of runs. The length
counts units: grains, or sectors where grains are compressed. No run is longer than one grain table.
"""

from __future__ import annotations

from array import array
from itertools import pairwise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LENGTH_BITS = 16
LENGTH = (1 << LENGTH_BITS) - 1
MAX_SECTOR = 1 << (64 - LENGTH_BITS)
MANY = 1 << 16
"""Runs from which on numpy looks at them: importing it takes as long as this many do without."""


def sort_places(places: array[int]) -> array[int]:
    """`places` in ascending order."""
    if len(places) < MANY:
        return array("Q", sorted(places))
    import numpy

    numpy.frombuffer(places, dtype=numpy.uint64).sort()
    return places


def overlaps(places: array[int], unit: int) -> Iterator[int]:
    """The first sector of runs that begin before the one in front of them has ended."""
    for end, begin in _borders(places, unit):
        if begin < end:
            yield begin


def gaps(places: array[int], unit: int, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """(first, last) of the sectors in [start, stop) that no run takes, where no two overlap."""
    used = 0
    if places:
        used = (places[-1] >> LENGTH_BITS) + (places[-1] & LENGTH) * unit
        if start < places[0] >> LENGTH_BITS:
            yield start, places[0] >> LENGTH_BITS
    for end, begin in _borders(places, unit):
        if begin > start:
            yield max(start, end), begin
    if max(start, used) < stop:
        yield max(start, used), stop


def _borders(places: array[int], unit: int) -> Iterator[tuple[int, int]]:
    """(end of a run, beginning of the next) where they differ."""
    if len(places) < MANY:
        for packed, following in pairwise(places):
            end, begin = (packed >> LENGTH_BITS) + (packed & LENGTH) * unit, following >> LENGTH_BITS
            if end != begin:
                yield end, begin
        return
    import numpy

    runs = numpy.frombuffer(places, dtype=numpy.int64)
    starts = runs >> LENGTH_BITS & MAX_SECTOR - 1
    ends = starts + (runs & LENGTH) * unit
    differ = numpy.flatnonzero(ends[:-1] != starts[1:])
    yield from zip(ends[differ].tolist(), starts[differ + 1].tolist(), strict=True)
