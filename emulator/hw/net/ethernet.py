"""Ethernet and ARP (RFC 894, RFC 826): the wire between the card and the network.

Frames for the card wait in a queue until it has buffers for them. The gateway answers for every address that is no
guest's; which guest's address is which card's is learnt from what comes, and asked for where it is not known.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from .addresses import GATEWAY, GATEWAY_MAC, NAME_SERVER, is_guest
from .segmentation import LONGEST, cut
from .structs import (
    ARP,
    ARP_ETHERNET,
    ARP_REPLY,
    ARP_REQUEST,
    BROADCAST,
    ETHERNET,
    IPV4,
    SHORTEST_FRAME,
    TYPE_ARP,
    TYPE_IPV4,
)

SHORTEST = ETHERNET.size + IPV4.size
QUEUE_LIMIT = 512
"""Frames that wait for the card. TCP stops sending here; what else comes is dropped, as by any network."""
QUEUE_BYTES = 4 << 20
PACKET_LIMIT = 2048  # beyond the limit of TCP, for answers to the guest


class Card(Protocol):
    """What a network card is to the network."""

    @property
    def takes_large_frames(self) -> bool:
        """Whether it cuts frames of TCP data itself, into segments of 1460 bytes."""
        ...

    def receive(self, frames: list[bytes]) -> int:
        """Give the guest frames: how many it has taken. `room` is called when there may be buffers for the others."""
        ...


class Link:
    """One card, the queue of frames for it, and the neighbours' hardware addresses."""

    def __init__(self, soon: Callable[[], None]) -> None:
        self._soon = soon  # has `deliver` called
        self.packet: Callable[[memoryview], object] = len  # the IP layer's
        self.card: Card | None = None
        self.queue: deque[bytes] = deque()
        self.queued = 0  # bytes
        self._neighbours: dict[bytes, bytes] = {}
        self._waiting: dict[bytes, bytes] = {}  # the last packet for each whose hardware address is asked for

    def reset(self) -> None:
        self.queue.clear()
        self.queued = 0
        self._neighbours.clear()
        self._waiting.clear()

    # -- from the guest -------------------------------------------------------------------------------------

    def receive(self, frame: memoryview) -> None:
        if len(frame) < SHORTEST:
            return
        destination, source, kind = ETHERNET.unpack_from(frame)
        if destination != GATEWAY_MAC and not destination[0] & 1:
            return
        if kind == TYPE_IPV4:
            self.learn(bytes(frame[26:30]), source)
            self.packet(frame[ETHERNET.size :])
        elif kind == TYPE_ARP and len(frame) >= ETHERNET.size + ARP.size:
            self._resolve(frame[ETHERNET.size :])

    def learn(self, address: bytes, hardware: bytes) -> None:
        if self._neighbours.get(address) == hardware or not is_guest(address) or hardware[0] & 1:
            return
        self._neighbours[address] = hardware
        packet = self._waiting.pop(address, None)
        if packet is not None:
            self.send(address, packet)

    def _resolve(self, packet: memoryview) -> None:
        *kinds, operation, hardware, sender, _, target = ARP.unpack_from(packet)
        if tuple(kinds) != ARP_ETHERNET:
            return
        self.learn(sender, hardware)
        if operation == ARP_REQUEST and target in (GATEWAY, NAME_SERVER) and sender != target:
            reply = ARP.pack(*ARP_ETHERNET, ARP_REPLY, GATEWAY_MAC, target, hardware, sender)
            self._queue(ETHERNET.pack(hardware, GATEWAY_MAC, TYPE_ARP), reply)

    # -- to the guest ---------------------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Whether the queue is short enough for more data."""
        return len(self.queue) < QUEUE_LIMIT and self.queued < QUEUE_BYTES

    def send(self, address: bytes, *packet: bytes | bytearray | memoryview) -> None:
        """An IP packet, in parts, to a guest."""
        hardware = self._neighbours.get(address)
        if hardware is not None:
            self._queue(ETHERNET.pack(hardware, GATEWAY_MAC, TYPE_IPV4), *packet)
        elif is_guest(address):
            self._waiting[address] = b"".join(packet)
            request = ARP.pack(*ARP_ETHERNET, ARP_REQUEST, GATEWAY_MAC, GATEWAY, bytes(6), address)
            self._queue(ETHERNET.pack(BROADCAST, GATEWAY_MAC, TYPE_ARP), request)

    def send_to(self, hardware: bytes, *packet: bytes) -> None:
        """An IP packet to whoever has a hardware address."""
        self._queue(ETHERNET.pack(hardware, GATEWAY_MAC, TYPE_IPV4), *packet)

    def _queue(self, *parts: bytes | bytearray | memoryview) -> None:
        if len(self.queue) < PACKET_LIMIT:
            frame = b"".join(parts).ljust(SHORTEST_FRAME, b"\0")
            self.queue.append(frame)
            self.queued += len(frame)
            self._soon()

    def deliver(self) -> bool:
        """Give the card what waits; whether it took all."""
        card = self.card
        while self.queue and card is not None:
            frames = self._next(large=card.takes_large_frames)
            taken = card.receive(frames)
            self.queued -= sum(map(len, frames[:taken]))
            if taken < len(frames):
                self.queue.extendleft(reversed(frames[taken:]))
                return False
        return card is not None

    def _next(self, *, large: bool) -> list[bytes]:
        """Frames off the queue: all of it for a card that takes large ones, else up to a large one, or that one cut."""
        frames = []
        while self.queue and (large or len(self.queue[0]) <= LONGEST):
            frames.append(self.queue.popleft())
        if not frames:
            whole = self.queue.popleft()
            frames = cut(whole)
            self.queued += sum(map(len, frames)) - len(whole)
        return frames
