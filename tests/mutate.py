"""Damaged and hostile images: whatever is in a file, nothing but an ImageError may come out of it.

`survives_mutations` takes a valid image and where its metadata lie, and damages it in every way that has a name:
each field to its extremes, random bytes in the metadata, the file cut at each length. Each mutant is opened,
its extents are listed, some of it is read, and it is checked, all within a time and a memory bound.
"""

from __future__ import annotations

import contextlib
import random
import resource
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from types import FrameType
from typing import TYPE_CHECKING

from imgtools.block.format import Checkable
from imgtools.block.node import Node, Storage
from imgtools.block.protocols.memory import MemoryNode
from imgtools.block.record import Record
from imgtools.errors import ImageError, InputOutput

if TYPE_CHECKING:
    from imgtools.block.node import Buffer

SECONDS = 5.0
"""Processor time that one mutant may take; what else the machine does has no part in it."""
MEMORY = 256 << 20
"""Address space that one mutant may add."""

Field = tuple[str, int, int, str]
"""Name, offset, length in bytes, byte order ("big" or "little")."""
Mutant = tuple[str, bytearray]


def fields_of(record: Record, base: int = 0, *, order: str = "big") -> list[Field]:
    """Where the fields of a structure at `base` lie."""
    offsets = [record.offset_of(name) for name in record.fields] + [record.size]
    return [(name, base + offsets[i], offsets[i + 1] - offsets[i], order) for i, name in enumerate(record.fields)]


def extremes(content: Buffer, fields: Iterable[Field]) -> Iterator[Mutant]:
    """Each field set to 0, 1, its largest values, the sign bit, and one beside what it was."""
    for name, offset, length, order in fields:
        top = (1 << (8 * length)) - 1
        was = int.from_bytes(content[offset : offset + length], order)  # type: ignore[arg-type]
        values = {0, 1, top, top - 1, top // 2, top // 2 + 1, (was + 1) & top, (was - 1) & top, (was << 1) & top}
        for value in sorted(values - {was}):
            mutant = bytearray(content)
            mutant[offset : offset + length] = value.to_bytes(length, order)  # type: ignore[arg-type]
            yield f"{name} = {value:#x}", mutant


def flips(content: Buffer, ranges: Sequence[tuple[int, int]], *, count: int, seed: int = 1) -> Iterator[Mutant]:
    """`count` images with one to eight random bytes inside `ranges`, (start, length) each, overwritten."""
    chance = random.Random(seed)
    for number in range(count):
        mutant = bytearray(content)
        for _ in range(chance.randint(1, 8)):
            start, length = chance.choice(ranges)
            mutant[start + chance.randrange(length)] = chance.choice((0, 0xFF, 0x80, 1, chance.randrange(256)))
        yield f"flip {number} of seed {seed}", mutant


def truncations(content: Buffer, lengths: Iterable[int]) -> Iterator[Mutant]:
    """The file cut at each of `lengths`."""
    for length in lengths:
        yield f"cut at {length}", bytearray(content[:length])


def survives_mutations(open: Callable[[Storage], Node], mutants: Iterable[Mutant], *, write: bool = False) -> int:
    """Exercise each mutant; the number of those that could still be opened. `write` also writes to them."""
    opened = 0
    for label, content in mutants:
        try:
            with _bounded():
                opened += _exercise(open, content, write)
        except ImageError:
            pass  # what a hostile image deserves
        except BaseException as error:
            raise AssertionError(f"{label}: {type(error).__name__}: {error}") from error
    return opened


class _SmallStorage(MemoryNode):
    """A file system with a limit on the size of files, as real ones have."""

    limit = 64 << 20

    def write(self, offset: int, data: Buffer) -> None:
        self._admit(offset + len(data))
        super().write(offset, data)

    def truncate(self, size: int) -> None:
        self._admit(size)
        super().truncate(size)

    def _admit(self, size: int) -> None:
        if size > self.limit:
            raise InputOutput("File too large", path=self.filename)


def _exercise(open: Callable[[Storage], Node], content: bytearray, write: bool) -> bool:
    node = open(_SmallStorage("image", content))
    with contextlib.suppress(ImageError):
        for extent in islice(node.extents(0, node.size), 200):
            node.read(extent.start, min(extent.length, 4096))
    with contextlib.suppress(ImageError):
        node.read(max(0, node.size - 512), min(512, node.size))
    if isinstance(node, Checkable):
        with contextlib.suppress(ImageError):
            node.check(lambda finding: None)
    node.details()
    if write and not node.read_only:
        for offset in (0, max(0, node.size // 2 - 512), max(0, node.size - 512)):
            with contextlib.suppress(ImageError):
                node.write(offset, b"x" * min(512, node.size))
    node.close()
    return True


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """Raise MemoryError or TimeoutError where the body takes more than a mutant may."""
    with open("/proc/self/statm") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    old_limit = resource.getrlimit(resource.RLIMIT_AS)
    old_handler = signal.signal(signal.SIGPROF, _out_of_time)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, old_limit[1]))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, old_limit)
        signal.signal(signal.SIGPROF, old_handler)


def _out_of_time(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"took more than {SECONDS} seconds")
