"""virtio-net: a network card (section 5.1), with one queue for frames in, one for frames out, and one for control.

Frames come with a header, which says what the other side need not do: the driver may leave checksums and the
segmentation of TCP to the network, and the network's own checksums are right.
"""

from __future__ import annotations

from collections import deque
from struct import Struct, pack
from typing import Protocol

from .device import VERSION_1, VirtioDevice
from .ring import Chain

QUEUE_SIZE, CONTROL_SIZE = 256, 64
MAX_FRAME = 14 + 65535  # bytes: Ethernet's header and the largest IP packet
# Features (5.1.3)
CHECKSUM, GUEST_CHECKSUM, MAC, GUEST_TSO4, HOST_TSO4 = 1 << 0, 1 << 1, 1 << 5, 1 << 7, 1 << 11
MERGED_BUFFERS, STATUS, CONTROL_QUEUE, CONTROL_RECEIVE = 1 << 15, 1 << 16, 1 << 17, 1 << 18
LINK_UP = 1  # status
# The header: flags, kind of segmentation, and four fields for it; how many buffers a frame takes (5.1.6)
HEADER, BUFFERS = Struct("<BBHHHH"), Struct("<H")
NEEDS_CHECKSUM, DATA_VALID = 1, 2  # flags
TCP_IPV4, SEGMENT = 1, 1460  # kind of segmentation, and how large the network's segments are
LONGEST = 1514  # bytes of a frame that is one segment
IP_ADDRESSES, TCP_HEADER, TCP_CHECKSUM, TCP_DATA = 26, 34, 16, 54  # in the network's frames, which have no IP options
TCP = 6
RECEIVE_MODE, MAC_FILTER = 0, 1  # classes of commands (5.1.6.5)
OK, ERROR = 0, 1


class Queues:
    RECEIVE, TRANSMIT, CONTROL = 0, 1, 2


class Network(Protocol):
    """What is at the other end of the wire."""

    def send(self, frame: bytes, *, verified: bool = False) -> None:
        """A frame from the guest; `verified`: its checksums need not be looked at, and may be missing."""

    def room(self) -> None:
        """The card may take a frame that it refused."""


class VirtioNet(VirtioDevice):
    """A card with the address `mac`, whose link is up."""

    device_id = 1
    class_code = 0x020000
    features = CHECKSUM | GUEST_CHECKSUM | MAC | GUEST_TSO4 | HOST_TSO4
    features |= MERGED_BUFFERS | STATUS | CONTROL_QUEUE | CONTROL_RECEIVE

    def __init__(self, network: Network, mac: bytes) -> None:
        self.network = network
        self.mac = mac
        super().__init__([QUEUE_SIZE, QUEUE_SIZE, CONTROL_SIZE])

    def reset(self) -> None:
        super().reset()
        self.incoming: deque[bytes] = deque()  # frames that are being received

    def configuration(self) -> bytes:
        return self.mac + pack("<HH", LINK_UP, 1)

    @property
    def takes_large_frames(self) -> bool:
        return bool(self.accepted & GUEST_TSO4)

    @property
    def header_size(self) -> int:
        """The legacy interface has the number of buffers only where they can be several (5.1.6.1)."""
        merged = self.accepted & (MERGED_BUFFERS | VERSION_1)
        return HEADER.size + (BUFFERS.size if merged else 0)

    def receive(self, frames: list[bytes]) -> int:
        """Give the guest frames: how many it had buffers for. `Network.room` is called when it may have more."""
        self.incoming.extend(frames)
        self.notify(Queues.RECEIVE)
        left = len(self.incoming)
        self.incoming.clear()
        return len(frames) - left

    def serve(self, number: int) -> bool:
        match number:
            case Queues.RECEIVE if self.incoming:
                while self.incoming and self._receive(self.incoming[0]):
                    self.incoming.popleft()
            case Queues.RECEIVE:
                self.network.room()
            case Queues.TRANSMIT:
                self._transmit()
            case Queues.CONTROL:
                self._control()
        return False

    def _receive(self, frame: bytes) -> bool:
        """Into one buffer, or as many as it takes where they may be merged (5.1.6.4); whether there are enough."""
        queue, needed = self.queues[Queues.RECEIVE], self.header_size + len(frame)
        chains: list[Chain] = []
        while needed > 0:
            chain = queue.take()
            if chain is None:
                for _ in chains:
                    queue.untake()
                return False
            chains.append(chain)
            needed -= chain.writable.size
            if not self.accepted & MERGED_BUFFERS:
                break
        if needed > 0:
            queue.untake()
            return True  # too large for the buffer: dropped
        data = memoryview(self._with_header(frame, len(chains)))
        for chain in chains:
            count = chain.writable.write(data)
            data = data[count:]
            queue.give(chain, count)
        return True

    def _with_header(self, frame: bytes, buffers: int) -> bytes:
        header = HEADER.pack(DATA_VALID if self.accepted & GUEST_CHECKSUM else 0, 0, 0, 0, 0, 0)
        if len(frame) > LONGEST and self.takes_large_frames:
            # Several segments: the guest computes the checksums, from that of the pseudo-header on (5.1.6.4.1).
            words = int.from_bytes(frame[IP_ADDRESSES:TCP_HEADER], "big") + TCP + len(frame) - TCP_HEADER
            place = TCP_HEADER + TCP_CHECKSUM
            frame = frame[:place] + pack(">H", words % 0xFFFF) + frame[place + 2 :]
            header = HEADER.pack(NEEDS_CHECKSUM, TCP_IPV4, TCP_DATA, SEGMENT, TCP_HEADER, TCP_CHECKSUM)
        return (header + BUFFERS.pack(buffers))[: self.header_size] + frame

    def _transmit(self) -> None:
        queue = self.queues[Queues.TRANSMIT]
        while (chain := queue.take()) is not None:
            head, frame = chain.readable.split(self.header_size)
            if head.size == self.header_size and frame.size <= MAX_FRAME:
                flags = head.read()[0]
                self.network.send(frame.read(), verified=bool(flags & NEEDS_CHECKSUM))
            queue.give(chain, 0)

    def _control(self) -> None:
        """What the card shall receive: the network sends nothing else anyway."""
        queue = self.queues[Queues.CONTROL]
        while (chain := queue.take()) is not None:
            command = chain.readable.split(2)[0].read()
            known = command[:1] == bytes((RECEIVE_MODE,)) or command == bytes((MAC_FILTER, 0))
            queue.give(chain, chain.writable.write(bytes((OK if known else ERROR,))))
