"""The DHCP server (RFC 2131, RFC 2132): the first card to ask gets 10.0.2.15, others the addresses that follow."""

from __future__ import annotations

from .addresses import ANY, EVERYBODY, GATEWAY, GUEST, NAME_SERVER, NETMASK, NETWORK
from .ip import Ip, Packet
from .structs import DHCP, PROTOCOL_UDP
from .udp import Udp, datagram

SERVER_PORT, CLIENT_PORT = 67, 68
REQUEST, REPLY = 1, 2  # operations
COOKIE = 0x63825363
LEASES_LIMIT = 16
LEASE_TIME = 86400  # seconds
SHORTEST = 300  # bytes of a message, which BOOTP clients insist on

# Options
PAD, END = 0, 255
SUBNET_MASK, ROUTER, DOMAIN_NAME_SERVER = 1, 3, 6
REQUESTED_ADDRESS, LEASE, MESSAGE_TYPE, SERVER_IDENTIFIER = 50, 51, 53, 54
# Message types
DISCOVER, OFFER, REQUESTED, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)


def parse_options(data: memoryview) -> dict[int, bytes]:
    """Options by their number, as far as they are whole."""
    options: dict[int, bytes] = {}
    place = 0
    while place < len(data) and data[place] != END:
        if data[place] == PAD:
            place += 1
        elif place + 1 < len(data):
            length = data[place + 1]
            options[data[place]] = bytes(data[place + 2 : place + 2 + length])
            place += 2 + length
        else:
            break
    return options


class DhcpServer:
    def __init__(self, ip: Ip, udp: Udp) -> None:
        self._ip = ip
        self._leases: dict[bytes, bytes] = {}  # hardware address -> address
        udp.services[SERVER_PORT] = self.receive

    def receive(self, packet: Packet, data: memoryview) -> bool:
        if packet.destination not in (EVERYBODY, GATEWAY):
            return False
        if len(data) >= DHCP.size:
            self._answer(data)
        return True

    def _answer(self, data: memoryview) -> None:
        operation, kind, length, _, transaction, _, flags, own, _, _, relay, hardware, cookie = DHCP.unpack_from(data)
        options = parse_options(data[DHCP.size :])
        if (operation, kind, length, cookie) != (REQUEST, 1, 6, COOKIE):
            return
        answer, address = self._decide(options, own, hardware)
        if answer is None:
            return
        fields = [(MESSAGE_TYPE, bytes((answer,))), (SERVER_IDENTIFIER, GATEWAY)]
        if answer != NAK:
            fields += [(SUBNET_MASK, NETMASK), (ROUTER, GATEWAY), (DOMAIN_NAME_SERVER, NAME_SERVER)]
            if address != ANY:
                fields.append((LEASE, LEASE_TIME.to_bytes(4, "big")))
        message = DHCP.pack(
            REPLY,
            1,
            6,
            0,
            transaction,
            0,
            flags,
            own,
            address,
            GATEWAY if address != ANY else ANY,
            relay,
            hardware,
            COOKIE,
        )
        message += b"".join(bytes((number, len(value))) + value for number, value in fields) + bytes((END,))
        source, destination = (GATEWAY, SERVER_PORT), (EVERYBODY, CLIENT_PORT)
        self._ip.broadcast(
            GATEWAY, PROTOCOL_UDP, *map(bytes, datagram(source, destination, message.ljust(SHORTEST, b"\0")))
        )

    def _decide(self, options: dict[int, bytes], own: bytes, hardware: bytes) -> tuple[int | None, bytes]:
        """The type of the answer, if there is one, and the client's new address (section 4.3)."""
        kind = options.get(MESSAGE_TYPE, b"\0")[:1]
        server = options.get(SERVER_IDENTIFIER, GATEWAY)
        if kind == bytes((DISCOVER,)):
            address = self._lease(hardware)
            return (None, ANY) if address is None else (OFFER, address)
        if kind == bytes((REQUESTED,)) and server == GATEWAY:
            address = self._lease(hardware)
            return (ACK, address) if address in (options.get(REQUESTED_ADDRESS), own) else (NAK, ANY)
        if kind == bytes((INFORM,)):
            return ACK, ANY
        if kind in (bytes((DECLINE,)), bytes((RELEASE,))):
            self._leases.pop(hardware, None)
        return None, ANY

    def _lease(self, hardware: bytes) -> bytes | None:
        if hardware not in self._leases:
            first = GUEST[3]
            free = (NETWORK + bytes((first + number,)) for number in range(LEASES_LIMIT))
            address = next((address for address in free if address not in self._leases.values()), None)
            if address is None:
                return None
            self._leases[hardware] = address
        return self._leases[hardware]
