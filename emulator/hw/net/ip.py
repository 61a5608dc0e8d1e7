"""IPv4 (RFC 791): checks, fragments both ways, and packets on to their protocol. Options are passed over."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from .addresses import ANY, EVERYBODY, MTU, is_guest
from .checksum import MODULUS, Buffer, checksum, word_sum
from .structs import BROADCAST, DONT_FRAGMENT, FRAGMENT_OFFSET, IPV4, MORE_FRAGMENTS, TIME_TO_LIVE
from .timers import Timers

if TYPE_CHECKING:
    from .ethernet import Link

FRAGMENTS_LIMIT = 16  # datagrams that are being put together
PIECES_LIMIT = 128  # of one datagram
DATAGRAM_LIMIT = 65535 - IPV4.size
VERSION = 0x4500  # the first word of a header without options
REASSEMBLY_TIME = 15_000_000_000  # ns


def ipv4_header(
    source: bytes, destination: bytes, protocol: int, length: int, fragment: int = 0, number: int = 0
) -> bytes:
    """A header for `length` bytes."""
    total = IPV4.size + length
    words = VERSION + total + number + fragment + (TIME_TO_LIVE << 8 | protocol) + word_sum(source + destination)
    check = -words % MODULUS
    return IPV4.pack(0x45, 0, total, number, fragment, TIME_TO_LIVE, protocol, check, source, destination)


class Packet(NamedTuple):
    """What a protocol gets."""

    source: bytes
    destination: bytes
    data: memoryview
    start: memoryview  # the header and what follows it, for errors that quote it


class Datagram:
    """Fragments of one datagram, as they came."""

    def __init__(self, started: int, start: bytes) -> None:
        self.started = started
        self.start = start
        self.pieces: dict[int, bytes] = {}
        self.have = 0  # bytes
        self.size: int | None = None

    def add(self, offset: int, data: memoryview, *, last: bool) -> bool:
        """Whether the fragment can belong to the datagram."""
        if offset + len(data) > DATAGRAM_LIMIT or len(self.pieces) >= PIECES_LIMIT or (not last and len(data) % 8):
            return False
        self.have += len(data) - len(self.pieces.get(offset, b""))
        self.pieces[offset] = bytes(data)
        if last:
            self.size = offset + len(data)
        return True

    def whole(self) -> bytes | None:
        """All of the data, once it is there. Fragments that overlap are an attack, and never whole (RFC 5722)."""
        if self.size != self.have:
            return None
        data = bytearray()
        for offset in sorted(self.pieces):
            if offset != len(data):
                return None
            data += self.pieces[offset]
        return bytes(data)


class Ip:
    """The layer between the wire and the protocols, which are entered in `protocols`."""

    def __init__(self, link: Link, clock: Callable[[], int], timers: Timers) -> None:
        self._link = link
        link.packet = self.receive
        self._clock = clock
        self._timers = timers
        self.protocols: dict[int, Callable[[Packet], None]] = {}
        self._datagrams: dict[tuple[bytes, bytes, int, int], Datagram] = {}
        self._identification = count(1)
        self.verified = False  # the card has checked what came, or would have computed the checksums

    def reset(self) -> None:
        self._datagrams.clear()

    # -- from the guest -------------------------------------------------------------------------------------

    def receive(self, packet: memoryview) -> None:
        if len(packet) < IPV4.size:
            return
        version, _, total, identification, fragment, _, protocol, _, source, destination = IPV4.unpack_from(packet)
        header = 4 * (version & 15)
        if version >> 4 != 4 or not IPV4.size <= header <= total <= len(packet):
            return
        if not self.verified and checksum(packet[:header]):
            return
        if not (is_guest(source) or (source == ANY and destination == EVERYBODY)):
            return
        data = packet[header:total]
        if fragment & (MORE_FRAGMENTS | FRAGMENT_OFFSET):
            self._collect((source, destination, protocol, identification), packet[:total], data, fragment)
        elif protocol in self.protocols:
            self.protocols[protocol](Packet(source, destination, data, packet[:total]))

    def _collect(self, key: tuple[bytes, bytes, int, int], packet: memoryview, data: memoryview, fragment: int) -> None:
        datagram = self._datagrams.get(key)
        if datagram is None:
            if len(self._datagrams) >= FRAGMENTS_LIMIT:
                del self._datagrams[next(iter(self._datagrams))]
            datagram = self._datagrams[key] = Datagram(self._clock(), bytes(packet[: IPV4.size + 8]))
            self._timers.set(self._forget, self._clock() + REASSEMBLY_TIME)
        if not datagram.add(8 * (fragment & FRAGMENT_OFFSET), data, last=not fragment & MORE_FRAGMENTS):
            del self._datagrams[key]
            return
        whole = datagram.whole()
        if whole is not None:
            del self._datagrams[key]
            source, destination, protocol, _ = key
            if protocol in self.protocols:
                self.protocols[protocol](Packet(source, destination, memoryview(whole), memoryview(datagram.start)))

    def _forget(self, now: int) -> None:
        """Give up datagrams of which no more came."""
        for key, datagram in list(self._datagrams.items()):
            if datagram.started + REASSEMBLY_TIME <= now:
                del self._datagrams[key]
        if self._datagrams:
            self._timers.set(self._forget, now + REASSEMBLY_TIME)

    # -- to the guest ---------------------------------------------------------------------------------------

    def send(self, source: bytes, destination: bytes, protocol: int, *parts: Buffer) -> None:
        """A datagram in parts, to a guest; of any size, in fragments where it does not fit."""
        length = sum(map(len, parts))
        if length <= MTU - IPV4.size:
            self._link.send(destination, ipv4_header(source, destination, protocol, length), *parts)
            return
        data = b"".join(parts)
        piece = MTU - IPV4.size & ~7
        number = next(self._identification) & 0xFFFF
        for offset in range(0, length, piece):
            more = MORE_FRAGMENTS if offset + piece < length else 0
            part = data[offset : offset + piece]
            header = ipv4_header(source, destination, protocol, len(part), more | offset >> 3, number)
            self._link.send(destination, header, part)

    def send_whole(self, source: bytes, destination: bytes, protocol: int, *parts: Buffer) -> None:
        """One packet, in parts, of any size that the card takes, and never in fragments. One that says so needs no
        number of its own (RFC 6864, section 4.1), and guests join such segments again.
        """
        length = sum(map(len, parts))
        header = ipv4_header(source, destination, protocol, length, DONT_FRAGMENT)
        self._link.send(destination, header, *parts)

    def broadcast(self, source: bytes, protocol: int, *parts: bytes) -> None:
        header = ipv4_header(source, EVERYBODY, protocol, sum(map(len, parts)))
        self._link.send_to(BROADCAST, header, *parts)
