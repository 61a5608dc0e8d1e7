"""A directory of disks for the kernel, by libfuse's high-level interface (mfusepy).

A file is a node: fixed in size, as a block device is; O_TRUNC leaves its bytes alone. Read-only files are kept in
the page cache; files that can be written bypass it, because a partition and its disk are the same bytes under two
names. fsync flushes the node.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import time

from imgtools.block.extent import READS_ZERO
from imgtools.errors import ImageError, InputOutput, from_os_error
from imgtools.mount.leaving import SERVER_LINK
from imgtools.mount.library import mfusepy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from imgtools.block.node import Node

MAX_THREADS = 4
"""Requests that are worked on at a time: beyond that the interpreter's lock has them wait for each other."""
FIRST_WITH_MAX_THREADS = (3, 12)
ENDED_BY_SIGNAL = 8
"""What the library returns when its loop came to an end otherwise than by an unmount."""
ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM, errno.EROFS, errno.EOPNOTSUPP}
"""What a file's user is told as it is; all else is EIO, as of the disk below: that a server is gone, for example, is
no missing file."""
PUNCH_HOLE, ZERO_RANGE = 0x02, 0x10
"""fallocate's modes; others only reserve space."""


def serve(
    files: dict[str, Node],
    directory: str,
    *,
    name: str,
    allow_other: bool = False,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Show `files` in `directory` until it is unmounted or a signal (SIGINT, SIGTERM, SIGHUP) ends it.

    `name` is what the list of mounted file systems shows; `ready` is called once the files are there.
    """
    check_directory(directory)
    shown = name.replace("\\", "\\\\").replace(",", "\\,")
    options: dict[str, Any] = {"foreground": True, "default_permissions": True, "fsname": shown}
    options |= {"subtype": "imgtools", "allow_other": allow_other}
    if any(not node.read_only for node in files.values()):
        options["direct_io"] = True
    else:
        options |= {"kernel_cache": True, "ro": True}
    if (mfusepy.fuse_version_major, mfusepy.fuse_version_minor) >= FIRST_WITH_MAX_THREADS:
        options |= {"max_threads": MAX_THREADS, "max_idle_threads": MAX_THREADS}
    try:
        _Session(_Files(files, ready), directory, **options)
    except RuntimeError as error:
        if error.args == (ENDED_BY_SIGNAL,):
            return
        # libfuse has told why
        raise InputOutput(f"could not mount on '{directory}'", path=directory) from error


def check_directory(directory: str) -> None:
    """Raise where nothing can be mounted on `directory`."""
    try:
        os.scandir(directory).close()
    except OSError as error:
        failure = from_os_error(error, f"could not mount on '{directory}'", directory)
        if error.errno == errno.ENOTCONN:
            failure.hint = f"What was mounted there before has no server any more: imgtools umount {directory}"
        raise failure from error


class _Files(mfusepy.Operations):  # type: ignore[misc]  # the library's types are not exported
    """What the kernel asks about the files. A file's handle is its index."""

    use_ns = True

    def __init__(self, files: dict[str, Node], ready: Callable[[], None]) -> None:
        self.names = list(files)
        self.nodes = list(files.values())
        self.ready = ready
        self.mounted_at = time.time_ns()

    def init(self, path: str) -> None:
        self.ready()

    def readdir(self, path: str, handle: int) -> list[str]:
        return [".", "..", *self.names]

    def getattr(self, path: str, handle: int | None = None) -> dict[str, Any]:
        times = dict.fromkeys(("st_atime", "st_mtime", "st_ctime"), self.mounted_at)
        facts = {"st_uid": os.getuid(), "st_gid": os.getgid(), **times}
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2, **facts}
        if path == f"/{SERVER_LINK}":
            return {"st_mode": stat.S_IFLNK | 0o444, "st_nlink": 1, **facts}
        node = self.node_of(path)
        mode = stat.S_IFREG | (0o400 if node.read_only else 0o600)
        allocated = node.size if node.allocated_size is None else min(node.size, node.allocated_size)
        return {"st_mode": mode, "st_nlink": 1, "st_size": node.size, "st_blocks": allocated // 512, **facts}

    def readlink(self, path: str) -> str:
        """Of the one link, which is not listed: the process that serves the directory."""
        return str(os.getpid())

    def open(self, path: str, flags: int) -> int:
        node = self.node_of(path)
        if node.read_only and flags & os.O_ACCMODE != os.O_RDONLY:
            raise OSError(errno.EACCES, path)
        return self.nodes.index(node)

    def read(self, path: str, buffer: memoryview, offset: int, handle: int) -> int:
        """Fill `buffer`, to the end of the disk at most."""
        node = self.nodes[handle]
        length = max(0, min(len(buffer), node.size - offset))
        _carried_out(node.readinto, offset, buffer[:length])
        return length

    def write(self, path: str, data: bytes, offset: int, handle: int) -> int:
        node = self.nodes[handle]
        if offset >= node.size:
            raise OSError(errno.ENOSPC, path)
        written = min(len(data), node.size - offset)
        _carried_out(node.write, offset, data[:written])
        return written

    def truncate(self, path: str, length: int, handle: int | None = None) -> int:
        if length != self.node_of(path).size:
            raise OSError(errno.EPERM, path)
        return 0

    def fallocate(self, path: str, mode: int, offset: int, size: int, handle: int) -> int:
        node = self.nodes[handle]
        length = min(size, max(0, node.size - offset))
        if mode & (PUNCH_HOLE | ZERO_RANGE):
            _carried_out(node.zero, offset, length, unmap=bool(mode & PUNCH_HOLE))
        elif length < size:
            raise OSError(errno.ENOSPC, path)
        return 0

    def fsync(self, path: str, datasync: int, handle: int) -> int:
        _carried_out(self.nodes[handle].flush)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        return 0

    def lseek(self, path: str, offset: int, whence: int, handle: int) -> int:
        """Where the next data or the next hole begins (SEEK_DATA, SEEK_HOLE)."""
        node = self.nodes[handle]
        if not 0 <= offset < node.size:
            raise OSError(errno.ENXIO, path)
        for extent in _carried_out(node.extents, offset, node.size - offset):
            if (extent.kind in READS_ZERO) == (whence == os.SEEK_HOLE):
                return int(extent.start)
        if whence == os.SEEK_HOLE:
            return node.size
        raise OSError(errno.ENXIO, path)

    def node_of(self, path: str) -> Node:
        try:
            return self.nodes[self.names.index(path[1:])]
        except ValueError:
            raise FileNotFoundError(errno.ENOENT, path) from None


class _Session(mfusepy.FUSE):  # type: ignore[misc]
    """The library's own class, but for two calls."""

    def read(self, path: bytes | None, buffer: Any, size: int, offset: int, info: Any) -> int:
        """Without the two copies that the library makes of what is read."""
        memory = (ctypes.c_ubyte * size).from_address(ctypes.addressof(buffer.contents))
        return int(self.operations.read(path, memoryview(memory).cast("B"), offset, info.contents.fh))

    def lseek(self, path: bytes | None, offset: int, whence: int, info: Any) -> int:
        """What the library lacks."""
        return int(self.operations.lseek(path, offset, whence, info.contents.fh))


def _carried_out(verb: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
    """What a node's verb gives; its failure becomes the error number that a file's user is told."""
    try:
        return verb(*arguments, **more)
    except ImageError as error:
        raise OSError(error.errno if error.errno in ERRORS else errno.EIO, error.message) from error
