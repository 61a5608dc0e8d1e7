"""The High Precision Event Timers (IA-PC HPET specification 1.0a): a counter of 100 MHz and three comparators.

With legacy replacement the first comparator is the interval timer's interrupt and the second the real-time clock's;
`legacy` tells the board. Periods that were missed because the host was busy come as one; those of a comparator without
interrupts go by when somebody looks, as Linux leaves one running for good.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .device import Clock, Device, Line

ADDRESS, SIZE = 0xFED00000, 0x400
PERIOD = 10  # ns
TIMERS = 3
FEMTOSECONDS = 1_000_000
WIDE, LEGACY_CAPABLE = 1 << 13, 1 << 15
CAPABILITIES = 0x8086 << 16 | (TIMERS - 1) << 8 | WIDE | LEGACY_CAPABLE | 1 | PERIOD * FEMTOSECONDS << 32

# Registers
CONFIGURATION, STATUS, COUNTER, FIRST_TIMER, TIMER_SIZE = 0x10, 0x20, 0xF0, 0x100, 0x20
ENABLED, LEGACY = 1, 2  # CONFIGURATION
# A timer's configuration
LEVEL, INTERRUPTS, PERIODIC, PERIODIC_CAPABLE, WIDE_CAPABLE, SET_VALUE, NARROW = (1 << n for n in (1, 2, 3, 4, 5, 6, 8))
ROUTE = 9
ROUTES = 1 << 2 | 0xF << 20  # pins of the I/O APIC
FIXED_BITS = PERIODIC_CAPABLE | WIDE_CAPABLE | ROUTES << 32
WRITABLE = LEVEL | INTERRUPTS | PERIODIC | NARROW | 31 << ROUTE
LEGACY_IRQS = (0, 8)
ALL = (1 << 64) - 1
WRAP = PERIOD << 32  # ns: of a counter of 32 bits
FAR = 1 << 62  # ns: a time that never comes


class Comparator:
    """One of the timers."""

    def __init__(self) -> None:
        self.configuration = FIXED_BITS
        self.value = ALL
        self.period = 0
        self.due: int | None = None

    @property
    def mask(self) -> int:
        return 0xFFFFFFFF if self.configuration & NARROW else ALL

    def write(self, value: int) -> None:
        """The comparator; a periodic one takes its period here (section 2.3.9.2.2)."""
        value &= self.mask
        periodic = self.configuration & PERIODIC
        if not periodic or self.configuration & SET_VALUE:
            self.value = value
            self.configuration &= ~SET_VALUE
        if periodic:
            self.period = value

    def pass_by(self, now: int) -> bool:
        """Whether the counter has come to the value; then the value or the time is the next one."""
        if self.due is None or now < self.due:
            return False
        if self.configuration & PERIODIC and self.period:
            periods = (now - self.due) // PERIOD // self.period + 1
            self.value = self.value + periods * self.period & self.mask
            self.due += periods * self.period * PERIOD
        elif self.configuration & NARROW:
            self.due += ((now - self.due) // WRAP + 1) * WRAP
        else:
            self.due = None
        return True


class Hpet(Device):
    """`set_irq(number, high)` is an ISA interrupt, or a pin of the I/O APIC from 16 on; `replace` hears of `legacy`."""

    def __init__(self, set_irq: Callable[[int, bool], None], clock: Clock, replace: Line = lambda on: None) -> None:
        self.set_irq, self.clock, self.replace = set_irq, clock, replace
        self.status = 0
        self.comparators: list[Comparator] = []
        self.reset()

    def reset(self) -> None:
        for number in range(len(self.comparators)):
            self._release(number)
        self.configuration = self.status = 0
        self.origin = 0  # when the counter was 0
        self.stopped = 0  # the counter while it does not run
        self.comparators = [Comparator() for _ in range(TIMERS)]
        self.replace(False)

    @property
    def legacy(self) -> bool:
        return bool(self.configuration & LEGACY)

    def counter(self) -> int:
        if not self.configuration & ENABLED:
            return self.stopped
        return (self.clock() - self.origin) // PERIOD & ALL

    # -- comparators ----------------------------------------------------------------------------------------

    def _schedule(self, comparator: Comparator) -> None:
        """When the counter will be at the comparator's value."""
        comparator.due = None
        if self.configuration & ENABLED:
            ticks = (self.clock() - self.origin) // PERIOD
            left = comparator.value - ticks & comparator.mask
            if left * PERIOD < FAR:
                comparator.due = self.origin + (ticks + left) * PERIOD

    def next_event(self) -> int | None:
        due = [each.due for each in self.comparators if each.due is not None and each.configuration & INTERRUPTS]
        return min(due, default=None)

    def run_events(self, now: int) -> None:
        for number, comparator in enumerate(self.comparators):
            if comparator.pass_by(now):
                self._fire(number)

    def _irq(self, number: int) -> int:
        if self.legacy and number < len(LEGACY_IRQS):
            return LEGACY_IRQS[number]
        return self.comparators[number].configuration >> ROUTE & 31

    def _may_interrupt(self, number: int) -> bool:
        routed = (self.legacy and number < len(LEGACY_IRQS)) or ROUTES >> self._irq(number) & 1
        return bool(routed and self.comparators[number].configuration & INTERRUPTS)

    def _fire(self, number: int) -> None:
        level = self.comparators[number].configuration & LEVEL
        if level:
            self.status |= 1 << number
        if self._may_interrupt(number):
            self.set_irq(self._pin(number), True)
            if not level:
                self.set_irq(self._pin(number), False)

    def _pin(self, number: int) -> int:
        """Pin 2 of the I/O APIC is that of interrupt 0."""
        irq = self._irq(number)
        return 0 if irq == 2 else irq

    def _release(self, number: int) -> None:
        """The end of a level-triggered interrupt."""
        if self.status >> number & 1 and self._may_interrupt(number):
            self.set_irq(self._pin(number), False)
        self.status &= ~(1 << number)

    # -- registers: all of 64 bits, accessed whole or by halves ---------------------------------------------

    def read_memory(self, offset: int, size: int) -> int:
        return self._read(offset & ~7) >> 8 * (offset & 7) & (1 << 8 * size) - 1

    def _read(self, register: int) -> int:
        self.run_events(self.clock())
        match register:
            case 0:
                return CAPABILITIES
            case 0x10:
                return self.configuration
            case 0x20:
                return self.status
            case 0xF0:
                return self.counter()
        number, inside = divmod(register - FIRST_TIMER, TIMER_SIZE)
        if not 0 <= number < TIMERS or inside > 8:
            return 0
        comparator = self.comparators[number]
        return comparator.value if inside else comparator.configuration

    def write_memory(self, offset: int, size: int, value: int) -> None:
        register, shift = offset & ~7, 8 * (offset & 7)
        mask = (1 << 8 * size) - 1 << shift & ALL
        before = 0 if register == STATUS else self._read(register)
        value = before & ~mask | value << shift & mask
        if register == CONFIGURATION:
            self._configure(value)
        elif register == STATUS:
            for number in range(TIMERS):
                if value >> number & 1:
                    self._release(number)
        elif register == COUNTER:
            self.stopped = value
            self.origin = self.clock() - value * PERIOD
            self._schedule_all()
        else:
            self._write_timer(*divmod(register - FIRST_TIMER, TIMER_SIZE), value)

    def _configure(self, value: int) -> None:
        counter = self.counter()
        self.configuration = value & (ENABLED | LEGACY)
        self.stopped = counter
        self.origin = self.clock() - counter * PERIOD
        self._schedule_all()
        self.replace(self.legacy)

    def _schedule_all(self) -> None:
        for comparator in self.comparators:
            self._schedule(comparator)

    def _write_timer(self, number: int, register: int, value: int) -> None:
        if not 0 <= number < TIMERS or register > 8:
            return
        comparator = self.comparators[number]
        if register:
            comparator.write(value)
        else:
            self._release(number)
            comparator.configuration = value & (WRITABLE | SET_VALUE) | FIXED_BITS
            comparator.value &= comparator.mask
        self._schedule(comparator)

    def save(self) -> dict[str, Any]:
        timers = [[each.configuration, each.value, each.period] for each in self.comparators]
        state = {"configuration": self.configuration, "status": self.status, "counter": self.counter()}
        return state | {"timers": timers}

    def load(self, state: dict[str, Any]) -> None:
        self.configuration, self.status, self.stopped = state["configuration"], state["status"], state["counter"]
        self.origin = self.clock() - self.stopped * PERIOD
        for comparator, fields in zip(self.comparators, state["timers"], strict=True):
            comparator.configuration, comparator.value, comparator.period = fields
        self._schedule_all()
        self.replace(self.legacy)
