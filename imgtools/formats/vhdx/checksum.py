"""CRC-32C, the checksum of VHDX's headers, region tables and log entries (polynomial 0x1EDC6F41, reflected)."""

from __future__ import annotations

POLYNOMIAL = 0x82F63B78


def _table() -> tuple[int, ...]:
    entries = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ POLYNOMIAL * (value & 1)
        entries.append(value)
    return tuple(entries)


TABLE = _table()


def crc32c(data: bytes) -> int:
    """The CRC-32C of `data`."""
    crc, table = 0xFFFFFFFF, TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def sealed(content: bytes) -> bytes:
    """A structure with its checksum, the four bytes at 4, made right."""
    blank = content[:4] + bytes(4) + content[8:]
    return blank[:4] + crc32c(blank).to_bytes(4, "little") + blank[8:]


def is_sealed(content: bytes) -> bool:
    """Whether a structure's checksum is right."""
    return crc32c(content[:4] + bytes(4) + content[8:]) == int.from_bytes(content[4:8], "little")
