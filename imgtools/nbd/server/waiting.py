"""How to wait for a client that makes one request at a time: awake, or asleep until the kernel wakes us.

Such a client's next request comes within some 10 us. Being woken on another processor takes longer, so that asking
the socket over and over wins by half; but where client and server share a processor, as on a busy machine, sleeping is
what lets the client go on. Which of them it is changes while they run. So both ways are tried in turn, a few hundred
requests each, and the quicker one is kept for some thousands.
"""

from __future__ import annotations

import socket
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TRIES = range(40)
"""How often the socket is asked before we sleep all the same: about 40 us."""
TRIAL = 256
"""Requests by which a way of waiting is judged."""
KEPT = 16 * TRIAL
"""Requests for which the better way is kept."""
NEVER = float("inf")


class Waiting:
    """Receives from `connection` into `buffer`; asleep, where `is_alone` says that others need this process' time."""

    def __init__(self, connection: socket.socket, buffer: memoryview, is_alone: Callable[[], bool]) -> None:
        self._receive = connection.recv_into
        self._buffer = buffer
        self._is_alone = is_alone
        self._awake = True
        self._left = TRIAL
        """Receives until the way of waiting is thought over."""
        self._vain = 0
        """How often the client was not as quick as that."""
        self._since = monotonic()
        self._took: float | None = None
        """Seconds of the trial awake, while the other one is under way."""
        self._deciding = True

    def receive(self) -> int:
        """Wait for what comes next; how many bytes that is, 0 at the client's end."""
        self._left -= 1
        if not self._left:
            self._think()
        if self._awake:
            for _ in TRIES:
                try:
                    return self._receive(self._buffer, 0, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    pass
            self._vain += 1
        return self._receive(self._buffer)

    def _think(self) -> None:
        """A trial is over, or what was decided has been kept for long enough."""
        now = monotonic()
        seconds, self._since = now - self._since, now
        if not self._is_alone():
            self._awake, self._left, self._deciding = False, KEPT, False
        elif not self._deciding:
            self._awake, self._left, self._deciding, self._took = True, TRIAL, True, None
        elif self._took is None:
            # A client that has other things to do gains nothing, and would only have us burn the processor.
            self._took = seconds if self._vain < TRIAL // 4 else NEVER
            self._awake, self._left = False, TRIAL
        else:
            self._awake, self._left, self._deciding = self._took < seconds, KEPT, False
        self._vain = 0
