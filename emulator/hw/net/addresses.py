"""The guest's network, as QEMU's user network has it: 10.0.2.0/24, whose gateway is the host and whose name server is
the host's. An address of the guest's is 4 bytes here, one of the host's is a text and a port, as sockets have it.
"""

from __future__ import annotations

from socket import inet_aton, inet_ntoa

from .dns import NAME_PORT

NETWORK = b"\x0a\x00\x02"
NETMASK = inet_aton("255.255.255.0")
GATEWAY = inet_aton("10.0.2.2")
NAME_SERVER = inet_aton("10.0.2.3")
GUEST = inet_aton("10.0.2.15")
ANY, EVERYBODY = bytes(4), b"\xff" * 4
GATEWAY_MAC = b"\x52\x55\x0a\x00\x02\x02"
LOOPBACK = "127.0.0.1"
MTU = 1500

Endpoint = tuple[str, int]


def is_guest(address: bytes) -> bool:
    """Whether an address is one that guests may have."""
    return address[:3] == NETWORK and address[3] not in (0, GATEWAY[3], NAME_SERVER[3], 255)


def host_endpoint(address: bytes, port: int, resolver: Endpoint | None) -> Endpoint | None:
    """Where the host finds what the guest calls by this address; None: nowhere."""
    if address == GATEWAY:
        return LOOPBACK, port
    if address == NAME_SERVER:
        return resolver if port == NAME_PORT else None
    if address[:3] == NETWORK or address[0] in (0, 127) or address[0] >= 224:
        return None
    return inet_ntoa(address), port


def guest_view(host: str) -> bytes:
    """What the guest calls an address of the host's: the host itself is the gateway."""
    return GATEWAY if host.startswith("127.") else inet_aton(host)
