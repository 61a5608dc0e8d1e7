"""What the guest receives (section 3.2): filters, buffers, and what descriptors tell of a frame."""

from __future__ import annotations

from struct import Struct, pack
from typing import TYPE_CHECKING
from zlib import crc32

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

ADDRESS, RESULT = Struct("<Q"), Struct("<HHBBH")
"""A descriptor: the buffer's address; and length, checksum, status, errors, special."""
DONE, END_OF_PACKET, IGNORE_CHECKS, TCP_RIGHT, IP_RIGHT = 1, 2, 4, 0x20, 0x40  # status
LONGEST = 1518  # without its check sequence
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

    def receive(self, frame: bytes) -> bool:
        """Put a frame into the guest's buffers; False if there are not enough."""
        control = self._registers[RCTL]
        too_long = len(frame) > LONGEST and not control & LONG_FRAMES
        if not control & RECEIVER_ON or too_long or not self.accepts(frame[:6]):
            return True
        data = frame if control & STRIP_CRC else frame + pack("<I", crc32(frame))
        size, owned = self.buffer_size, self.ring.owned
        memory = self.ring.memory(self._card.space) if owned else None
        if memory is None or owned * size < len(data):
            return False
        status = DONE | self._checks(frame)
        left = data
        while len(left) > size:
            self._fill(memory, left[:size], status)
            left = left[size:]
            owned -= 1
        self._fill(memory, left, status | END_OF_PACKET)
        self._card.count_received(frame)
        few = self.ring.size // DESCRIPTOR >> (control >> MINIMUM_THRESHOLD & 3) + 1
        self._card.cause(RECEIVED | (FEW_DESCRIPTORS if owned - 1 <= few else 0))
        return True

    def _fill(self, memory: memoryview, data: bytes, status: int) -> None:
        """The next descriptor and its buffer; where there is no memory, nothing is stored."""
        space, place = self._card.space, self.ring.advance()
        (address,) = ADDRESS.unpack_from(memory, place)
        view = space.window(address, len(data), writable=True)
        if view is not None:
            view[:] = data
            space.written(address, len(data))
        RESULT.pack_into(memory, place + ADDRESS.size, len(data), 0, status, 0, 0)
        self.ring.written(space, place)

    def _checks(self, frame: bytes) -> int:
        """Which checksums were looked at; the network's are right (section 3.2.9)."""
        wanted = self._registers[RXCSUM]
        checked = 0
        if frame[12:14] == b"\x08\x00" and frame[14] == 0x45 and len(frame) >= 34:
            if wanted & IP_CHECKED:
                checked |= IP_RIGHT
            if wanted & TCP_CHECKED and frame[23] in (6, 17) and not int.from_bytes(frame[20:22], "big") & 0x3FFF:
                checked |= TCP_RIGHT
        return checked or IGNORE_CHECKS
