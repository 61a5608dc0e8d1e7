"""Images with an external data file for the drivers: both files in one recorded file, so that their writes keep
their order when it is cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgtools.block.node import Node, Storage
from imgtools.formats.qcow2 import FORMAT
from tests.model import MemoryContext, Subject

if TYPE_CHECKING:
    from imgtools.block.node import Buffer

DATA_ROOM = 2 << 20
"""The data file takes the first bytes of the recorded file; the image follows."""


class Part(Storage):
    """A file in a part of another one, from `start` on; `limit` is the size of one that does not grow."""

    driver = "part"

    def __init__(self, name: str, below: Storage, start: int, limit: int | None = None) -> None:
        self.below, self.start, self.limit = below, start, limit
        super().__init__(name, 0, read_only=False)

    @property
    def size(self) -> int:
        there = max(0, self.below.size - self.start)
        return there if self.limit is None else min(self.limit, there)

    @size.setter
    def size(self, size: int) -> None:
        """It is the size of what lies there."""

    def readinto(self, offset: int, buffer: memoryview) -> None:
        self.below.readinto(self.start + offset, buffer)

    def read(self, offset: int, length: int) -> bytes:
        return self.below.read(self.start + offset, length)

    def write(self, offset: int, data: Buffer) -> None:
        assert self.limit is None or offset + len(data) <= self.limit, "a write behind the end of the disk"
        self.below.write(self.start + offset, data)

    def discard(self, offset: int, length: int) -> None:
        end = min(offset + length, self.size)
        if offset < end:
            self.write(offset, bytes(end - offset))

    def flush(self) -> None:
        self.below.flush()

    def truncate(self, size: int) -> None:
        if self.limit is None:
            self.below.truncate(self.start + size)

    def close(self) -> None:
        """The file stays open."""


def with_data_file(size: int, cluster: int, **options: object) -> Subject:
    """The Subject of a disk whose data lies in an external file."""

    def context(storage: Storage) -> MemoryContext:
        files: dict[str, Storage] = {
            "data": Part("data", storage, 0, limit=size),
            "image": Part("image", storage, DATA_ROOM),
        }
        return MemoryContext(files, writable=True)

    def create(storage: Storage) -> None:
        storage.truncate(DATA_ROOM)
        FORMAT.create("image", size, {"cluster_size": cluster, "data_file": "data", **options}, context(storage))

    def open(storage: Storage) -> Node:
        files = context(storage)
        return FORMAT.open(files.files["image"], files)

    return Subject(create, open, size, cluster)
