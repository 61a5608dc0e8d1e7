"""Copying disks into another image: the engine of `convert`.

The sources, one behind the other, are walked by their extents. What they call zero or unallocated is never read;
what they call data is read in chunks, looked through for zeroes, and written, by several threads (see `pipeline`).
"""

from __future__ import annotations

from imgtools.align import round_down, round_up
from imgtools.block.extent import DATA, READS_ZERO
from imgtools.block.format import Compressing
from imgtools.errors import BadOption, ImageError, InputOutput
from imgtools.operations.buffers import SIZE, SLACK, PageBuffer
from imgtools.operations.pipeline import Pipeline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import NamedTuple

    from imgtools.block.node import Node

CHUNK = SIZE
"""Bytes that a thread reads at a time: large enough that a chunk's Python is cheap beside its copying."""
PAGE = 4096
SECTOR = 512

if TYPE_CHECKING:

    class Piece(NamedTuple):
        """A chunk of one source: where it starts there, where that source starts in the target, and the place where
        it can be read directly."""

        source: Node
        start: int
        length: int
        base: int
        is_data: bool
        storage: Node | None
        offset: int

else:
    from collections import namedtuple

    Piece = namedtuple("Piece", "source start length base is_data storage offset")


def convert(
    sources: list[Node],
    target: Node,
    *,
    compress: bool = False,
    level: int | None = None,
    target_is_zero: bool = False,
    top_layer_only: bool = False,
    sparse_size: int = 4096,
    threads: int = 2,
    in_order: bool = True,
    salvage: bool = False,
    rate_limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> None:
    """Copy `sources`, concatenated, to the start of `target`.

    compress         store compressed units, at `level` (None: the format's balance of speed and size)
    target_is_zero   the target reads as zeroes already where it has no backing file, so zeroes need not be written
    top_layer_only   what the sources have from their backing files is there already, under or in the target
    sparse_size      shortest run of zero bytes that is not written as data; 0 writes every byte
    in_order         write in the order of the disk
    salvage          bytes that cannot be read become zeroes, and `warn` is told
    rate_limit       bytes a second
    progress         called with (bytes done, bytes in all), from any of the threads
    """
    job = _Job(sources, target, compress, level, target_is_zero, top_layer_only, sparse_size)
    job.salvage, job.warn = salvage, warn or (lambda message: None)
    job.pipeline.ordered = (in_order and not target.fixed_layout) or job.compressing is not None
    job.pipeline.rate_limit, job.pipeline.progress = rate_limit, progress
    job.pipeline.run(job.pieces(), job.worker, max(1, threads))


class _Run:
    """Data of one source that lies in a row, collected until it ends or cannot be read in one way."""

    def __init__(self, source: Node, base: int) -> None:
        self.source = source
        self.base = base
        self.covered = 0
        """Where the units end that have been taken or are in the run."""
        self.first = self.last = self.offset = 0
        self.storage: Node | None = None

    def begin(self, first: int, last: int, storage: Node | None, offset: int) -> None:
        self.first, self.last, self.storage, self.offset = first, last, storage, offset
        self.covered = max(self.covered, last)

    def extend(self, first: int, last: int, storage: Node | None, offset: int) -> bool:
        """Add what lies in [first, last), unless the run is better ended before it."""
        if first >= last:  # it lies in a unit that is in the run already, which therefore mixes extents
            self.storage = None
            return True
        if first != self.last or self.first == self.last:
            return False
        if storage is not self.storage or (storage is not None and offset != self.offset + first - self.first):
            if last - self.first > CHUNK:
                return False
            self.storage = None  # short pieces are read through the node, several at once
        self.last = self.covered = last
        return True

    def take(self) -> Iterator[Piece]:
        """The run in chunks, after which it is empty. Chunks begin where the target's chunks do."""
        start = self.first
        while start < self.last:
            end = min(self.last, round_down(self.base + start, CHUNK) + CHUNK - self.base)
            offset = self.offset + start - self.first
            yield Piece(self.source, start, end - start, self.base, True, self.storage, offset)
            start = end
        self.first = self.last


class _Job:
    """One conversion: what the threads share."""

    def __init__(
        self,
        sources: list[Node],
        target: Node,
        compress: bool,
        level: int | None,
        target_is_zero: bool,
        top_layer_only: bool,
        sparse_size: int,
    ) -> None:
        self.sources = sources
        self.target = target
        needed = getattr(target.unfiltered, "requires_compression", False)
        # A filter does not know of streams: they go past it.
        writer = target if isinstance(target, Compressing) else target.unfiltered
        self.compressing = writer if compress or needed else None
        if self.compressing is not None and not isinstance(writer, Compressing):
            raise BadOption("Compression not supported for this file format", path=target.filename)
        self.level = level
        self.skip_zeroes = target_is_zero and not top_layer_only
        self.top_layer_only = top_layer_only
        self.sparse_size = sparse_size
        below = target.backing
        self.unwritten = below.size if target_is_zero and top_layer_only and below is not None else target.size
        """From where on a target without anything of its own reads as zeroes: behind the end of its backing file."""
        unit = getattr(target, "cluster_size", None) or PAGE
        self.unit = self.compressing.compression_unit if isinstance(self.compressing, Compressing) else min(unit, CHUNK)
        self.zero_unit = max(self.unit if self.compressing else 0, round_up(sparse_size, SECTOR)) or self.unit
        if self.unit > PAGE:
            self.zero_unit = max(self.zero_unit, min(self.unit, 65536))
        self.zeroes = bytes(self.zero_unit)
        self.salvage = False
        self.warn: Callable[[str], None] = lambda message: None
        self.pipeline = Pipeline(sum(source.size for source in sources))

    # What there is to do.

    def pieces(self) -> Iterator[Piece]:
        base = 0
        for source in self.sources:
            yield from self._pieces_of(source, base)
            base += source.size

    def _pieces_of(self, source: Node, base: int) -> Iterator[Piece]:
        """Chunks of `source` in order; data is widened to whole units of the target, so that each is written once."""
        unit = self.unit
        run = _Run(source, base)
        for start, length, kind, depth, storage, offset in source.extents(0, source.size):
            if depth and self.top_layer_only:
                continue
            end = start + length
            if kind in READS_ZERO and self.sparse_size:
                start = max(start, run.covered)
                end = min(end, max(start, self.unwritten - base))
                if not self.skip_zeroes and start < end:
                    yield from run.take()
                    yield Piece(source, start, end - start, base, False, None, 0)
                continue
            first = max(run.covered, round_down(base + start, unit) - base)
            last = min(source.size, round_up(base + end, unit) - base)
            direct = storage if kind == DATA and (first, last) == (start, end) else None
            if not run.extend(first, last, direct, offset or 0):
                yield from run.take()
                run.begin(first, last, direct, offset or 0)
        yield from run.take()

    # What a thread does.

    def worker(self) -> Callable[[int, Piece], int]:
        buffer = PageBuffer()
        compressor = None
        if isinstance(self.compressing, Compressing):
            compressor = self.compressing.compressor(self.level)
        return lambda number, piece: self._copy(number, piece, buffer, compressor)

    def _copy(
        self,
        number: int,
        piece: Piece,
        buffer: PageBuffer,
        compressor: Callable[[memoryview], bytes | None] | None,
    ) -> int:
        if not piece.is_data:
            self.pipeline.in_turn(number)
            self.target.zero(piece.base + piece.start, piece.length)
            return 0
        view, position = buffer.view[: piece.length], piece.base + piece.start
        self._read(piece, view)
        runs = [run for run in self._runs(buffer, piece.length) if not (run[2] and self.skip_zeroes)]
        if compressor is None:
            self.pipeline.in_turn(number)
            self.target.apply(
                (position + start, end - start, None if is_zero else view[start:end]) for start, end, is_zero in runs
            )
        else:
            units = [
                (start, view[start : min(start + self.unit, end)], is_zero)
                for first, end, is_zero in runs
                for start in range(first, end, self.unit)
            ]
            streams = [None if is_zero else compressor(data) for _, data, is_zero in units]
            self.pipeline.in_turn(number)
            for (start, data, is_zero), stream in zip(units, streams, strict=True):
                if stream is None:
                    self.target.apply([(position + start, len(data), None if is_zero else data)])
                else:
                    assert isinstance(self.compressing, Compressing)
                    self.compressing.write_compressed(position + start, len(data), stream)
        return piece.length

    def _runs(self, buffer: PageBuffer, length: int) -> Iterator[tuple[int, int, bool]]:
        """(start, end, whether all zero) over the buffer, in steps of `zero_unit`."""
        position, unit = 0, self.zero_unit
        zeroes_from = 0
        for start in self._zero_units(buffer, length) if self.sparse_size else ():
            if start > position:
                if position > zeroes_from:
                    yield zeroes_from, position, True
                yield position, start, False
                zeroes_from = start
            position = min(start + unit, length)
        if position > zeroes_from:
            yield zeroes_from, position, True
        if position < length:
            yield position, length, False

    def _zero_units(self, buffer: PageBuffer, length: int) -> Iterator[int]:
        """Where the units begin that hold only zeroes; the last one may be short."""
        unit, memory = self.zero_unit, buffer.memory
        first_bytes = memory[SLACK : SLACK + length : unit]
        index = first_bytes.find(0)  # most data is told from zeroes by the first byte of each unit alone
        while index >= 0:
            start = index * unit
            zeroes = self.zeroes if start + unit <= length else self.zeroes[: length - start]
            if memory.startswith(zeroes, SLACK + start):
                yield start
            index = first_bytes.find(0, index + 1)

    def _read(self, piece: Piece, view: memoryview) -> None:
        try:
            if piece.storage is not None:
                piece.storage.readinto(piece.offset, view)
            else:
                piece.source.readinto(piece.start, view)
        except ImageError as error:
            if not self.salvage:
                raise InputOutput(
                    f"error while reading at byte {piece.start}: {error.message}",
                    path=piece.source.filename,
                    offset=piece.start,
                    hint=error.hint,
                ) from error
            self._salvage(piece, view)

    def _salvage(self, piece: Piece, view: memoryview) -> None:
        """Read sector by sector; what cannot be read becomes zeroes."""
        for start in range(0, piece.length, SECTOR):
            sector = view[start : start + SECTOR]
            try:
                piece.source.readinto(piece.start + start, sector)
            except ImageError as error:
                sector[:] = bytes(len(sector))
                self.warn(f"error while reading offset {piece.start + start}: {error.message}")
