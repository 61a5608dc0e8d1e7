"""Places: which sectors of a file its grains take, and what follows from that.

A run of grains is one number, its first sector above its length; an image may have millions of runs. The length
counts units: grains, or sectors where grains are compressed. No run is longer than one grain table.
"""

from __future__ import annotations

from array import array

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

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
    """The first sector of each run that begins before an earlier one has ended."""
    end = 0
    for packed in _suspects(places, unit, lambda starts, ends: ends[:-1] > starts[1:]):
        sector = packed >> LENGTH_BITS
        if sector < end:
            yield sector
        end = max(end, sector + (packed & LENGTH) * unit)


def gaps(places: array[int], unit: int, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """(first, last) of the sectors in [start, stop) that no run takes."""
    for packed in _suspects(places, unit, lambda starts, ends: ends[:-1] < starts[1:]):
        sector = packed >> LENGTH_BITS
        if sector > start:
            yield start, sector
        start = max(start, sector + (packed & LENGTH) * unit)
    if start < stop:
        yield start, stop


def _suspects(places: array[int], unit: int, where: Callable[[Any, Any], Any]) -> Iterator[int]:
    """Of many runs, the first and last and those on either side of a border `where` says something; of few, all."""
    if len(places) < MANY:
        yield from places
        return
    import numpy

    packed = numpy.frombuffer(places, dtype=numpy.uint64)
    starts = packed >> numpy.uint64(LENGTH_BITS)
    ends = starts + (packed & numpy.uint64(LENGTH)) * numpy.uint64(unit)
    said = numpy.zeros(len(packed), dtype=bool)
    said[[0, -1]] = True
    found = where(starts, ends)
    said[:-1] |= found
    said[1:] |= found
    yield from packed[said].tolist()
