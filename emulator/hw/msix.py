"""MSI-X: interrupts that a card writes to memory, in place of a pin (PCI Local Bus Specification 3.0, section 6.8.2).

A table in one of the card's windows says what is written where for each vector; behind it is an array of bits, of the
vectors that have waited since they were masked.

    self.messages = MessageTable(3)
    super().__init__({1: self.messages.window})
    self.messages.attach(self, 1)
"""

from __future__ import annotations

from struct import Struct, pack, pack_into, unpack_from
from typing import Any

from .pci import Bar, PciFunction

CAPABILITY = 0x11
WINDOW, PENDING = 0x1000, 0x800  # size, and where the bits are
MAX_VECTORS = PENDING // 16
ENTRY = Struct("<QII")  # address, data, control
MASKED = 1  # control
ENABLED, ALL_MASKED = 1 << 15, 1 << 14  # of the capability's control word, at offset 2


class MessageTable:
    """The vectors of a card."""

    def __init__(self, vectors: int) -> None:
        assert vectors <= MAX_VECTORS
        self.vectors = vectors
        self.window = Bar(WINDOW, read=self.read, write=self.write)
        self._clear()

    def _clear(self) -> None:
        self.table = bytearray(ENTRY.pack(0, 0, MASKED) * self.vectors)
        self.pending: set[int] = set()

    def reset(self) -> None:
        """As after power-on: not enabled, and every vector masked."""
        self._clear()
        pack_into("<H", self.card.config, self.place + 2, self.vectors - 1)

    def attach(self, card: PciFunction, bar: int) -> None:
        """Tell of the table in the card's configuration. The card's `write_config` calls `deliver` afterwards."""
        self.card = card
        body = pack("<HII", self.vectors - 1, bar, PENDING | bar)
        self.place = card.add_capability(CAPABILITY, body, pack("<H", ENABLED | ALL_MASKED))

    @property
    def control(self) -> int:
        return int(unpack_from("<H", self.card.config, self.place + 2)[0])

    @property
    def enabled(self) -> bool:
        """Whether messages take the place of the pin."""
        return bool(self.control & ENABLED)

    def interrupt(self, vector: int) -> None:
        """Send a vector's message, or remember it while that is masked."""
        if vector < self.vectors:
            self.pending.add(vector)
            self.deliver()

    def deliver(self) -> None:
        """Send what may be sent."""
        if not self.pending or self.control & (ENABLED | ALL_MASKED) != ENABLED:
            return
        for vector in sorted(self.pending):
            address, data, control = ENTRY.unpack_from(self.table, vector * ENTRY.size)
            if not control & MASKED:
                self.pending.discard(vector)
                assert self.card.pci is not None
                self.card.pci.message(address, data)

    def read(self, offset: int, size: int) -> int:
        if offset >= PENDING:
            bits = sum(1 << vector for vector in self.pending)
            return bits >> 8 * (offset - PENDING) & (1 << 8 * size) - 1
        return int.from_bytes(self.table[offset : offset + size], "little")

    def write(self, offset: int, size: int, value: int) -> None:
        """4 or 8 bytes; what else is written is ignored."""
        if size in (4, 8) and offset % size == 0 and offset + size <= len(self.table):
            pack_into("<I" if size == 4 else "<Q", self.table, offset, value & (1 << 8 * size) - 1)
            self.deliver()

    def save(self) -> dict[str, Any]:
        return {"table": self.table.hex(), "pending": sorted(self.pending)}

    def load(self, state: dict[str, Any]) -> None:
        self.table[:] = bytes.fromhex(state["table"])
        self.pending = set(state["pending"])
