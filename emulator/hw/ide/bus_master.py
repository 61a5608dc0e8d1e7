"""The bus master of a channel ("Programming Interface for Bus Master IDE Controller", revision 1.0).

Registers by their offset: 0 command, 2 status, 4 to 7 the address of the table of physical region descriptors (PRD).
A descriptor is an address and a count of bytes, both even, a count of 0 being 64 KiB; bit 31 of the second ends the
table, which does not cross a border of 64 KiB.

A transfer is done at once when both the guest has set START and the unit has a command for it.
"""

from __future__ import annotations

from functools import lru_cache
from struct import iter_unpack
from typing import Any

from emulator.softmmu.space import AddressSpace

from ..gather import KEPT, Gather, WildAddress
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
        self._memory = lru_cache(KEPT)(self._take_apart)
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
        return self.command if offset == COMMAND else self.status if offset == STATUS else 0

    def set_table(self, address: int) -> None:
        self.table = address & ~3

    def write(self, offset: int, value: int) -> bool:
        """Whether the transfer may start now."""
        if offset >= TABLE:
            shift = 8 * (offset - TABLE)
            self.set_table(self.table & ~(0xFF << shift) | value << shift)
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
        memory, more = self._memory(self._read_table(), length)
        if not more:
            self.status &= ~ACTIVE
        if memory.size < length:
            return
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

    def _read_table(self) -> bytes:
        """The table, up to its last descriptor or to the border."""
        address, table = self.table, b""
        end = address // TABLE_LIMIT * TABLE_LIMIT + TABLE_LIMIT
        while end - address >= DESCRIPTOR:
            data = self.space.read(address, min(TABLE_PIECE, (end - address) & -DESCRIPTOR))
            last = data[DESCRIPTOR - 1 :: DESCRIPTOR].translate(TOP_BIT).find(1)
            if last >= 0:
                return table + data[: (last + 1) * DESCRIPTOR]
            table += data
            address += len(data)
        return table

    def _take_apart(self, table: bytes, length: int) -> tuple[Gather, bool]:
        """Memory for a transfer, and whether the table has more than that."""
        regions = [(place & ~1, count & 0xFFFE or 0x10000) for place, count in iter_unpack("<II", table)]
        memory = Gather(self.space, regions)
        if memory.size > length:
            return memory.split(length)[0], True
        return memory, memory.size == length and not TOP_BIT[table[-1]]

    # -- state ----------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        return {"command": self.command, "status": self.status, "table": self.table}

    def load(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
