"""What the driver sends (section 3.3): descriptors of the legacy and the extended kind, gathered to frames.

Checksums that are left to the card, and frames that it should cut into TCP segments, go to the network as they are: it
is told not to look at the checksums, and takes frames of any length.
"""

from __future__ import annotations

from struct import Struct, pack_into
from typing import TYPE_CHECKING, Any

from .registers import QUEUE_EMPTY, TRANSMIT_RING, TRANSMITTED
from .ring import DESCRIPTOR, Ring

if TYPE_CHECKING:
    from .card import E1000

LEGACY = Struct("<QHBBBBH")
"""Address, length, checksum offset, command, status, checksum start, special."""
DATA = Struct("<QIBBH")
"""Address, length and kind and command, status, options, special."""
CONTEXT = Struct("<BBHBBHIBBH")
"""Start, offset and end of the IP checksum; the same of the TCP checksum; payload length and kind and command;
status, header length, segment size."""
END_OF_PACKET, INSERT_CHECKSUM, SEGMENT, REPORT, EXTENDED = 1 << 0, 1 << 2, 1 << 2, 3 << 3, 1 << 5  # command
CONTEXT_KIND, DATA_KIND = 0, 1
LENGTH_BITS = 0xFFFFF
DONE = 1  # status
STATUS_PLACE = 12
IP_TOTAL = 2  # offset of the total length in an IP header
FRAME_LIMIT = 14 + 65535
BATCH = 512
"""Descriptors that are done in one go; the guest runs before the next."""


class Transmitter:
    def __init__(self, card: E1000) -> None:
        self._card = card
        self.ring = Ring(card.registers, TRANSMIT_RING)
        self.reset()

    def reset(self) -> None:
        self.ip_start = 0  # of the last context
        self._start()

    def _start(self) -> None:
        """A new frame."""
        self._pieces: list[memoryview] = []
        self._length = 0
        self._whole = True  # nothing of it was out of memory, or too much
        self._offloaded = self._segmented = False

    def run(self) -> bool:
        """Send what there is; whether there is more."""
        card, ring = self._card, self.ring
        owned = ring.owned
        memory = ring.memory(card.space) if owned else None
        if memory is None:
            return False
        reported = False
        places = ring.advance(min(owned, BATCH))
        for place in (start for there in places for start in range(there.start, there.stop, DESCRIPTOR)):
            command = memory[place + 11]
            if not command & EXTENDED:
                self._legacy(memory, place)
            elif memory[place + 10] >> 4 == CONTEXT_KIND:
                self.ip_start = memory[place]
            else:
                self._data(memory, place)
            if command & REPORT:
                memory[place + STATUS_PLACE] |= DONE
                reported = True
        if reported:
            for there in places:
                ring.written(card.space, there)
        self._keep()
        card.cause((TRANSMITTED if reported else 0) | (QUEUE_EMPTY if owned <= BATCH else 0))
        return owned > BATCH

    def _legacy(self, memory: memoryview, place: int) -> None:
        address, length, _, command, _, _, _ = LEGACY.unpack_from(memory, place)
        if not self._pieces:
            self._offloaded = bool(command & INSERT_CHECKSUM)
        self._add(address, length, ends=bool(command & END_OF_PACKET))

    def _data(self, memory: memoryview, place: int) -> None:
        address, word, _, options, _ = DATA.unpack_from(memory, place)
        if not self._pieces:
            self._offloaded = bool(options)
            self._segmented = bool(word >> 24 & SEGMENT)
        self._add(address, word & LENGTH_BITS, ends=bool(word >> 24 & END_OF_PACKET))

    def _add(self, address: int, length: int, *, ends: bool) -> None:
        self._length += length
        view = self._card.space.window(address, length) if length and self._length <= FRAME_LIMIT else None
        if view is not None:
            self._pieces.append(view)
        elif length:
            self._whole = False
        if ends:
            if self._whole and self._pieces:
                self._send()
            self._start()

    def _send(self) -> None:
        frame: Any = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        if self._segmented:
            frame = bytearray(frame)
            total = self.ip_start + IP_TOTAL
            if total + 2 <= len(frame):
                pack_into(">H", frame, total, len(frame) - self.ip_start & 0xFFFF)
        self._card.count_sent(len(frame))
        self._card.network.send(frame, verified=self._offloaded or self._segmented)

    def _keep(self) -> None:
        """What has been fetched of a frame whose rest comes later stays as it is."""
        self._pieces = [memoryview(b"".join(self._pieces))] if self._pieces else []
