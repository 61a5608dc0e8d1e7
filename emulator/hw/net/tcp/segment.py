"""Segments (RFC 9293, section 3.1), with the options of section 3.2 and the window scale of RFC 7323, section 2."""

from __future__ import annotations

from typing import NamedTuple

from ..checksum import Buffer, transport_checksum
from ..segmentation import SEGMENT
from ..structs import PROTOCOL_TCP, TCP

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
MASK = 0xFFFFFFFF
DEFAULT_MSS = 536
LEAST_MSS = 64  # who asks for less gets this: the cost of a segment is ours
GREATEST_SHIFT = 14

# Options
END, NOTHING, MSS, WINDOW_SCALE = 0, 1, 2, 3

Guest = tuple[bytes, int]  # an address and a port


class Segment(NamedTuple):
    """What came from a guest."""

    source: int
    destination: int
    sequence: int
    acknowledgment: int
    flags: int
    window: int
    options: memoryview
    data: memoryview

    @property
    def length(self) -> int:
        """Sequence numbers that it takes."""
        return len(self.data) + bool(self.flags & SYN) + bool(self.flags & FIN)


def parse(data: memoryview) -> Segment | None:
    """A segment, None if it is none."""
    if len(data) < TCP.size:
        return None
    source, destination, sequence, acknowledgment, offset, window, _, _ = TCP.unpack_from(data)
    header = 4 * (offset >> 12)
    if not TCP.size <= header <= len(data):
        return None
    options, content = data[TCP.size : header], data[header:]
    return Segment(source, destination, sequence, acknowledgment, offset & 0x3F, window, options, content)


def parse_options(options: memoryview) -> tuple[int, int | None]:
    """The largest segment that the other side takes, and its window scale, None without one."""
    mss, shift, place = DEFAULT_MSS, None, 0
    while place < len(options) and options[place] != END:
        if options[place] == NOTHING:
            place += 1
            continue
        if place + 1 >= len(options) or options[place + 1] < 2:
            break
        kind, length = options[place], options[place + 1]
        value = int.from_bytes(options[place + 2 : place + length], "big")
        if (kind, length) == (MSS, 4):
            mss = max(value, LEAST_MSS)
        elif (kind, length) == (WINDOW_SCALE, 3):
            shift = min(value, GREATEST_SHIFT)
        place += length
    return mss, shift


def build_options(mss: int, shift: int | None) -> bytes:
    options = bytes((MSS, 4)) + mss.to_bytes(2, "big")
    return options if shift is None else options + bytes((NOTHING, WINDOW_SCALE, 3, shift))


def build(
    source: Guest,
    destination: Guest,
    sequence: int,
    acknowledgment: int,
    flags: int,
    window: int,
    data: Buffer = b"",
    options: bytes = b"",
) -> tuple[bytes, Buffer]:
    """A header with its checksum, and the data. A large frame's are computed where it is cut."""
    offset = TCP.size + len(options) << 10 | flags
    fields = (source[1], destination[1], sequence & MASK, acknowledgment & MASK, offset, window)
    bare = TCP.pack(*fields, 0, 0) + options
    check = 0
    if len(data) <= SEGMENT:
        check = transport_checksum(source[0], destination[0], PROTOCOL_TCP, bare, data)
    return TCP.pack(*fields, check, 0) + options, data
