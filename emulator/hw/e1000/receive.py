"""What the guest receives (section 3.2): filters, buffers, and what descriptors tell of a frame."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from isal.isal_zlib import crc32

from .registers import (
    ADDRESS_VALID,
    ALL_MULTICAST,
    ALL_UNICAST,
    BROADCAST_ACCEPTED,
    BUFFER_SIZE,
    FEW_DESCRIPTORS,
    IP_CHECKED,
    LONG_FRAMES,
    MINIMUM_THRESHOLD,
    MULTICAST_OFFSET,
    MULTICAST_TABLE,
    RCTL,
    RECEIVE_ADDRESS_COUNT,
    RECEIVE_ADDRESSES,
    RECEIVE_RING,
    RECEIVED,
    RECEIVER_ON,
    RXCSUM,
    SIZE_EXTENSION,
    STRIP_CRC,
    TCP_CHECKED,
)
from .ring import DESCRIPTOR, Ring

if TYPE_CHECKING:
    from .card import E1000

ADDRESS, RESULT = Struct("<Q8x"), Struct("<QHHBBH")
"""A descriptor: the buffer's address; and filled in behind it length, checksum, status, errors, special."""
CRC = Struct("<I")
DONE, END_OF_PACKET, IGNORE_CHECKS, TCP_RIGHT, IP_RIGHT = 1, 2, 4, 0x20, 0x40  # status
LONGEST = 1518  # without its check sequence
HEADERS = 34  # bytes of a frame, Ethernet's and IP's: what filters and checks look at
BROADCAST = b"\xff" * 6


class Receiver:
    def __init__(self, card: E1000) -> None:
        self._card = card
        self._registers = card.registers
        self.ring = Ring(card.registers, RECEIVE_RING)

    @property
    def buffer_size(self) -> int:
        control = self._registers[RCTL]
        size = 2048 >> (control >> BUFFER_SIZE & 3)
        return size * 16 if control & SIZE_EXTENSION and size < 2048 else size

    def accepts(self, target: bytes) -> bool:
        """Whether the filters let a frame to this address in (section 3.2.1)."""
        control = self._registers[RCTL]
        if target == BROADCAST and control & BROADCAST_ACCEPTED:
            return True
        if control & (ALL_MULTICAST if target[0] & 1 else ALL_UNICAST):
            return True
        low, high = int.from_bytes(target[:4], "little"), int.from_bytes(target[4:], "little")
        for number in range(RECEIVE_ADDRESS_COUNT):
            place = RECEIVE_ADDRESSES + 8 * number
            known = self._registers[place + 4]
            if known & ADDRESS_VALID and known & 0xFFFF == high and self._registers[place] == low:
                return True
        return bool(target[0] & 1) and self._in_multicast_table(high)

    def _in_multicast_table(self, high: int) -> bool:
        shift = (4, 3, 2, 0)[self._registers[RCTL] >> MULTICAST_OFFSET & 3]
        number = high >> shift & 0xFFF
        return bool(self._registers[MULTICAST_TABLE + 4 * (number >> 5)] >> (number & 31) & 1)

    def receive(self, frames: list[bytes]) -> int:
        """Put frames into the guest's buffers: how many are done with; for the next there are not enough."""
        control, size = self._registers[RCTL], self.buffer_size
        if not control & RECEIVER_ON:
            return len(frames)
        free = self.ring.owned
        memory = self.ring.memory(self._card.space) if free else None
        left = 0 if memory is None else free
        head, status = b"", 0
        pieces: list[tuple[bytes, int]] = []  # what goes into a buffer each, and the status that tells of it
        received: list[bytes] = []
        done = 0
        for frame in frames:
            if frame[:HEADERS] != head:  # they are the same for all segments of a large frame
                head = frame[:HEADERS]
                status = DONE | self._checks(head) if self.accepts(head[:6]) else 0
            if status and (len(frame) <= LONGEST or control & LONG_FRAMES):
                data = frame if control & STRIP_CRC else frame + CRC.pack(crc32(frame))
                if len(data) > size * left:
                    break
                while len(data) > size:
                    pieces.append((data[:size], status))
                    data = data[size:]
                pieces.append((data, status | END_OF_PACKET))
                left = free - len(pieces)
                received.append(frame)
            done += 1
        if memory is not None and pieces:
            self._store(memory, pieces)
            self._card.count_received(received)
            few = self.ring.size // DESCRIPTOR >> (control >> MINIMUM_THRESHOLD & 3) + 1
            self._card.cause(RECEIVED | (FEW_DESCRIPTORS if left <= few else 0))
        return done

    def _store(self, memory: memoryview, pieces: list[tuple[bytes, int]]) -> None:
        """The next descriptors and their buffers; where there is no memory, nothing is stored."""
        space = self._card.space
        places = self.ring.advance(len(pieces))
        addresses = [address for place in places for (address,) in ADDRESS.iter_unpack(memory[place])]
        buffers = [(address, len(data)) for address, (data, _) in zip(addresses, pieces, strict=True)]
        views = space.windows(buffers, writable=True) or [space.window(*buffer, writable=True) for buffer in buffers]
        results = []
        for (address, length), view, (data, status) in zip(buffers, views, pieces, strict=True):
            if view is not None:
                view[:] = data
            results.append(RESULT.pack(address, length, 0, status, 0, 0))
        space.all_written(buffers)
        left = b"".join(results)
        for place in places:
            size = place.stop - place.start
            memory[place], left = left[:size], left[size:]
            self.ring.written(space, place)

    def _checks(self, head: bytes) -> int:
        """Which checksums were looked at; the network's are right (section 3.2.9)."""
        wanted = self._registers[RXCSUM]
        checked = 0
        if len(head) == HEADERS and head[12:15] == b"\x08\x00\x45":
            if wanted & IP_CHECKED:
                checked |= IP_RIGHT
            if wanted & TCP_CHECKED and head[23] in (6, 17) and not int.from_bytes(head[20:22], "big") & 0x3FFF:
                checked |= TCP_RIGHT
        return checked or IGNORE_CHECKS
