"""A guest on the user-mode network: a stack of its own, on a wire that may lose frames and reorder them."""

from __future__ import annotations

import queue
import random
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from emulator.hw.net.user import UserNetwork
from tests.conftest import PATIENCE

MAC = bytes.fromhex("525400123456")
GUEST, GATEWAY, NAME_SERVER = (bytes((10, 0, 2, last)) for last in (15, 2, 3))
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
TURN = 50_000_000  # ns that go by for the guest where it waits in vain: lost segments are soon sent again


def words(data: bytes) -> int:
    """The complement of the sum of 16-bit words."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


class Received(NamedTuple):
    """An IP packet for the guest."""

    source: bytes
    destination: bytes
    protocol: int
    data: bytes
    fragment: int


class Guest:
    """The guest's card and stack. `network` is called in this thread only, as a machine does."""

    def __init__(self, seed: int = 0, loss: float = 0, **options: Any) -> None:
        self.random = random.Random(seed)
        self.loss = loss
        self.time = 0  # goes on while the guest runs, and stands still where this process does
        self.posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.network = UserNetwork(self.now, self.posted.put, **options)
        self.network.attach(self)
        self.gateway_mac = bytes.fromhex("52550a000202")
        self.takes_large_frames = False
        self.buffers: int | None = None  # that the card has, None: enough
        self.packets: list[Received] = []
        self.frames: list[bytes] = []  # that are no IP
        self.held: tuple[list[bytes], list[bytes]] = [], []  # by the wire, for a moment, on the way in and out
        self.sockets: dict[tuple[int, bytes, int], GuestSocket] = {}
        self.listening: set[int] = set()
        self.identification = 0

    def now(self) -> int:
        return self.time

    # -- the wire -------------------------------------------------------------------------------------------

    def receive(self, frames: list[bytes]) -> int:
        """What the network calls."""
        taken = len(frames) if self.buffers is None else min(len(frames), self.buffers)
        if self.buffers is not None:
            self.buffers -= taken
        for frame in frames[:taken]:
            assert 60 <= len(frame) <= (65549 if self.takes_large_frames else 1514)
            for arrived in self.disturb(bytes(frame), self.held[0]):
                self.take(arrived)
        return taken

    def send(self, frame: bytes) -> None:
        for sent in self.disturb(frame, self.held[1]):
            self.network.send(sent)

    def disturb(self, frame: bytes, held: list[bytes]) -> list[bytes]:
        """What comes out of the wire: frames get lost, are overtaken, come twice."""
        if not self.loss:
            return [frame]
        if self.random.random() < self.loss:
            return []
        if self.random.random() < self.loss:
            held.append(frame)
            return []
        out = [frame] * (1 + (self.random.random() < self.loss))
        if self.random.random() < 0.5:
            out += held
            held.clear()
        return out

    def run(self, until: Callable[[], Any]) -> Any:
        """Be a machine until something is there, and return it."""
        end = time.monotonic() + PATIENCE
        while not (result := until()):
            assert time.monotonic() < end, "nothing happened"
            try:
                self.posted.get(timeout=0.005)()
            except queue.Empty:
                self.time += TURN
            while not self.posted.empty() and time.monotonic() < end:
                self.posted.get()()
            self.network.run_events(self.now())
            for sock in list(self.sockets.values()):
                sock.tick()
        return result

    # -- the stack ------------------------------------------------------------------------------------------

    def take(self, frame: bytes) -> None:
        target, _, kind = struct.unpack_from(">6s6sH", frame)
        if target not in (MAC, b"\xff" * 6):
            return
        if kind == 0x806:
            operation, *_, asked = struct.unpack_from(">H6s4s6s4s", frame, 20)
            self.frames.append(frame)
            if operation == 1 and asked == GUEST:
                self.arp(2, frame[22:28], frame[28:32])
            return
        length, _, fragment, _, protocol, _, source, destination = struct.unpack_from(">HHHBBH4s4s", frame, 16)
        assert words(frame[14:34]) == 0
        packet = Received(source, destination, protocol, frame[34 : 14 + length], fragment)
        self.packets.append(packet)
        if protocol == 6:
            self.take_tcp(packet)

    def arp(self, operation: int, hardware: bytes, address: bytes) -> None:
        body = struct.pack(">HHBBH6s4s6s4s", 1, 0x800, 6, 4, operation, MAC, GUEST, hardware, address)
        self.send(b"\xff" * 6 + MAC + b"\x08\x06" + body)

    def ip(self, destination: bytes, protocol: int, data: bytes, fragment: int = 0, source: bytes = GUEST) -> None:
        if not fragment & 0x1FFF:
            self.identification += 1
        number = self.identification & 0xFFFF
        header = struct.pack(
            ">BBHHHBBH4s4s", 0x45, 0, 20 + len(data), number, fragment, 64, protocol, 0, source, destination
        )
        header = header[:10] + struct.pack(">H", words(header)) + header[12:]
        self.send(self.gateway_mac + MAC + b"\x08\x00" + header + data)

    def udp(self, port: int, destination: bytes, to: int, data: bytes, source: bytes = GUEST) -> None:
        self.ip(destination, 17, self.udp_datagram(port, destination, to, data, source), source=source)

    @staticmethod
    def udp_datagram(port: int, destination: bytes, to: int, data: bytes, source: bytes = GUEST) -> bytes:
        length = 8 + len(data)
        header = struct.pack(">HHHH", port, to, length, 0)
        pseudo = source + destination + struct.pack(">HH", 17, length)
        return header[:6] + struct.pack(">H", words(pseudo + header + data) or 0xFFFF) + data

    def udp_answer(self, port: int) -> tuple[bytes, int, bytes] | None:
        """The last whole datagram to a port: from whom, and what."""
        for packet in reversed(self.packets):
            if packet.protocol == 17 and not packet.fragment:
                source, to, length, _ = struct.unpack_from(">HHHH", packet.data)
                if to == port:
                    pseudo = packet.source + packet.destination + struct.pack(">HH", 17, length)
                    assert words(pseudo + packet.data) == 0
                    return packet.source, source, packet.data[8:]
        return None

    def icmp_error(self) -> tuple[int, int, bytes] | None:
        """The last error: type, code, and what it quotes."""
        for packet in reversed(self.packets):
            if packet.protocol == 1 and packet.data[0] == 3:
                assert words(packet.data) == 0
                return packet.data[0], packet.data[1], packet.data[8:]
        return None

    # -- TCP ------------------------------------------------------------------------------------------------

    def connect(self, address: bytes, port: int, local: int = 40000, **options: Any) -> GuestSocket:
        sock = self.sockets[local, address, port] = GuestSocket(self, local, address, port, **options)
        sock.transmit(SYN, sock.una)
        return sock

    def take_tcp(self, packet: Received) -> None:
        assert packet.fragment == 0x4000  # "don't fragment": what lets Linux join segments
        pseudo = packet.source + packet.destination + struct.pack(">HH", 6, len(packet.data))
        assert words(pseudo + packet.data) == 0 or len(packet.data) > 1480  # a large frame's is the card's to compute
        source, to = struct.unpack_from(">HH", packet.data)
        sock = self.sockets.get((to, packet.source, source))
        flags = packet.data[13]
        if sock is None and to in self.listening and flags & SYN:
            sock = self.sockets[to, packet.source, source] = GuestSocket(self, to, packet.source, source)
        if sock is not None:
            sock.take(packet.data)
        elif not flags & RST:
            number = struct.unpack_from(">I", packet.data, 4)[0] + bool(flags & SYN)
            GuestSocket(self, to, packet.source, source).transmit(RST | ACK, 0, acknowledges=number)


class GuestSocket:
    """One connection: takes what is in order, sends again from the start what is not acknowledged for a while."""

    AGAIN = 300_000_000  # ns

    def __init__(
        self, guest: Guest, local: int, address: bytes, port: int, shift: int | None = 4, window: int = 60000
    ) -> None:
        self.guest, self.local, self.address, self.port = guest, local, address, port
        self.shift, self.window = shift, window  # bytes; the header has it shifted
        self.una = self.sent = 1000 + local  # the SYN
        self.nxt: int | None = None
        self.peer_shift, self.peer_window = 0, 0
        self.outgoing = bytearray()
        self.incoming = bytearray()
        self.open = self.closing = self.reset = self.peer_closed = False
        self.fin_at: int | None = None
        self.stirred = guest.now()

    def transmit(self, flags: int, sequence: int, data: bytes = b"", acknowledges: int | None = None) -> None:
        options = b""
        if flags & SYN:
            options = b"\x02\x04\x05\xb4" + (b"" if self.shift is None else bytes((1, 3, 3, self.shift)))
        window = self.window >> (0 if flags & SYN else self.shift or 0)
        number = acknowledges if acknowledges is not None else self.nxt or 0
        fields = (self.local, self.port, sequence & 0xFFFFFFFF, number & 0xFFFFFFFF)
        header = (
            struct.pack(">HHIIBBHHH", *fields, (20 + len(options)) << 2, flags, min(window, 0xFFFF), 0, 0) + options
        )
        pseudo = GUEST + self.address + struct.pack(">HH", 6, len(header) + len(data))
        header = header[:16] + struct.pack(">H", words(pseudo + header + data)) + header[18:]
        self.guest.ip(self.address, 6, header + data)

    def send(self, data: bytes) -> None:
        self.outgoing += data
        self.flush()

    def close(self) -> None:
        self.closing = True
        self.flush()

    def flush(self) -> None:
        """Send what the window allows."""
        while self.open and not self.reset:
            offset = self.sent - self.una
            piece = bytes(self.outgoing[offset : offset + min(1460, max(self.peer_window - offset, 0))])
            if piece:
                self.transmit(ACK | PSH, self.sent, piece)
                self.sent += len(piece)
            elif self.closing and self.fin_at is None and offset == len(self.outgoing):
                self.fin_at = self.sent
                self.transmit(ACK | FIN, self.sent)
                self.sent += 1
            else:
                return

    def tick(self) -> None:
        """Send again."""
        if self.reset or self.guest.now() < self.stirred + self.AGAIN:
            return
        self.stirred = self.guest.now()
        if not self.open:
            self.transmit(SYN if self.nxt is None else SYN | ACK, self.una)
        elif self.sent > self.una or self.outgoing:
            self.sent, self.fin_at = self.una, None
            if not self.peer_window and self.outgoing:
                self.transmit(ACK, self.una, bytes(self.outgoing[:1]))
            self.flush()

    def take(self, data: bytes) -> None:
        sequence, acknowledges, offset, flags, window = struct.unpack_from(">IIBBH", data, 4)
        options, content = data[20 : 4 * (offset >> 4)], data[4 * (offset >> 4) :]
        if flags & RST:
            self.reset = True
            return
        if flags & SYN:
            self.nxt = sequence + 1 & 0xFFFFFFFF
            if self.shift is not None and b"\x03\x03" in options:
                self.peer_shift = options[options.index(b"\x03\x03") + 2]
        advanced = acknowledges - self.una & 0xFFFFFFFF
        if not self.open:
            if flags & ACK and advanced == 1:
                self.una, self.open = self.una + 1, True
                self.sent = self.una
                self.peer_window = window << (0 if flags & SYN else self.peer_shift)
            if flags & SYN:
                self.transmit(ACK if self.open else SYN | ACK, self.una)
            self.flush()
            if flags & SYN:
                return
        elif advanced < 1 << 31:
            fin = self.fin_at is not None and advanced == self.fin_at + 1 - self.una
            del self.outgoing[: advanced - fin]
            self.una += advanced
            self.sent = max(self.sent, self.una)
            self.peer_window = window << self.peer_shift
            self.stirred = self.guest.now() if advanced else self.stirred
        if (content or flags & FIN) and self.nxt is not None:
            if sequence == self.nxt and not self.peer_closed:
                self.incoming += content
                self.nxt += len(content) + bool(flags & FIN)
                self.nxt &= 0xFFFFFFFF
                self.peer_closed = bool(flags & FIN)
            self.transmit(ACK, self.sent)
        self.flush()

    @property
    def done(self) -> bool:
        """Both ends have ended, and the peer knows."""
        return self.peer_closed and self.fin_at is not None and self.una == self.fin_at + 1


@contextmanager
def guest(**options: Any) -> Iterator[Guest]:
    """A guest whose addresses are known to the network."""
    one = Guest(**options)
    try:
        loss, one.loss = one.loss, 0
        one.arp(1, bytes(6), GATEWAY)
        one.run(lambda: one.frames)
        one.loss = loss
        yield one
    finally:
        one.network.close()
