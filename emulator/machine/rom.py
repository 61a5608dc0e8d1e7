"""A firmware that is brought along, as SeaBIOS: a ROM that ends at 4 GiB, and whose end is seen below 1 MiB, too."""

from __future__ import annotations

from emulator.softmmu.space import AddressSpace

from .errors import ProgramError

LIMIT = 4 << 30
LOW_LIMIT, LOW_SIZE = 1 << 20, 128 << 10
MIN_SIZE, MAX_SIZE, UNIT = 64 << 10, 16 << 20, 64 << 10
VGA_ROM = "/usr/share/seabios/vgabios-stdvga.bin"  # where Debian has the display's part of SeaBIOS


def add_firmware(space: AddressSpace, data: bytes) -> None:
    """Put a firmware where the processor starts. The message of ProgramError says why it cannot be one."""
    if not MIN_SIZE <= len(data) <= MAX_SIZE or len(data) % UNIT:
        raise ProgramError(f"a BIOS has 64 KiB to 16 MiB, a multiple of 64 KiB; this file has {len(data)} bytes")
    low = data[-LOW_SIZE:]
    space.add_rom(LIMIT - len(data), data)
    space.add_rom(LOW_LIMIT - len(low), low)


def display_rom() -> bytes | None:
    """The option ROM of the display for a firmware that has none itself, if it is installed."""
    try:
        with open(VGA_ROM, "rb") as file:
            return file.read()
    except OSError:
        return None
