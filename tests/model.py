"""What a disk must do, whatever its format: the same as a bytearray.

A test describes its format once, as a `Subject`, and hands it to the drivers:

    SUBJECT = subject_of("vdi", size=5 << 20, unit=1 << 20)

    def test_model():    check_against_model(SUBJECT)                    # here: random operations, hypothesis
    def test_crash():    crash.survives_crashes(SUBJECT, script(SUBJECT, seed=1))    # tests/crash.py
    def test_mutants():  mutate.survives_mutations(SUBJECT, content, fields)         # tests/mutate.py
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from imgtools.block.extent import READS_ZERO
from imgtools.block.format import Checkable, Finding
from imgtools.block.graph import Context
from imgtools.block.node import Node, Storage
from imgtools.block.protocols.memory import MemoryNode
from imgtools.block.registry import find_format
from imgtools.errors import NotFound
from imgtools.operations.create import options_for

Operation = tuple[Any, ...]
"""("write", offset, length, seed), ("zero", offset, length, unmap), ("discard", offset, length), ("flush",),
("reopen",)."""

PIECES = (4096, 1, 511, 70_000)
"""Sizes of the buffers that `read_in_pieces` fills, again and again."""


def pattern(length: int, seed: int = 0) -> bytes:
    """Bytes that are the same each time, different for each seed, and never zero."""
    return random.Random(seed).randbytes(length).replace(b"\0", b"\1")


class MemoryContext(Context):
    """A context whose files are storages in memory, by name: nothing touches the host."""

    def __init__(self, files: dict[str, Storage] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.files = {} if files is None else files

    def open_storage(self, path: str) -> Storage:
        if path not in self.files:
            raise NotFound(f"Could not open '{path}': No such file or directory", path=path)
        return self.files[path]

    def create_storage(self, path: str) -> Storage:
        storage = self.files.setdefault(path, MemoryNode(path))
        storage.truncate(0)
        return storage


@dataclass(frozen=True)
class Subject:
    """A format as the drivers see it.

    `create` makes a new image of `size` bytes in an empty storage, `open` opens one for writing (closing its node
    leaves the storage usable), `unit` is the size at whose borders the format's mistakes hide, and `below` is what
    unallocated ranges read as: the backing file's content, zeroes past its end.
    """

    create: Callable[[Storage], None]
    open: Callable[[Storage], Node]
    size: int
    unit: int
    below: bytes = b""


def subject_of(name: str, *, size: int, unit: int, **options: Any) -> Subject:
    """The Subject for a registered format, with its create options (their defaults where not given)."""
    format = find_format(name)
    given_options = {option.name: options.get(option.name, option.default) for option in options_for(format)}

    def create(storage: Storage) -> None:
        format.create("image", size, given_options, MemoryContext({"image": storage}, writable=True))

    def open(storage: Storage) -> Node:
        return format.open(storage, MemoryContext({"image": storage}, writable=True))

    return Subject(create, open, size, unit)


class Model:
    """The bytearray that a disk is compared with."""

    def __init__(self, subject: Subject) -> None:
        self.below = subject.below[: subject.size].ljust(subject.size, b"\0")
        self.content = bytearray(self.below)

    def apply(self, node: Node, operation: Operation) -> None:
        """Do `operation` to the disk and to the model."""
        verb, *args = operation
        if verb == "write":
            offset, length, seed = args
            data = pattern(length, seed)
            node.write(offset, data)
            self.content[offset : offset + length] = data
        elif verb == "zero":
            offset, length, unmap = args
            node.zero(offset, length, unmap=unmap)
            self.content[offset : offset + length] = bytes(length)
        elif verb == "discard":
            node.discard(*args)
            self._adopt(node, *args)
        elif verb == "flush":
            node.flush()
        else:
            raise AssertionError(f"no such operation: {verb}")

    def verify(self, node: Node) -> None:
        """Every byte, and that the extents cover the disk and promise zeroes only where there are some."""
        assert node.size == len(self.content)
        compare(node.read(0, node.size), self.content)
        compare(read_in_pieces(node, 0, node.size), self.content)
        position = 0
        for extent in node.extents(0, node.size):
            assert extent.start == position and extent.length > 0, f"a gap or overlap in the extents: {extent}"
            position += extent.length
            if extent.kind in READS_ZERO:
                assert not any(self.content[extent.start : position]), f"extents say zero, but it is not: {extent}"
            elif extent.storage is not None and extent.offset is not None:
                stored = extent.storage.read(extent.offset, extent.length).ljust(extent.length, b"\0")
                compare(stored, self.content[extent.start : position])
        assert position == node.size

    def _adopt(self, node: Node, offset: int, length: int) -> None:
        """A discarded byte may be as before, zero, or what lies below; from then on it stays what it is."""
        found = node.read(offset, length)
        before = self.content[offset : offset + length]
        below = self.below[offset : offset + length]
        if found not in (before, below):
            for index, value in enumerate(found):
                assert value in (0, before[index], below[index]), f"a discarded byte at {offset + index} is {value:#x}"
        self.content[offset : offset + length] = found


def read_in_pieces(node: Node, offset: int, length: int, sizes: Sequence[int] = PIECES) -> bytes:
    """What `readv` gives; the pieces are laid from the end of memory to its begin, so that none follows another."""
    memory = memoryview(bytearray(b"?" * length))
    pieces: list[memoryview] = []
    place = 0
    while place < length:
        size = min(sizes[len(pieces) % len(sizes)], length - place)
        pieces.append(memory[length - place - size : length - place])
        place += size
    node.readv(offset, length, pieces)
    return b"".join(pieces)


def compare(found: bytes | bytearray, expected: bytes | bytearray) -> None:
    """Assert that two contents are equal, naming the first byte that is not."""
    if found != expected:
        assert len(found) == len(expected), f"{len(found)} bytes instead of {len(expected)}"
        at = next(index for index, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b)
        raise AssertionError(f"byte {at:#x} is {found[at]:#04x} instead of {expected[at]:#04x}")


def check_is_clean(node: Node, *, leaks_allowed: bool = False) -> None:
    """The format's own check, where it has one, finds nothing."""
    if isinstance(node, Checkable):
        findings: list[Finding] = []
        result = node.check(findings.append)
        said = [finding.message for finding in findings]
        assert (result.corruptions, result.check_errors) == (0, 0), said
        assert leaks_allowed or result.leaks == 0, said


def run_operations(subject: Subject, operations: Sequence[Operation]) -> None:
    """Do `operations` to a new image and to the model, comparing at each reopening and at the end."""
    storage = MemoryNode("image")
    subject.create(storage)
    node, model = subject.open(storage), Model(subject)
    for operation in (*operations, ("reopen",)):
        if operation[0] != "reopen":
            model.apply(node, operation)
            continue
        model.verify(node)
        check_is_clean(node)
        node.close()
        node = subject.open(storage)
        model.verify(node)
        check_is_clean(node)
    node.close()


def check_against_model(subject: Subject, *, max_examples: int = 60) -> None:
    """Random operations, shrunk by hypothesis to the fewest that go wrong."""

    @example([("write", subject.unit, 512, 1), ("write", 0, 0, 1), ("zero", 0, 0, True), ("discard", 0, 0)])
    @settings(max_examples=max_examples)
    @given(st.lists(operations_on(subject), max_size=12))
    def run(operations: list[Operation]) -> None:
        run_operations(subject, operations)

    run()


def operations_on(subject: Subject) -> st.SearchStrategy[Operation]:
    """One operation, likely to begin or end at a border of the format's unit, or next to one."""
    borders = st.builds(
        lambda unit, near: min(max(unit * subject.unit + near, 0), subject.size),
        st.integers(0, subject.size // subject.unit + 1),
        st.sampled_from([0, -1, 1, -512, 512]),
    )
    places = borders | st.integers(0, subject.size)
    ranges = st.tuples(places, places).map(lambda pair: (min(pair), max(pair) - min(pair)))
    return st.one_of(
        st.builds(lambda where, seed: ("write", *where, seed), ranges, st.integers(1, 1000)),
        st.builds(lambda where, unmap: ("zero", *where, unmap), ranges, st.booleans()),
        st.builds(lambda where: ("discard", *where), ranges),
        st.just(("flush",)),
        st.just(("reopen",)),
    )


def script(subject: Subject, *, seed: int, count: int = 24) -> Iterator[Operation]:
    """A repeatable mix of operations with a flush about every fourth, for the crash driver."""
    chance = random.Random(seed)
    for number in range(count):
        offset = chance.randrange(subject.size)
        if chance.random() < 0.4:
            offset -= offset % subject.unit
        longest = subject.size - offset
        length = min(longest, chance.choice([1, 512, 4096, subject.unit // 2, subject.unit, 2 * subject.unit + 512]))
        verb = chance.choice(["write", "write", "write", "write", "zero", "discard", "flush", "flush"])
        if verb == "flush":
            yield ("flush",)
        elif verb == "discard":
            yield ("discard", offset, length)
        else:
            yield (verb, offset, length, number + 1 if verb == "write" else chance.random() < 0.5)
