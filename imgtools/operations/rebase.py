"""Put an image on another backing file.

    with imgtools.open("top.qcow2", writable=True) as top:
        rebase(top, "other.qcow2", "qcow2")      # the disk reads the same as before
        rebase(top, None)                        # on none: the image holds all of the disk itself

What the disk reads from the old backing file and would read differently from the new one is copied into the image,
and flushed, before its header names the new one: whatever is the last write before a crash, the disk reads the same.

Where the new backing file is one of those below the old one, only what lies between them is looked at.
"""

from __future__ import annotations

import errno
import os

from imgtools.align import round_down, round_up
from imgtools.block.extent import HOLE, READS_ZERO
from imgtools.block.format import Compressing, Rebasable
from imgtools.block.graph import Context, open_backing_of_user
from imgtools.block.node import Layer
from imgtools.block.protocols.memory import NullNode
from imgtools.errors import BadOption, ImageError
from imgtools.operations.buffers import SIZE, SLACK, ZEROES, PageBuffer
from imgtools.operations.chain import Padded, above, find_below, layers
from imgtools.operations.compare import pairs
from imgtools.operations.pipeline import Pipeline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgtools.block.node import Node

    Run = tuple[int, int, bool]
    """Where in a piece it begins and ends, and whether it reads as zeroes."""

PAGE = 4096


def rebase(
    top: Node,
    name: str | None,
    format: str | None = None,
    *,
    unsafe: bool = False,
    compress: bool = False,
    threads: int = 2,
    context: Context | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Let `top`, open for writing, stand on the backing file `name` of that format (None: on none).

    unsafe     only the name changes: the disk reads whatever the new backing file has there
    compress   what is copied is compressed
    context    how the new backing file is opened
    progress   called with (bytes done, bytes in all), from any of the threads

    Raises BackingNotChanged where the image cannot name it.
    """
    image = top.unfiltered
    new = None if unsafe or not name else open_new(top, name, format, context or Context())
    try:
        _refuse_what_cannot_be(image, name, format)
        assert isinstance(image, Rebasable)
        if not unsafe:
            assert isinstance(image, Layer)
            _Rebase(image, new, compress).run(threads, progress)
        top.flush()
        _change_backing(image, name, format)
    except BaseException:
        if new is not None and not _is_below(image, new):
            new.close()
        raise
    if not unsafe:
        _replace_backing(image, new)


class BackingNotChanged(BadOption):
    """An image cannot name that backing file."""

    def __init__(self, name: str | None, why: str, image: Node) -> None:
        super().__init__(f"Could not change the backing file to '{name or ''}': {why}", path=image.filename)


def open_new(top: Node, name: str, format: str | None, context: Context) -> Node:
    """The new backing image: the one of that name in the chain of `top`, or else opened for it."""
    found = find_below(top, name)
    if found is not None and format in (None, found.driver):
        return found
    try:
        return open_backing_of_user(top.filename, name, format, context)
    except ImageError as error:
        error.message = f"Could not open new backing file '{name}': {error.message}"
        raise


def _refuse_what_cannot_be(image: Node, name: str | None, format: str | None) -> None:
    if name and not format:
        raise BackingNotChanged(name, "backing format must be specified", image)
    if not isinstance(image, Rebasable):
        raise BackingNotChanged(name, os.strerror(errno.ENOTSUP), image)


def _change_backing(image: Rebasable, name: str | None, format: str | None) -> None:
    assert isinstance(image, Layer)
    try:
        image.change_backing(name or None, format)
    except ImageError as error:
        if error.errno == errno.ENOSPC:
            raise BackingNotChanged(name, "No space left in the file header", image) from error
        if error.errno == errno.EINVAL:
            raise BackingNotChanged(name, os.strerror(errno.EINVAL), image) from error
        raise


def _is_below(image: Node, node: Node) -> bool:
    return any(layer is node.unfiltered for layer in layers(image))


def _replace_backing(image: Layer, new: Node | None) -> None:
    """From now on the disk is read through `new`; what is not needed of the old chain is closed."""
    old = image.children.pop("backing", None)
    if new is not None:
        for layer in () if old is None else layers(old):
            if layer.backing is not None and layer.backing.unfiltered is new.unfiltered:
                del layer.children["backing"]
        image.children["backing"] = new
    if old is not None and (new is None or old.unfiltered is not new.unfiltered):
        old.close()


class _Rebase:
    """One rebase: copies into `image` what its disk would read differently above `new`."""

    def __init__(self, image: Layer, new: Node | None, compress: bool) -> None:
        self.image = image
        self.size = image.size
        if image.backing is None:  # so that a zero written to the image is more than nothing
            image.children["backing"] = NullNode(size=self.size)
        assert image.backing is not None
        self.base = new.unfiltered if new is not None and _is_below(image, new) else None
        """The new backing image where it is one of those below."""
        self.old = Padded(image.backing, self.size)
        self.new = NullNode(size=self.size) if new is None else Padded(new, self.size)
        self.compressing = image if compress else None
        if compress and not isinstance(image, Compressing):
            raise BadOption("Compression not supported for this file format", path=image.filename)
        self.unit = min(getattr(image, "cluster_size", None) or PAGE, SIZE)

    def run(self, threads: int, progress: Callable[[int, int], None] | None) -> None:
        self.pipeline = Pipeline(self.size, progress=progress)
        self.pipeline.run(self._pieces(), self._worker, threads)

    def _pieces(self) -> Iterator[tuple[int, int]]:
        """(start, end) of what has to be read and compared: whole units, as far as the image has nothing there."""
        for extent in self.image.layer_extents(0, self.size):
            if extent.kind != HOLE:
                continue
            low, high = extent.start, extent.start + extent.length
            first = last = low
            for start, end in self._doubtful(low, high):
                start, end = max(last, round_down(start, self.unit)), min(high, round_up(end, self.unit))
                if start > last or end - first > SIZE:
                    yield from _cut(first, last)
                    first = start
                last = max(last, end)
            yield from _cut(first, last)

    def _doubtful(self, low: int, high: int) -> Iterator[tuple[int, int]]:
        """The parts of a range in which the old and the new backing file are not known to be alike."""
        if self.base is not None:
            for extent in above(self.image, self.base, low, high - low):
                if not extent.depth:
                    yield extent.start, extent.start + extent.length
            return
        for start, end, mine, theirs in pairs(self.old, self.new, high, low):
            if mine.kind not in READS_ZERO or theirs.kind not in READS_ZERO:
                yield start, end

    def _worker(self) -> Callable[[int, tuple[int, int]], int]:
        ours, theirs = PageBuffer(), PageBuffer()
        compressor = self.compressing.compressor() if isinstance(self.compressing, Compressing) else None

        def work(number: int, piece: tuple[int, int]) -> int:
            start, end = piece
            view, other = ours.view[: end - start], theirs.view[: end - start]
            self.old.readinto(start, view)
            self.new.readinto(start, other)
            runs = [] if ours.starts_with(other) else self._differing(ours, other)
            if compressor is not None:
                runs = [unit for run in runs for unit in self._units(run)]
            streams = [
                compressor(view[a:b]) if compressor and not is_zero and self._is_unit(start + a, b - a) else None
                for a, b, is_zero in runs
            ]
            self.pipeline.in_turn(number)
            for (a, b, is_zero), stream in zip(runs, streams, strict=True):
                self._store(start + a, view[a:b], is_zero, stream)
            return end - start

        return work

    def _differing(self, ours: PageBuffer, other: memoryview) -> list[Run]:
        """Runs of units in which the buffer is not what `other` is."""
        runs: list[Run] = []
        for start in range(0, len(other), self.unit):
            end = min(start + self.unit, len(other))
            if ours.memory.startswith(other[start:end], SLACK + start):
                continue
            is_zero = ours.memory.startswith(ZEROES[: end - start], SLACK + start)
            if runs and runs[-1][1:] == (start, is_zero):
                runs[-1] = (runs[-1][0], end, is_zero)
            else:
                runs.append((start, end, is_zero))
        return runs

    def _store(self, offset: int, data: memoryview, is_zero: bool, stream: bytes | None) -> None:
        if is_zero:
            self.image.zero(offset, len(data))
            # An image that cannot mark zeroes leaves out what reads as such now, past the end of a short backing file.
            is_zero = all(extent.kind != HOLE for extent in self.image.layer_extents(offset, len(data)))
        if is_zero:
            return
        if stream is None:
            self.image.write(offset, data)
        else:
            assert isinstance(self.image, Compressing)
            self.image.write_compressed(offset, len(data), stream)

    def _units(self, run: Run) -> Iterator[Run]:
        start, end, is_zero = run
        for position in range(start, end, self.unit):
            yield position, min(position + self.unit, end), is_zero

    def _is_unit(self, offset: int, length: int) -> bool:
        """Whether a range is one unit of the disk, the last of which may be short."""
        return not offset % self.unit and (length == self.unit or offset + length == self.size)


def _cut(start: int, end: int) -> Iterator[tuple[int, int]]:
    """A range in pieces as large as a buffer."""
    for position in range(start, end, SIZE):
        yield position, min(position + SIZE, end)
