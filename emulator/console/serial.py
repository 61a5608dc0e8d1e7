"""Where a serial port leads: `stdio`, `file:PATH`, `pty` (its name is printed), or `none`."""

from __future__ import annotations

import os
import sys
import threading
import tty
from collections.abc import Callable
from select import select

from .terminal import CHUNK, write_all

Sink = Callable[[bytes], None]


def file_sink(path: str) -> Sink:
    """A file that is made anew."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    return lambda data: write_all(descriptor, data)


def pty_sink(type: Callable[[bytes], None]) -> Sink:
    """A pseudo-terminal that other programs open; what is typed there goes to `type`, in another thread."""
    master, slave = os.openpty()
    tty.setraw(slave)
    print(f"the serial port is {os.ttyname(slave)}", file=sys.stderr, flush=True)

    def read() -> None:
        while data := os.read(master, CHUNK):
            type(data)

    threading.Thread(target=read, name="pty", daemon=True).start()

    def write(data: bytes) -> None:
        if select([], [master], [], 0)[1]:  # a serial line does not remember what nobody reads
            os.write(master, data)

    return write
