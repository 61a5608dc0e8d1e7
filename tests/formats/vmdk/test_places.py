"""Places: a few runs and many give the same answers, and those of looking at every sector."""

from __future__ import annotations

import random
from array import array

import pytest

from imgtools.formats.vmdk import places
from imgtools.formats.vmdk.places import LENGTH_BITS, gaps, overlaps, sort_places


@pytest.mark.parametrize("many", [0, 1 << 16], ids=["many", "few"])
@pytest.mark.parametrize("unit", [1, 8])
def test_overlaps_and_gaps(many: int, unit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "MANY", many)
    for seed in range(60):
        chance = random.Random(seed)
        runs, sector = [], 16
        for _ in range(chance.randrange(1, 40)):
            sector += chance.choice((0, 0, 0, 1, unit, 5 * unit)) - (chance.random() < 0.03)
            length = chance.randrange(1, 5)
            runs.append((sector, length))
            sector += length * unit
        chance.shuffle(runs)
        packed = sort_places(array("Q", [first << LENGTH_BITS | length for first, length in runs]))
        taken: dict[int, int] = {}
        for first, length in runs:
            for number in range(first, first + length * unit):
                taken[number] = taken.get(number, 0) + 1
        found = list(overlaps(packed, unit))
        assert bool(found) == any(count > 1 for count in taken.values())
        if not found:
            end = sector + 9
            free = {number for first, last in gaps(packed, unit, 3, end) for number in range(first, last)}
            assert free == set(range(3, end)) - set(taken)


def test_no_runs() -> None:
    assert list(overlaps(array("Q"), 1)) == []
    assert list(gaps(array("Q"), 1, 5, 9)) == [(5, 9)]
