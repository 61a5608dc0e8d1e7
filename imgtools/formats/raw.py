"""raw: the file is the disk, byte for byte.

Options when opened: `offset` and `size` (bytes) show a window of the file. A file that is no multiple of 512
bytes long is rounded up to a sector; what lies past its end reads as zeroes.
"""

from __future__ import annotations

from imgtools.align import round_up
from imgtools.block.format import Format, Measure, Option, Resizable
from imgtools.block.node import Filter, Node
from imgtools.errors import AccessDenied, BadOption, OutOfBounds, UnsupportedFeature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from imgtools.block.cached import CachedReader
    from imgtools.block.extent import Extent
    from imgtools.block.graph import Context
    from imgtools.block.node import Buffer, Change, Storage

SECTOR = 512
FIRST_BLOCK = 4096


class RawNode(Node, Resizable):
    """The bytes of `storage` from `window_start`, `size` of them."""

    driver = "raw"
    fixed_layout = True

    def __init__(self, storage: Storage, *, window_start: int = 0, size: int | None = None) -> None:
        length = round_up(max(0, storage.size - window_start), SECTOR) if size is None else size
        super().__init__(storage.filename, length, read_only=storage.read_only)
        self.storage = storage
        self.children["file"] = storage
        self.window_start = window_start
        self.is_window = window_start > 0 or size is not None

    def readinto(self, offset: int, buffer: memoryview) -> None:
        self.check_range(offset, len(buffer))
        self.storage.readinto(self.window_start + offset, buffer)

    def readv(self, offset: int, length: int, pieces: list[memoryview]) -> None:
        self.check_range(offset, length)
        self.storage.readv(self.window_start + offset, length, pieces)

    def cached_reader(self) -> CachedReader:
        (read, lend), start = self.storage.cached_reader(), self.window_start
        if not start:
            return read, lend
        return lambda offset, buffer: read(start + offset, buffer), lambda offset, length: lend(start + offset, length)

    def write(self, offset: int, data: Buffer) -> None:
        self._check_write(offset, len(data))
        self.storage.write(self.window_start + offset, data)

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        self._check_write(offset, length)
        self.storage.zero(self.window_start + offset, length, unmap=unmap)

    def apply(self, changes: Iterable[Change]) -> None:
        def checked() -> Iterator[Change]:
            for offset, length, data in changes:
                self._check_write(offset, length)
                yield self.window_start + offset, length, data

        self.storage.apply(checked())

    def discard(self, offset: int, length: int) -> None:
        self._check_write(offset, length)
        self.storage.discard(self.window_start + offset, length)

    def flush(self) -> None:
        self.storage.flush()

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        self.check_range(offset, length)
        start = self.window_start
        for extent in self.storage.extents(start + offset, length):
            yield extent._replace(start=extent.start - start)

    def prefetch(self, offset: int, length: int) -> None:
        self.storage.prefetch(self.window_start + offset, length)

    def limits(self) -> dict[str, int]:
        return self.storage.limits()

    def resize(self, size: int, preallocation: str = "off") -> None:
        if self.is_window:
            raise BadOption("Cannot resize fixed-size raw disks", path=self.filename)
        old = self.size
        if size != old and getattr(self.storage, "is_device", False):
            raise UnsupportedFeature("Cannot resize device files", path=self.filename)
        if preallocation != "off" and size < old:
            raise BadOption("Preallocation can't be used for shrinking files", path=self.filename)
        grow(self.storage, old, size, preallocation)
        self.size = round_up(size, SECTOR)

    def _check_write(self, offset: int, length: int) -> None:
        if self.read_only:
            self.refuse_write()
        self.check_range(offset, length)


class GuessedRaw(Filter, Resizable):
    """A raw disk whose format was only guessed: nothing may be written to its first sector that makes it look
    like another format, or a guest could have the host open other files the next time."""

    driver = "raw"

    def write(self, offset: int, data: Buffer) -> None:
        from imgtools.block.registry import probe

        if offset < SECTOR:
            head = bytes(offset) + bytes(data[: SECTOR - offset])
            if probe(head) != "raw":
                raise AccessDenied(
                    "the first sector of a disk whose raw format was guessed may not hold another format's header",
                    path=self.filename,
                    offset=offset,
                    hint="Name the format: -f raw.",
                )
        self.child.write(offset, data)

    def resize(self, size: int, preallocation: str = "off") -> None:
        assert isinstance(self.child, Resizable)
        self.child.resize(size, preallocation)
        self.size = self.child.size

    @property
    def allocated_size(self) -> int | None:
        return self.child.allocated_size


def grow(storage: Storage, old: int, size: int, preallocation: str) -> None:
    """Bring a file from `old` to `size` bytes; `preallocation` is off, falloc (reserve) or full (write zeroes)."""
    if preallocation == "metadata":
        raise UnsupportedFeature("Unsupported preallocation mode: metadata", path=storage.filename)
    storage.truncate(size)
    if not old:
        # Never one single hole: programs probe a file's block size by reading its start. QEMU's are like this too.
        storage.write(0, bytes(min(size, FIRST_BLOCK)))
    if preallocation == "falloc" and size > old:
        storage.allocate(old, size - old)
    elif preallocation == "full":
        storage.zero(old, size - old, unmap=False)


def _check_window(start: int, size: int | None, storage: Storage) -> None:
    if start > storage.size:
        raise OutOfBounds(
            f"Offset ({start}) cannot be greater than size of the containing file ({storage.size})",
            path=storage.filename,
        )
    if size is not None and size % SECTOR:
        raise BadOption(f"Specified size is not multiple of {SECTOR}", path=storage.filename)
    if size is not None and start + size > storage.size:
        raise OutOfBounds(
            f"The sum of offset ({start}) and size ({size}) has to be smaller or equal to the "
            f" actual size of the containing file ({storage.size})",
            path=storage.filename,
        )


class Raw(Format):
    name = "raw"
    open_options = (
        Option("offset", "size", "where in the file the disk begins", identity=True),
        Option("size", "size", "bytes of the disk", identity=True),
    )
    create_options = (Option("size", "size", "Virtual disk size"),)

    def open(self, storage: Storage, context: Context) -> RawNode:
        start, size = context.options.get("offset", 0), context.options.get("size")
        _check_window(start, size, storage)
        return RawNode(storage, window_start=start, size=size)

    def create(self, path: str, size: int, options: dict[str, Any], context: Context) -> None:
        storage = context.create_storage(path)
        with storage:
            grow(storage, 0, round_up(size, SECTOR), options.get("preallocation") or "off")

    def measure(self, source: Node | None, size: int, options: dict[str, Any]) -> Measure:
        total = round_up(source.size if source else size, SECTOR)
        return Measure(total, total)


FORMAT = Raw()
