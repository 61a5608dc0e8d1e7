"""Image locks that QEMU's tools respect, and respect of theirs.

A lock is a set of shared OFD locks on single bytes of the image file: byte 100+i says "I use permission i",
byte 200+i says "I do not share permission i" (QEMU's block/file-posix interface; the numbers are its ABI).
Who wants permission i looks whether anyone holds 200+i, who will not share it looks at 100+i.
OFD locks live as long as the open file, so a process that dies leaves none behind.
"""

from __future__ import annotations

import os
import struct

from imgtools.errors import Locked

try:
    import fcntl

    GETLK, SETLK = fcntl.F_OFD_GETLK, fcntl.F_OFD_SETLK
    SUPPORTED = True
except (ImportError, AttributeError):  # macOS and Windows: QEMU does not lock there either
    SUPPORTED = False

USES, DENIES = 100, 200
CONSISTENT_READ, WRITE, RESIZE = 0, 1, 3
NAMES = {CONSISTENT_READ: "consistent read", WRITE: "write", RESIZE: "resize"}

_FLOCK = struct.Struct("hhqqi4x")
"""struct flock: type, whence, start, length, pid (0 for OFD locks)."""


def lock_image(fd: int, path: str, *, writable: bool) -> None:
    """Take the locks of a reader or of a writer on an open image file; raise Locked where another is in the way."""
    if not SUPPORTED:
        return
    uses = (CONSISTENT_READ, WRITE, RESIZE) if writable else (CONSISTENT_READ,)
    denies = (WRITE, RESIZE)
    try:
        for byte in (*(USES + i for i in uses), *(DENIES + i for i in denies)):
            fcntl.fcntl(fd, SETLK, _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, byte, 1, 0))
    except OSError:
        return  # a file system without locks: go on without, as QEMU's locking=auto does
    for permission in uses:
        _refuse_if_held(fd, path, DENIES + permission, f'Failed to get "{NAMES[permission]}" lock')
    for permission in denies:
        _refuse_if_held(fd, path, USES + permission, f'Failed to get shared "{NAMES[permission]}" lock')


def unlock_image(fd: int) -> None:
    """Let go of every lock that this open file holds."""
    if SUPPORTED:
        try:
            fcntl.fcntl(fd, SETLK, _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, 0, 0, 0))
        except OSError:
            pass


def _refuse_if_held(fd: int, path: str, byte: int, message: str) -> None:
    answer = fcntl.fcntl(fd, GETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0))
    if _FLOCK.unpack(answer)[0] == fcntl.F_UNLCK:
        return
    unlock_image(fd)
    hint = f"Is another process using the image [{path}]?"
    holders = ", ".join(f"{command} (pid {pid})" for pid, command in find_holders(fd))
    if holders:
        hint += f"\nIt is open in {holders}."
    raise Locked(message, path=path, hint=hint)


def find_holders(fd: int) -> list[tuple[int, str]]:
    """Other processes that have the same file open, as (pid, command); only those that we may look into.

    The kernel does not tell the owner of an OFD lock, so this goes through /proc.
    """
    wanted = os.fstat(fd)
    found = []
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if entry.isdecimal() and int(entry) != os.getpid() and _has_open(entry, wanted):
            found.append((int(entry), _command_of(entry)))
    return found


def _has_open(pid: str, wanted: os.stat_result) -> bool:
    try:
        for number in os.listdir(f"/proc/{pid}/fd"):
            try:
                if os.path.samestat(os.stat(f"/proc/{pid}/fd/{number}"), wanted):
                    return True
            except OSError:
                continue  # closed meanwhile, or a socket
    except OSError:
        pass  # gone meanwhile, or not ours to look into
    return False


def _command_of(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return "?"
