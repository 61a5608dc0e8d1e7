"""What IDENTIFY DEVICE and IDENTIFY PACKET DEVICE answer (ATA8-ACS, 7.16 and 7.17): 256 words."""

from __future__ import annotations

from struct import pack, unpack
from typing import NamedTuple

SECTOR = 512
LBA28_LIMIT = (1 << 28) - 1
MOST_CYLINDERS = 16383
MULTIPLE_LIMIT = 16  # sectors in a block of READ MULTIPLE
TRIM_BLOCKS = 8  # sectors of ranges that DATA SET MANAGEMENT takes

FIRMWARE = "1.0"
FIXED, PACKET_CDROM = 0x0040, 0x85C0  # word 0; removable, answers within 50 us, packets of 12 bytes
HAS_DMA, HAS_LBA, HAS_IORDY = 1 << 8, 1 << 9, 3 << 10  # word 49
VERSIONS = 0x01F0  # ATA/ATAPI-4 to ATA8-ACS
VALID, VALID_MASK = 0x4000, 0xC000  # words that say that they say something
# Words 82 and 85: SMART, power management, write cache, look-ahead, NOP
SMART, POWER, PACKET, WRITE_CACHE, LOOK_AHEAD, RESET, NOP = 1, 1 << 3, 1 << 4, 1 << 5, 1 << 6, 1 << 9, 1 << 14
# Words 83 and 86
LBA48, FLUSH, FLUSH_EXT = 1 << 10, 1 << 12, 1 << 13
# Words 84 and 87
FUA = 1 << 6
TRIM = 1  # word 169
MDMA_MODES, UDMA_MODES = 0x07, 0x3F
CABLE = 0x6001  # word 93: passed, 80 conductors


class Geometry(NamedTuple):
    cylinders: int
    heads: int
    sectors: int

    @property
    def capacity(self) -> int:
        return self.cylinders * self.heads * self.sectors


class Modes(NamedTuple):
    """What is selected, and switched on."""

    multiword: int | None  # the DMA mode
    ultra: int | None
    multiple: int  # sectors in a block
    write_cache: bool
    look_ahead: bool
    smart: bool


def disk(model: str, serial: str, sectors: int, default: Geometry, current: Geometry, modes: Modes) -> bytes:
    """IDENTIFY DEVICE."""
    words = [0] * 256
    words[0] = FIXED
    words[1], words[3], words[6] = default
    _name(words, model, serial)
    words[47] = 0x8000 | MULTIPLE_LIMIT
    words[49] = HAS_DMA | HAS_LBA | HAS_IORDY
    words[50] = VALID
    words[53] = 7  # words 54 to 58, 64 to 70 and 88 are valid
    words[54:57] = current
    words[57:59] = _split(current.capacity, 2)
    words[59] = 0x100 | modes.multiple if modes.multiple else 0
    words[60:62] = _split(min(sectors, LBA28_LIMIT), 2)
    _transfer_modes(words, modes)
    words[80] = VERSIONS
    supported = SMART | POWER | WRITE_CACHE | LOOK_AHEAD | NOP
    enabled = POWER | NOP
    enabled |= SMART * modes.smart | WRITE_CACHE * modes.write_cache | LOOK_AHEAD * modes.look_ahead
    words[82:85] = supported, VALID | LBA48 | FLUSH | FLUSH_EXT, VALID | FUA
    words[85:88] = enabled, LBA48 | FLUSH | FLUSH_EXT, VALID | FUA
    words[93] = CABLE
    words[100:104] = _split(sectors, 4)
    words[105] = TRIM_BLOCKS
    words[169] = TRIM
    words[217] = 1  # no rotating medium
    return _sum_up(words)


def cdrom(model: str, serial: str, modes: Modes) -> bytes:
    """IDENTIFY PACKET DEVICE."""
    words = [0] * 256
    words[0] = PACKET_CDROM
    _name(words, model, serial)
    words[49] = HAS_DMA | HAS_LBA | HAS_IORDY
    words[50] = VALID
    words[53] = 6
    _transfer_modes(words, modes)
    words[80] = VERSIONS
    words[82:85] = POWER | PACKET | RESET | NOP, VALID, VALID
    words[85:88] = POWER | PACKET | RESET | NOP, 0, VALID
    words[93] = CABLE
    return _sum_up(words)


def _name(words: list[int], model: str, serial: str) -> None:
    for first, length, text in ((10, 10, serial), (23, 4, FIRMWARE), (27, 20, model)):
        padded = text.encode("ascii", "replace")[: 2 * length].ljust(2 * length)
        words[first : first + length] = unpack(f">{length}H", padded)


def _transfer_modes(words: list[int], modes: Modes) -> None:
    words[63] = MDMA_MODES | (0 if modes.multiword is None else 0x100 << modes.multiword)
    words[64] = 3  # PIO modes 3 and 4
    words[65:69] = [120] * 4  # nanoseconds
    words[88] = UDMA_MODES | (0 if modes.ultra is None else 0x100 << modes.ultra)


def _split(value: int, words: int) -> list[int]:
    return [value >> 16 * number & 0xFFFF for number in range(words)]


def _sum_up(words: list[int]) -> bytes:
    """Word 255: a signature, and a byte that makes the sum of all bytes zero."""
    data = bytearray(pack("<256H", *words))
    data[510] = 0xA5
    data[511] = -sum(data) & 0xFF
    return bytes(data)
