"""Reading compressed clusters: where their streams lie, and what is kept of them.

A small read of a cluster has all of it decompressed, so the last few of these are kept for the reads after it. Whole
clusters go straight to where they are wanted; streams that lie one behind the other are read from the file at once.
"""

from __future__ import annotations

from imgtools.errors import ImageError
from imgtools.formats.qcow2.compression import StreamLocator, decompressor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgtools.block.node import Buffer, Storage

    Piece = tuple[int, memoryview, int]
    """Where the guest has it, what to fill, and the cluster's L2 entry without COPIED; all within one cluster."""

KEPT = 16
"""Decompressed clusters that are kept."""
GAP = 64 << 10
"""Bytes between two streams that are read rather than left out."""
SPAN = 4 << 20
"""Bytes of streams that are read at once."""


class Streams:
    """The compressed clusters in `storage`, which are decompressed by `method`."""

    def __init__(self, storage: Storage, cluster_bits: int, method: str) -> None:
        self.storage = storage
        self.cluster_size = 1 << cluster_bits
        self.locate = StreamLocator(cluster_bits).locate
        self._decompress = decompressor(method, self.cluster_size)
        self._kept: dict[int, Buffer] = {}

    def readinto(self, pieces: list[Piece]) -> None:
        """Fill the buffers of all pieces."""
        whole = []
        for guest, buffer, entry in pieces:
            if len(buffer) == self.cluster_size and entry not in self._kept:
                whole.append((guest, buffer, entry))
                continue
            within = guest & (self.cluster_size - 1)
            buffer[:] = memoryview(self._cluster(entry, guest))[within : within + len(buffer)]
        for start, length, group in self._neighbours(whole):
            streams = self._read(start, length)
            for guest, buffer, entry in group:
                place, size = self.locate(entry)
                buffer[:] = self._unpack(streams[place - start : place - start + size], place, guest)

    def forget(self) -> None:
        """Streams have been freed: what their entries stood for may change."""
        self._kept.clear()

    def _cluster(self, entry: int, guest: int) -> Buffer:
        data = self._kept.get(entry)
        if data is None:
            start, length = self.locate(entry)
            data = self._unpack(self._read(start, length), start, guest)
            if len(self._kept) >= KEPT:
                self._kept.clear()
            self._kept[entry] = data
        return data

    def _neighbours(self, pieces: list[Piece]) -> Iterator[tuple[int, int, list[Piece]]]:
        """(start, length, pieces) for streams that are read at once."""
        group: list[Piece] = []
        start = end = 0
        for piece in pieces:
            place, size = self.locate(piece[2])
            if group and not (start <= place <= end + GAP and place + size <= start + SPAN):
                yield start, end - start, group
                group = []
            if not group:
                start = end = place
            group.append(piece)
            end = max(end, place + size)
        if group:
            yield start, end - start, group

    def _read(self, start: int, length: int) -> memoryview:
        self.storage.event("read_compressed")
        return memoryview(self.storage.read(start, length))

    def _unpack(self, stream: memoryview, place: int, guest: int) -> Buffer:
        try:
            return self._decompress(stream)
        except ImageError as error:
            error.path, error.offset = self.storage.filename, place
            error.message += f" (guest offset {guest & -self.cluster_size:#x})"
            raise
