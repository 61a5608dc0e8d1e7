"""An alarm: a thread that waits for a time, and calls a function when it has come.

The processor runs in compiled code without the interpreter lock, so the thread runs beside it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

SECOND = 1_000_000_000
LONGEST_WAIT = 3600 * SECOND  # a guest may set timers for centuries
SOON = 1_000_000
"""How long it waits for the next time behind one that has come, before it waits until it is told of one: a guest with a
periodic timer sets it again at once, and waking a thread costs it more than anything else it does for that."""


class Alarm:
    """Calls `on_time` at the time of `set`, in nanoseconds of `clock`. A context manager: the thread lives within."""

    def __init__(self, clock: Callable[[], int], on_time: Callable[[], None]) -> None:
        self._clock = clock
        self._on_time = on_time
        self._condition = threading.Condition()
        self._rung = threading.Event()
        self._due: int | None = None
        self._looks_at = 0  # when the thread looks at what is due without being told
        self._thread: threading.Thread | None = None

    def set(self, due: int | None) -> None:
        """Ring at a time, or not at all."""
        if due != self._due:
            with self._condition:
                self._due = due
                if due is not None and due < self._looks_at:
                    self._condition.notify()

    def ring(self) -> None:
        """End what waits, or else the next one to wait."""
        self._rung.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Until somebody rings, or a time is over: whether somebody did."""
        rung = self._rung.wait(seconds)
        self._rung.clear()
        return rung

    def __enter__(self) -> Alarm:
        self._thread = threading.Thread(target=self._run, name="alarm", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._condition:
            thread, self._thread = self._thread, None
            self._condition.notify()
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        with self._condition:
            longest = LONGEST_WAIT
            while self._thread is not None:
                now = self._clock()
                if self._due is not None and self._due <= now:
                    self._due = None
                    self._on_time()
                    longest = SOON
                else:
                    left = longest if self._due is None else min(self._due - now, LONGEST_WAIT)
                    self._looks_at = now + left
                    self._condition.wait(left / SECOND)
                    longest = LONGEST_WAIT
