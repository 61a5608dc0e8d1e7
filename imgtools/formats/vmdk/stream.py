"""Compressed extents, as in streamOptimized: every grain is a zlib stream behind a grain marker.

VMware's "Virtual Disk Format 5.0", "Stream-Optimized Compressed Sparse Extents". A grain marker is the
grain's first sector on the disk and the length of the stream; grains begin at whole sectors. Grains are
written once, one behind the other; a grain that is there cannot be changed.

New extents have their directories and tables in front, as QEMU's have, and no footer.
"""

from __future__ import annotations

from imgtools.block.extent import COMPRESSED, HOLE, ZERO, Extent, merge
from imgtools.errors import CorruptImage, InputOutput, OutOfBounds, UnsupportedFeature
from imgtools.formats.vmdk.extents import SECTOR
from imgtools.formats.vmdk.grains import UNALLOCATED, ZEROED
from imgtools.formats.vmdk.header import MARKERS
from imgtools.formats.vmdk.records import GRAIN_MARKER
from imgtools.formats.vmdk.sparse import SparseExtent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from imgtools.block.node import Buffer, Storage

MAX_GRAIN = 4 << 20
"""Bytes of a compressed grain: each read of one inflates it whole. Real ones have 64 KiB."""
READ_AHEAD = 1 << 20
"""Bytes of compressed grains read in one go."""
HELD_GRAINS = 8
"""Inflated grains kept for the next small read."""
ISAL_LEVELS = 3
"""Up to this level isal compresses, ten times as fast as zlib does at its 6 and nearly as small."""


def compressor(level: int | None = None) -> Callable[[Buffer], bytes]:
    """A function that makes a zlib stream; `level` is 0 to 9."""
    chosen = ISAL_LEVELS if level is None else level
    if chosen > ISAL_LEVELS:
        import zlib

        return lambda data: zlib.compress(data, min(chosen, 9))
    from isal import isal_zlib

    return lambda data: bytes(isal_zlib.compress(data, chosen))


class StreamExtent(SparseExtent):
    """An extent of compressed grains."""

    compressed = True

    def __init__(self, storage: Storage, header: Any) -> None:
        if header.grain_size * SECTOR > MAX_GRAIN:
            raise OutOfBounds(
                f"compressed grains of {header.grain_size * SECTOR} bytes are not read: at most {MAX_GRAIN}",
                path=storage.filename,
                structure="header",
            )
        super().__init__(storage, header)
        self.has_markers = bool(header.flags & MARKERS)
        self._held: dict[int, bytes] = {}
        self._last_grain = 0

    # Reading.

    def layer_extents(self, offset: int, length: int) -> Iterator[Extent]:
        return merge(self._compressed_pieces(offset, length))

    def _compressed_pieces(self, offset: int, length: int) -> Iterator[Extent]:
        for start, stop, entry, grain in self.byte_runs(offset, length):
            if entry == ZEROED:
                self.check_zeroed(grain)
            kind = COMPRESSED if entry > ZEROED else HOLE if entry == UNALLOCATED else ZERO
            yield Extent(self.start + start, stop - start, kind)

    def readinto(self, offset: int, buffer: memoryview) -> None:
        end, size = offset + len(buffer), self.grain
        stored: list[tuple[int, int]] = []  # grains and their entries, rising, not read yet
        for start, stop, entry, grain in self.byte_runs(offset, len(buffer)):
            if entry <= ZEROED:
                self.read_run(start, buffer[start - offset : stop - offset], entry, grain)
                continue
            last = grain + (stop - grain * size + size - 1) // size
            for number in range(grain, last):
                place = entry + (number - grain) * self.grain_sectors
                if stored and not 0 < place - stored[0][1] < READ_AHEAD // SECTOR:
                    self._read_grains(stored, offset, end, buffer)
                    stored = []
                stored.append((number, place))
        if stored:
            self._read_grains(stored, offset, end, buffer)

    def _read_grains(self, stored: list[tuple[int, int]], offset: int, end: int, buffer: memoryview) -> None:
        """Inflate grains that lie near each other into `buffer`, which holds the bytes [offset, end)."""
        base = stored[0][1] * SECTOR
        tail = max(place for _, place in stored) * SECTOR + self.longest - base
        data = memoryview(self.storage.read(base, tail)) if len(stored) > 1 else None
        for grain, place in stored:
            start, stop = max(offset, grain * self.grain), min(end, (grain + 1) * self.grain)
            skip = start - grain * self.grain
            if data is None:
                content = self._held_grain(grain, place)
            else:
                content = self._inflate(grain, place, data[place * SECTOR - base :])
            piece = content[skip : skip + stop - start]
            if len(piece) < stop - start:
                raise self._bad_grain(grain, place, "is shorter than a grain")
            buffer[start - offset : stop - offset] = piece

    @property
    def longest(self) -> int:
        """The most bytes that a grain may take in the file: QEMU's bound, far above what deflate can need."""
        return self.grain * 2

    def _held_grain(self, grain: int, place: int) -> bytes:
        """One grain, inflated; the last few are remembered, for reads that are smaller than a grain."""
        content = self._held.get(place)
        if content is None:
            content = self._inflate(grain, place, memoryview(self.storage.read(place * SECTOR, self.longest)))
            if len(self._held) >= HELD_GRAINS:
                self._held.clear()
            self._held[place] = content
        return content

    def _inflate(self, grain: int, place: int, data: memoryview) -> bytes:
        from isal import isal_zlib

        failure: Any = isal_zlib.error
        if self.has_markers:
            data = data[GRAIN_MARKER.size : self._marked_length(grain, place, data)]
        stream = isal_zlib.decompressobj()
        try:
            content = bytes(stream.decompress(data, self.grain))
            if not stream.eof:
                more = len(content) == self.grain and stream.decompress(stream.unconsumed_tail, 1)
                if more or not stream.eof:
                    raise self._bad_grain(grain, place, "inflates past a grain" if more else "is cut short")
        except failure as error:
            raise self._bad_grain(grain, place, f"is damaged: {error}") from error
        return content

    def _marked_length(self, grain: int, place: int, data: Buffer) -> int:
        """Bytes of a grain's marker and stream, as the marker in `data` has it."""
        if len(data) < GRAIN_MARKER.size:
            raise self._bad_grain(grain, place, f"lies past the end of '{self.path}'")
        marker = GRAIN_MARKER.parse(data)
        if marker.lba != grain * self.grain_sectors:
            raise self._bad_grain(grain, place, f"has the marker of sector {marker.lba}")
        if not 0 < marker.size <= self.longest:
            raise self._bad_grain(grain, place, f"says to be {marker.size} bytes long")
        return int(GRAIN_MARKER.size + marker.size)

    def stored_length(self, grain: int, place: int) -> int:
        """Bytes that a grain takes in the file; a sector, where it has no marker to tell."""
        if not self.has_markers:
            return SECTOR
        return self._marked_length(grain, place, self.storage.read(place * SECTOR, GRAIN_MARKER.size))

    def _bad_grain(self, grain: int, place: int, what: str) -> CorruptImage:
        return CorruptImage(
            f"compressed grain {grain} {what}", path=self.path, offset=place * SECTOR, structure="compressed grain"
        )

    # Writing.

    def write(self, offset: int, data: Buffer) -> None:
        compress = compressor()
        view = memoryview(data).cast("B")
        for start in range(0, len(view), self.grain):
            piece = view[start : start + self.grain]
            self.write_compressed(offset + start, len(piece), compress(piece))

    def write_compressed(self, offset: int, length: int, stream: bytes) -> None:
        """Append one whole grain; the disk's last one may be short."""
        grain, within = divmod(offset, self.grain)
        if within or length > self.grain or (length < self.grain and offset + length != self.length):
            raise UnsupportedFeature(
                "a compressed extent is written in whole grains", path=self.path, offset=self.start + offset
            )
        if not self.has_markers:
            raise UnsupportedFeature("compressed extents without markers are not written", path=self.path)
        with self.lock:
            self.prepare()
            if self.entry(grain) > ZEROED:
                raise InputOutput(
                    "Could not write to allocated cluster for streamOptimized",
                    path=self.path,
                    offset=self.start + offset,
                )
            taken = GRAIN_MARKER.size + len(stream)
            padding = -taken % SECTOR
            sector = self._claim((taken + padding) // SECTOR, grain)
            marker = GRAIN_MARKER.build(lba=grain * self.grain_sectors, size=len(stream))
            self.storage.writev(sector * SECTOR, [marker, stream, bytes(padding)])
            self.next_sector = sector + (taken + padding) // SECTOR
            self._last_grain = sector
            self.store(grain, 1, sector, 0)

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        with self.lock:
            self.prepare()
            for start, stop, entry, _ in self.byte_runs(offset, length):
                if entry > ZEROED:
                    raise InputOutput(
                        "Could not write to allocated cluster for streamOptimized",
                        path=self.path,
                        offset=self.start + start,
                    )
                if entry == UNALLOCATED and self.has_below(start):
                    self._hide_below(start, stop)

    def _write_zeroes(self, start: int, stop: int) -> None:
        for position in range(start, stop, self.grain):
            self.write(position, bytes(min(self.grain, stop - position)))

    def discard(self, offset: int, length: int) -> None:
        """Nothing: a written grain stays."""

    def end_sector(self) -> int:
        return max(self.next_sector, self._last_grain + self.grain_sectors)  # as QEMU leaves it
