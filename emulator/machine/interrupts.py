"""How a PC's interrupts reach its processor: the 8259As over LINT0 of the local APIC, the I/O APIC over its bus.

Interrupt n of the ISA bus is line n of the 8259As and pin n of the I/O APIC, except for the timer's: it is line 0 and
pin 2, as on every PC.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from emulator.hw import ioapic, lapic
from emulator.hw.apic_bus import ApicBus
from emulator.hw.device import Clock, Line
from emulator.hw.pic import InterruptControllers

if TYPE_CHECKING:
    from .machine import Machine

PIC_LINES = 16
ABOVE_ALL = 3  # the local APIC is within the processor
TIMER_IRQ, TIMER_PIN = 0, 2
IA32_APIC_BASE, IA32_TSC_DEADLINE = 0x1B, 0x6E0


class Interrupts:
    """The controllers of a machine. `tsc` is the guest's time stamp counter."""

    def __init__(self, machine: Machine, tsc: Clock) -> None:
        processor = machine.processor
        self.bus = ApicBus()
        self.io = ioapic.IoApic(self.bus)
        self.pic = InterruptControllers(self._pic_output)
        self.local = lapic.LocalApic(
            0,
            self.bus,
            processor.set_interrupt,
            clock=machine.now,
            tsc=tsc,
            external=self.pic.acknowledge,
            nmi=processor.interrupt_unmaskable,
            priority_changed=processor.set_priority,
        )
        machine.bus.add(self.pic)
        machine.bus.place(self.io, machine.space, ioapic.ADDRESS, ioapic.SIZE, name="I/O APIC")
        self.space, self.update = machine.space, machine.bus.update
        place = {"priority": ABOVE_ALL, "name": "local APIC"}
        self.window = machine.bus.place(self.local, self.space, lapic.ADDRESS, lapic.SIZE, **place)

    def _pic_output(self, high: bool) -> None:
        self.local.set_external(high)

    def line(self, number: int) -> Line:
        """A line of the ISA bus, for a chip."""
        return lambda high: self.set_irq(number, high)

    def set_irq(self, number: int, high: bool) -> None:
        """A line of the ISA bus, or a pin of the I/O APIC from 16 on."""
        if number < PIC_LINES:
            self.pic.set_line(number, high)
        self.io.set_line(TIMER_PIN if number == TIMER_IRQ else number, high)

    def registers(self) -> dict[int, tuple[Callable[[], int], Callable[[int], bool]]]:
        """The MSRs of the local APIC: how they are read and written."""

        def set_deadline(value: int) -> bool:
            self.local.set_deadline(value)
            self.update(self.local)
            return True

        return {
            IA32_APIC_BASE: (lambda: self.local.base, self._set_base),
            IA32_TSC_DEADLINE: (lambda: self.local.deadline, set_deadline),
        }

    def _set_base(self, value: int) -> bool:
        if not self.local.set_base(value):
            return False
        if self.window in self.space.regions:
            self.space.remove(self.window)
        if value & lapic.ENABLED:
            self.space.move(self.window, value & -lapic.SIZE)
        return True
