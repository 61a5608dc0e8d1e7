"""A ring of descriptors, 16 bytes each: those from head to tail are the card's; the driver moves the tail (3.2.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .registers import BASE_HIGH, BASE_LOW, HEAD, LENGTH, TAIL

if TYPE_CHECKING:
    from emulator.softmmu.space import AddressSpace

DESCRIPTOR = 16


class Ring:
    """The ring whose registers are at `first`."""

    def __init__(self, registers: dict[int, int], first: int) -> None:
        self._registers = registers
        self._first = first

    @property
    def base(self) -> int:
        return self._registers[self._first + BASE_HIGH] << 32 | self._registers[self._first + BASE_LOW]

    @property
    def size(self) -> int:
        return self._registers[self._first + LENGTH]

    @property
    def head(self) -> int:
        return self._registers[self._first + HEAD]

    @head.setter
    def head(self, number: int) -> None:
        self._registers[self._first + HEAD] = number

    @property
    def owned(self) -> int:
        """How many descriptors are the card's; none if the registers make no sense."""
        count, head, tail = self.size // DESCRIPTOR, self.head, self._registers[self._first + TAIL]
        return (tail - head) % count if head < count and tail < count else 0

    def memory(self, space: AddressSpace) -> memoryview | None:
        """The descriptors; None if they are not in RAM."""
        return space.window(self.base, self.size, writable=True)

    def written(self, space: AddressSpace, place: slice) -> None:
        """Descriptors at a place of `memory` have been changed."""
        space.written(self.base + place.start, place.stop - place.start)

    def advance(self, count: int) -> list[slice]:
        """Move the head over the next descriptors: where in `memory` they are, two places around the ring's end."""
        first, size = self.head * DESCRIPTOR, self.size
        behind = first + count * DESCRIPTOR
        self.head = behind % size // DESCRIPTOR
        return [slice(first, behind)] if behind <= size else [slice(first, size), slice(0, behind - size)]
