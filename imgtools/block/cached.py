"""Many small reads of what the system has in memory: how a server answers without waiting, and without copying.

Two functions, by turns: `read` copies bytes that are cached, and says where they are not; `lend` gives a view of the
cached bytes themselves, for those that only pass them on to the kernel.

**Lent memory is for system calls alone.** It is a mapping of a file: where the file was cut short since, or its device
fails, whoever touches the memory dies (SIGBUS), but a system call that is given it fails with EFAULT, or does less than
it was asked for. Who borrows is ready for that, and reads then.

A mapping does not tell whether its bytes are cached: the kernel waits for a device as long as need be, once for each
page. So a file lends only after many reads in a row found everything cached, and one read in some tries that again; and
only where the file system tells (RWF_NOWAIT), which are those that keep mappings and files the same at any time.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from imgtools.block.protocols.file import FileNode

    CachedReader = tuple[Callable[[int, memoryview], bool], Callable[[int, int], memoryview | None]]
    """`read` and `lend`."""

NOWAIT = getattr(os, "RWF_NOWAIT", 0)
TRUSTED = 256
"""Reads in a row that found their bytes cached, until more is lent."""
LOANS = 32
"""How often it is lent until a read looks again."""


def lend_nothing(offset: int, length: int) -> memoryview | None:
    """The `lend` of those that hold no memory."""
    return None


def cached_reader(file: FileNode) -> CachedReader:
    """The two functions for a file of the host."""
    preadv, fd, flags = os.preadv, file.fd, NOWAIT
    in_a_row = loans = reach = 0
    pages = memoryview(b"")

    def read(offset: int, buffer: memoryview) -> bool:
        nonlocal flags, in_a_row, loans, pages, reach
        try:
            found = preadv(fd, [buffer], offset, flags) == len(buffer)
        except BlockingIOError:
            found = False
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                flags = 0  # a file system that cannot tell
            file.readinto(offset, buffer)
            return True
        if not found:
            in_a_row = loans = 0
            return False
        in_a_row += 1
        if in_a_row >= TRUSTED and flags:
            loans, pages = LOANS, file.pages()
            reach = len(pages)
        return True

    def lend(offset: int, length: int) -> memoryview | None:
        nonlocal loans
        loans -= 1
        end = offset + length
        return pages[offset:end] if loans >= 0 and end <= reach else None

    return read, lend
