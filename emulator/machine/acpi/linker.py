"""Tables that point to each other, before it is known where they lie: a blob whose pointers are offsets.

`at` gives it for an address. `script` gives the same work as commands for a firmware that chooses the addresses itself:
the file etc/table-loader of QEMU's firmware configuration, in the form that SeaBIOS reads (docs/specs/fw_cfg).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import pack, pack_into, unpack_from

TABLES, ROOT = "etc/acpi/tables", "etc/acpi/rsdp"
ALLOCATE, ADD_POINTER, ADD_CHECKSUM = 1, 2, 3
ENTRY = 128
HIGH_MEMORY, BIOS_SEGMENT = 1, 2
NAME = "56s"
FORMATS = {4: "<I", 8: "<Q"}


@dataclass
class Blob:
    """A file with tables in it. Pointers are into `TABLES`."""

    name: str
    alignment: int
    zone: int
    data: bytearray = field(default_factory=bytearray)
    pointers: list[tuple[int, int]] = field(default_factory=list)  # place, size
    checksums: list[tuple[int, int, int]] = field(default_factory=list)  # place of the byte; start and size of the sum

    def add(self, data: bytes, alignment: int = 16) -> int:
        """Append something: where it begins."""
        start = -(-len(self.data) // alignment) * alignment
        self.data += bytes(start - len(self.data)) + data
        return start

    def point(self, place: int, size: int, target: int) -> None:
        """A pointer at `place` to the offset `target` of the tables."""
        pack_into(FORMATS[size], self.data, place, target)
        self.pointers.append((place, size))

    def at(self, tables: int) -> bytes:
        """The bytes, when the tables lie at an address."""
        data = bytearray(self.data)
        for place, size in self.pointers:
            (target,) = unpack_from(FORMATS[size], data, place)
            pack_into(FORMATS[size], data, place, target + tables)
        for place, start, size in self.checksums:
            data[place] = -sum(data[start : start + size]) & 0xFF
        return bytes(data)

    def script(self) -> bytes:
        """The commands that place this."""
        name = self.name.encode()
        commands = [pack(f"<I{NAME}IB", ALLOCATE, name, self.alignment, self.zone)]
        for place, size in self.pointers:
            commands.append(pack(f"<I{NAME}{NAME}IB", ADD_POINTER, name, TABLES.encode(), place, size))
        for place, start, size in self.checksums:
            commands.append(pack(f"<I{NAME}III", ADD_CHECKSUM, name, place, start, size))
        return b"".join(command.ljust(ENTRY, b"\0") for command in commands)
