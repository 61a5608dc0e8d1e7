"""Disks in blocks of one size, each of which lies somewhere in the file or nowhere: what such formats have in common.

A format says where a block lies (`locate`), and how one is added that lies nowhere (`add`); the verbs are here. One
that finds rows of blocks, or adds them, quicker than block by block says that, too (`runs`, `add_run`).
Those of them that can be written have no backing files: what lies nowhere is zero, so zeroing leaves it there.
Existing blocks are read and written in parallel; tables, and whatever adds blocks, go under one lock.

New blocks are in the table in memory only until a flush, or until the image is closed. Then the file's table gets
them, behind a barrier: whatever reaches the file before a power cut, it lists no block that is not there.
"""

from __future__ import annotations

from _thread import RLock
from itertools import islice

from imgtools.block.extent import COMPRESSED, DATA, HOLE, ZERO, Extent, merge
from imgtools.block.node import Layer, fill_zero
from imgtools.errors import CorruptImage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgtools.block.node import Buffer, Storage

NOWHERE, ZEROES, PACKED = -1, -2, -3
"""In place of a position: the block is not in this image; it reads as zeroes; it is stored compressed."""
RUNS_AT_ONCE = 256
"""Runs of blocks that are looked up while the lock is held."""
MAX_UNLISTED = 4096
"""Runs of new blocks that may wait for being listed in the file."""

Piece = tuple[int, int, int]
"""(start, length, position in the file of the first byte, or one of the above)."""


class BlockNode(Layer):
    """A disk of `size` bytes in blocks of `block_size`, in `storage`."""

    missing_is_zero = False
    """Whether the format has no backing files, so that what lies nowhere is zero because this image says so."""
    table_name = "block table"
    """The format's word for what says where blocks lie."""

    def __init__(self, storage: Storage, size: int, block_size: int, *, writable: bool) -> None:
        super().__init__(storage.filename, size, read_only=not writable)
        self.storage = storage
        self.children["file"] = storage
        self.block_size = block_size
        self.lock = RLock()
        self.unlisted: list[tuple[int, int]] = []
        """New blocks that the file's table lacks, in runs: (first block, count)."""

    # What a format says.

    def locate(self, block: int) -> int:
        """Where the block lies in the file, or NOWHERE, ZEROES, PACKED. Called under the lock."""
        raise NotImplementedError

    def absent_until(self, block: int) -> int:
        """A block is NOWHERE: the next one of which that is not known to be so, too. Called under the lock."""
        return block + 1

    def add(self, block: int, within: int, data: memoryview) -> None:
        """Give a block without a place one, and store `data` at `within` in it. Called under the lock."""
        raise NotImplementedError

    def runs(self, offset: int, length: int) -> Iterator[Piece]:
        """The range in pieces that lie in one row each, or nowhere alike. Called under the lock."""
        return _joined(self._single_blocks(offset, length))

    def add_run(self, start: int, data: memoryview) -> None:
        """Store `data` at `start`, in blocks of which none has a place. Called under the lock."""
        end, size = start + len(data), self.block_size
        while start < end:
            count = min(size - start % size, end - start)
            self.add(start // size, start % size, data[:count])
            start, data = start + count, data[count:]

    def write_entries(self, block: int, count: int) -> None:
        """Write the table's entries of some blocks, as they are in memory, to the file. Called under the lock."""
        raise NotImplementedError

    def entry_offset(self, block: int) -> int | None:
        """Where in the file the table says where that block lies."""
        return None

    def unpack(self, block: int) -> bytes:
        """The content of a block that is PACKED."""
        raise NotImplementedError

    def written(self) -> None:
        """Called before the file is changed on behalf of a guest."""

    # The verbs.

    def readinto(self, offset: int, buffer: memoryview) -> None:
        self.check_range(offset, len(buffer))
        position = self._place(offset, len(buffer))
        if position >= 0:
            self.storage.readinto(position, buffer)
            return
        for start, length, position in self._pieces(offset, len(buffer)):
            part = buffer[start - offset : start - offset + length]
            if position >= 0:
                self.storage.readinto(position, part)
            elif position == NOWHERE:
                self.read_below(start, part)
            elif position == ZEROES:
                fill_zero(part)
            else:
                within = start % self.block_size
                part[:] = self.unpack(start // self.block_size)[within : within + length]

    def write(self, offset: int, data: Buffer) -> None:
        self._check_write(offset, len(data))
        self.written()
        position = self._place(offset, len(data))
        if position >= 0:
            self.storage.write(position, data)
            return
        view = memoryview(data).cast("B")
        for start, length, position in self._pieces(offset, len(view)):
            part = view[start - offset : start - offset + length]
            if position >= 0:
                self.storage.write(position, part)
            else:
                self._write_new(start, part)

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        self._check_write(offset, length)
        self.written()
        for _, count, position in self._pieces(offset, length):
            if position >= 0:
                self.storage.zero(position, count, unmap=unmap)

    def discard(self, offset: int, length: int) -> None:
        self._check_write(offset, length)
        for _, count, position in self._pieces(offset, length):
            if position >= 0:
                self.storage.discard(position, count)

    def flush(self) -> None:
        self.list_blocks()
        self.storage.flush()

    def close(self) -> None:
        try:
            self.list_blocks()
        finally:
            super().close()

    def layer_extents(self, offset: int, length: int) -> Iterator[Extent]:
        self.check_range(offset, length)
        return merge(self._extents(offset, length))

    def prefetch(self, offset: int, length: int) -> None:
        self.check_range(offset, length)
        for _, count, position in self._pieces(offset, length):
            if position >= 0:
                self.storage.prefetch(position, count)

    # Where blocks lie.

    def _place(self, offset: int, length: int) -> int:
        """Where the range lies, if it is in one block and in the file: the short way for small reads and writes."""
        block, within = divmod(offset, self.block_size)
        if not length or within + length > self.block_size:
            return NOWHERE
        with self.lock:
            position = self.locate(block)
        return position + within if 0 <= position <= self.storage.size - within - length else NOWHERE

    def _extents(self, offset: int, length: int) -> Iterator[Extent]:
        nowhere = ZERO if self.missing_is_zero else HOLE
        for start, count, position in self._iterate(offset, length):
            if position + count > self.storage.size and position >= 0:
                yield Extent(start, count, DATA)  # whoever reads it is told
            elif position >= 0:
                yield Extent(start, count, DATA, 0, self.storage, position)
            else:
                yield Extent(start, count, {NOWHERE: nowhere, ZEROES: ZERO, PACKED: COMPRESSED}[position])

    def _pieces(self, offset: int, length: int) -> Iterator[Piece]:
        """The range in runs that lie in one piece (a PACKED block each); raises where one is not in the file."""
        for piece in self._iterate(offset, length):
            start, count, position = piece
            if position + count > self.storage.size and position >= 0:
                raise CorruptImage(
                    f"the block at {start} of the disk should lie at {position:#x}, which is not in the file",
                    path=self.filename,
                    structure=self.table_name,
                    offset=self.entry_offset(start // self.block_size),
                    hint="The file was cut short, or its tables are damaged.",
                )
            yield piece

    def _iterate(self, offset: int, length: int) -> Iterator[Piece]:
        runs = self.runs(offset, length)
        while True:
            with self.lock:
                found = list(islice(runs, RUNS_AT_ONCE))
            if not found:
                return
            yield from found

    def _single_blocks(self, offset: int, length: int) -> Iterator[Piece]:
        """The range block by block, but for those that are known to be absent together."""
        size, end = self.block_size, offset + length
        while offset < end:
            block, within = divmod(offset, size)
            position = self.locate(block)
            stop = block + 1 if position != NOWHERE else self.absent_until(block)
            count = min(stop * size, end) - offset
            yield offset, count, position + within if position >= 0 else position
            offset += count

    def _write_new(self, start: int, data: memoryview) -> None:
        """Store `data` in a run of blocks, of which some may have got a place meanwhile."""
        with self.lock:
            for at, count, position in list(self.runs(start, len(data))):
                part = data[at - start : at - start + count]
                if position >= 0:
                    self.storage.write(position, part)
                else:
                    self.add_run(at, part)

    def list_later(self, block: int, count: int) -> None:
        """New blocks are in the file, and in the table in memory. Called under the lock."""
        if self.unlisted and sum(self.unlisted[-1]) == block:
            block, before = self.unlisted.pop()
            count += before
        self.unlisted.append((block, count))
        if len(self.unlisted) > MAX_UNLISTED:
            self.list_blocks()

    def list_blocks(self) -> None:
        """Have the file's table point to all blocks, once they are on stable storage."""
        with self.lock:
            if self.unlisted:
                self.storage.flush()
                for block, count in self.unlisted:
                    self.write_entries(block, count)
                self.unlisted.clear()

    def _check_write(self, offset: int, length: int) -> None:
        if self.read_only:
            self.refuse_write()
        self.check_range(offset, length)


def _joined(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Neighbours that lie in one piece, or nowhere alike, as one."""
    held: Piece | None = None
    for piece in pieces:
        if held is not None:
            start, length, position = held
            expected = position + length if position >= 0 else position
            if piece[2] == expected != PACKED:
                held = (start, length + piece[1], position)
                continue
            yield held
        held = piece
    if held is not None:
        yield held
