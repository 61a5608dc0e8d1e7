"""What the extents of a VMDK have in common, and the two kinds that need no tables: flat and zero.

An extent is one contiguous part of the disk and lies in one file. Its methods count bytes from its own
beginning; only `layer_extents` answers in the disk's bytes, as everybody above expects.
"""

from __future__ import annotations

from imgtools.block.extent import ZERO, Extent
from imgtools.block.node import fill_zero
from imgtools.errors import ReadOnly

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgtools.block.node import Buffer, Layer, Storage

SECTOR = 512


class DiskExtent:
    """`length` bytes of a disk, from its byte `start`, kept in `storage`; `kind` is what the descriptor calls it."""

    kind = ""
    grain: int | None = None
    """Bytes of a grain, where the extent has grains."""
    compressed = False
    writable = True

    start: int
    disk: Layer

    def __init__(self, storage: Storage | None, length: int) -> None:
        self.storage = storage
        self.length = length

    def join(self, disk: Layer, start: int) -> None:
        """Become the part of `disk` that begins at its byte `start`."""
        self.disk = disk
        self.start = start

    @property
    def path(self) -> str:
        return self.storage.filename if self.storage else self.disk.filename

    def layer_extents(self, offset: int, length: int) -> Iterator[Extent]:
        """What lies in the range, in bytes of the disk; HOLE where this extent has nothing."""
        raise NotImplementedError

    def readinto(self, offset: int, buffer: memoryview) -> None:
        raise NotImplementedError

    def write(self, offset: int, data: Buffer) -> None:
        raise ReadOnly(f"extent '{self.path}' cannot be written", path=self.path)

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        raise ReadOnly(f"extent '{self.path}' cannot be written", path=self.path)

    def discard(self, offset: int, length: int) -> None:
        """Nothing, unless the extent can give space back."""

    def flush(self) -> None:
        """Write back what is held in memory and wait until all of it is on stable storage."""

    def write_back(self) -> None:
        """Write back what is held in memory, if anything is."""


class FlatExtent(DiskExtent):
    """FLAT, VMFS: the bytes of a file from `offset` on."""

    storage: Storage

    def __init__(self, storage: Storage, offset: int, length: int) -> None:
        super().__init__(storage, length)
        self.offset = offset

    def layer_extents(self, offset: int, length: int) -> Iterator[Extent]:
        moved = self.start - self.offset
        for extent in self.storage.extents(self.offset + offset, length):
            yield extent._replace(start=extent.start + moved)

    def readinto(self, offset: int, buffer: memoryview) -> None:
        self.storage.readinto(self.offset + offset, buffer)

    def write(self, offset: int, data: Buffer) -> None:
        self.storage.write(self.offset + offset, data)

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        self.storage.zero(self.offset + offset, length, unmap=unmap)

    def discard(self, offset: int, length: int) -> None:
        self.storage.discard(self.offset + offset, length)

    def flush(self) -> None:
        self.storage.flush()


class ZeroExtent(DiskExtent):
    """ZERO: a part of the disk that is all zeroes and has no file."""

    kind = "ZERO"
    writable = False

    def __init__(self, length: int) -> None:
        super().__init__(None, length)

    def layer_extents(self, offset: int, length: int) -> Iterator[Extent]:
        if length:
            yield Extent(self.start + offset, length, ZERO)

    def readinto(self, offset: int, buffer: memoryview) -> None:
        fill_zero(buffer)

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        """It is zero already."""
