"""ICMP (RFC 792): echoes from the gateway and the name server, and errors about what cannot be delivered.

Nobody else answers echoes: hosts rarely let their users send any.
"""

from __future__ import annotations

import errno

from .addresses import GATEWAY, NAME_SERVER, is_guest
from .checksum import checksum
from .ip import Ip, Packet
from .structs import (
    ECHO,
    ECHO_REPLY,
    HOST_UNREACHABLE,
    ICMP,
    NETWORK_UNREACHABLE,
    PROTOCOL_ICMP,
    UNREACHABLE,
)

QUOTED = 8  # bytes after the header


class Icmp:
    def __init__(self, ip: Ip) -> None:
        self._ip = ip
        ip.protocols[PROTOCOL_ICMP] = self.receive

    def receive(self, packet: Packet) -> None:
        if len(packet.data) < ICMP.size or packet.destination not in (GATEWAY, NAME_SERVER):
            return
        kind, code, _, rest = ICMP.unpack_from(packet.data)
        if kind == ECHO and not code and (self._ip.verified or not checksum(packet.data)):
            self._send(packet.destination, packet.source, ECHO_REPLY, 0, rest, packet.data[ICMP.size :])

    def unreachable(self, packet: Packet, code: int) -> None:
        """Tell a guest that its packet went nowhere."""
        if is_guest(packet.source) and packet.destination[0] < 224 and packet.destination[3] != 255:
            quoted = packet.start[: 4 * (packet.start[0] & 15) + QUOTED]
            source = NAME_SERVER if packet.destination == NAME_SERVER else GATEWAY
            self._send(source, packet.source, UNREACHABLE, code, 0, quoted)

    def failed(self, packet: Packet, error: int) -> None:
        """The same, by the error that the host gave."""
        self.unreachable(packet, NETWORK_UNREACHABLE if error == errno.ENETUNREACH else HOST_UNREACHABLE)

    def _send(self, source: bytes, destination: bytes, kind: int, code: int, rest: int, data: memoryview) -> None:
        header = ICMP.pack(kind, code, 0, rest)
        header = ICMP.pack(kind, code, checksum(header, data), rest)
        self._ip.send(source, destination, PROTOCOL_ICMP, header, data)
