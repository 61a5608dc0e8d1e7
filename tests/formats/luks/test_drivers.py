"""LUKS through the drivers that every format passes: model and mutation. A volume is unlocked with one passphrase."""

from __future__ import annotations

from typing import Any

import pytest

from imgtools.block.node import Node, Storage
from imgtools.block.protocols.memory import MemoryNode
from imgtools.crypto.luks.header import SIZE
from imgtools.crypto.luks.records import HEADER, KEY_SLOT
from imgtools.formats.luks import FORMAT
from tests.model import MemoryContext, Model, Subject, operations_on, pattern
from tests.mutate import extremes, fields_of, flips, survives_mutations, truncations

DISK = 256 << 10
CONTENT_KEY = {"passphrase": b"letmein"}


def context(storage: Storage, **more: Any) -> MemoryContext:
    options = {"key-secret": "passphrase"}
    return MemoryContext({"image": storage}, writable=True, objects=CONTENT_KEY, options=options, **more)


def create(storage: Storage) -> None:
    options = {"key-secret": "passphrase", "iter-time": 1, "cipher-alg": "aes-128"}
    FORMAT.create("image", DISK, options, context(storage))


def open(storage: Storage) -> Node:
    return FORMAT.open(storage, context(storage))


@pytest.fixture(scope="module")
def volume() -> bytes:
    storage = MemoryNode("image")
    create(storage)
    with FORMAT.open(storage, context(storage)) as node:
        node.write(0, bytes(DISK))  # what was never written reads as anything
    return bytes(storage.content)


def test_behaves_as_a_bytearray(volume: bytes) -> None:
    from hypothesis import given, settings
    from hypothesis import strategies as st

    subject = Subject(create, open, DISK, 4096)

    @settings(max_examples=30)
    @given(st.lists(operations_on(subject), max_size=10))
    def behaves(operations: list[Any]) -> None:
        storage = MemoryNode("image", volume)
        node, model = open(storage), Model(subject)
        for operation in operations:
            if operation[0] == "reopen":
                node.close()
                node = open(storage)
            else:
                model.apply(node, operation)
            model.verify(node)

    behaves()


NUMBERS = [field for field in fields_of(HEADER) if field[2] <= 4]
SLOT_NUMBERS = [field for field in fields_of(KEY_SLOT, HEADER.size) if field[2] <= 4]


def test_damaged_headers_are_refused_or_read(volume: bytes) -> None:
    assert survives_mutations(open, extremes(volume, NUMBERS + SLOT_NUMBERS), write=True) > 0


def test_headers_that_are_only_looked_at_take_any_bytes(volume: bytes) -> None:
    def look(storage: Storage) -> Node:
        return FORMAT.open(storage, context(storage, checking=True))

    assert survives_mutations(look, flips(volume, [(0, SIZE)], count=200)) > 5


def test_truncated_files_are_refused_or_read(volume: bytes) -> None:
    lengths = [*range(0, SIZE, 7), *range(SIZE, len(volume), 65521)]
    assert survives_mutations(open, truncations(volume, lengths)) > 0


def test_ciphertext_shows_nothing_of_the_disk(volume: bytes) -> None:
    storage = MemoryNode("image", volume)
    content = pattern(64) * 64
    with open(storage) as node:
        node.write(8192, content)
        node.write(16384, content)
    stored = bytes(storage.content)
    assert content[:16] not in stored
    assert stored.count(stored[-DISK + 8192 : -DISK + 8192 + 512]) == 1  # equal sectors look different
