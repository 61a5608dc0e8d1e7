"""The engine of convert: what is copied, what is not, and what is left when it fails."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

import pytest

from imgtools.block.extent import DATA, HOLE, ZERO, Extent
from imgtools.block.node import Node
from imgtools.block.protocols.memory import MemoryNode
from imgtools.errors import ImageError, InputOutput
from imgtools.formats.qcow2.node import Qcow2Node
from imgtools.formats.raw import RawNode
from imgtools.operations.convert import convert
from tests.model import check_is_clean, compare, pattern, subject_of

MIB = 1 << 20


class Patchwork(Node):
    """A disk of given runs: (length, kind); data is a pattern. It remembers what was read."""

    def __init__(self, runs: list[tuple[int, str]], depth: int = 0) -> None:
        super().__init__("patchwork", sum(length for length, _ in runs))
        self.runs, self.depth = runs, depth
        self.content = bytearray(self.size)
        self.reads: list[tuple[int, int]] = []
        self.broken: range = range(0)
        position = 0
        for length, kind in runs:
            if kind == DATA:
                self.content[position : position + length] = pattern(length, position)
            position += length

    def readinto(self, offset: int, buffer: memoryview) -> None:
        if offset < self.broken.stop and offset + len(buffer) > self.broken.start:
            raise InputOutput("a bad sector", path=self.filename, offset=offset)
        self.reads.append((offset, len(buffer)))
        buffer[:] = self.content[offset : offset + len(buffer)]

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        position = 0
        for run, kind in self.runs:
            yield Extent(position, run, kind, self.depth if kind == DATA else 0)
            position += run


class Sink(Node):
    """A target that remembers what it was given."""

    def __init__(self, size: int, cluster_size: int | None = None) -> None:
        super().__init__("sink", size, read_only=False)
        self.content = bytearray(b"\xee" * size)
        self.cluster_size = cluster_size
        self.writes: list[tuple[int, int]] = []
        self.zeroes: list[tuple[int, int]] = []
        self.lock = threading.Lock()

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        with self.lock:
            self.check_range(offset, len(data))
            self.writes.append((offset, len(data)))
            self.content[offset : offset + len(data)] = data

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        with self.lock:
            self.check_range(offset, length)
            self.zeroes.append((offset, length))
            self.content[offset : offset + length] = bytes(length)


def random_runs(seed: int) -> list[tuple[int, str]]:
    chance = random.Random(seed)
    runs = []
    for _ in range(60):
        length = chance.choice([512, 4096, 65536, 200_192, 3 * MIB])
        runs.append((length, chance.choice([DATA, DATA, ZERO, HOLE])))
    return runs


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("cluster", [None, 65536])
@pytest.mark.parametrize("threads", [1, 3])
def test_every_byte_arrives(seed: int, cluster: int | None, threads: int) -> None:
    first, second = Patchwork(random_runs(seed)), Patchwork(random_runs(seed + 100))
    target = Sink(first.size + second.size, cluster)
    convert([first, second], target, threads=threads)
    compare(target.content, first.content + second.content)


def test_zeroes_are_neither_read_nor_written_to_a_new_target() -> None:
    source = Patchwork([(MIB, ZERO), (MIB, DATA), (4 * MIB, HOLE), (MIB, DATA)])
    source.content[6 * MIB : 6 * MIB + 65536] = bytes(65536)
    target = Sink(source.size, 65536)
    convert([source], target, target_is_zero=True)
    assert target.zeroes == []
    assert sum(length for _, length in source.reads) == 2 * MIB
    assert sum(length for _, length in target.writes) == 2 * MIB - 65536


def test_writes_come_in_the_order_of_the_disk() -> None:
    source = Patchwork([(40 * MIB, DATA)])
    target = Sink(source.size, 65536)
    convert([source], target, threads=4)
    assert target.writes == sorted(target.writes)


def test_sparse_size_zero_writes_every_byte() -> None:
    source = Patchwork([(MIB, ZERO), (MIB, DATA), (MIB, HOLE)])
    target = Sink(source.size)
    convert([source], target, target_is_zero=True, sparse_size=0)
    assert sum(length for _, length in target.writes) == 3 * MIB
    compare(target.content, source.content)


def test_only_the_top_layer_is_copied_over_a_backing_file() -> None:
    source = Patchwork([(MIB, DATA), (MIB, HOLE)], depth=1)
    target = Sink(source.size, 65536)
    convert([source], target, target_is_zero=True, top_layer_only=True)
    assert target.writes == []


def test_a_read_error_stops_with_its_place() -> None:
    source = Patchwork([(8 * MIB, DATA)])
    source.broken = range(5 * MIB, 5 * MIB + 512)
    with pytest.raises(ImageError, match=f"error while reading at byte {4 * MIB}: a bad sector"):
        convert([source], Sink(source.size), threads=3)


def test_salvage_loses_only_the_bad_sectors() -> None:
    source = Patchwork([(8 * MIB, DATA)])
    source.broken = range(5 * MIB + 100, 5 * MIB + 600)
    expected, warnings = bytearray(source.content), list[str]()
    expected[5 * MIB : 5 * MIB + 1024] = bytes(1024)
    target = Sink(source.size)
    convert([source], target, salvage=True, warn=warnings.append)
    compare(target.content, expected)
    assert len(warnings) == 2


def test_progress_never_goes_back_and_ends_at_the_end() -> None:
    source = Patchwork(random_runs(7))
    seen: list[tuple[int, int]] = []
    convert([source], Sink(source.size), threads=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen) and seen[-1] == (source.size, source.size)


def test_a_write_error_is_the_one_that_is_raised() -> None:
    source = Patchwork([(40 * MIB, DATA)])
    target = Sink(20 * MIB)
    with pytest.raises(ImageError, match="outside the disk"):
        convert([source], target, threads=3)


@pytest.mark.parametrize("length", [MIB, 3 * MIB + 512])
def test_compressed_targets_hold_whole_units(length: int) -> None:
    """The last unit of a disk may be short, and what will not shrink is stored as it is."""
    subject = subject_of("qcow2", size=length, unit=65536)
    storage = MemoryNode("image")
    subject.create(storage)
    content = bytearray(b"imgtools " * (length // 9 + 1))[:length]
    content[100_000:300_000] = random.Random(1).randbytes(200_000)
    content[500_000:700_000] = bytes(200_000)
    with subject.open(storage) as target:
        convert([RawNode(MemoryNode("raw", content))], target, compress=True, target_is_zero=True, threads=3)
    with subject.open(storage) as node:
        assert isinstance(node, Qcow2Node)
        compare(node.read(0, length), content)
        check_is_clean(node)
        assert len(storage.content) < 700_000


@pytest.mark.parametrize("threads", [1, 3])
def test_nobody_waits_for_what_comes_after_the_last_piece(threads: int) -> None:
    source = Patchwork([(4096, DATA), (MIB, HOLE)])
    target = Sink(source.size)
    convert([source], target, threads=threads, target_is_zero=True, rate_limit=1)
    compare(target.content[:4096], source.content[:4096])
