"""Whether a table is one run of clusters, at the borders of the window that it is compared with."""

from __future__ import annotations

from array import array

import pytest

from imgtools.formats.qcow2.ramp import Ramp

COPIED = 1 << 63


@pytest.mark.parametrize("bits", range(9, 22))
def test_a_run_matches_and_each_changed_entry_does_not(bits: int) -> None:
    step, entries = 1 << bits, min(1 << (bits - 3), 8192)
    ramp = Ramp(step)
    for start in (0, 1, 3, 65_530, (1 << 24) - 5, (1 << 32) - 100, (1 << 40) + 12_345, (1 << 40) + 12_346):
        first = COPIED | (start << bits)
        if first + (entries << bits) >= 1 << 64:
            continue
        table = array("Q", range(first, first + (entries << bits), step))
        assert ramp.matches(table, first)
        assert not ramp.matches(table, first + step)
        for position in (0, 1, entries // 2, entries - 1):
            for change in (1, step, 1 << 40, COPIED):
                table[position] ^= change
                assert not ramp.matches(table, first)
                table[position] ^= change
