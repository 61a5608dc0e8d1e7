"""What a PC's CMOS memory says to its firmware: memory sizes, drives, boot order, where SeaBIOS looks for them."""

from __future__ import annotations

from emulator.hw.floppy.drive import NO_DRIVE, format_of

from .config import FLOPPY, PcConfig

KIB, BLOCK = 1024, 64 << 10
BASE_MEMORY = 640  # KiB
EXTENDED_START, HIGH_START = 1 << 20, 16 << 20
FLOPPIES, EQUIPMENT = 0x10, 0x14
BASE, EXTENDED, EXTENDED_AGAIN, ABOVE_16_MIB, ABOVE_4_GIB = 0x15, 0x17, 0x30, 0x34, 0x5B
BOOT_FIRST, BOOT_THIRD, PROCESSORS = 0x3D, 0x38, 0x5F
CHECKED, CHECKSUM = range(0x10, 0x2E), 0x2E
MATH_UNIT, MOUSE, HAS_FLOPPY = 2, 4, 1  # equipment
BOOT_CODES = {"a": 1, "c": 2, "d": 3, "n": 4}
NO_SIGNATURE_NEEDED = 1  # on a floppy


def memory(config: PcConfig, low_memory: int) -> dict[int, int]:
    """Bytes by place. `low_memory` is the RAM below 4 GiB."""
    values: dict[int, int] = {}

    def put(place: int, value: int, size: int = 2) -> None:
        value = min(value, (1 << 8 * size) - 1)
        values.update({place + number: value >> 8 * number & 0xFF for number in range(size)})

    extended = max(0, low_memory - EXTENDED_START) // KIB
    put(BASE, BASE_MEMORY)
    put(EXTENDED, extended)
    put(EXTENDED_AGAIN, extended)
    put(ABOVE_16_MIB, max(0, low_memory - HIGH_START) // BLOCK)
    put(ABOVE_4_GIB, (config.memory - low_memory) // BLOCK, 3)
    floppies = [format_of(drive.node.size).drive for drive in config.drives_on(FLOPPY)[:2]]
    first, second = [*floppies, NO_DRIVE, NO_DRIVE][:2]
    put(FLOPPIES, first << 4 | second, 1)
    put(EQUIPMENT, MATH_UNIT | MOUSE | (HAS_FLOPPY | len(floppies) - 1 << 6 if floppies else 0), 1)
    codes = [BOOT_CODES[letter] for letter in config.boot_order if letter in BOOT_CODES][:3] + [0] * 3
    put(BOOT_FIRST, codes[1] << 4 | codes[0], 1)
    put(BOOT_THIRD, codes[2] << 4 | NO_SIGNATURE_NEEDED, 1)
    put(PROCESSORS, 0, 1)  # beyond the first
    total = sum(values.get(place, 0) for place in CHECKED)
    values |= {CHECKSUM: total >> 8 & 0xFF, CHECKSUM + 1: total & 0xFF}
    return values
