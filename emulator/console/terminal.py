"""The terminal as a console: each key goes to the guest as it is pressed.

Ctrl-A is for the program itself: X leaves, H helps, A sends Ctrl-A. Where standard input is no terminal, its bytes go
to the guest as they are, and its end ends nothing.
"""

from __future__ import annotations

import os
import sys
import termios
import threading
import tty
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

ESCAPE = 0x01  # Ctrl-A
CHUNK = 4096
HELP = "Ctrl-A X  leave\r\nCtrl-A H  this help\r\nCtrl-A A  send Ctrl-A\r\n"


class Terminal:
    """Standard input and output. `type` gets what is typed, `leave` is called for Ctrl-A X; both in another thread."""

    def __init__(self, type: Callable[[bytes], None], leave: Callable[[], None]) -> None:
        self.type = type
        self.leave = leave
        self._escaped = False
        self._settings: Any = None

    def __enter__(self) -> Self:
        if sys.stdin.isatty():
            self._settings = termios.tcgetattr(0)
            tty.setraw(0)
        threading.Thread(target=self._read, name="terminal", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._settings is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, self._settings)

    def show(self, data: bytes) -> None:
        """What the guest prints."""
        write_all(1, data)

    def _read(self) -> None:
        while data := os.read(0, CHUNK):
            if self._settings is not None:
                data = self._without_escapes(data)
            if data:
                self.type(data)

    def _without_escapes(self, data: bytes) -> bytes:
        kept = bytearray()
        for byte in data:
            if self._escaped:
                self._escaped = False
                self._command(byte, kept)
            elif byte == ESCAPE:
                self._escaped = True
            else:
                kept.append(byte)
        return bytes(kept)

    def _command(self, byte: int, kept: bytearray) -> None:
        match chr(byte).lower():
            case "x":
                self.leave()
            case "a" | "\x01":
                kept.append(ESCAPE)
            case _:
                write_all(1, ("\r\n" + HELP).encode())


def write_all(descriptor: int, data: bytes) -> None:
    """Write everything, however little the other side takes at a time."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
