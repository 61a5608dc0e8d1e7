"""A file or a block device of the host.

Reads past the end of the file give zeroes, as everywhere in this field: the last cluster of an image may be
cut short. Writes past the end make the file grow. `extents` asks the file system where its holes are.
"""

from __future__ import annotations

import errno
import os
import stat

from imgtools.block.cached import cached_reader
from imgtools.block.driver import Driver, Option
from imgtools.block.extent import DATA, ZERO, Extent
from imgtools.block.locks import lock_image, unlock_image
from imgtools.block.node import ZEROES, Storage, fill_zero
from imgtools.errors import AccessDenied, BadOption, ImageError, InputOutput, NotFound, from_os_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from imgtools.block.cached import CachedReader
    from imgtools.block.graph import Context
    from imgtools.block.node import Buffer, Node

LARGE_WRITE = 256 << 10
"""From this size on, a write's space is reserved first."""
CACHE_MODES = ("none", "writeback", "writethrough", "directsync", "unsafe")
DIRECT_MODES = ("none", "directsync")
"""Those in which the host's page cache is left out, elsewhere; here they are accepted."""
AIO_MODES = ("threads", "native", "io_uring")
MAX_PIECES = 1024
"""Buffers of a system call (IOV_MAX)."""
BLKGETSIZE64 = 0x80081272
"""_IOR(0x12, 114, size_t) on Linux."""


class FileNode(Storage):
    """An open file. `cache` is one of CACHE_MODES: "unsafe" turns `flush` off, "writethrough" flushes each write."""

    driver = "file"

    def __init__(self, filename: str, fd: int, *, read_only: bool, cache: str = "writeback") -> None:
        mode = os.fstat(fd).st_mode
        self.is_device = stat.S_ISBLK(mode) or stat.S_ISCHR(mode)
        self.starts_as_zeroes = not self.is_device
        super().__init__(filename, _length_of(fd, mode), read_only=read_only)
        if self.is_device:
            self.driver = "host_device"
        self.fd = fd
        self.cache = cache
        self._reserves: bool | None = None
        self._mapped = 0
        """The size up to which the file was mapped, or could not be."""
        self._pages = memoryview(b"")

    def readinto(self, offset: int, buffer: memoryview) -> None:
        got = 0
        try:
            got = os.preadv(self.fd, [buffer], offset)
            while got < len(buffer):
                more = os.preadv(self.fd, [buffer[got:]], offset + got)
                if not more:
                    fill_zero(buffer[got:])
                    return
                got += more
        except OSError as error:
            raise self._failure(error, "read", offset + got) from error

    def readv(self, offset: int, length: int, pieces: list[memoryview]) -> None:
        for first in range(0, len(pieces), MAX_PIECES):
            group = pieces[first : first + MAX_PIECES]
            size = length if len(pieces) <= MAX_PIECES else sum(map(len, group))
            try:
                got = os.preadv(self.fd, group, offset)
            except OSError as error:
                raise self._failure(error, "read", offset) from error
            if got < size:
                super().readv(offset, size, group)
            offset += size

    def cached_reader(self) -> CachedReader:
        return cached_reader(self)

    def pages(self) -> memoryview:
        """The file as memory, as far as it went some time ago; it is not to be touched (see block/cached.py)."""
        if self.size - self._mapped >= (self._mapped >> 3 or 1) and not self.is_device:
            import mmap

            self._mapped = self.size
            try:
                self._pages = memoryview(mmap.mmap(self.fd, os.fstat(self.fd).st_size, access=mmap.ACCESS_READ))
            except (OSError, ValueError):
                self._pages = memoryview(b"")  # a file system that has no such memory, or an empty file
        return self._pages

    def read(self, offset: int, length: int) -> bytes:
        """As Node.read, but past the end of the file the answer is short and not padded."""
        pieces = []
        try:
            while length:
                piece = os.pread(self.fd, length, offset)
                if not piece:
                    break
                pieces.append(piece)
                offset += len(piece)
                length -= len(piece)
        except OSError as error:
            raise self._failure(error, "read", offset) from error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def write(self, offset: int, data: Buffer) -> None:
        if len(data) >= LARGE_WRITE and self._reserves is not False:
            self._reserve(offset, len(data))
        try:
            done = os.pwrite(self.fd, data, offset)
            if done < len(data):
                rest = memoryview(data).cast("B")
                while done < len(rest):
                    done += os.pwrite(self.fd, rest[done:], offset + done)
        except OSError as error:
            raise self._failure(error, "write", offset) from error
        if offset + done > self.size:
            self.size = offset + done

    def writev(self, offset: int, pieces: list[Buffer]) -> None:
        """Write several buffers one behind the other in one call."""
        total = sum(map(len, pieces))
        try:
            done = os.pwritev(self.fd, pieces, offset) if len(pieces) < MAX_PIECES else 0
        except OSError as error:
            raise self._failure(error, "write", offset) from error
        if done < total:
            self.write(offset, b"".join(pieces))
        elif offset + total > self.size:
            self.size = offset + total

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        if not length:
            return
        end = offset + length
        if unmap and not self.is_device and self._punch(offset, min(end, self.size) - offset):
            if end > self.size:
                self.truncate(end)
            return
        for start in range(offset, end, len(ZEROES)):
            self.write(start, ZEROES[: end - start])

    def discard(self, offset: int, length: int) -> None:
        if not self.is_device:
            self._punch(offset, min(offset + length, self.size) - offset)

    def flush(self) -> None:
        if self.cache == "unsafe" or self.read_only:
            return
        try:
            os.fdatasync(self.fd) if hasattr(os, "fdatasync") else os.fsync(self.fd)
        except OSError as error:
            raise self._failure(error, "flush", None) from error

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        end = offset + length
        while offset < end:
            kind, stop = self._run_at(offset)
            stop = min(stop, end)
            yield Extent(offset, stop - offset, kind, 0, self, offset)
            offset = stop

    def prefetch(self, offset: int, length: int) -> None:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self.fd, offset, length, os.POSIX_FADV_WILLNEED)

    def truncate(self, size: int) -> None:
        """Cut the file at `size` bytes, or let it grow by a hole."""
        if self.is_device:
            if size > self.size:
                raise InputOutput("Cannot grow device files", path=self.filename, errno=errno.EINVAL)
            return
        try:
            os.ftruncate(self.fd, size)
        except OverflowError as error:
            raise self._failure(OSError(errno.EINVAL, os.strerror(errno.EINVAL)), "resize", None) from error
        except OSError as error:
            raise self._failure(error, "resize", None) from error
        self.size = size

    def allocate(self, offset: int, length: int) -> None:
        """Reserve disk space for the range; what was past the end reads as zeroes."""
        try:
            os.posix_fallocate(self.fd, offset, length)
        except OSError as error:
            raise self._failure(error, "allocate space in", offset) from error
        self.size = max(self.size, offset + length)

    def close(self) -> None:
        if self.fd >= 0:
            if self._pages:
                self._pages = memoryview(b"")
                unlock_image(self.fd)  # memory that is still lent keeps the file open, but not its locks
            os.close(self.fd)
            self.fd = -1

    @property
    def allocated_size(self) -> int | None:
        return os.fstat(self.fd).st_blocks * 512 if not self.is_device else 0

    def _run_at(self, offset: int) -> tuple[str, int]:
        """The kind of what is at `offset` and where it ends, from the file system's own map."""
        if offset >= self.size:
            return ZERO, 1 << 63
        try:
            data = os.lseek(self.fd, offset, os.SEEK_DATA)
            if data > offset:
                return ZERO, data
            return DATA, os.lseek(self.fd, offset, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return ZERO, self.size
            return DATA, self.size  # a file system or device that has no map

    def _punch(self, offset: int, length: int) -> bool:
        if length <= 0:
            return True
        from imgtools.block.protocols.fallocate import punch_hole

        return punch_hole(self.fd, offset, length)

    def _reserve(self, offset: int, length: int) -> None:
        """Allocate the space of a large write in one go, where that is quicker than page by page."""
        from imgtools.block.protocols.fallocate import gains_from_reserving, reserve

        if self._reserves is None:
            self._reserves = not self.is_device and gains_from_reserving(self.fd)
        if self._reserves:
            self._reserves = reserve(self.fd, offset, length)

    def _failure(self, error: OSError, verb: str, offset: int | None) -> ImageError:
        if error.errno == errno.ENOSPC:
            return InputOutput(
                os.strerror(errno.ENOSPC),
                path=self.filename,
                offset=offset,
                errno=errno.ENOSPC,
                hint=f"The file system of '{self.filename}' is full.",
            )
        failure = from_os_error(error, f"could not {verb} '{self.filename}'", self.filename)
        failure.offset = offset
        return failure


def open_file(
    path: str, *, writable: bool = False, cache: str = "writeback", share: bool = False, lock: bool = True
) -> FileNode:
    """Open an existing file. `share` opens it although another process holds its write lock (for reading)."""
    flags = (os.O_RDWR if writable else os.O_RDONLY) | getattr(os, "O_CLOEXEC", 0)
    if cache in ("writethrough", "directsync"):
        flags |= getattr(os, "O_DSYNC", 0)
    try:
        if stat.S_ISFIFO(os.stat(path).st_mode):
            raise _not_a_disk(path)  # opening it would wait for whoever writes to it
        fd = os.open(path, flags)
    except OSError as error:
        raise from_os_error(error, f"Could not open '{path}'", path) from error
    except ValueError as error:
        raise NotFound(f"Could not open {path!r}: no file can have this name", path=path) from error
    return _ready(path, fd, writable, cache, lock and not share)


def create_file(path: str, *, cache: str = "writeback") -> FileNode:
    """Make an empty file, or empty the one that is there once its lock has been taken."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
    except OSError as error:
        raise from_os_error(error, f"Could not create '{path}'", path) from error
    except ValueError as error:
        raise NotFound(f"Could not create {path!r}: no file can have this name", path=path) from error
    node = _ready(path, fd, True, cache, True)
    if not node.is_device:
        node.truncate(0)
    return node


def _ready(path: str, fd: int, writable: bool, cache: str, lock: bool) -> FileNode:
    try:
        mode = os.fstat(fd).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode) or stat.S_ISCHR(mode)):
            raise _not_a_disk(path)
        if lock and stat.S_ISREG(mode):
            lock_image(fd, path, writable=writable)
        return FileNode(path, fd, read_only=not writable, cache=cache)
    except BaseException:
        os.close(fd)
        raise


def _not_a_disk(path: str) -> ImageError:
    return AccessDenied(f"'file' driver requires '{path}' to be a regular file", path=path, errno=errno.EISDIR)


def _length_of(fd: int, mode: int) -> int:
    if stat.S_ISBLK(mode):
        import fcntl

        return int.from_bytes(fcntl.ioctl(fd, BLKGETSIZE64, bytes(8)), "little")
    return os.fstat(fd).st_size


class FileDriver(Driver):
    """A file of the host, or a device of it."""

    name = "file"
    is_protocol = True
    children = ()
    open_options = (
        Option("filename", "text", "the path of the file", identity=True),
        Option("locking", "text", "lock the file against other processes", choices=("auto", "on", "off")),
        Option("aio", "text", "accepted: how requests are made", choices=AIO_MODES),
        Option("aio-max-batch", "int", "accepted: how many requests are made at once"),
        Option("drop-cache", "bool", "accepted: whether the host's cache is dropped after a migration"),
        Option("x-check-cache-dropped", "bool", "accepted, like drop-cache"),
    )

    def open_node(self, children: dict[str, Node], context: Context) -> Node:
        path = context.options.get("filename")
        if not path:
            raise BadOption(f"The '{self.name}' block driver requires a file name")
        if context.options.get("locking") == "off":
            context.share = True
        storage = context.open_storage(path)
        if context.options.get("aio", context.aio) == "native" and not context.direct:
            storage.close()
            raise BadOption("aio=native was specified, but it requires cache.direct=on, which was not specified.")
        return storage

    def parse_name(self, name: str) -> dict[str, str]:
        return {"filename": name.removeprefix(f"{self.name}:")}

    def plain_name(self, options: dict[str, Any], children: dict[str, Node]) -> str | None:
        path: str = options["filename"]
        return path


class HostDeviceDriver(FileDriver):
    """A block or character device of the host; nothing else."""

    name = "host_device"

    def open_node(self, children: dict[str, Node], context: Context) -> Node:
        node = super().open_node(children, context)
        if not getattr(node, "is_device", False):
            node.close()
            raise AccessDenied(
                f"'host_device' driver requires '{node.filename}' to be either a character or block device",
                path=node.filename,
            )
        return node


DRIVERS = (FileDriver(), HostDeviceDriver())
