"""A node as a binary file object, for everything in Python that reads and writes files.

    with imgtools.open("disk.qcow2") as disk:
        archive = zipfile.ZipFile(BinaryFile(disk))

    with imgtools.open("disk.vdi", writable=True) as disk, io.BufferedRandom(BinaryFile(disk)) as file:
        shutil.copyfileobj(source, file)

It behaves like the file of a block device: its size is the disk's, and at its end nothing can be written
(ENOSPC); only `truncate` changes the size, where the format can. Failures are OSErrors, as callers of file
objects expect; the ImageError is their cause. Like every file object it belongs to one thread at a time.
"""

from __future__ import annotations

import errno
import io
import os

from imgtools.block.format import Resizable
from imgtools.errors import ImageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    from imgtools.block.node import Node


class BinaryFile(io.RawIOBase):
    """An unbuffered file over `node`. Closing it closes the node only if `close_node`."""

    def __init__(self, node: Node, *, close_node: bool = False) -> None:
        super().__init__()
        self.node = node
        self.name = node.filename
        self.mode = "rb" if node.read_only else "rb+"
        self._close_node = close_node
        self._position = 0

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return not self.node.read_only

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        self._check_open()
        view = memoryview(buffer).cast("B")
        count = min(len(view), max(0, self.node.size - self._position))
        try:
            self.node.readinto(self._position, view[:count]) if count else None
        except ImageError as error:
            raise self._failure(error) from error
        self._position += count
        return count

    def write(self, data: ReadableBuffer) -> int:
        self._check_open()
        self._check_writable()
        view = memoryview(data).cast("B")
        count = min(len(view), max(0, self.node.size - self._position))
        if not count and len(view):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.name)
        try:
            self.node.write(self._position, view[:count])
        except ImageError as error:
            raise self._failure(error) from error
        self._position += count
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._check_open()
        origins = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.node.size}
        if whence not in origins:
            raise ValueError(f"invalid whence ({whence}, should be 0, 1 or 2)")
        if origins[whence] + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), self.name)
        self._position = origins[whence] + offset
        return self._position

    def tell(self) -> int:
        self._check_open()
        return self._position

    def truncate(self, size: int | None = None) -> int:
        """Resize the disk; its position stays. Raises UnsupportedOperation where the format has a fixed size."""
        self._check_open()
        self._check_writable()
        length = self._position if size is None else size
        if not isinstance(self.node, Resizable):
            raise io.UnsupportedOperation(f"a disk of format {self.node.driver} cannot be resized")
        try:
            self.node.resize(length)
        except ImageError as error:
            raise self._failure(error) from error
        return length

    def flush(self) -> None:
        """Return when all that was written is on stable storage."""
        super().flush()
        if self.node.read_only:
            return
        try:
            self.node.flush()
        except ImageError as error:
            raise self._failure(error) from error

    def close(self) -> None:
        if self.closed:
            return
        try:
            super().close()
        finally:
            if self._close_node:
                self.node.close()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")

    def _check_writable(self) -> None:
        if self.node.read_only:
            raise io.UnsupportedOperation("not writable")

    def _failure(self, error: ImageError) -> OSError:
        return OSError(error.errno or errno.EIO, error.message, self.name)
