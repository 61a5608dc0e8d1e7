"""VMDK: model, crash, mutation, for every way in which a disk can be put together."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from imgtools.block.graph import Context
from imgtools.block.node import Layer, Node, Storage
from imgtools.block.protocols.memory import MemoryNode
from imgtools.formats.vmdk import FORMAT, create
from imgtools.formats.vmdk.records import SPARSE_HEADER
from tests.crash import survives_crashes
from tests.model import MemoryContext, Operation, Subject, check_against_model, pattern, script, subject_of
from tests.mutate import extremes, fields_of, flips, survives_mutations, truncations

GRAIN = 65536
SIZE = 5 * GRAIN + 1536

PLAIN = subject_of("vmdk", size=SIZE, unit=GRAIN)
ZEROED = subject_of("vmdk", size=SIZE, unit=GRAIN, zeroed_grain=True)


def over_parent(**options: object) -> Subject:
    """A child of a memory disk that is shorter than itself. The parent is attached by hand: it has no descriptor."""
    plain = subject_of("vmdk", size=SIZE, unit=GRAIN, **options)
    content = pattern(3 * GRAIN + 512, seed=99)

    def open(storage: Storage) -> Node:
        node = plain.open(storage)
        assert isinstance(node, Layer)
        parent = MemoryNode("parent", content, read_only=True)
        parent.cid = node.parent_cid  # type: ignore[attr-defined]
        node.children["backing"] = parent
        return node

    return Subject(plain.create, open, SIZE, GRAIN, content)


CHILD = over_parent()
ZEROED_CHILD = over_parent(zeroed_grain=True)


def of_several_files(subformat: str) -> Subject:
    """A disk whose extents are further files in memory; the drivers hold its descriptor."""
    files: dict[str, Storage] = {}

    def context(storage: Storage) -> Context:
        files["image"] = storage
        return MemoryContext(files, writable=True)

    def make(storage: Storage) -> None:
        files.clear()
        FORMAT.create("image", SIZE, {"subformat": subformat}, context(storage))

    return Subject(make, lambda storage: FORMAT.open(storage, context(storage)), SIZE, GRAIN)


@pytest.mark.parametrize("subject", [PLAIN, ZEROED, CHILD, ZEROED_CHILD], ids=["plain", "zeroed", "child", "both"])
def test_sparse_behaves_as_a_bytearray(subject: Subject) -> None:
    check_against_model(subject)


@pytest.mark.parametrize("subformat", ["monolithicFlat", "twoGbMaxExtentFlat", "twoGbMaxExtentSparse"])
def test_several_files_behave_as_a_bytearray(subformat: str, monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr(create, "SPLIT_SIZE", 2 * GRAIN + 512)
    check_against_model(of_several_files(subformat), max_examples=25)


@pytest.mark.parametrize("subject", [PLAIN, ZEROED, CHILD, ZEROED_CHILD], ids=["plain", "zeroed", "child", "both"])
@pytest.mark.parametrize("seed", [1, 2])
def test_holds_flushed_bytes_after_any_crash(subject: Subject, seed: int) -> None:
    assert survives_crashes(subject, script(subject, seed=seed)) > 20


def grains_in_order() -> Iterator[Operation]:
    """What a stream can take: each grain once, the last one short."""
    for number, grain in enumerate((0, 1, 3, 5)):
        yield ("write", grain * GRAIN, min(GRAIN, SIZE - grain * GRAIN), number)
        if grain == 1:
            yield ("flush",)
    yield ("flush",)


def test_a_stream_holds_flushed_grains_after_any_crash() -> None:
    subject = subject_of("vmdk", size=SIZE, unit=GRAIN, subformat="streamOptimized")
    assert survives_crashes(subject, grains_in_order()) > 10


def test_tables_that_do_not_exist_yet_are_added_in_crash_order() -> None:
    """VirtualBox, for one, leaves out the grain tables of what was never written."""

    def make(storage: Storage) -> None:
        PLAIN.create(storage)
        header = SPARSE_HEADER.parse(storage.read(0, 512))
        for directory in (header.gd_offset, header.rgd_offset):
            storage.write(directory * 512, bytes(4))

    subject = Subject(make, PLAIN.open, SIZE, GRAIN)
    check_against_model(subject, max_examples=25)
    assert survives_crashes(subject, script(subject, seed=3)) > 20


# Mutations.


def image_of(subject: Subject, *operations: Operation) -> bytes:
    storage = MemoryNode("image")
    subject.create(storage)
    with subject.open(storage) as node:
        node.write(0, pattern(GRAIN))
        node.write(3 * GRAIN, pattern(SIZE - 3 * GRAIN))
    return bytes(storage.content)


def reader(storage: Storage) -> Node:
    return FORMAT.open(storage, MemoryContext({"image": storage}))


def writer(storage: Storage) -> Node:
    return FORMAT.open(storage, MemoryContext({"image": storage}, writable=True))


DESCRIPTOR, TABLES = (512, 400), (21 * 512, 4608 - 21 * 512 + 10 * 512 + 4096)


@pytest.mark.parametrize("open", [reader, writer], ids=["read", "write"])
@pytest.mark.parametrize("subformat", ["monolithicSparse", "streamOptimized"])
def test_survives_any_damage(subformat: str, open: Callable[[Storage], Node]) -> None:
    content = image_of(subject_of("vmdk", size=SIZE, unit=GRAIN, subformat=subformat))
    header = SPARSE_HEADER.parse(content)
    tables = (header.rgd_offset * 512, 64), (header.gd_offset * 512, 64), ((header.gd_offset + 1) * 512, 64)
    fields = fields_of(SPARSE_HEADER, order="little")[:-1]
    for table, _ in tables:
        fields += [(f"entry at {table + at}", table + at, 4, "little") for at in (0, 4, 12)]
    write = open is writer
    opened = survives_mutations(open, extremes(content, fields), write=write)
    assert opened > 50
    ranges = [(0, 80), (512, 400), *tables]
    if subformat == "streamOptimized":
        ranges.append((header.overhead * 512, 600))
    survives_mutations(open, flips(content, ranges, count=300), write=write)
    lengths = (*range(0, 100, 7), 511, 512, 513, 10752, 11264, 13824, *range(60000, len(content), 30011))
    survives_mutations(open, truncations(content, lengths), write=write)


def test_a_damaged_descriptor_file_survives() -> None:
    files: dict[str, Storage] = {}
    storage = MemoryNode("image")
    FORMAT.create("image", SIZE, {"subformat": "monolithicFlat"}, MemoryContext(files | {"image": storage}))
    content = bytes(storage.content)

    def open(storage: Storage) -> Node:
        flat = MemoryNode("image-flat", bytes(SIZE))
        return FORMAT.open(storage, MemoryContext({"image": storage, "image-flat": flat}, writable=True))

    survives_mutations(open, flips(content, [(0, len(content))], count=500), write=True)
    survives_mutations(open, truncations(content, range(len(content))), write=True)
