"""What time is for a machine: the host's, or what its instructions take.

Both clocks tell the time in nanoseconds since the machine was made, make the processor leave when the chips' next event
is due (`set`), and wait for it while the processor sleeps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Self

from emulator.tcg.core import MAX_BLOCK

from .alarm import SECOND, Alarm

FOREVER = (1 << 64) - 1


class HostClock:
    """Time goes by as it does for the host; a thread rings when something is due."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.start = time.perf_counter_ns()
        self._alarm = Alarm(self.now, wake)
        self.set = self._alarm.set
        self.ring = self._alarm.ring
        self.wait = self._alarm.wait

    def now(self) -> int:
        return time.perf_counter_ns() - self.start

    def calendar(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def attach(self, processor: Any) -> None:
        """Before the processor runs."""

    def __enter__(self) -> Self:
        self._alarm.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._alarm.__exit__()


class InstructionClock:
    """Each instruction takes a nanosecond, so that nothing but the program decides what happens when.

    While the processor sleeps, the time until the next event goes by at once for the guest, and as usual for the host.
    """

    start = 0
    EPOCH = 946_684_800.0  # the machine is switched on at the begin of 2000

    def __init__(self, wake: Callable[[], None]) -> None:
        self._bell = Alarm(self.now, wake)
        self.ring = self._bell.ring
        self._due: int | None = None
        self._core: Any = None

    def attach(self, processor: Any) -> None:
        self._core = processor.core
        self.set(self._due)

    def now(self) -> int:
        return self._core.instructions + self._core.slept if self._core is not None else 0

    def calendar(self) -> float:
        return self.EPOCH + self.now() / SECOND

    def set(self, due: int | None) -> None:
        """Leave at a time: the last block that begins ends before it, or begins at once."""
        self._due = due
        if self._core is not None:
            soonest = self._core.instructions + MAX_BLOCK
            self._core.instruction_limit = FOREVER if due is None else max(due - self._core.slept, soonest)

    def wait(self) -> None:
        if self._due is None:
            self._bell.wait()
            return
        ahead = max(0, self._due - self.now())
        if not self._bell.wait(ahead / SECOND):
            self._core.slept += ahead

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass
