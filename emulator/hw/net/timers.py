"""Timers that are set again far more often than they come."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from itertools import count

Alarm = Callable[[int], None]


class Timers:
    """When to call which function. Each has one time; to set it later costs nothing until the earlier time comes."""

    def __init__(self) -> None:
        self._due: dict[Alarm, int] = {}
        self._queued: dict[Alarm, int] = {}  # the time of a function's entry in the heap
        self._heap: list[tuple[int, int, Alarm]] = []
        self._serial = count()

    def set(self, function: Alarm, due: int | None) -> None:
        """Call a function with the time when it is due; None: never."""
        if due is None:
            self._due.pop(function, None)
            return
        self._due[function] = due
        if due < self._queued.get(function, due + 1):
            self._push(function, due)

    def is_set(self, function: Alarm) -> bool:
        return function in self._due

    def next(self) -> int | None:
        """When to call `run`; there may turn out to be nothing to do."""
        return self._heap[0][0] if self._heap else None

    def run(self, now: int) -> None:
        for function in list(self._ripe(now)):
            function(now)

    def _push(self, function: Alarm, due: int) -> None:
        self._queued[function] = due
        heapq.heappush(self._heap, (due, next(self._serial), function))

    def _ripe(self, now: int) -> Iterator[Alarm]:
        while self._heap and self._heap[0][0] <= now:
            queued, _, function = heapq.heappop(self._heap)
            if self._queued.get(function) != queued:
                continue  # an entry before this one took its place
            del self._queued[function]
            due = self._due.get(function)
            if due is None:
                continue
            if due > now:
                self._push(function, due)
            else:
                del self._due[function]
                yield function
