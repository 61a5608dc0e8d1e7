"""The object cache: machine code on disk, trusted only as far as it can be checked.

One file an object, in a directory that belongs to this user and that nobody else can write
($XDG_CACHE_HOME/imgtools/native, mode 0700).  A file is

    magic (16 bytes) | key (32) | SHA-256 of the object (32) | the object

and is written beside its place and renamed, so a reader sees a whole file or none.  Whatever is wrong with a file
(short, changed, of another key, a link, of another owner), it counts as absent and is replaced.  If the directory
itself is not safe or not writable, there is no cache: `problem` says why, and everything still works, from memory.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

MAGIC = b"imgtools object1"
KEY_SIZE = 32
UNUSED_DAYS = 60  # objects of older sources pile up; one that no start has loaded for so long is removed


def default_directory() -> Path:
    """Where the XDG Base Directory Specification puts caches."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return root / "imgtools" / "native"


class ObjectCache:
    """Objects by key, in one directory."""

    def __init__(self, directory: Path | None = None) -> None:
        self.problem = ""
        try:
            self.directory = directory or default_directory()
        except RuntimeError:
            self.problem = "there is no home directory"
        else:
            self.problem = self._prepare()

    def _prepare(self) -> str:
        """Make the directory private; the reason if it cannot be used."""
        try:
            self.directory.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                self.directory.mkdir(mode=0o700)
            found = os.lstat(self.directory)
            if not stat.S_ISDIR(found.st_mode):
                return f"{self.directory} is not a directory"
            if found.st_uid != os.geteuid():
                return f"{self.directory} belongs to another user"
            if found.st_mode & 0o022:
                return f"{self.directory} can be written by other users"
            if found.st_mode & 0o077:
                os.chmod(self.directory, 0o700)
            if not os.access(self.directory, os.W_OK | os.X_OK):
                return f"{self.directory} cannot be written"
        except OSError as error:
            return f"{self.directory}: {error.strerror}"
        return ""

    def path(self, key: str) -> Path:
        return self.directory / f"{key}.o"

    def read(self, key: str) -> bytes | None:
        """The object with this key if the cache holds it unharmed."""
        if self.problem:
            return None
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a FIFO must not stop us
        try:
            descriptor = os.open(self.path(key), flags)
        except OSError:
            return None
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
                return None
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read()
            os.utime(descriptor)  # it is in use: see `prune`
        except OSError:
            return None
        finally:
            os.close(descriptor)
        return _unpack(key, data)

    def write(self, key: str, payload: bytes) -> None:
        """Keep an object.  A full disk only means that it is built again next time."""
        if self.problem:
            return
        name = ""
        try:
            descriptor, name = tempfile.mkstemp(dir=self.directory, suffix=".new")
            with open(descriptor, "wb") as file:
                file.write(MAGIC + bytes.fromhex(key) + hashlib.sha256(payload).digest() + payload)
            os.replace(name, self.path(key))
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(name)

    @contextlib.contextmanager
    def building(self) -> Iterator[None]:
        """Held by the one process that builds; others wait here and then find its objects."""
        with contextlib.ExitStack() as held:
            if not self.problem:
                with contextlib.suppress(OSError):  # without the lock, work may be done twice but nothing goes wrong
                    file = held.enter_context(open(self.directory / "lock", "wb"))
                    fcntl.flock(file, fcntl.LOCK_EX)  # given up by the system however the process ends
            yield

    def prune(self) -> None:
        """Remove what has not been used for long."""
        if self.problem:
            return
        limit = time.time() - UNUSED_DAYS * 86400
        for path in self.directory.iterdir():
            with contextlib.suppress(OSError):
                if path.suffix in (".o", ".new") and path.stat().st_mtime < limit:
                    path.unlink()


def _unpack(key: str, data: bytes) -> bytes | None:
    head = MAGIC + bytes.fromhex(key)
    digest, payload = data[len(head) : len(head) + 32], data[len(head) + 32 :]
    if not data.startswith(head) or not payload or hashlib.sha256(payload).digest() != digest:
        return None
    return payload
