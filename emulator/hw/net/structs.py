"""The headers that go over the wire, all numbers big-endian; their fields are named below each.

Headers are plain `struct.Struct`s: they are packed and unpacked for every packet.
"""

from __future__ import annotations

from struct import Struct

ETHERNET = Struct(">6s6sH")
"""Destination, source, type (RFC 894)."""
TYPE_IPV4, TYPE_ARP = 0x0800, 0x0806
BROADCAST = b"\xff" * 6
SHORTEST_FRAME = 60  # without the check sequence; shorter ones are filled up

ARP = Struct(">HHBBH6s4s6s4s")
"""Hardware type, protocol type, lengths of their addresses, operation, sender's and target's addresses (RFC 826)."""
ARP_ETHERNET = (1, TYPE_IPV4, 6, 4)
ARP_REQUEST, ARP_REPLY = 1, 2

IPV4 = Struct(">BBHHHBBH4s4s")
"""Version and length, type of service, total length, identification, flags and fragment offset, time to live,
protocol, checksum, source, destination (RFC 791)."""
DONT_FRAGMENT, MORE_FRAGMENTS, FRAGMENT_OFFSET = 0x4000, 0x2000, 0x1FFF
PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP = 1, 6, 17
TIME_TO_LIVE = 64

ICMP = Struct(">BBHI")
"""Type, code, checksum, the rest of the header (RFC 792)."""
ECHO_REPLY, UNREACHABLE, ECHO = 0, 3, 8
NETWORK_UNREACHABLE, HOST_UNREACHABLE, PORT_UNREACHABLE = 0, 1, 3  # codes of UNREACHABLE

UDP = Struct(">HHHH")
"""Source port, destination port, length, checksum (RFC 768)."""

TCP = Struct(">HHIIHHHH")
"""Source port, destination port, sequence number, acknowledgment number, data offset and flags, window, checksum,
urgent pointer (RFC 9293, section 3.1)."""

PSEUDO = Struct(">4s4sHH")
"""What checksums of TCP and UDP cover besides: source, destination, protocol, length."""

DHCP = Struct(">BBBBIHH4s4s4s4s6s10x64x128xI")
"""Operation, hardware type, length of its addresses, hops, transaction, seconds, flags, the client's own, its new, the
next server's and the relay's address, the client's hardware address, (server name, file), cookie (RFC 2131, 2)."""
