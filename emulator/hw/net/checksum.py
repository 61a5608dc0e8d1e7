"""The Internet checksum (RFC 1071): the complement of the sum of all 16-bit words, carries added again.

That sum is the remainder by 65535 of the bytes read as one number, which Python has at the speed of memory.
"""

from __future__ import annotations

from .structs import PSEUDO

MODULUS = 0xFFFF

Buffer = bytes | bytearray | memoryview


def word_sum(data: Buffer) -> int:
    """The sum of the words of what begins at an even offset."""
    return (int.from_bytes(data, "big") << 8 * (len(data) & 1)) % MODULUS


def checksum(*parts: Buffer) -> int:
    """The checksum of parts, all but the last of even length; 0 if they contain their right checksum."""
    return -sum(map(word_sum, parts)) % MODULUS


def transport_checksum(source: bytes, destination: bytes, protocol: int, header: Buffer, data: Buffer) -> int:
    """The checksum of a UDP datagram or a TCP segment."""
    pseudo = PSEUDO.pack(source, destination, protocol, len(header) + len(data))
    return checksum(pseudo + header, data)
