"""What local APICs and I/O APICs say to each other (Intel SDM Vol. 3, sections 11.6.2 "Determining IPI Destination" and
11.11 "Message Signalled Interrupts").
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

# Delivery modes
FIXED, LOWEST_PRIORITY, SMI, NMI, INIT, STARTUP, EXTERNAL = 0, 1, 2, 4, 5, 6, 7
EVERYBODY = 0xFF  # as a physical destination


class Target(Protocol):
    """A local APIC, as others see it."""

    number: int

    def matches(self, mask: int) -> bool:
        """Whether a logical destination means it."""

    def priority(self) -> int:
        """What it is doing: the processor priority."""

    def accept(self, mode: int, vector: int, level: bool) -> None:
        """An interrupt for it."""


class Source(Protocol):
    """An I/O APIC."""

    def end_of_interrupt(self, vector: int) -> None:
        """A level-triggered interrupt has been handled."""


class ApicBus:
    """Everybody who is on it adds himself to `targets` or `sources`."""

    def __init__(self) -> None:
        self.targets: list[Target] = []
        self.sources: list[Source] = []

    def deliver(self, destination: int, logical: bool, mode: int, vector: int, level: bool) -> None:
        """An interrupt to whom the destination means."""
        if logical:
            found = [target for target in self.targets if target.matches(destination)]
        else:
            found = [target for target in self.targets if destination in (target.number, EVERYBODY)]
        self.deliver_to(found, mode, vector, level)

    def deliver_to(self, found: Iterable[Target], mode: int, vector: int, level: bool) -> None:
        if mode == LOWEST_PRIORITY:
            found = sorted(found, key=lambda target: target.priority())[:1]
            mode = FIXED
        for target in found:
            target.accept(mode, vector, level)

    def message(self, address: int, data: int) -> None:
        """A card writes `data` to FEExxxxxh."""
        self.deliver(address >> 12 & 0xFF, bool(address & 4), data >> 8 & 7, data & 0xFF, bool(data & 0x8000))

    def end_of_interrupt(self, vector: int) -> None:
        for source in self.sources:
            source.end_of_interrupt(vector)
