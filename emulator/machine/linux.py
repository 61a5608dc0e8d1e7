"""Linux without a boot loader: "The Linux/x86 Boot Protocol" (Documentation/arch/x86/boot.rst), its 32-bit entry.

The kernel goes where it prefers to be, the initial RAM disk to the top of the memory that the kernel can reach, and the
boot parameters with the map of the memory below 640 KiB.
"""

from __future__ import annotations

from struct import calcsize, pack, pack_into, unpack_from
from typing import TYPE_CHECKING

from .errors import ProgramError
from .protected_mode import enter_protected_mode

if TYPE_CHECKING:
    from .pc import Pc

SECTOR = 512
HEADER = b"HdrS"
OLDEST = 0x0206  # of the protocol: says how long a command line may be
PARAMETERS, COMMAND_LINE, STACK = 0x10000, 0x20000, 0x90000
HIGH_MEMORY = 1 << 20
PAGE = 4096
LOADED_HIGH = 1  # loadflags
UNKNOWN_LOADER = 0xFF
CODE_SELECTOR, DATA_SELECTOR = 0x10, 0x18
GDT = 0x9000
RSI, RSP = 6, 4

# Offsets in the boot parameters; the header's are those in the file, too
ACPI_RSDP, E820_COUNT, SETUP_SECTORS, MAGIC = 0x070, 0x1E8, 0x1F1, 0x202
VERSION, LOADER, LOAD_FLAGS, CODE_START, RAMDISK = 0x206, 0x210, 0x211, 0x214, 0x218
COMMAND_POINTER, HIGHEST_RAMDISK, COMMAND_SIZE = 0x228, 0x22C, 0x238
PREFERRED, E820 = 0x258, 0x2D0  # the size that the kernel needs follows the preferred address
E820_ENTRY = "<QQI"
# The screen: column, row, page, mode, columns, memory (3: 256 KiB), rows, whether it is a VGA, lines of a character
SCREEN_INFO = "<BB2xHBB2xH2xBBH"
TEXT_MODE = (0, 0, 0, 3, 80, 3, 25, 1, 16)
MAX_E820 = 128


def is_bzimage(data: bytes) -> bool:
    return len(data) >= 2 * SECTOR and data[MAGIC : MAGIC + 4] == HEADER


def load_linux(machine: Pc, kernel: bytes, initrd: bytes, command_line: str) -> None:
    """Put a bzImage into a machine, so that `machine.run()` starts it."""
    (version,) = unpack_from("<H", kernel, VERSION)
    if version < OLDEST or not kernel[LOAD_FLAGS] & LOADED_HIGH:
        raise ProgramError(f"the kernel's boot protocol is {version >> 8}.{version & 255:02}; 2.06 or newer is needed")
    command = command_line.encode() + b"\0"
    (longest,) = unpack_from("<I", kernel, COMMAND_SIZE)
    if len(command) > longest + 1:
        raise ProgramError(f"the kernel's command line has {len(command) - 1} bytes; it takes {longest}")
    setup = ((kernel[SETUP_SECTORS] or 4) + 1) * SECTOR
    parameters = bytearray(PAGE)
    end_of_header = MAGIC + kernel[0x201]
    parameters[SETUP_SECTORS:end_of_header] = kernel[SETUP_SECTORS:end_of_header]
    start, end = _place(machine, kernel[setup:], parameters)
    parameters[LOADER] = UNKNOWN_LOADER
    pack_into("<I", parameters, CODE_START, start)
    pack_into("<I", parameters, COMMAND_POINTER, COMMAND_LINE)
    if initrd:
        pack_into("<II", parameters, RAMDISK, _place_ramdisk(machine, initrd, end, parameters), len(initrd))
    entries = machine.memory_map()[:MAX_E820]
    parameters[E820_COUNT] = len(entries)
    for number, entry in enumerate(entries):
        pack_into(E820_ENTRY, parameters, E820 + number * calcsize(E820_ENTRY), *entry)
    pack_into("<Q", parameters, ACPI_RSDP, machine.acpi_root)
    if machine.firmware is not None:  # it has set the display to its text mode
        pack_into(SCREEN_INFO, parameters, 0, *TEXT_MODE)
    machine.space.write(PARAMETERS, parameters)
    machine.space.write(COMMAND_LINE, command)
    _enter(machine, start)


def _place(machine: Pc, code: bytes, parameters: bytearray) -> tuple[int, int]:
    """The protected-mode part of the kernel: where it starts, and where the memory that it needs ends."""
    preferred, needed = unpack_from("<QI", parameters, PREFERRED)
    start = max(preferred, HIGH_MEMORY)
    end = start + max(needed, len(code))
    if end > machine.low_memory:
        raise ProgramError(f"the kernel needs {end >> 20} MiB of memory; the machine has {machine.low_memory >> 20}")
    machine.space.write(start, code)
    return start, end


def _place_ramdisk(machine: Pc, initrd: bytes, kernel_end: int, parameters: bytearray) -> int:
    (highest,) = unpack_from("<I", parameters, HIGHEST_RAMDISK)
    top = min(machine.usable_low_memory(), highest + 1)
    place = (top - len(initrd)) & -PAGE
    if place < kernel_end:
        raise ProgramError(
            f"kernel and initial RAM disk need {(kernel_end + len(initrd)) >> 20} MiB of memory; "
            f"the machine has {machine.low_memory >> 20}"
        )
    machine.space.write(place, initrd)
    return place


def _enter(machine: Pc, start: int) -> None:
    """Flat segments by a table in memory, no paging, interrupts masked, the parameters in ESI."""
    enter_protected_mode(machine, CODE_SELECTOR, DATA_SELECTOR)
    flat_code, flat_data = 0x00CF9B000000FFFF, 0x00CF93000000FFFF
    machine.space.write(GDT, pack("<4Q", 0, 0, flat_code, flat_data))
    cpu = machine.processor.cpu
    cpu.gdtr.base, cpu.gdtr.limit = GDT, 31
    cpu.rip = start
    cpu.registers[RSI] = PARAMETERS
    cpu.registers[RSP] = STACK
    machine.processor.state_changed()
