"""Extents: clipping and merging; records: compiled structures are those that are declared."""

from __future__ import annotations

import subprocess
import sys

import pytest

from imgtools.block.extent import DATA, HOLE, ZERO, Extent, clip, merge
from imgtools.block.protocols.memory import MemoryNode
from imgtools.block.record import Record
from imgtools.errors import InvalidFormat

STORAGE = MemoryNode()


def test_clip_moves_the_offset_along() -> None:
    extent = Extent(100, 50, DATA, 1, STORAGE, 1000)
    assert clip(extent, 0, 1000) == extent
    assert clip(extent, 110, 120) == Extent(110, 10, DATA, 1, STORAGE, 1010)
    assert clip(Extent(100, 50, HOLE), 90, 120) == Extent(100, 20, HOLE)


def test_merge_joins_only_what_lies_in_one_piece() -> None:
    alike = [Extent(0, 10, DATA, 0, STORAGE, 100), Extent(10, 5, DATA, 0, STORAGE, 110)]
    assert list(merge(alike)) == [Extent(0, 15, DATA, 0, STORAGE, 100)]
    for second in (
        Extent(10, 5, ZERO, 0, STORAGE, 110),
        Extent(10, 5, DATA, 1, STORAGE, 110),
        Extent(10, 5, DATA, 0, MemoryNode(), 110),
        Extent(10, 5, DATA, 0, STORAGE, 111),
        Extent(10, 5, DATA, 0, STORAGE, None),
    ):
        assert list(merge([alike[0], second])) == [alike[0], second]
    assert list(merge([Extent(0, 1, HOLE), Extent(1, 1, HOLE), Extent(2, 1, HOLE)])) == [Extent(0, 3, HOLE)]
    assert list(merge([])) == []


def test_records_parse_and_build() -> None:
    record = Record("THING", "<4sHQ", ("magic", "count", "size"))
    assert (record.size, record.offset_of("count"), record.offset_of("size")) == (14, 4, 6)
    built = record.build(magic=b"ab", size=7)
    assert built == b"ab\0\0" + bytes(2) + b"\7" + bytes(7)
    parsed = record.parse(b"??" + built, 2)
    assert (parsed.magic, parsed.count, parsed.size) == (b"ab\0\0", 0, 7)
    with pytest.raises(InvalidFormat, match="THING is cut short"):
        record.parse(built, 1)


def test_compiled_records_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, "-m", "imgtools.block.compile", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, f"run python -m imgtools.block.compile: {done.stdout}{done.stderr}"
