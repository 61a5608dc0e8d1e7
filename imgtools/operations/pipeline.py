"""Several threads that take the pieces of one job from one generator: what is under convert, commit and rebase.

Reading, comparing, compressing and writing are calls that let other threads run. Where order matters (most formats
lay out their file in the order of writes) each thread waits for its turn before it writes.

    pipeline = Pipeline(node.size, progress=print)

    def worker():                       # called once in each thread
        buffer = PageBuffer()

        def work(number, piece):        # called for each piece; returns how many bytes are done with it
            ...
            pipeline.in_turn(number)
            target.write(...)
            return length

        return work

    pipeline.run(pieces, worker, threads=2)
"""

from __future__ import annotations

import os
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Work = Callable[[int, Any], int]


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Pipeline:
    """One job over `total` bytes.

    ordered      pieces are written in the order in which the generator gives them
    rate_limit   bytes a second
    progress     called with (bytes done, bytes in all), from any of the threads
    """

    def __init__(
        self,
        total: int,
        *,
        ordered: bool = True,
        rate_limit: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.total = total
        self.ordered = ordered
        self.rate_limit = rate_limit
        self.progress = progress
        self.done = 0
        self.started = time.monotonic()
        self.lock = threading.Lock()
        self.turns = threading.Condition()
        self.next_turn = 0
        self.failure: BaseException | None = None

    def run(self, pieces: Iterator[Any], worker: Callable[[], Work], threads: int) -> None:
        """Work off all pieces; the first error of any thread is raised, once all of them have stopped."""
        numbered = enumerate(pieces)
        helpers = [
            threading.Thread(target=self._work, args=(numbered, worker), daemon=True) for _ in range(threads - 1)
        ]
        for helper in helpers:
            helper.start()
        try:
            self._work(numbered, worker)
        except BaseException as error:  # Ctrl-C arrives in this thread
            self._stop(error)
        for helper in helpers:
            helper.join()
        if self.failure is not None:
            raise self.failure
        if self.progress is not None:
            self.progress(self.total, self.total)

    def in_turn(self, number: int) -> None:
        """Wait until every earlier piece has been written."""
        if not self.ordered:
            return
        with self.turns:
            self.turns.wait_for(lambda: self.next_turn == number or self.failure is not None)
            if self.failure is not None:
                raise self.failure

    def _work(self, numbered: Iterator[tuple[int, Any]], worker: Callable[[], Work]) -> None:
        try:
            work = worker()
            while self.failure is None:
                with self.lock:
                    number, piece = next(numbered, (-1, None))
                if number < 0:
                    return
                self._hold_back()
                self._finish(number, work(number, piece))
        except BaseException as error:
            self._stop(error)

    def _stop(self, error: BaseException) -> None:
        with self.turns:
            self.failure = self.failure or error
            self.turns.notify_all()

    def _finish(self, number: int, length: int) -> None:
        with self.turns:
            self.next_turn = max(self.next_turn, number + 1)
            self.done += length
            self.turns.notify_all()
        if self.progress is not None:
            self.progress(self.done, self.total)

    def _hold_back(self) -> None:
        """Wait as long as more has been done than the rate allows, or until something fails."""
        if not self.rate_limit:
            return
        with self.turns:
            ahead = self.done / self.rate_limit - (time.monotonic() - self.started)
            self.turns.wait_for(lambda: self.failure is not None, max(0, min(ahead, threading.TIMEOUT_MAX)))
