"""A disk that may be written to without the one below it ever changing; closing it forgets all that was written.

    Overlay(node)                          what is written is kept in memory
    Overlay(node, directory="/var/tmp")    or in a temporary file there, which has no name

What is written lies in a sparse file at the same offset as on the disk. The disk is divided into clusters; one
that is written to in part is first completed from below. One byte for each cluster says whether it is here.
"""

from __future__ import annotations

import os
from _thread import RLock

from imgtools.align import div_up, round_down, round_up
from imgtools.block.extent import HOLE, Extent
from imgtools.block.node import Layer, cut
from imgtools.block.protocols.file import FileNode
from imgtools.errors import OutOfBounds, from_os_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgtools.block.node import Buffer, Node

CLUSTER = 1 << 16
MAX_CLUSTER = 1 << 21
"""A small write copies a whole cluster: this much can be borne."""
MAX_CLUSTERS = 1 << 26
"""To know them all takes 64 MiB at most. Clusters grow with the disk, up to 128 TiB."""


def temporary_directory() -> str:
    """Where temporary disks lie, unless TMPDIR says otherwise: they may become too large for memory."""
    return os.environ.get("TMPDIR", "/var/tmp")


class Overlay(Layer):
    """A writable disk over `below`, of the same size."""

    driver = "overlay"

    def __init__(self, below: Node, directory: str | None = None) -> None:
        super().__init__(below.filename, below.size, read_only=False)
        self.cluster_size = CLUSTER
        while self.size > self.cluster_size * MAX_CLUSTERS:
            self.cluster_size *= 2
        if self.cluster_size > MAX_CLUSTER:
            raise OutOfBounds(f"a disk of {self.size} bytes is too large for an overlay", path=below.filename)
        self.store = FileNode("overlay", _temporary_file(directory), read_only=False, cache="unsafe")
        self.children = {"file": self.store, "backing": below}
        self.lock = RLock()
        self._here = bytearray(div_up(self.size, self.cluster_size))

    def readinto(self, offset: int, buffer: memoryview) -> None:
        self.check_range(offset, len(buffer))
        for start, length, here in self._runs(offset, len(buffer)):
            part = buffer[start - offset : start - offset + length]
            if here:
                self.store.readinto(start, part)
            else:
                self.read_below(start, part)

    def readv(self, offset: int, length: int, pieces: list[memoryview]) -> None:
        self.check_range(offset, length)
        for start, count, here in self._runs(offset, length):
            part, pieces = cut(pieces, count) if count < length else (pieces, [])
            if here:
                self.store.readv(start, count, part)
            else:
                self.readv_below(start, count, part)

    def write(self, offset: int, data: Buffer) -> None:
        length = len(data)
        self.check_range(offset, length)
        with self.lock:
            self._complete(offset, length)
            self.store.write(offset, data)
            self._take(offset, length)

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        self.check_range(offset, length)
        with self.lock:
            self._complete(offset, length)
            self.store.zero(offset, length, unmap=unmap)
            self._take(offset, length)

    def discard(self, offset: int, length: int) -> None:
        """Whole clusters become zeroes and take no space; what is left at the ends stays as it is."""
        self.check_range(offset, length)
        first = round_up(offset, self.cluster_size)
        end = offset + length if offset + length == self.size else round_down(offset + length, self.cluster_size)
        if first < end:
            self.zero(first, end - first)

    def layer_extents(self, offset: int, length: int) -> Iterator[Extent]:
        self.check_range(offset, length)
        for start, count, here in self._runs(offset, length):
            if here:
                yield from self.store.extents(start, count)
            else:
                yield Extent(start, count, HOLE)

    def _runs(self, offset: int, length: int) -> Iterator[tuple[int, int, bool]]:
        """The range in runs of clusters that are here, or that are not: (start, length, here)."""
        size, end = self.cluster_size, offset + length
        stop = div_up(end, size)
        while offset < end:
            cluster = offset // size
            here = self._here[cluster]
            change = self._here.find(1 - here, cluster, stop)
            run_end = end if change < 0 else change * size
            yield offset, run_end - offset, bool(here)
            offset = run_end

    def _complete(self, offset: int, length: int) -> None:
        """Bring up what lies around the range in the clusters at its ends, where they are not here yet."""
        if not length:
            return
        end, size = offset + length, self.cluster_size
        self._bring_up(round_down(offset, size), offset)
        self._bring_up(end, min(self.size, round_up(end, size)))

    def _bring_up(self, start: int, end: int) -> None:
        if start < end and not self._here[start // self.cluster_size]:
            buffer = bytearray(end - start)
            self.read_below(start, memoryview(buffer))
            self.store.write(start, buffer)

    def _take(self, offset: int, length: int) -> None:
        """From now on the clusters of the range are read from here."""
        if length:
            first, stop = offset // self.cluster_size, div_up(offset + length, self.cluster_size)
            self._here[first:stop] = b"\1" * (stop - first)


def _temporary_file(directory: str | None) -> int:
    """An empty file without a name, which lives as long as it is open: in memory where no directory is given."""
    if directory is None and hasattr(os, "memfd_create"):
        return os.memfd_create("imgtools-overlay")
    import tempfile

    try:
        fd, path = tempfile.mkstemp(prefix="imgtools-overlay-", dir=directory)
    except OSError as error:
        raise from_os_error(error, f"Could not make a temporary file in '{directory}'", directory) from error
    os.unlink(path)
    return fd
