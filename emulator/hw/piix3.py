"""The PIIX3's ISA bridge: where the cards' interrupts go, and the reset control register (Intel 82371SB data sheet,
290550-002, sections 2.1.8 "PIRQRC" and 2.5.5.2 "RC"). Edge or level is chosen in the interrupt controllers (`pic`).

A card's pin leads to one of the four PIRQ lines, by its slot; each line leads to the ISA interrupt that its register
(60h to 63h) says, and several may share one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .pci import RESET_CONTROL, PciFunction

PIRQ = 0x60
LINES = 4
DISABLED = 0x80
ISA_INTERRUPTS = 16
# RC: what a reset resets is remembered only, as every one is of the whole machine
WHOLE, RESET = 2, 4


class IsaBridge(PciFunction):
    """`set_irq(number, high)` is an ISA interrupt, `reset_machine` what port CF9h asks for."""

    vendor_id, device_id, class_code = 0x8086, 0x7000, 0x060100
    subsystem_vendor_id, subsystem_id = 0x1AF4, 0x1100
    multifunction = True
    ports = (RESET_CONTROL,)

    def __init__(self, set_irq: Callable[[int, bool], None], reset_machine: Callable[[], None]) -> None:
        super().__init__()
        self.set_irq, self.reset_machine = set_irq, reset_machine
        self.asserted: list[set[tuple[int, int]]] = [set() for _ in range(LINES)]  # the pins on each line
        self.levels = 0  # the ISA interrupts that are high, a bit each
        self.reset_control = 0
        for line in range(LINES):
            self.writable[PIRQ + line] = 0x8F
            self.config[PIRQ + line] = DISABLED
        for register in (0x4C, 0x4E, 0x4F, 0x69, 0x82):  # ISA timing and chip selects, remembered only
            self.writable[register] = 0xFF

    def interrupt_from(self, slot: int, pin: int, asserted: bool) -> None:
        """A card's pin, 0 to 3."""
        pins = self.asserted[slot - 1 + pin & 3]
        (pins.add if asserted else pins.discard)((slot, pin))
        self._update()

    def _update(self) -> None:
        """Tell the controllers which interrupts have changed."""
        levels = 0
        for line, pins in enumerate(self.asserted):
            route = self.config[PIRQ + line]
            if pins and not route & DISABLED:
                levels |= 1 << (route & 15)
        changed, self.levels = levels ^ self.levels, levels
        for number in range(ISA_INTERRUPTS):
            if changed >> number & 1:
                self.set_irq(number, bool(levels >> number & 1))

    def write_config(self, offset: int, size: int, value: int) -> None:
        super().write_config(offset, size, value)
        if offset + size > PIRQ and offset < PIRQ + LINES:
            self._update()

    def read(self, port: int) -> int:
        return self.reset_control

    def write(self, port: int, value: int) -> None:
        rises = value & RESET and not self.reset_control & RESET
        self.reset_control = value & (WHOLE | RESET)
        if rises:
            self.reset_machine()

    def reset(self) -> None:
        """The pins are the cards', which let go of them themselves."""
        super().reset()
        self.config[PIRQ : PIRQ + LINES] = bytes([DISABLED] * LINES)
        self.reset_control = 0
        self._update()

    def save(self) -> dict[str, Any]:
        asserted = [sorted(pins) for pins in self.asserted]
        return {"config": self.config.hex(), "asserted": asserted, "reset_control": self.reset_control}

    def load(self, state: dict[str, Any]) -> None:
        self.config[:] = bytes.fromhex(state["config"])
        self.asserted = [{(slot, pin) for slot, pin in pins} for pins in state["asserted"]]
        self.reset_control = state["reset_control"]
        self._update()
