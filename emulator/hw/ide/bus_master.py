"""The bus master of a channel ("Programming Interface for Bus Master IDE Controller", revision 1.0).

Registers by their offset: 0 command, 2 status, 4 to 7 the address of the table of physical region descriptors (PRD).
A descriptor is an address and a count of bytes, both even, a count of 0 being 64 KiB; bit 31 of the second ends the
table, which does not cross a border of 64 KiB.

A transfer is done at once when both the guest has set START and the unit has a command for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import iter_unpack
from typing import Any

from emulator.softmmu.space import AddressSpace

from ..gather import Gather, WildAddress
from ..medium import BadSector
from .unit import Refused, Unit

COMMAND, STATUS, TABLE = 0, 2, 4
START, TO_MEMORY = 0x01, 0x08  # command
ACTIVE, FAILED, INTERRUPT, CAPABLE = 0x01, 0x02, 0x04, 0x60  # status
DESCRIPTOR = 8  # bytes
TOP_BIT = bytes(byte >> 7 for byte in range(256))  # which ends the table; for `translate`
TABLE_LIMIT = 0x10000
TABLE_PIECE = 1024  # bytes of the table that are read at once


class BusMaster:
    """The registers of one channel."""

    def __init__(self, space: AddressSpace) -> None:
        self.space = space
        self.reset()

    def reset(self) -> None:
        self.command = self.status = self.table = 0

    @property
    def active(self) -> bool:
        return bool(self.status & ACTIVE)

    def interrupted(self) -> None:
        """The unit's interrupt line went up."""
        self.status |= INTERRUPT

    # -- registers ------------------------------------------------------------------------------------------

    def read(self, offset: int) -> int:
        if offset >= TABLE:
            return self.table >> 8 * (offset - TABLE) & 0xFF
        return {COMMAND: self.command, STATUS: self.status}.get(offset, 0)

    def write(self, offset: int, value: int) -> bool:
        """Whether the transfer may start now."""
        if offset >= TABLE:
            shift = 8 * (offset - TABLE)
            self.table = (self.table & ~(0xFF << shift) | value << shift) & ~3
        elif offset == STATUS:
            self.status = (self.status & ~CAPABLE | value & CAPABLE) & ~(value & (FAILED | INTERRUPT))
        elif offset == COMMAND:
            started = bool(value & ~self.command & START)
            self.command = value & (START | TO_MEMORY)
            if started:
                self.status |= ACTIVE
            elif not value & START:
                self.status &= ~ACTIVE
            return started
        return False

    # -- transfers ------------------------------------------------------------------------------------------

    def transfer(self, unit: Unit) -> None:
        """Move what the unit has or wants. A table that is too short leaves the unit waiting, without an interrupt."""
        assert unit.dma is not None
        length = unit.dma.length
        regions, size, more = self._regions(length)
        if not more:
            self.status &= ~ACTIVE
        if size < length:
            return
        memory = Gather(self.space, regions, size)
        try:
            if unit.dma.to_memory:
                memory.read_from(unit, 0)
            else:
                memory.write_to(unit, 0)
        except WildAddress:
            self.status = self.status & ~ACTIVE | FAILED
        except (BadSector, Refused) as error:
            self.status &= ~ACTIVE
            unit.give_up(error)
        else:
            unit.dma_done()

    def _regions(self, length: int) -> tuple[list[tuple[int, int]], int, bool]:
        """Memory for a transfer, how much that is, and whether the table has more than that."""
        regions: list[tuple[int, int]] = []
        size = 0
        for piece, last in self._table():
            regions += piece
            size += sum(count for _, count in piece)
            if size > length:
                return _cut(regions, size - length), length, True
            if last or size == length:
                return regions, size, not last
        return regions, size, False

    def _table(self) -> Iterator[tuple[list[tuple[int, int]], bool]]:
        """Addresses and sizes by the piece, and whether it is the last one."""
        address = self.table
        end = address // TABLE_LIMIT * TABLE_LIMIT + TABLE_LIMIT
        while end - address >= DESCRIPTOR:
            data = self.space.read(address, min(TABLE_PIECE, (end - address) & -DESCRIPTOR))
            last = data[DESCRIPTOR - 1 :: DESCRIPTOR].translate(TOP_BIT).find(1)
            if last >= 0:
                data = data[: (last + 1) * DESCRIPTOR]
            yield [(place & ~1, count & 0xFFFE or 0x10000) for place, count in iter_unpack("<II", data)], last >= 0
            address += len(data)
            if last >= 0:
                return

    # -- state ----------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        return {"command": self.command, "status": self.status, "table": self.table}

    def load(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


def _cut(regions: list[tuple[int, int]], excess: int) -> list[tuple[int, int]]:
    """Without the last bytes."""
    while regions and regions[-1][1] <= excess:
        excess -= regions.pop()[1]
    if excess:
        address, size = regions[-1]
        regions[-1] = (address, size - excess)
    return regions
