"""Large buffers to read into, and what can be told about their content without copying it."""

from __future__ import annotations

SIZE = 2 << 20
"""Large enough that calls cost nothing, small enough to stay in the processor's cache."""

SLACK = 4080
"""A large bytearray starts 16 bytes into a page; reads into whole pages are several times faster."""

SECTOR = 512

ZEROES = memoryview(bytes(SIZE))


class PageBuffer:
    """SIZE bytes on page boundaries; `view` is what to read into."""

    def __init__(self) -> None:
        self.memory = bytearray(SLACK + SIZE)
        """The bytes with SLACK others in front of them, for searches that a view does not offer."""
        self.view = memoryview(self.memory)[SLACK:]

    def starts_with(self, other: memoryview) -> bool:
        """Whether the buffer begins with `other`."""
        # bytearray.startswith compares memory; == on memoryviews goes byte by byte.
        return self.memory.startswith(other, SLACK)

    def is_zero(self, start: int, end: int) -> bool:
        """Whether [start, end) holds only zeroes."""
        return self.memory.startswith(ZEROES[: end - start], SLACK + start)

    def first_difference(self, other: memoryview) -> int:
        """The first sector in which the buffer differs from `other`, as an offset; they do differ."""
        return next(
            offset
            for offset in range(0, len(other), SECTOR)
            if not self.memory.startswith(other[offset : offset + SECTOR], SLACK + offset)
        )
