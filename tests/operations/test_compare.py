"""compare: what counts as a difference, where it lies, and what happens when a disk cannot be read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

import imgtools
from imgtools.block.extent import DATA, HOLE, ZERO, Extent, merge
from imgtools.block.node import Node
from imgtools.block.protocols.memory import MemoryNode
from imgtools.errors import CorruptImage, InputOutput
from imgtools.operations.buffers import SIZE
from imgtools.operations.compare import MapFailure, compare

SECTOR = 512


class Mapped(MemoryNode):
    """A disk in memory that knows of its sectors of zeroes, as `kind`."""

    def __init__(self, content: bytes, kind: str = HOLE) -> None:
        super().__init__("memory:", content)
        self.kind = kind

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        return merge(self._sectors(offset, length))

    def _sectors(self, offset: int, length: int) -> Iterator[Extent]:
        end = offset + length
        while offset < end:
            stop = min(end, offset - offset % SECTOR + SECTOR)
            kind = DATA if any(self.content[offset:stop]) else self.kind
            yield Extent(offset, stop - offset, kind)
            offset = stop


class Unreadable(Mapped):
    """Fails when it is read at `bad`, or mapped there."""

    bad = SECTOR
    map_fails = False

    def readinto(self, offset: int, buffer: memoryview) -> None:
        if offset <= self.bad < offset + len(buffer):
            raise InputOutput("Input/output error")
        super().readinto(offset, buffer)

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        for extent in super().extents(offset, length):
            if self.map_fails and extent.start <= self.bad < extent.start + extent.length:
                raise CorruptImage("bad table")
            yield extent


SECTORS = st.lists(st.sampled_from([bytes(SECTOR), b"a" * SECTOR, b"b" * SECTOR]), max_size=12).map(b"".join)


@given(SECTORS, SECTORS, st.sampled_from([HOLE, ZERO, DATA]))
def test_like_bytes(one: bytes, other: bytes, kind: str) -> None:
    """The longer of two contents must go on with zeroes; the first differing sector is told."""
    result = compare(Mapped(one, kind), Mapped(other))
    longest = max(len(one), len(other))
    padded = one.ljust(longest, b"\0"), other.ljust(longest, b"\0")
    assert bool(result) is (padded[0] == padded[1])
    if not result:
        at = next(index for index in range(longest) if padded[0][index] != padded[1][index])
        assert (result.difference, result.offset) == ("content", at - at % SECTOR)
    shared = min(len(one), len(other))
    assert result.sizes_differ is (len(one) != len(other) and (bool(result) or result.offset >= shared))


@pytest.mark.parametrize("at", [0, SIZE - 1, SIZE, 3 * SIZE + 700, 5 * SIZE - 1])
def test_one_byte_in_many_pieces(at: int) -> None:
    one = bytearray(b"x") * (5 * SIZE)
    other = bytearray(one)
    other[at] = 0
    assert compare(MemoryNode("", one), MemoryNode("", one))
    result = compare(MemoryNode("", one), MemoryNode("", other))
    assert (result.difference, result.offset) == ("content", at - at % SECTOR)


def test_strict_looks_at_sizes_and_allocation() -> None:
    content = b"a" * SECTOR + bytes(SECTOR)
    assert compare(Mapped(content), Mapped(content), strict=True)
    result = compare(Mapped(content), Mapped(content, ZERO), strict=True)
    assert (result.difference, result.offset) == ("status", SECTOR)
    assert compare(Mapped(content), Mapped(content + bytes(SECTOR)), strict=True).difference == "size"


def test_what_both_know_to_be_zero_is_not_read() -> None:
    node = Unreadable(bytes(2 * SECTOR))
    assert compare(node, Mapped(bytes(2 * SECTOR), ZERO))


def test_failures() -> None:
    content = b"a" * SECTOR * 3
    with pytest.raises(InputOutput, match="Error while reading offset 0 of memory:: Input/output error"):
        compare(Mapped(content), Unreadable(content))
    node = Unreadable(content)
    node.map_fails = True
    with pytest.raises(MapFailure, match="Sector allocation test failed for memory:"):
        compare(Mapped(content), node)


def test_a_difference_before_a_failure_counts() -> None:
    content = b"a" * (SIZE + SECTOR)
    node = Unreadable(content)
    node.bad = SIZE
    result = compare(Mapped(b"b" + content[1:]), node)
    assert (result.difference, result.offset) == ("content", 0)


def test_progress_only_goes_forward() -> None:
    told: list[tuple[int, int]] = []
    size = 6 * SIZE
    node: Node = MemoryNode("", b"x" * size)
    imgtools.compare(node, node, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (size, size)
    assert told == sorted(told)
    assert len(set(told)) == len(told)
