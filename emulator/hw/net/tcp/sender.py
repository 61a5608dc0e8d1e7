"""The half of a connection that sends to the guest: what is not acknowledged yet, when it is sent, and sent again.

Sequence numbers count on beyond 32 bits here, so that they compare as numbers do. There is no congestion control: the
link is memory, and what the card has no buffers for waits. Loss is repaired all the same (RFC 5681, section 3.2;
RFC 6582), with the timer of RFC 6298.
"""

from __future__ import annotations

from typing import NamedTuple

from .segment import MASK

SECOND = 1_000_000_000
LIMIT = 256 << 10
"""Bytes that are taken from the host before the guest has acknowledged them."""
FIRST_TIMEOUT, LEAST_TIMEOUT, GREATEST_TIMEOUT = SECOND, SECOND // 4, 60 * SECOND
DUPLICATES = 3


class Piece(NamedTuple):
    """What to send."""

    sequence: int
    data: bytearray
    last: bool  # the buffer ends here
    fin: bool


class Sender:
    def __init__(self, first: int) -> None:
        self.unacknowledged = self.next = first  # SND.UNA, SND.NXT
        self.buffer = bytearray()  # from SND.UNA on; a SYN is in no buffer
        self.ended = False  # a FIN follows the buffer
        self.finished = False  # and is acknowledged
        self.window = 0
        self.widest = 1  # window ever
        self._updated = -1  # SND.WL1: where the guest was when it told the window
        self.mss = 0
        self.shift = 0
        self.timeout = FIRST_TIMEOUT
        self.tries = 0  # without an answer
        self._smoothed: int | None = None
        self._variation = 0
        self._timed: tuple[int, int] | None = None  # when this number is acknowledged, since when
        self._duplicates = 0
        self._recover = first  # a loss before this is being repaired

    @property
    def space(self) -> int:
        return LIMIT - len(self.buffer)

    @property
    def end(self) -> int:
        """Behind everything there is to send."""
        return self.unacknowledged + len(self.buffer) + (self.ended and not self.finished)

    @property
    def in_flight(self) -> bool:
        return self.next > self.unacknowledged

    def absolute(self, acknowledgment: int) -> int:
        """A number from the wire, as the one that is nearest to SND.UNA."""
        return self.unacknowledged + ((acknowledgment - self.unacknowledged + 0x80000000) & MASK) - 0x80000000

    # -- what to send ---------------------------------------------------------------------------------------

    def take(self, now: int, largest: int) -> Piece | None:
        """The next piece that the window allows, of at most `largest` bytes."""
        if self.next >= self.end:
            return None
        offset = self.next - self.unacknowledged
        left = len(self.buffer) - offset
        allowed = min(left, largest, self.window - offset)
        if allowed <= 0 and left > 0:
            return None
        if allowed < min(left, self.mss) and offset and allowed < self.widest // 2:
            return None  # a silly window (section 3.8.6.2.1): wait for the rest of it
        piece = self._piece(offset, max(allowed, 0))
        if self._timed is None and self.unacknowledged >= self._recover:
            self._timed = self.next, now
        return piece

    def _piece(self, offset: int, size: int) -> Piece:
        data = self.buffer[offset : offset + size]
        last = offset + size == len(self.buffer)
        fin = last and self.ended
        sequence = self.unacknowledged + offset
        self.next = max(self.next, sequence + size + fin)
        return Piece(sequence, data, last, fin)

    def again(self) -> Piece:
        """The first piece that is not acknowledged: sent again, or a probe of a closed window."""
        self._timed = None  # (RFC 6298, section 3: Karn's algorithm)
        self._recover = self.next
        self._duplicates = 0
        size = min(self.mss, self.next - self.unacknowledged) or 1
        return self._piece(0, min(size, len(self.buffer)))

    # -- what is answered -----------------------------------------------------------------------------------

    def acknowledge(self, number: int, window: int, now: int, *, sequence: int, plain: bool) -> bool:
        """An acknowledgment of what has been sent. `plain`: with no data. Whether a loss shows in it."""
        self.tries = 0
        advanced = number - self.unacknowledged
        same_window = window == self.window
        if sequence >= self._updated:  # (RFC 9293, section 3.10.7.4)
            self.window, self._updated = window, sequence
            self.widest = max(self.widest, window)
        if advanced > 0:
            return self._advance(number, advanced, now)
        if advanced == 0 and plain and same_window and self.in_flight:
            self._duplicates += 1
            return self._duplicates == DUPLICATES and self.unacknowledged >= self._recover
        return False

    def _advance(self, number: int, advanced: int, now: int) -> bool:
        self.finished = self.ended and number == self.end
        del self.buffer[: min(advanced, len(self.buffer))]
        self.unacknowledged = number
        self._duplicates = 0
        if self._timed is not None and number > self._timed[0]:
            self._measure(now - self._timed[1])
        else:
            self.timeout = self._computed()
        return number < self._recover and self.in_flight

    def _measure(self, time: int) -> None:
        """A round trip (RFC 6298, section 2)."""
        self._timed = None
        if self._smoothed is None:
            self._smoothed, self._variation = time, time // 2
        else:
            self._variation += (abs(self._smoothed - time) - self._variation) // 4
            self._smoothed += (time - self._smoothed) // 8
        self.timeout = self._computed()

    def _computed(self) -> int:
        if self._smoothed is None:
            return FIRST_TIMEOUT
        return min(max(self._smoothed + 4 * self._variation, LEAST_TIMEOUT), GREATEST_TIMEOUT)

    def back_off(self) -> None:
        self.tries += 1
        self.timeout = min(2 * self.timeout, GREATEST_TIMEOUT)
