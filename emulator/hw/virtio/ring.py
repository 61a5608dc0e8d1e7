"""Split virtqueues (section 2.7): a table of descriptors, the driver's ring of what is available, and the device's
ring of what is used.

Everything in them is the driver's word and may be wrong. A RingError is raised for what cannot be made sense of; work
is bounded, since a ring offers at most `size` chains, and a chain has at most as many descriptors as its table.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

from emulator.hw.gather import KEPT, Gather

if TYPE_CHECKING:
    from emulator.softmmu.space import AddressSpace

DESCRIPTOR = Struct("<QIHH")  # address, length, flags, next
HALF = Struct("<H")
USED = Struct("<II")  # head of the chain, bytes written
DESCRIPTOR_SIZE = 16
PIECE = Struct("<QI4x")  # of it
FLAGS, FOLLOWING = 12, 14  # offsets in it
NEXT, WRITE, INDIRECT = 1, 2, 4  # descriptor flags
NO_INTERRUPT = 1  # flags of the available ring
INDEX, RING = 2, 4  # offsets in both rings; flags come first
MAX_INDIRECT = 1024  # descriptors of an indirect table that are followed
IN_ORDER = array("H", range(1, MAX_INDIRECT)).tobytes()  # numbers of the next descriptors
MAX_CHAIN = 1 << 32  # bytes (2.7.5)
LEGACY_ALIGN = 4096
FIELDS = ("size", "ready", "descriptors", "available", "used", "vector", "taken", "given", "signalled")


class RingError(Exception):
    """The driver broke the rules of a ring."""


class Chain(NamedTuple):
    """A buffer: what the device may read, followed by what it may write."""

    head: int
    readable: Gather
    writable: Gather


class Queue:
    """A virtqueue with room for `maximum` descriptors, as the transport has set it up."""

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self.indirect = self.event_index = False  # features that were negotiated
        self.space: AddressSpace | None = None
        self._data = lru_cache(KEPT)(self._take_apart)
        self.reset()

    def reset(self) -> None:
        self.size = self.maximum
        self.ready = False
        self.descriptors = self.available = self.used = 0  # addresses
        self.vector = 0xFFFF  # of MSI-X
        self.taken = 0  # chains taken from the available ring, modulo 64 Ki as all that follow
        self.given = 0  # chains given to the used ring
        self.signalled = 0  # `given` as of the last interrupt

    def set_size(self, size: int) -> None:
        """The driver may use a smaller ring, of a power of two."""
        if not self.ready and 0 < size <= self.maximum and not size & size - 1:
            self.size = size

    def set_address(self, name: str, shift: int, value: int) -> None:
        """32 bits of an address."""
        if self.ready:
            return
        mask = 0xFFFFFFFF << shift
        setattr(self, name, getattr(self, name) & ~mask | value << shift & mask)

    def place_legacy(self, address: int, align: int = LEGACY_ALIGN) -> None:
        """The layout of the legacy interface (2.7.2): one after the other, the used ring aligned."""
        self.descriptors = address
        self.available = address + DESCRIPTOR_SIZE * self.size
        end = self.available + RING + 2 * self.size + 2
        self.used = end + -end % align
        self.ready = address != 0

    # -- the device's side ----------------------------------------------------------------------------------

    def waiting(self) -> int:
        """How many chains the driver has made available that were not taken."""
        if not self.ready:
            return 0
        (index,) = HALF.unpack(self._memory(self.available + INDEX, 2))
        count = index - self.taken & 0xFFFF
        if count > self.size:
            raise RingError(f"{count} buffers are available in a ring of {self.size}")
        if not count and self.event_index:
            # "Tell me of the next" (2.7.7). There cannot be one yet, since driver and device take turns.
            self._put(self.used + RING + USED.size * self.size, HALF.pack(self.taken))
        return count

    def take(self) -> Chain | None:
        """The next chain, None if the driver has made none available."""
        if not self.waiting():
            return None
        slot = self.available + RING + 2 * (self.taken % self.size)
        (head,) = HALF.unpack(self._memory(slot, 2))
        chain = Chain(head, *(self._in_order(head) or self._one_by_one(head)))
        if chain.readable.size + chain.writable.size > MAX_CHAIN:
            raise RingError("a buffer is larger than 4 GiB")
        self.taken = self.taken + 1 & 0xFFFF
        return chain

    def untake(self) -> None:
        """Leave the chain that was taken last, and not given back, for later."""
        self.taken = self.taken - 1 & 0xFFFF

    def give(self, chain: Chain, written: int) -> None:
        """Give a chain back, of which the first `written` bytes of what is writable were written."""
        self._put(self.used + RING + USED.size * (self.given % self.size), USED.pack(chain.head, written))
        self.given = self.given + 1 & 0xFFFF
        self._put(self.used + INDEX, HALF.pack(self.given))

    def wants_interrupt(self) -> bool:
        """Whether the driver is to be told of what was given since it was told last (2.7.7)."""
        before, self.signalled = self.signalled, self.given
        if before == self.given:
            return False
        if not self.event_index:
            (flags,) = HALF.unpack(self._memory(self.available, 2))
            return not flags & NO_INTERRUPT
        (event,) = HALF.unpack(self._memory(self.available + RING + 2 * self.size, 2))
        return (self.given - event - 1 & 0xFFFF) < (self.given - before & 0xFFFF)

    # -- memory ---------------------------------------------------------------------------------------------

    def _in_order(self, head: int) -> tuple[Gather, Gather] | None:
        """What is to be read and what is to be written, if it is in an indirect table, one after the other: something
        to be read, data either way, something to be written. So it is with disks, and takes little for each piece."""
        if head >= self.size:
            return None
        table = self._memory(self.descriptors + DESCRIPTOR_SIZE * head, DESCRIPTOR_SIZE)
        address, length, flags, _ = DESCRIPTOR.unpack(table)
        count = length // DESCRIPTOR_SIZE
        if flags != INDIRECT or not self.indirect or length % DESCRIPTOR_SIZE or not 2 < count <= MAX_INDIRECT:
            return None
        data = bytes(self._memory(address, length))
        kinds = data[FLAGS::DESCRIPTOR_SIZE]
        if kinds[0] != NEXT or kinds[-1] != WRITE or kinds.count(kinds[1]) < count - 2 + (kinds[1] == NEXT):
            return None
        for place in (FOLLOWING, FOLLOWING + 1):
            expected = IN_ORDER[place - FOLLOWING : 2 * count - 2 : 2]
            if data[place:-DESCRIPTOR_SIZE:DESCRIPTOR_SIZE] != expected:
                return None
        assert self.space is not None
        first, last = (Gather(self.space, [PIECE.unpack_from(data, place)]) for place in (0, length - DESCRIPTOR_SIZE))
        middle = self._data(data[DESCRIPTOR_SIZE:-DESCRIPTOR_SIZE])
        if kinds[1] == NEXT:
            return first.followed_by(middle), last
        return (first, middle.followed_by(last)) if kinds[1] == NEXT | WRITE else None

    def _take_apart(self, descriptors: bytes) -> Gather:
        assert self.space is not None
        return Gather(self.space, list(PIECE.iter_unpack(descriptors)))

    def _one_by_one(self, head: int) -> tuple[Gather, Gather]:
        """What is to be read and what is to be written."""
        readable: list[tuple[int, int]] = []
        writable: list[tuple[int, int]] = []
        for address, length, flags in self._chain(head):
            if flags & WRITE:
                writable.append((address, length))
            elif writable:
                raise RingError("a descriptor to read follows one to write")
            else:
                readable.append((address, length))
        assert self.space is not None
        return Gather(self.space, readable), Gather(self.space, writable)

    def _chain(self, head: int) -> Iterator[tuple[int, int, int]]:
        """Address, length and flags of each descriptor of a chain."""
        table, count = self._memory(self.descriptors, DESCRIPTOR_SIZE * self.size), self.size
        index, left, nested = head, count, False
        while True:
            if index >= count:
                raise RingError(f"descriptor {index} of {count}")
            if not left:
                raise RingError("a chain of descriptors is a loop")
            address, length, flags, following = DESCRIPTOR.unpack_from(table, DESCRIPTOR_SIZE * index)
            left -= 1
            if flags & INDIRECT:
                if nested or not self.indirect or flags & NEXT:
                    raise RingError("an indirect descriptor where none may be")
                count = length // DESCRIPTOR_SIZE
                if length % DESCRIPTOR_SIZE or not 0 < count <= MAX_INDIRECT:
                    raise RingError(f"an indirect table of {length} bytes")
                table, nested = self._memory(address, length), True
                index, left = 0, count
                continue
            yield address, length, flags
            if not flags & NEXT:
                return
            index = following

    def _memory(self, address: int, size: int) -> memoryview:
        assert self.space is not None
        view = self.space.window(address, size)
        if view is None:
            raise RingError(f"{size:#x} bytes of a ring at {address:#x} are not in RAM")
        return view

    def _put(self, address: int, data: bytes) -> None:
        assert self.space is not None
        view = self.space.window(address, len(data), writable=True)
        if view is None:
            raise RingError(f"the used ring at {address:#x} is not in RAM")
        view[:] = data
        self.space.written(address, len(data))

    # -- state ----------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in FIELDS}

    def load(self, state: dict[str, Any]) -> None:
        vars(self).update({name: state[name] for name in FIELDS})
