"""Signals while compiled code runs: Python handles them only when that has returned."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable


def leave_on_signals(leave: Callable[[], None]) -> None:
    """Make compiled code return (`leave`, called in another thread) whenever a signal has come that has a handler."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def wait() -> None:
        while os.read(reader, 1):
            leave()

    threading.Thread(target=wait, name="signals", daemon=True).start()
