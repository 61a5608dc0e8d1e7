"""qcow2 through the drivers that every format passes: model, crash at each write, mutation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from imgtools.block.graph import Context
from imgtools.block.node import Node, Storage
from imgtools.block.protocols.memory import MemoryNode
from imgtools.formats.qcow2 import FORMAT
from imgtools.formats.qcow2.records import HEADER_FULL
from imgtools.formats.raw import RawNode
from tests.crash import survives_crashes
from tests.formats.qcow2.data_files import with_data_file
from tests.model import Subject, check_against_model, pattern, script, subject_of
from tests.mutate import extremes, fields_of, flips, survives_mutations, truncations

SIZE = (1 << 20) + 512


def with_backing(subject: Subject, length: int) -> Subject:
    """The subject over a raw backing disk of `length` random bytes."""
    below = pattern(length, 99)

    def open(storage: Storage) -> Node:
        node = subject.open(storage)
        node.children["backing"] = RawNode(MemoryNode("below", below, read_only=True))
        return node

    return replace(subject, open=open, below=below)


def qcow2(cluster: int, **options: object) -> Subject:
    return subject_of("qcow2", size=SIZE, unit=cluster, cluster_size=cluster, **options)


def subclusters(cluster: int, **options: object) -> Subject:
    """Extended L2 entries; their unit is the subcluster."""
    return replace(qcow2(cluster, extended_l2=True, **options), unit=cluster // 32)


SUBJECTS = {
    "64k": qcow2(65536),
    "512": qcow2(512),
    "4k-v2": qcow2(4096, compat="v2"),
    "512-1bit": qcow2(512, refcount_bits=1),
    "1k-64bit": qcow2(1024, refcount_bits=64),
    "metadata": qcow2(4096, preallocation="metadata"),
    "full": qcow2(65536, preallocation="full"),
    "backing": with_backing(qcow2(4096), SIZE),
    "short-backing": with_backing(qcow2(4096), 300_000),
    "v2-backing": with_backing(qcow2(4096, compat="v2"), SIZE),
    "subclusters": subclusters(16384),
    "subclusters-backing": with_backing(subclusters(16384), 300_000),
    "subclusters-preallocated": with_backing(subclusters(32768, preallocation="metadata"), SIZE),
    "subclusters-data-file": with_backing(with_data_file(SIZE, 16384, extended_l2=True), SIZE),
    "lazy": qcow2(4096, lazy_refcounts=True),
    "lazy-512": qcow2(512, lazy_refcounts=True, refcount_bits=64),
    "data-file": with_data_file(SIZE, 4096),
    "data-file-backing": with_backing(with_data_file(SIZE, 65536), 300_000),
    "raw-data-file": with_data_file(SIZE, 4096, data_file_raw=True),
}
EACH = pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)


@EACH
def test_behaves_as_a_bytearray(subject: Subject) -> None:
    check_against_model(subject, max_examples=25)


@EACH
@pytest.mark.parametrize("seed", [3, 4])
def test_holds_flushed_bytes_after_any_crash(subject: Subject, seed: int) -> None:
    assert survives_crashes(subject, script(subject, seed=seed, count=14)) > 10


def test_holds_flushed_bytes_when_the_refcount_table_grows() -> None:
    """512-byte clusters with 64-bit counts outgrow a table of one cluster at 2 MiB."""
    subject = subject_of("qcow2", size=6 << 20, unit=512, cluster_size=512, refcount_bits=64)
    operations = [("write", start, 1 << 20, 1 + start) for start in range(0, 5 << 20, 1 << 20)]
    flushed = [step for operation in operations for step in (operation, ("flush",))]
    assert survives_crashes(replace(subject, size=6 << 20), flushed) > 10


def small_image() -> bytes:
    """A valid image with data, zero and compressed clusters, and a shared sector between streams."""
    storage = MemoryNode("image")
    SUBJECTS["4k-v2"].create(storage)
    subject = subject_of("qcow2", size=SIZE, unit=4096, cluster_size=4096)
    subject.create(storage)
    node = subject.open(storage)
    node.write(8192, pattern(10_000))
    node.zero(40_960, 8192)
    compress = node.compressor()  # type: ignore[attr-defined]
    for start in (65_536, 69_632, 73_728):
        node.write_compressed(start, 4096, compress(pattern(40, start) * 100 + bytes(96)))  # type: ignore[attr-defined]
    node.close()
    return bytes(storage.content)


def open_anything(storage: Storage) -> Node:
    return FORMAT.open(storage, Context(writable=not storage.read_only))


def test_damaged_headers_and_tables_are_refused_or_read() -> None:
    content = small_image()
    header = [field for field in fields_of(HEADER_FULL) if field[2] <= 8]
    l1 = int.from_bytes(content[40:48], "big")
    l2 = int.from_bytes(content[l1 : l1 + 8], "big") & 0xFF_FFFF_FFFF_FE00
    table = int.from_bytes(content[48:56], "big")
    block = int.from_bytes(content[table : table + 8], "big")
    entries = [(f"L1 entry {i}", l1 + 8 * i, 8, "big") for i in range(2)]
    entries += [(f"L2 entry {i}", l2 + 8 * i, 8, "big") for i in (2, 3, 10, 16, 17)]
    entries += [("refcount table entry", table, 8, "big"), ("refcount", block + 6, 2, "big")]
    assert survives_mutations(open_anything, extremes(content, header + entries), write=True) > 50
    ranges = [(0, 112), (112, 400), (l1, 16), (l2, 160), (table, 16), (block, 40)]
    assert survives_mutations(open_anything, flips(content, ranges, count=400), write=True) > 50


def test_damaged_streams_are_refused_or_read() -> None:
    content = small_image()
    assert survives_mutations(open_anything, flips(content, [(len(content) - 2048, 2048)], count=150)) == 150


def test_truncated_files_are_refused_or_read() -> None:
    content = small_image()
    lengths = [*range(600), *range(600, len(content), 997)]
    assert survives_mutations(open_anything, truncations(content, lengths)) > 0
