"""A node: anything that behaves like a disk.

Formats, protocols and filters are all nodes, and whoever uses a disk (a command, a server, a shell, an
emulated controller) holds a node and does not know which kind. A node has seven verbs:

    readinto  write  zero  discard  flush  extents  prefetch

They are positional and synchronous, count in bytes, and may be called from several threads. A range must
lie within [0, size); `Node` checks that in `check_range`, and formats call it first.

`Filter` passes all seven through to the node below: a filter overrides only what it changes.
"""

from __future__ import annotations

from imgtools.block.cached import lend_nothing
from imgtools.block.extent import DATA, HOLE, Extent, clip
from imgtools.errors import OutOfBounds, ReadOnly, UnsupportedFeature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from typing import Any, Self

    from imgtools.block.cached import CachedReader
    from imgtools.block.extent import Columns

    Buffer = bytes | bytearray | memoryview
    Change = tuple[int, int, memoryview | None]
    """Of a disk: offset, length, and what is to be there (None: zeroes)."""

ZEROES = bytes(1 << 16)
LARGE_PIECE = 64 << 10
"""Bytes of a buffer, on average, that are worth a read of their own."""
LIMITS = {"request-alignment": 1, "max-iov": 1024, "min-mem-alignment": 1, "opt-mem-alignment": 4096}
"""What bounds a request where no node says more: nothing, but buffers on page boundaries are read into faster."""


def fill_zero(buffer: memoryview) -> None:
    """Overwrite `buffer` with zeroes, without an allocation of its size."""
    for start in range(0, len(buffer), len(ZEROES)):
        piece = buffer[start : start + len(ZEROES)]
        piece[:] = ZEROES[: len(piece)]


def cut(pieces: list[memoryview], length: int) -> tuple[list[memoryview], list[memoryview]]:
    """The first `length` bytes of several buffers, and the rest."""
    left = length
    for number, piece in enumerate(pieces):
        if left < len(piece):
            head = [*pieces[:number], piece[:left]] if left else pieces[:number]
            return head, [piece[left:], *pieces[number + 1 :]]
        left -= len(piece)
    return pieces, []


def spread(data: memoryview, pieces: list[memoryview]) -> None:
    """Fill several buffers with `data`, one behind the other."""
    place = 0
    for piece in pieces:
        following = place + len(piece)
        piece[:] = data[place:following]
        place = following


class Node:
    """A disk of `size` bytes. Subclasses override the verbs that they can do better, or at all."""

    driver = "node"
    """The name of the kind of node, as in `-f`."""
    fixed_layout = False
    """Whether bytes have their place in the file from the start, so that it does not matter which come first."""
    starts_as_zeroes = True
    """Whether a new image, or a new file, reads as zeroes before anything is written."""
    described: dict[str, Any] | None = None
    """The options that lead to this node and those below it, where it was opened by the graph."""
    plain_name: str | None = None
    """The file name, with or without a protocol, that does the same, where one does."""

    def __init__(self, filename: str, size: int, *, read_only: bool = True) -> None:
        self.filename = filename
        self.size = size
        self.read_only = read_only
        self.children: dict[str, Node] = {}

    # The seven verbs.

    def readinto(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` with the bytes at `offset`."""
        raise NotImplementedError

    def write(self, offset: int, data: Buffer) -> None:
        """Store `data` at `offset`. Durable only after `flush`."""
        self.refuse_write()

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        """Make the range read as zeroes; give its space back where `unmap` allows and the node can."""
        self.check_range(offset, length)
        for start in range(offset, offset + length, len(ZEROES)):
            self.write(start, ZEROES[: offset + length - start])

    def discard(self, offset: int, length: int) -> None:
        """The range is of no use any more. A hint: what it reads as afterwards is the node's choice."""

    def flush(self) -> None:
        """Return when everything written before is on stable storage."""

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        """What lies in the range: extents in order, without gaps, that cover exactly the range."""
        if length:
            yield Extent(offset, length, DATA)

    def columns(self, offset: int, length: int) -> Iterator[Extent | Columns]:
        """As `extents`; a node may give millions of them in columns, which have no neighbours to be joined with."""
        return self.extents(offset, length)

    def prefetch(self, offset: int, length: int) -> None:
        """The range will be read soon. A hint."""

    # What everyone needs around them.

    def readv(self, offset: int, length: int, pieces: list[memoryview]) -> None:
        """Fill several buffers, of `length` bytes together, one behind the other.

        Small ones are filled from one read where a node has no way without a copy.
        """
        if length >= LARGE_PIECE * len(pieces):
            for piece in pieces:
                self.readinto(offset, piece)
                offset += len(piece)
            return
        buffer = memoryview(bytearray(length))
        self.readinto(offset, buffer)
        spread(buffer, pieces)

    def cached_reader(self) -> CachedReader:
        """Functions for many small reads inside the disk.

        `read(offset, buffer)` does as `readinto` if that need not wait for a device; if it would, it returns False,
        with nothing of use in the buffer. A node that cannot tell reads, and waits. `lend(offset, length)` is memory
        with the bytes, for system calls alone (see block/cached.py), or None where none is at hand.
        """

        def read(offset: int, buffer: memoryview) -> bool:
            self.readinto(offset, buffer)
            return True

        return read, lend_nothing

    def apply(self, changes: Iterable[Change]) -> None:
        """Write or zero ranges that do not overlap; a node that would wait for each may do them together."""
        for offset, length, data in changes:
            if data is None:
                self.zero(offset, length)
            else:
                self.write(offset, data)

    def read(self, offset: int, length: int) -> bytes:
        """The bytes of a range as a new object; `readinto` is the way that does not copy."""
        buffer = bytearray(length)
        self.readinto(offset, memoryview(buffer))
        return bytes(buffer)

    def close(self) -> None:
        """Write back what is held and let the children go. Closing twice is harmless."""
        for child in self.children.values():
            child.close()

    def check_range(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise OutOfBounds(
                f"range {offset}+{length} is outside the disk of {self.size} bytes",
                path=self.filename,
                offset=offset,
            )

    def refuse_write(self) -> None:
        """Raise: this node takes no writes."""
        if self.read_only:
            raise ReadOnly("image is read-only", path=self.filename)
        raise UnsupportedFeature(f"{self.driver} cannot be written", path=self.filename)

    @property
    def allocated_size(self) -> int | None:
        """Bytes that the node's own file takes on the host, where that is known; other images and data files do not
        count, nor with qemu-img."""
        sizes = [child.allocated_size for name, child in self.children.items() if name not in ("backing", "data-file")]
        known = [size for size in sizes if size is not None]
        return sum(known) if known else None

    @property
    def backing(self) -> Node | None:
        """The node that unallocated ranges are read from."""
        return self.children.get("backing")

    @property
    def unfiltered(self) -> Node:
        """The node that filters stand in front of: this one where it is none."""
        return self

    @property
    def shown_name(self) -> str:
        """What to open to have this node again: a file name, or a json: one where no other can say it."""
        if self.plain_name is not None or self.described is None:
            return self.plain_name or self.filename
        from imgtools.block.json_names import on_one_line

        return "json:" + on_one_line(self.described)

    def details(self) -> dict[str, Any]:
        """The format's own facts, as the `data` of `info`'s "format-specific"; empty where there are none."""
        return {}

    def limits(self) -> dict[str, int]:
        """What requests had better keep to, in bytes, under the names of QEMU's BlockLimitsInfo. Others work, too: they
        are split, or widened to what is around them."""
        return dict(LIMITS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        mode = "ro" if self.read_only else "rw"
        return f"<{self.driver} {self.filename!r} {self.size} bytes {mode}>"


class Storage(Node):
    """A node at the bottom of a tree: bytes that can also grow and shrink, as a file's can.

    Reads past the end give zeroes (`read` gives less, `read_whole` does not), writes past the end make it grow.
    """

    listens = False
    """Whether `event` does anything, here or below."""

    def read_whole(self, offset: int, length: int) -> bytes:
        """As `read`, with zeroes for what is past the end."""
        return self.read(offset, length).ljust(length, b"\0")

    def writev(self, offset: int, pieces: list[Buffer]) -> None:
        """Store several buffers, one behind the other."""
        self.write(offset, b"".join(pieces))

    def truncate(self, size: int) -> None:
        """Cut at `size` bytes, or grow by a hole."""
        self.refuse_write()

    def allocate(self, offset: int, length: int) -> None:
        """Reserve space for the range, growing where it lies past the end."""
        self.refuse_write()

    def event(self, name: str) -> None:
        """The format above is about to do what `name` says, in QEMU's words (see filters/blkdebug). Nothing here."""


class Filter(Storage):
    """A node in front of one other: passes every verb on. It may stand above a disk or above a file."""

    def __init__(self, child: Node) -> None:
        self.child = child
        super().__init__(child.filename, child.size, read_only=child.read_only)
        self.children["file"] = child
        self.fixed_layout = child.fixed_layout
        self.listens = isinstance(child, Storage) and child.listens

    @property
    def size(self) -> int:
        """As large as what is below, also when that has grown."""
        return self.child.size

    @size.setter
    def size(self, size: int) -> None:
        """Only what is below has a size."""

    @property
    def unfiltered(self) -> Node:
        return self.child.unfiltered

    def limits(self) -> dict[str, int]:
        return self.child.limits()

    @property
    def cluster_size(self) -> int | None:
        """Bytes of a cluster of the format below, where it has such."""
        return getattr(self.child, "cluster_size", None)

    def readinto(self, offset: int, buffer: memoryview) -> None:
        self.child.readinto(offset, buffer)

    def readv(self, offset: int, length: int, pieces: list[memoryview]) -> None:
        """By the child, unless the filter has something to do with what is read."""
        if type(self).readinto is Filter.readinto:
            self.child.readv(offset, length, pieces)
        else:
            super().readv(offset, length, pieces)

    def read(self, offset: int, length: int) -> bytes:
        """As Node.read; short past the end where the child is a file."""
        if isinstance(self.child, Storage):
            length = max(0, min(length, self.size - offset))
        return super().read(offset, length)

    def write(self, offset: int, data: Buffer) -> None:
        self.child.write(offset, data)

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        self.child.zero(offset, length, unmap=unmap)

    def discard(self, offset: int, length: int) -> None:
        self.child.discard(offset, length)

    def flush(self) -> None:
        self.child.flush()

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        return self.child.extents(offset, length)

    def prefetch(self, offset: int, length: int) -> None:
        self.child.prefetch(offset, length)

    def truncate(self, size: int) -> None:
        self._storage.truncate(size)

    def allocate(self, offset: int, length: int) -> None:
        self._storage.allocate(offset, length)

    def event(self, name: str) -> None:
        if isinstance(self.child, Storage):
            self.child.event(name)

    @property
    def _storage(self) -> Storage:
        if not isinstance(self.child, Storage):
            raise UnsupportedFeature(f"{self.child.driver} cannot grow or shrink as a file does", path=self.filename)
        return self.child


class Layer(Node):
    """A node that may hold only part of its disk and defers to a backing node for the rest.

    A subclass answers `layer_extents`, in which HOLE means "not in this layer"; `extents` and `read_below`
    then look through the chain. A backing node may be shorter than this one: past its end are zeroes.
    """

    def layer_extents(self, offset: int, length: int) -> Iterator[Extent]:
        """What this layer alone has in the range."""
        raise NotImplementedError

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        below = self.backing
        if below is None:
            yield from self.layer_extents(offset, length)
            return
        for extent in self.layer_extents(offset, length):
            if extent.kind != HOLE:
                yield extent
                continue
            end = extent.start + extent.length
            shared = min(end, below.size)
            if extent.start < shared:
                for deeper in below.extents(extent.start, shared - extent.start):
                    yield deeper._replace(depth=deeper.depth + 1)
            if shared < end:
                yield clip(extent, max(shared, extent.start), end)

    def follow_backing(self) -> None:
        """The backing node is about to be given what this disk reads already: an image that knows its backing file
        by an ID of its content takes the new one for it."""

    def read_below(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` with what an unallocated range reads as."""
        below = self.backing
        shared = 0 if below is None else max(0, min(len(buffer), below.size - offset))
        if below is not None and shared:
            below.readinto(offset, buffer[:shared])
        fill_zero(buffer[shared:])

    def readv_below(self, offset: int, length: int, pieces: list[memoryview]) -> None:
        """As `read_below`, for several buffers."""
        below = self.backing
        if below is not None and offset + length <= below.size:
            below.readv(offset, length, pieces)
        else:
            super().readv(offset, length, pieces)
