"""What is on the board of a PC besides its cards: the bridges, interrupt controllers, clocks, power management."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.hw import hpet, pm
from emulator.hw.device import Line
from emulator.hw.hpet import Hpet
from emulator.hw.i440fx import HostBridge
from emulator.hw.pci import PciBus
from emulator.hw.piix3 import IsaBridge
from emulator.hw.pit import IntervalTimer
from emulator.hw.pm import PowerManagement
from emulator.hw.port92 import SystemControl
from emulator.hw.rtc import RealTimeClock

from . import cmos
from .interrupts import Interrupts
from .msrs import MachineRegisters

if TYPE_CHECKING:
    from .pc import Pc

SECOND = 1_000_000_000
TIMER_IRQ, RTC_IRQ, SCI_IRQ = 0, 8, 9
POWER_PORTS = 0x600  # of power management, where a firmware puts them
BRIDGE_SLOT, POWER_FUNCTION = 1, 3


class Chipset:
    """The i440FX with the PIIX3 and the PIIX4's power management."""

    def __init__(self, machine: Pc) -> None:
        self.interrupts = Interrupts(machine, machine.time_stamp)
        self.msrs = MachineRegisters(self.interrupts.registers())
        self.isa_bridge = IsaBridge(self.interrupts.set_irq, machine.reset)
        self.pci = PciBus(machine.bus, machine.space, self.isa_bridge.interrupt_from)
        self.pci.message = self.interrupts.bus.message
        self.power = PowerManagement(self.interrupts.line(SCI_IRQ), lambda: machine.end(0), machine.now)
        self.pci.add(HostBridge(machine.space, machine.ram), 0)
        self.pci.add(self.isa_bridge, BRIDGE_SLOT)
        self.pci.add(self.power, BRIDGE_SLOT, POWER_FUNCTION)
        self.timer = IntervalTimer(self._unless_replaced(TIMER_IRQ), machine.now)
        self.update = machine.bus.update
        self.hpet = Hpet(self.interrupts.set_irq, machine.now, self._replace)
        machine.bus.place(self.hpet, machine.space, hpet.ADDRESS, hpet.SIZE, name="HPET")
        kept = cmos.memory(machine.config, machine.low_memory)
        calendar = lambda: int(machine.time.calendar() * SECOND)  # noqa: E731
        self.clock = RealTimeClock(self._unless_replaced(RTC_IRQ), machine.now, calendar, kept)
        for device in (self.timer, self.clock, SystemControl(machine.set_a20, machine.reset)):
            machine.bus.add(device)

    def set_up(self) -> None:
        """What a firmware does before it starts a system."""
        self.power.write_config(pm.BASE, 4, POWER_PORTS)
        self.power.write_config(pm.ACCESS, 1, 1)
        self.msrs.set_memory_types()

    def _replace(self, replaced: bool) -> None:
        """The HPET takes over the interval timer's interrupt, or gives it back."""
        if self.timer.connected == replaced:
            self.timer.connected = not replaced
            self.update(self.timer)

    def _unless_replaced(self, number: int) -> Line:
        """An interrupt that the HPET may take over."""

        def set_line(high: bool) -> None:
            if not self.hpet.legacy:
                self.interrupts.set_irq(number, high)

        return set_line
