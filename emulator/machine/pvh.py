"""PVH: a kernel that says in a note of its ELF file where it begins (Xen's docs/misc/pvh.pandoc and
include/public/arch-x86/hvm/start_info.h).

It begins in 32-bit protected mode with flat segments, without paging, the address of the start information in EBX.
"""

from __future__ import annotations

from struct import pack
from typing import TYPE_CHECKING

from .elf import Executable
from .errors import ProgramError
from .programs import place, place_behind
from .protected_mode import enter_protected_mode

if TYPE_CHECKING:
    from .pc import Pc

MAGIC, VERSION = 0x336EC578, 1
START_INFO, MODULE, MEMORY_MAP, COMMAND_LINE = 0x9000, 0x9040, 0x9080, 0x9400
LONGEST = 0x6000  # bytes of a command line
RBX = 3


def load_pvh(machine: Pc, program: Executable, initrd: bytes, command_line: str) -> None:
    """Put a kernel into a machine, so that `machine.run()` starts it."""
    assert program.pvh_entry is not None
    command = command_line.encode() + b"\0"
    if len(command) > LONGEST:
        raise ProgramError(f"a command line of {len(command) - 1} bytes is too long")
    place(machine, program)
    if initrd:
        machine.space.write(MODULE, pack("<4Q", place_behind(machine, program, initrd), len(initrd), 0, 0))
    entries = machine.memory_map()
    machine.space.write(MEMORY_MAP, b"".join(pack("<QQII", *entry, 0) for entry in entries))
    machine.space.write(COMMAND_LINE, command)
    head = pack("<4I", MAGIC, VERSION, 0, bool(initrd))
    places = pack("<4Q", MODULE, COMMAND_LINE, machine.acpi_root, MEMORY_MAP)
    machine.space.write(START_INFO, head + places + pack("<II", len(entries), 0))
    enter_protected_mode(machine)
    cpu = machine.processor.cpu
    cpu.rip, cpu.registers[RBX] = program.pvh_entry, START_INFO
    machine.processor.state_changed()
