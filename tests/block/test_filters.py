"""Filters: the window, the overlay and the read-only disk."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from imgtools.block.extent import DATA, HOLE, ZERO
from imgtools.block.filters.overlay import CLUSTER, MAX_CLUSTER, Overlay
from imgtools.block.filters.readonly import ReadOnlyFilter
from imgtools.block.filters.window import Window
from imgtools.block.node import Filter, Storage
from imgtools.block.protocols.memory import MemoryNode, NullNode
from imgtools.errors import ImageError, OutOfBounds, ReadOnly
from imgtools.formats.raw import RawNode
from tests.model import Subject, check_against_model, compare, pattern

SIZE = 3 * CLUSTER + 512


def test_window_behaves_as_a_bytearray() -> None:
    def create(storage: Storage) -> None:
        storage.truncate(SIZE + 8192)

    check_against_model(Subject(create, lambda storage: Window(RawNode(storage), 4096, SIZE), SIZE, CLUSTER))


def test_window_cannot_be_left() -> None:
    below = MemoryNode(content=pattern(4096))
    window = Window(below, 1024, 512)
    compare(window.read(0, 512), below.read(1024, 512))
    assert Window(below, 1024).size == 3072
    for verb in (window.zero, window.discard, window.read, window.prefetch, lambda o, n: list(window.extents(o, n))):
        for offset, length in ((-1, 1), (0, 513), (512, 1)):
            with pytest.raises(OutOfBounds):
                verb(offset, length)
    with pytest.raises(OutOfBounds):
        window.write(511, b"xy")
    for offset, size in ((-1, 5), (0, -5), (4000, 97), (4097, None)):
        with pytest.raises(OutOfBounds):
            Window(below, offset, size)


def test_window_extents_say_where_the_bytes_lie() -> None:
    below = MemoryNode(content=bytes(4096))
    assert list(Window(below, 1024, 512).extents(100, 200)) == [(100, 200, DATA, 0, below, 1124)]


class Kept(Filter):
    """Survives its closing, so that the model's reopenings find the overlay again."""

    def close(self) -> None:
        pass


@pytest.mark.parametrize("on_disk", [False, True])
def test_overlay_behaves_as_a_bytearray(on_disk: bool, tmp_path: Path) -> None:
    below = MemoryNode(content=pattern(SIZE))
    kept: list[Kept] = []

    def create(storage: Storage) -> None:
        for old in kept:
            old.child.children["file"].close()
        kept[:] = [Kept(Overlay(below, str(tmp_path) if on_disk else None))]

    subject = Subject(create, lambda storage: kept[0], SIZE, CLUSTER, below=pattern(SIZE))
    check_against_model(subject, max_examples=40)
    assert below.content == pattern(SIZE), "the disk below has changed"
    assert os.listdir(tmp_path) == []


def test_overlay_extents_tell_what_is_here_from_what_is_below() -> None:
    below = MemoryNode(content=pattern(4 * CLUSTER))
    overlay = Overlay(below)
    overlay.write(CLUSTER + 5, b"x")
    overlay.zero(2 * CLUSTER, CLUSTER)
    found = [(e.start // CLUSTER, e.length // CLUSTER, e.kind, e.depth) for e in overlay.extents(0, overlay.size)]
    assert found == [(0, 1, DATA, 1), (1, 1, DATA, 0), (2, 1, ZERO, 0), (3, 1, DATA, 1)]
    assert overlay.backing is below


def test_overlay_of_a_shrunken_disk_reads_zeroes_past_its_end() -> None:
    below = MemoryNode(content=pattern(4 * CLUSTER))
    overlay = Overlay(below)
    below.truncate(CLUSTER)
    assert list(overlay.extents(2 * CLUSTER, CLUSTER)) == [(2 * CLUSTER, CLUSTER, HOLE, 0, None, None)]
    assert not any(overlay.read(CLUSTER, 3 * CLUSTER))


def test_overlay_of_a_large_disk_takes_larger_clusters_and_of_a_huge_one_is_refused() -> None:
    overlay = Overlay(NullNode(size=100 << 40))
    assert overlay.cluster_size == MAX_CLUSTER
    overlay.write((100 << 40) - 10, b"at the end")
    assert overlay.read((100 << 40) - 10, 10) == b"at the end"
    with pytest.raises(OutOfBounds, match="too large for an overlay"):
        Overlay(NullNode(size=1 << 62))


class Slow(MemoryNode):
    """Takes its time to answer, so that threads that ask for the same meet."""

    def readinto(self, offset: int, buffer: memoryview) -> None:
        time.sleep(0.001)
        super().readinto(offset, buffer)


def test_overlay_shared_by_threads_loses_nothing() -> None:
    overlay = Overlay(Slow(content=pattern(16 * CLUSTER)))
    pieces = [(offset, pattern(512, offset)) for offset in range(0, 16 * CLUSTER, 2048)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda piece: overlay.write(*piece), pieces))
    expected = bytearray(pattern(16 * CLUSTER))
    for offset, data in pieces:
        expected[offset : offset + 512] = data
    compare(overlay.read(0, overlay.size), expected)


def test_overlay_copies_nothing_up_for_a_hint() -> None:
    overlay = Overlay(MemoryNode(content=pattern(2 * CLUSTER)))
    overlay.discard(5, CLUSTER)
    overlay.discard(CLUSTER + 5, 100)
    assert [extent.depth for extent in overlay.extents(0, overlay.size)] == [1]


def test_overlay_in_a_directory_that_is_not_there() -> None:
    with pytest.raises(ImageError, match="Could not make a temporary file in '/nowhere'"):
        Overlay(NullNode(), "/nowhere")


def test_read_only_filter_takes_no_writes() -> None:
    below = MemoryNode(content=pattern(512))
    disk = ReadOnlyFilter(below)
    calls: list[Any] = [
        lambda: disk.write(0, b"x"),
        lambda: disk.zero(0, 1),
        lambda: disk.discard(0, 1),
    ]
    for call in calls:
        with pytest.raises(ReadOnly):
            call()
    assert disk.read(0, 512) == pattern(512) == bytes(below.content)
    assert disk.read_only and not below.read_only
