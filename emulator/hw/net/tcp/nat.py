"""Who is connected with whom: guests to the host's sockets, and forwarded ports of the host's to the guest."""

from __future__ import annotations

import errno
import secrets
import socket
from collections.abc import Callable
from functools import partial

from ..addresses import GUEST, Endpoint, guest_view, host_endpoint
from ..checksum import Buffer, checksum
from ..ethernet import Link
from ..icmp import Icmp
from ..ip import Ip, Packet
from ..poller import READ, Poller
from ..structs import PROTOCOL_TCP, PSEUDO
from ..timers import Timers
from .connection import Connection, State
from .segment import ACK, RST, SYN, Guest, Segment, build, parse

CONNECTIONS_LIMIT = 512
HALF_OPEN_LIMIT = 128
ACCEPTS_AT_ONCE = 16
HALF_OPEN = (State.CONNECTING, State.SYN_SENT, State.SYN_RECEIVED)


class Tcp:
    """The connections; `soon` has `settle` called when the card has handed over what it has."""

    def __init__(
        self,
        link: Link,
        ip: Ip,
        icmp: Icmp,
        poller: Poller,
        clock: Callable[[], int],
        timers: Timers,
        resolver: Endpoint | None,
        soon: Callable[[], None],
    ) -> None:
        self._link, self._ip, self.icmp, self.poller = link, ip, icmp, poller
        self.clock, self.timers = clock, timers
        self._resolver = resolver
        self._soon = soon
        self._connections: dict[tuple[Guest, Guest], Connection] = {}
        self.unsettled: dict[Connection, None] = {}
        self._hungry: dict[Connection, None] = {}  # would send if the queue had room
        self._listeners: list[socket.socket] = []
        ip.protocols[PROTOCOL_TCP] = self.receive

    def reset(self) -> None:
        """The guest has forgotten all."""
        for connection in list(self._connections.values()):
            connection.forget(abort=True)

    def close(self) -> None:
        self.reset()
        for listener in self._listeners:
            self.poller.watch(listener, 0, int)
            listener.close()

    # -- from the guest -------------------------------------------------------------------------------------

    def receive(self, packet: Packet) -> None:
        segment = parse(packet.data)
        if segment is None or not segment.source:
            return
        if not self._ip.verified:
            pseudo = PSEUDO.pack(packet.source, packet.destination, PROTOCOL_TCP, len(packet.data))
            if checksum(pseudo, packet.data):
                return
        remote, guest = (packet.destination, segment.destination), (packet.source, segment.source)
        connection = self._connections.get((remote, guest))
        opens = segment.flags & (SYN | ACK | RST) == SYN
        if opens and self._forget_finished(remote, guest):
            connection = None
        if connection is not None:
            connection.receive(segment)
        elif opens:
            self._open(packet, segment, remote, guest)
        elif not segment.flags & RST:
            self.reset_segment(remote, guest, segment)

    def _open(self, packet: Packet, segment: Segment, remote: Guest, guest: Guest) -> None:
        """A guest connects. What is beyond the limits gets no answer; the guest tries again."""
        if remote[0][0] >= 224 or remote[0][3] == 255:
            return
        host = host_endpoint(*remote, self._resolver)
        if host is None or not host[1]:
            self.reset_segment(remote, guest, segment)
            return
        half_open = sum(other.state in HALF_OPEN for other in self._connections.values())
        if half_open >= HALF_OPEN_LIMIT or not self._has_space():
            return
        try:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        except OSError:
            return
        connection = self._add(remote, guest, sock)
        error = sock.connect_ex(host)
        connection.accept(packet, segment)
        if error not in (0, errno.EINPROGRESS):
            connection.refused(error)

    def _forget_finished(self, remote: Guest, guest: Guest) -> bool:
        """A new connection between two ends replaces one that is over (RFC 9293, section 3.6.1)."""
        connection = self._connections.get((remote, guest))
        if connection is None or connection.state != State.TIME_WAIT:
            return False
        connection.forget()
        return True

    def _has_space(self) -> bool:
        """Whether there may be one more connection; the one that has been over for longest gives way."""
        if len(self._connections) < CONNECTIONS_LIMIT:
            return True
        over = next((other for other in self._connections.values() if other.state == State.TIME_WAIT), None)
        if over is not None:
            over.forget()
        return over is not None

    def _add(self, remote: Guest, guest: Guest, sock: socket.socket) -> Connection:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(self, remote, guest, sock, secrets.randbits(32))
        self._connections[remote, guest] = connection
        return connection

    # -- from the host --------------------------------------------------------------------------------------

    def forward(self, listener: socket.socket, guest_port: int) -> None:
        """Connections to a listening socket are the guest's."""
        listener.setblocking(False)
        self._listeners.append(listener)
        self.poller.watch(listener, READ, partial(self._arrived, listener, guest_port))

    def _arrived(self, listener: socket.socket, guest_port: int, _: int) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                sock, (host, port) = listener.accept()
            except OSError:
                return
            remote, guest = (guest_view(host), port), (GUEST, guest_port)
            self._forget_finished(remote, guest)
            if not self._has_space() or (remote, guest) in self._connections:
                sock.close()
                return
            self._add(remote, guest, sock).connect()

    # -- to the guest ---------------------------------------------------------------------------------------

    def soon(self, connection: Connection) -> None:
        """Settle a connection when the card has handed over what it has."""
        self.unsettled[connection] = None
        self._soon()

    def settle(self) -> None:
        while self.unsettled:
            unsettled, self.unsettled = self.unsettled, {}
            for connection in unsettled:
                connection.settle()

    def has_room(self, connection: Connection) -> bool:
        """Whether a connection may send now; if not, `resume` has it go on."""
        if self._link.has_room:
            return True
        self._hungry[connection] = None
        return False

    def resume(self) -> bool:
        """There is room in the queue: send on. Whether anybody did."""
        hungry, self._hungry = self._hungry, {}
        for connection in hungry:
            if connection.state == State.ESTABLISHED:
                connection.output()
        return bool(hungry)

    def send(
        self,
        remote: Guest,
        guest: Guest,
        sequence: int,
        acknowledgment: int,
        flags: int,
        window: int,
        data: Buffer = b"",
        options: bytes = b"",
    ) -> None:
        segment = build(remote, guest, sequence, acknowledgment, flags, window, data, options)
        self._ip.send_whole(remote[0], guest[0], PROTOCOL_TCP, *segment)

    def reset_segment(self, remote: Guest, guest: Guest, segment: Segment) -> None:
        """Answer a segment that belongs to nothing (section 3.10.7.1)."""
        if segment.flags & ACK:
            self.send(remote, guest, segment.acknowledgment, 0, RST, 0)
        else:
            self.send(remote, guest, 0, segment.sequence + segment.length, RST | ACK, 0)

    def remove(self, connection: Connection) -> None:
        self._connections.pop((connection.remote, connection.guest), None)
        self.unsettled.pop(connection, None)
        self._hungry.pop(connection, None)
