"""Runs found by numpy are those found entry by entry."""

from __future__ import annotations

import random
from array import array
from pathlib import Path

import imgtools
from imgtools.formats.qcow2.irregular import irregular_runs, one_by_one
from imgtools.formats.qcow2.mapping import COMPRESSED, COPIED, ZERO_FLAG
from imgtools.formats.qcow2.node import Qcow2Node

BITS = 16
ENTRIES = 1 << (BITS - 3)


def random_table(seed: int) -> array[int]:
    """A table of short runs of everything that an entry can be."""
    chance = random.Random(seed)
    table = array("Q")
    while len(table) < ENTRIES:
        host = chance.randrange(1, 1 << 20) << BITS
        count = chance.choice((1, 1, 2, 5))
        following = range(host, host + (count << BITS), 1 << BITS)
        kind = chance.randrange(6)
        if kind == 0:
            table.extend([0] * count)
        elif kind == 1:
            table.extend([ZERO_FLAG] * count)
        elif kind == 2:
            table.extend(place | ZERO_FLAG | COPIED for place in following)
        elif kind == 3:
            table.append(COMPRESSED | chance.getrandbits(60))
        else:
            table.extend(place | chance.choice((0, COPIED)) for place in following)
    return table[:ENTRIES]


def test_runs_of_irregular_tables(tmp_path: Path) -> None:
    imgtools.create_image(str(tmp_path / "disk.qcow2"), format="qcow2", size=ENTRIES << BITS)
    with imgtools.open(str(tmp_path / "disk.qcow2")) as node:
        assert isinstance(node, Qcow2Node)
        for seed in range(20):
            table = random_table(seed)
            plain = list(node.mapping.table_runs(table, 3, 3 * node.size, 4 * node.size))
            runs = irregular_runs(table, 3 * node.size, BITS, ZERO_FLAG)
            assert runs is not None
            assert list(one_by_one(runs)) == plain


def test_damaged_tables_are_left_to_the_plain_way() -> None:
    table = array("Q", [COPIED | (5 << BITS) | 512]) + array("Q", bytes(8 * (ENTRIES - 1)))
    assert irregular_runs(table, 0, BITS, ZERO_FLAG) is None
