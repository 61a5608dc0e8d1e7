"""UDP (RFC 768) through sockets of the host, as RFC 4787 wants address translation to be: a guest's port has one
socket, whomever it talks to, and loses it when nothing has gone through for a while. A forward is a guest's port whose
socket has a known port on the host, and stays.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial

from .addresses import GUEST, Endpoint, guest_view, host_endpoint
from .checksum import Buffer, transport_checksum
from .icmp import Icmp
from .ip import Ip, Packet
from .poller import READ, Poller
from .structs import PORT_UNREACHABLE, PROTOCOL_UDP, UDP
from .timers import Timers

IDLE_TIME = 120_000_000_000  # ns; at least two minutes (RFC 4787, REQ-5)
PORTS_LIMIT = 256  # guests' ports with a socket; the one that was idle longest gives way
PEERS_LIMIT = 64  # of one port
DATAGRAMS_AT_ONCE = 64
BUFFER = 65536

Guest = tuple[bytes, int]


class Port:
    """A guest's port and its socket."""

    def __init__(self, sock: socket.socket, *, forward: bool) -> None:
        self.socket = sock
        self.forward = forward
        self.used = 0
        self.peers: dict[Endpoint, Guest] = {}  # what the guest called whom it sent to

    def name_of(self, host: Endpoint) -> Guest:
        return self.peers.get(host) or (guest_view(host[0]), host[1])

    def remember(self, host: Endpoint, name: Guest) -> None:
        if host not in self.peers and len(self.peers) >= PEERS_LIMIT:
            del self.peers[next(iter(self.peers))]
        self.peers[host] = name


class Udp:
    def __init__(
        self, ip: Ip, icmp: Icmp, poller: Poller, clock: Callable[[], int], timers: Timers, resolver: Endpoint | None
    ) -> None:
        self._ip, self._icmp, self._poller = ip, icmp, poller
        self._clock, self._timers = clock, timers
        self._resolver = resolver
        self._ports: dict[Guest, Port] = {}
        self.services: dict[int, Callable[[Packet, memoryview], bool]] = {}  # by port; whether it was for them
        ip.protocols[PROTOCOL_UDP] = self.receive

    def reset(self) -> None:
        for guest, port in list(self._ports.items()):
            if not port.forward:
                self._close(guest)

    # -- from the guest -------------------------------------------------------------------------------------

    def receive(self, packet: Packet) -> None:
        if len(packet.data) < UDP.size:
            return
        source, destination, length, check = UDP.unpack_from(packet.data)
        if not UDP.size <= length <= len(packet.data):
            return
        header, data = packet.data[: UDP.size], packet.data[UDP.size : length]
        looked_at = check and not self._ip.verified
        if looked_at and transport_checksum(packet.source, packet.destination, PROTOCOL_UDP, header, data):
            return
        if destination in self.services and self.services[destination](packet, data):
            return
        host = host_endpoint(packet.destination, destination, self._resolver)
        if host is None or not destination:
            self._icmp.unreachable(packet, PORT_UNREACHABLE)
            return
        try:
            port = self._ports.get((packet.source, source)) or self._open((packet.source, source))
            port.socket.sendto(data, host)
        except BlockingIOError:
            return
        except OSError as error:
            self._icmp.failed(packet, error.errno or 0)
            return
        port.used = self._clock()
        port.remember(host, (packet.destination, destination))

    def _open(self, guest: Guest) -> Port:
        """A socket for a guest's port."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        translated = [other for other, port in self._ports.items() if not port.forward]
        if len(translated) >= PORTS_LIMIT:
            self._close(min(translated, key=lambda other: self._ports[other].used))
        if not self._timers.is_set(self._expire):
            self._timers.set(self._expire, self._clock() + IDLE_TIME)
        return self._add(guest, sock, forward=False)

    def forward(self, sock: socket.socket, guest_port: int) -> None:
        """A bound socket whose datagrams go to the guest."""
        self._add((GUEST, guest_port), sock, forward=True)

    def _add(self, guest: Guest, sock: socket.socket, *, forward: bool) -> Port:
        sock.setblocking(False)
        port = self._ports[guest] = Port(sock, forward=forward)
        self._poller.watch(sock, READ, partial(self._arrived, guest, port))
        return port

    def _close(self, guest: Guest) -> None:
        port = self._ports.pop(guest)
        self._poller.watch(port.socket, 0, int)
        port.socket.close()

    def _expire(self, now: int) -> None:
        for guest, port in list(self._ports.items()):
            if not port.forward and port.used + IDLE_TIME <= now:
                self._close(guest)
        left = [port.used for port in self._ports.values() if not port.forward]
        if left:
            self._timers.set(self._expire, min(left) + IDLE_TIME)

    # -- to the guest ---------------------------------------------------------------------------------------

    def _arrived(self, guest: Guest, port: Port, _: int) -> None:
        for _ in range(DATAGRAMS_AT_ONCE):
            try:
                data, host = port.socket.recvfrom(BUFFER)
            except OSError:  # nothing more, or an error about what was sent
                return
            port.used = self._clock()
            self.send(port.name_of(host), guest, data)

    def send(self, source: Guest, guest: Guest, data: Buffer) -> None:
        """A datagram to a guest."""
        self._ip.send(source[0], guest[0], PROTOCOL_UDP, *datagram(source, guest, data))


def datagram(source: Guest, destination: Guest, data: Buffer) -> tuple[bytes, Buffer]:
    """A header with its checksum, and the data."""
    length = UDP.size + len(data)
    bare = UDP.pack(source[1], destination[1], length, 0)
    check = transport_checksum(source[0], destination[0], PROTOCOL_UDP, bare, data) or 0xFFFF
    return UDP.pack(source[1], destination[1], length, check), data
