"""A large frame of TCP data is cut into the frames that it stands for, as cards and their drivers do it.

Its headers are without options, and all that changes from one segment to the next is computed here for each.
"""

from __future__ import annotations

from .addresses import MTU
from .checksum import MODULUS, word_sum
from .ip import ipv4_header
from .structs import DONT_FRAGMENT, ETHERNET, IPV4, PROTOCOL_TCP, SHORTEST_FRAME, TCP

SEGMENT = MTU - IPV4.size - TCP.size
"""Bytes of data that a frame has room for."""
LARGEST = 65535 // SEGMENT * SEGMENT - SEGMENT
"""Bytes of data of a large frame, at most: whole segments, as many as an IP packet has room for."""
LONGEST = ETHERNET.size + MTU
"""Bytes of a frame that is not large."""
IP, ADDRESSES, HEADER, DATA = 14, 26, 34, 54  # offsets in a frame
NOT_BEFORE_THE_END = 1 | 8  # FIN and PSH


def cut(frame: bytes) -> list[bytes]:
    """The frames, each with its sequence number, length and checksums."""
    addresses = frame[ADDRESSES:HEADER]
    source, target, first, acknowledgment, flags, window, _, _ = TCP.unpack_from(frame, HEADER)
    constant = word_sum(addresses) + PROTOCOL_TCP + TCP.size + source + target + acknowledgment + window
    head, data = frame[:IP], memoryview(frame)[DATA:]
    frames = []
    size = 0
    for offset in range(0, len(data), SEGMENT):
        piece = data[offset : offset + SEGMENT]
        if len(piece) != size:
            size = len(piece)
            packet = head + ipv4_header(addresses[:4], addresses[4:], PROTOCOL_TCP, TCP.size + size, DONT_FRAGMENT)
        word = flags if offset + size == len(data) else flags & ~NOT_BEFORE_THE_END
        sequence = first + offset & 0xFFFFFFFF
        check = -(constant + size + sequence + word + word_sum(piece)) % MODULUS
        header = TCP.pack(source, target, sequence, acknowledgment, word, window, check, 0)
        frames.append(b"".join((packet, header, piece)).ljust(SHORTEST_FRAME, b"\0"))
    return frames
