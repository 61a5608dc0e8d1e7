"""The half of a connection that receives from the guest: what is in order, what came too early, and the window."""

from __future__ import annotations

from .segment import MASK

LIMIT = 256 << 10
"""Bytes for which the host has not room yet: the widest window."""
PIECES_LIMIT = 256
"""Of what came too early."""
FIRST = 0xFFFF
"""The window that a SYN offers, whose header cannot say more."""
STEP = 1460
SHIFT = 3


class Receiver:
    def __init__(self, first: int) -> None:
        self.next = first  # RCV.NXT
        self.waiting = bytearray()  # for the host
        self.shift = 0
        self.ended = False  # the guest's FIN is in order
        self._fin: int | None = None
        self._early: dict[int, bytes] = {}
        self._edge = first + FIRST  # behind the window that the guest knows

    def absolute(self, sequence: int) -> int:
        """A number from the wire, as the one that is nearest to RCV.NXT."""
        return self.next + ((sequence - self.next + 0x80000000) & MASK) - 0x80000000

    @property
    def _widest(self) -> int:
        return min(LIMIT, 0xFFFF << self.shift)

    @property
    def _open_to(self) -> int:
        """Behind the widest window that there could be now."""
        return self.next + self._widest - len(self.waiting)

    @property
    def window(self) -> int:
        """What the header says: never less than it said before, and wider by no silly steps (section 3.8.6)."""
        if self._open_to - self._edge >= STEP:
            self._edge = self._open_to
        return max(self._edge - self.next, 0) >> self.shift

    @property
    def opens(self) -> bool:
        """Whether the guest should hear of a wider window."""
        return self._open_to - self._edge >= self._widest // 2

    def acceptable(self, sequence: int, length: int) -> bool:
        """Whether a segment is in the window (section 3.10.7.4)."""
        edge = max(self._edge, self.next)
        if length == 0:
            return self.next <= sequence <= edge
        return sequence < edge and sequence + length > self.next

    def accept(self, sequence: int, data: memoryview, *, fin: bool) -> bool:
        """Take what is new of a segment in the window; whether it was the next in order."""
        if self.ended:
            return True
        whole = sequence + len(data) <= self._edge
        data = data[: max(self._edge - sequence, 0)]
        after = sequence + len(data)
        if fin and whole:
            self._fin = after
        if sequence > self.next:
            if data and len(self._early) < PIECES_LIMIT and sum(map(len, self._early.values())) < LIMIT:
                self._early[sequence] = max(self._early.get(sequence, b""), bytes(data), key=len)
            return False
        if after > self.next:
            self.waiting += data[self.next - sequence :]
            self.next = after
        while self._early:
            first = min(self._early)
            if first > self.next:
                break
            piece = self._early.pop(first)[self.next - first :]
            self.waiting += piece
            self.next += len(piece)
        if self._fin == self.next:
            self.next += 1
            self.ended = True
            self._early.clear()
        return True
