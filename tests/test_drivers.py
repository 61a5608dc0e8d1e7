"""The drivers themselves: each must notice the mistake that it is there to find."""

from __future__ import annotations

import itertools

import pytest

from imgtools.block.node import Node, Storage
from imgtools.block.protocols.memory import MemoryNode
from imgtools.errors import CorruptImage
from imgtools.formats.raw import RawNode
from tests import mutate
from tests.crash import RecordingStorage, survives_crashes
from tests.model import Subject, check_against_model, script
from tests.mutate import survives_mutations, truncations

SIZE = 8192


def create(storage: Storage) -> None:
    storage.truncate(SIZE)


def subject(node: type[RawNode]) -> Subject:
    return Subject(create, node, SIZE, 512)


class LosesTheLastByte(RawNode):
    def write(self, offset: int, data: bytes) -> None:  # type: ignore[override]
        super().write(offset, data[:-1])


class ForgetsToFlush(RawNode):
    """Keeps writes until it is closed."""

    def __init__(self, storage: Storage) -> None:
        super().__init__(storage)
        self.held: list[tuple[int, bytes]] = []

    def write(self, offset: int, data: bytes) -> None:  # type: ignore[override]
        self.held.append((offset, data))

    def readinto(self, offset: int, buffer: memoryview) -> None:
        self._write_back()
        super().readinto(offset, buffer)

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        self.write(offset, bytes(length))

    def close(self) -> None:
        self._write_back()

    def _write_back(self) -> None:
        for offset, data in self.held:
            super().write(offset, data)
        self.held = []


def test_model_notices_a_byte_that_is_lost() -> None:
    with pytest.raises(AssertionError):
        check_against_model(subject(LosesTheLastByte), max_examples=200)
    check_against_model(subject(RawNode), max_examples=5)


def test_crash_notices_a_flush_that_does_nothing() -> None:
    operations = [operation for operation in script(subject(RawNode), seed=1) if operation[0] != "discard"]
    assert survives_crashes(subject(RawNode), operations) > 10
    with pytest.raises(AssertionError, match=r"after \d+ events"):
        survives_crashes(subject(ForgetsToFlush), operations)


def test_crash_notices_what_the_last_flush_has_lost() -> None:
    node = subject(ForgetsToFlush).open
    operations = [("write", 0, 512, 1), ("flush",)]
    with pytest.raises(AssertionError, match="after 1 events"):
        survives_crashes(Subject(create, node, SIZE, 512), operations)


def test_a_recording_replays_every_write_whole_and_torn_at_a_sector() -> None:
    storage = RecordingStorage(b"old")
    storage.write(0, b"a" * 1024)
    storage.flush()
    storage.write(1, b"b")
    storage.truncate(1)
    states = [(begun, how, bytes(content)) for begun, how, content in storage.contents_after()]
    assert states == [
        (0, "whole", b"old"),
        (1, "torn", b"a" * 512),
        (1, "whole", b"a" * 1024),
        (2, "whole", b"a" * 1024),
        (3, "whole", b"ab" + b"a" * 1022),
        (4, "whole", b"a"),
    ]


def broken(mistake: str) -> Node:
    if mistake == "crash":
        raise ZeroDivisionError
    if mistake == "memory":
        return RawNode(MemoryNode(content=bytes(1 << 30)))
    if mistake == "hang":
        for _ in itertools.count():
            pass
    raise CorruptImage("as it should be")


@pytest.mark.parametrize(
    ("mistake", "name"), [("crash", "ZeroDivisionError"), ("memory", "MemoryError"), ("hang", "TimeoutError")]
)
def test_mutation_notices_what_no_image_may_do(mistake: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutate, "SECONDS", 0.5)
    with pytest.raises(AssertionError, match=f"cut at 5: {name}"):
        survives_mutations(lambda storage: broken(mistake), truncations(bytes(10), [5]))
    assert survives_mutations(lambda storage: broken("none"), truncations(bytes(10), [5])) == 0
