"""Programs for the bare machine: multiboot and other ELF files, boot sectors.

Multiboot Specification 0.6.96, sections 3.1 (header), 3.2 (machine state) and 3.3 (boot information). An ELF file
without a multiboot header is started in the same state if it is of 32 bits, and in 64-bit mode with the first 4 GiB
mapped if it is of 64.
"""

from __future__ import annotations

from pathlib import Path
from struct import pack, unpack_from
from typing import TYPE_CHECKING

import imgtools
from emulator.x86.instruction import CS
from emulator.x86.state import reset

from .bios.bare import BareBios
from .elf import MAGIC as ELF_MAGIC
from .elf import Executable, Segment, parse
from .errors import ProgramError
from .protected_mode import CODE_64, enter_protected_mode

if TYPE_CHECKING:
    from .bare import BareMachine
    from .pc import Pc

SECTOR = 512
SIGNATURE = b"\x55\xaa"
MAX_PROGRAM = 256 << 20  # it has to fit into memory, and is read at once

HEADER_MAGIC, MULTIBOOT_MAGIC = 0x1BADB002, 0x2BADB002
HEADER_AREA = 8192
HAS_ADDRESSES = 1 << 16
HAS_MEMORY, HAS_COMMAND_LINE, HAS_MODULES, HAS_MEMORY_MAP, HAS_LOADER_NAME = (1 << bit for bit in (0, 2, 3, 6, 9))
INFORMATION = 0x9000  # where the boot information goes, and behind it what it points to
LOW_MEMORY = 640 << 10
HIGH_MEMORY = 1 << 20

PG, PAE, LONG_MODE = 1 << 31, 1 << 5, 0x500
PAGE_TABLES = 0x1000
GIGABYTE = 1 << 30


def load(machine: BareMachine, path: Path, command_line: str = "") -> None:
    """Put a program into a machine, so that `machine.run()` runs it."""
    try:
        with path.open("rb") as file:
            start = file.read(SECTOR)
        if start.startswith(ELF_MAGIC):
            load_elf(machine, _read(path), command_line)
            return
    except OSError as error:
        raise ProgramError(f"{path}: {error.strerror}") from error
    load_boot_sector(machine, path)


def _read(path: Path) -> bytes:
    if path.stat().st_size > MAX_PROGRAM:
        raise ProgramError(f"{path}: more than {MAX_PROGRAM >> 20} MiB is no program for this machine")
    return path.read_bytes()


def load_elf(machine: BareMachine | Pc, data: bytes, command_line: str, module: bytes = b"") -> None:
    """An ELF file, with or without a multiboot header. A multiboot program gets a module."""
    flags = multiboot_flags(data)
    if flags is not None and flags & HAS_ADDRESSES:
        program = _by_addresses(data)
    else:
        program = parse(data)
    place(machine, program)
    cpu = machine.processor.cpu
    cpu.rip = program.entry
    if flags is None and program.bits == 64:
        _enter_long_mode(machine)
    else:
        enter_protected_mode(machine)
        cpu.registers[0] = MULTIBOOT_MAGIC
        cpu.registers[3] = _write_information(machine, command_line, program, module)
    machine.processor.state_changed()


def multiboot_flags(data: bytes) -> int | None:
    """The flags of the multiboot header, None without one."""
    place = _header_place(data)
    return None if place is None else int(unpack_from("<I", data, place + 4)[0])


def _header_place(data: bytes) -> int | None:
    for place in range(0, min(len(data), HEADER_AREA) - 11, 4):
        magic, flags, checksum = unpack_from("<3I", data, place)
        if magic == HEADER_MAGIC and (magic + flags + checksum) & 0xFFFFFFFF == 0:
            return place
    return None


def _by_addresses(data: bytes) -> Executable:
    """A program that says itself where it goes (section 3.1.3)."""
    place = _header_place(data)
    assert place is not None
    if place + 32 > len(data):
        raise ProgramError("the multiboot header is cut off")
    header, start, end, bss, entry = unpack_from("<5I", data, place + 12)
    first = place - (header - start)
    content = data[first : first + end - start] if end else data[first:]
    if first < 0 or (end and len(content) != end - start):
        raise ProgramError("the addresses of the multiboot header are outside the file")
    return Executable(32, entry, [Segment(start, content, max(len(content), bss - start if bss else 0))])


def place(machine: BareMachine | Pc, program: Executable) -> None:
    """Put an executable into memory."""
    for segment in program.segments:
        if segment.address < INFORMATION or segment.address + segment.size > machine.ram.size:
            raise ProgramError(
                f"the program wants {segment.size:#x} bytes at {segment.address:#x}; "
                f"there is memory from {INFORMATION:#x} to {machine.ram.size:#x}"
            )
        machine.space.write(segment.address, segment.data)
        machine.space.write(segment.address + len(segment.data), bytes(segment.size - len(segment.data)))


def place_behind(machine: BareMachine | Pc, program: Executable, module: bytes) -> int:
    """Put a module behind a program, on a page of its own: its address."""
    first = max(segment.address + segment.size for segment in program.segments) + 4095 & ~4095
    if first + len(module) > machine.ram.size:
        raise ProgramError(f"there is no memory for a module of {len(module)} bytes behind the program")
    machine.space.write(first, module)
    return first


def _enter_long_mode(machine: BareMachine) -> None:
    """The same, with the first 4 GiB mapped by pages of 2 MiB."""
    enter_protected_mode(machine)
    cpu = machine.processor.cpu
    tables = [PAGE_TABLES + 4096 * number for number in range(6)]
    machine.space.write(tables[0], pack("<Q", tables[1] | 3))
    machine.space.write(tables[1], pack("<4Q", *(table | 3 for table in tables[2:])))
    for gigabyte, table in enumerate(tables[2:]):
        entries = (gigabyte * GIGABYTE + (number << 21) | 0x83 for number in range(512))
        machine.space.write(table, pack("<512Q", *entries))
    cpu.cr3, cpu.cr4, cpu.efer = tables[0], PAE, LONG_MODE
    cpu.cr0 |= PG
    cpu.segments[CS].attributes = CODE_64


def _write_information(machine: BareMachine | Pc, command_line: str, program: Executable, module: bytes) -> int:
    """The boot information; its address."""
    texts = INFORMATION + 0x200
    command, name = command_line.encode() + b"\0", b"imgtools\0"
    regions = ((0, LOW_MEMORY), (HIGH_MEMORY, machine.ram.size - HIGH_MEMORY))
    memory_map = b"".join(pack("<IQQI", 20, start, size, 1) for start, size in regions)
    place = INFORMATION + 0x100
    flags = HAS_MEMORY | HAS_COMMAND_LINE | HAS_MEMORY_MAP | HAS_LOADER_NAME
    modules = INFORMATION + 0x180
    if module:
        first = place_behind(machine, program, module)
        machine.space.write(modules, pack("<4I", first, first + len(module), texts + len(name), 0))
        flags |= HAS_MODULES
    high = (machine.ram.size - HIGH_MEMORY) >> 10
    data = pack("<III4xI", flags, LOW_MEMORY >> 10, high, texts + len(name))
    data = (data + pack("<II", bool(module), modules)).ljust(44, b"\0")
    data += pack("<II", len(memory_map), place).ljust(20, b"\0") + pack("<I", texts)
    machine.space.write(INFORMATION, data)
    machine.space.write(place, memory_map)
    machine.space.write(texts, name + command)
    return INFORMATION


def load_boot_sector(machine: BareMachine, path: Path) -> None:
    """A disk image of any format: its first sector is the program, and the firmware gives it the disk."""
    try:
        disk = imgtools.open(str(path))
    except imgtools.ImageError as error:
        raise ProgramError(str(error)) from error
    sector = disk.read(0, SECTOR) if disk.size >= SECTOR else b""
    if sector[-2:] != SIGNATURE:
        disk.close()
        what = "no ELF file, and no disk whose first sector ends in 55 AA"
        raise ProgramError(f"{path}: this is no program: {what}")
    reset(machine.processor.cpu)
    machine.firmware = BareBios(machine, disk)
    machine.firmware.start(sector)
    machine.processor.state_changed()
