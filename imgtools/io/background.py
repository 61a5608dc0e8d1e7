"""Requests that run while the next lines are read, in a bounded number of threads.

What a request has to say is kept until the session asks for it: between lines, never in the middle of one.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

THREADS = 64
"""At most this many at once, as in QEMU; one that stops at a breakpoint keeps its thread."""


class Background:
    """The requests under way. All methods are called by one thread, that of the session."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS)
        self._finished: SimpleQueue[Future[str]] = SimpleQueue()
        self.running = 0
        """How many were begun and have not been told of."""

    @property
    def has_news(self) -> bool:
        """Whether one is complete."""
        return not self._finished.empty()

    def start(self, request: Callable[[], str]) -> None:
        """Begin a request, which returns what is to be said when it is complete."""
        self.running += 1
        self._pool.submit(request).add_done_callback(self._finished.put)

    def complete(self, *, wait: bool = False) -> Iterator[str]:
        """The texts of those that are complete, in that order; `wait` for all of them."""
        while self.running and (wait or not self._finished.empty()):
            future = self._finished.get()
            self.running -= 1
            yield future.result()
