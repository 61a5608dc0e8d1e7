"""The I/O APIC (Intel 82093AA data sheet, 290566-001, chapter 3): 24 pins, each with an entry that says where its
interrupt goes. It has the register EOI (40h) of later ones, as its version says.

Lines carry whether an interrupt is asserted, so that polarity is only remembered. An edge on a masked pin is lost.
"""

from __future__ import annotations

from typing import Any

from .apic_bus import ApicBus
from .device import Device

ADDRESS, SIZE = 0xFEC00000, 0x1000
SELECT, WINDOW, EOI = 0x00, 0x10, 0x40
PINS = 24
VERSION = 0x20
ID, VERSION_REGISTER, ARBITRATION, ENTRIES = 0, 1, 2, 0x10

# A redirection entry
LOGICAL, REMOTE_IRR, LEVEL, MASKED = 1 << 11, 1 << 14, 1 << 15, 1 << 16
DESTINATION = 56
WRITABLE = 0xFF << DESTINATION | 0x1AFFF  # all but delivery status and remote IRR


class IoApic(Device):
    def __init__(self, apics: ApicBus) -> None:
        self.apics = apics
        apics.sources.append(self)
        self.lines = 0  # a bit each
        self.reset()

    def reset(self) -> None:
        """The lines are those of the devices, which let go of them themselves."""
        self.select = 0
        self.number = 0
        self.entries = [MASKED] * PINS

    def set_line(self, pin: int, high: bool) -> None:
        bit = 1 << pin
        rises = high and not self.lines & bit
        self.lines = self.lines | bit if high else self.lines & ~bit
        if rises or (high and self.entries[pin] & LEVEL):
            self._request(pin)

    def _request(self, pin: int) -> None:
        """Deliver a pin's interrupt, unless it is masked or in service."""
        entry = self.entries[pin]
        if entry & MASKED or (entry & LEVEL and entry & REMOTE_IRR):
            return
        if entry & LEVEL:
            self.entries[pin] |= REMOTE_IRR
        destination, mode = entry >> DESTINATION, entry >> 8 & 7
        self.apics.deliver(destination, bool(entry & LOGICAL), mode, entry & 0xFF, bool(entry & LEVEL))

    def end_of_interrupt(self, vector: int) -> None:
        """An interrupt that is still asserted comes again."""
        for pin, entry in enumerate(self.entries):
            if entry & REMOTE_IRR and entry & 0xFF == vector:
                self.entries[pin] &= ~REMOTE_IRR
                if self.lines >> pin & 1:
                    self._request(pin)

    # -- registers ------------------------------------------------------------------------------------------

    def read_memory(self, offset: int, size: int) -> int:
        if offset == SELECT:
            return self.select
        return self._read() if offset == WINDOW else 0

    def write_memory(self, offset: int, size: int, value: int) -> None:
        if offset == SELECT:
            self.select = value & 0xFF
        elif offset == WINDOW:
            self._write(value & 0xFFFFFFFF)
        elif offset == EOI:
            self.end_of_interrupt(value & 0xFF)

    def _read(self) -> int:
        if self.select in (ID, ARBITRATION):
            return self.number << 24
        if self.select == VERSION_REGISTER:
            return VERSION | PINS - 1 << 16
        pin, half = divmod(self.select - ENTRIES, 2)
        return self.entries[pin] >> 32 * half & 0xFFFFFFFF if 0 <= pin < PINS else 0

    def _write(self, value: int) -> None:
        if self.select == ID:
            self.number = value >> 24 & 15
        pin, half = divmod(self.select - ENTRIES, 2)
        if not 0 <= pin < PINS:
            return
        changed = WRITABLE & 0xFFFFFFFF << 32 * half
        entry = self.entries[pin] & ~changed | value << 32 * half & changed
        self.entries[pin] = entry if entry & LEVEL else entry & ~REMOTE_IRR
        if entry & LEVEL and self.lines >> pin & 1:
            self._request(pin)

    def save(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("lines", "select", "number")} | {"entries": list(self.entries)}

    def load(self, state: dict[str, Any]) -> None:
        vars(self).update(state | {"entries": list(state["entries"])})
