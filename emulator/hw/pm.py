"""The PIIX4's power management (Intel 82371AB data sheet, 290562-001, chapter 7; ACPI 6.4, section 4.8): the power
button, power-off, the timer, and the general-purpose events, of which there are none.

The registers are at the base in PMBA (40h) while PMREGMISC (80h) says so; what a system asks a firmware's system
management mode for at port B2h, the chip does itself: handing over to ACPI. The general-purpose block is where QEMU's
is. The SMBus is not there, and systems see that it is disabled.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import unpack_from
from typing import Any

from .device import Clock, Device, Line
from .pci import PciFunction

BASE, ACCESS, DEVICE_ACTIVITY = 0x40, 0x80, 0x58
SIZE = 64
SMI_DONE = 1 << 25  # DEVICE_ACTIVITY: SMIs on port B2h are set up; a firmware need not do it
EVENTS, EVENTS_SIZE = 0xAFE0, 4
SMI_COMMAND, SMI_STATUS = 0xB2, 0xB3
ACPI_ENABLE, ACPI_DISABLE = 0xF1, 0xF0

# Registers: PM1a status, enable and control, the timer
STATUS, ENABLE, CONTROL, TIMER = 0, 2, 4, 8
TIMER_CARRY, GLOBAL, POWER_BUTTON, RTC, WOKEN = 1, 1 << 5, 1 << 8, 1 << 10, 1 << 15
STATUS_BITS = TIMER_CARRY | 1 << 4 | GLOBAL | POWER_BUTTON | RTC | WOKEN
ENABLE_BITS = TIMER_CARRY | GLOBAL | POWER_BUTTON | RTC
SCI_ENABLED, SLEEP, SLEEP_TYPE = 1, 1 << 13, 7 << 10
CONTROL_BITS = SCI_ENABLED | 2 | SLEEP_TYPE
SOFT_OFF = 0  # the type of S5

FREQUENCY = 3_579_545
SECOND = 1_000_000_000
TIMER_BITS = 24
CARRY = 1 << TIMER_BITS - 1  # ticks after which the highest bit changes


class _Ports(Device):
    """Ports that belong to the chip."""

    def __init__(self, ports: range, read: Callable[[int, int], int], write: Callable[[int, int], None]) -> None:
        self.ports = ports
        self._read, self._write = read, write

    def read(self, port: int) -> int:
        return self.read_wide(port, 1)

    def read_wide(self, port: int, size: int) -> int:
        return self._read(port - self.ports.start, size)

    def write(self, port: int, value: int) -> None:
        self._write(port - self.ports.start, value)


class PowerManagement(PciFunction):
    """`sci` is the interrupt, `power_off` what S5 does."""

    vendor_id, device_id, class_code, revision = 0x8086, 0x7113, 0x068000, 3
    subsystem_vendor_id, subsystem_id = 0x1AF4, 0x1100
    interrupt_pin = 1
    ports = (*range(EVENTS, EVENTS + EVENTS_SIZE), SMI_COMMAND, SMI_STATUS)

    def __init__(self, sci: Line, power_off: Callable[[], None], clock: Clock) -> None:
        super().__init__()
        self.sci, self.power_off, self.clock = sci, power_off, clock
        self.window: _Ports | None = None
        self.config[BASE] = 1  # ports
        self.writable[BASE : BASE + 2] = b"\xc0\xff"
        self.writable[ACCESS] = 1
        self.config[DEVICE_ACTIVITY + 3] = SMI_DONE >> 24
        self._clear()

    def _clear(self) -> None:
        self.status = self.enabled = self.control = 0
        self.carries = self._ticks() // CARRY  # those that the status knows
        self.event_status = self.event_enabled = 0
        self.smi_command = self.smi_status = 0
        self.due: int | None = None

    def reset(self) -> None:
        super().reset()
        self.config[BASE : BASE + 2] = b"\x01\x00"
        self.config[ACCESS] = 0
        self._clear()
        self._map()
        self.sci(False)

    # -- where the registers are ----------------------------------------------------------------------------

    def write_config(self, offset: int, size: int, value: int) -> None:
        super().write_config(offset, size, value)
        self._map()

    @property
    def base(self) -> int:
        """The first port of the registers."""
        return int(unpack_from("<H", self.config, BASE)[0]) & -SIZE

    def _map(self) -> None:
        first = self.base if self.config[ACCESS] & 1 else 0
        if self.pci is None or first == (0 if self.window is None else self.window.ports.start):
            return
        if self.window is not None:
            self.pci.bus.remove(self.window)
            self.window = None
        ports = range(first, first + SIZE)
        if first and not any(self.pci.bus.has(port) for port in ports):
            self.window = _Ports(ports, self.read_register, self.write_register)
            self.pci.bus.add(self.window)

    # -- events ---------------------------------------------------------------------------------------------

    def press_power_button(self) -> None:
        self.status |= POWER_BUTTON
        self._update()

    def _ticks(self) -> int:
        return self.clock() * FREQUENCY // SECOND

    def _look(self) -> None:
        """Whether the highest bit of the timer has changed since."""
        carries = self._ticks() // CARRY
        if carries != self.carries:
            self.status |= TIMER_CARRY
        self.carries = carries

    def _update(self) -> None:
        happened = self.status & self.enabled or self.event_status & self.event_enabled
        self.sci(bool(self.control & SCI_ENABLED and happened))
        waits = self.enabled & TIMER_CARRY and not self.status & TIMER_CARRY
        self.due = -(-(self.carries + 1) * CARRY * SECOND // FREQUENCY) if waits else None
        if self.pci is not None:
            self.pci.bus.update(self)

    def next_event(self) -> int | None:
        return self.due

    def run_events(self, now: int) -> None:
        if self.due is not None and now >= self.due:
            self._look()
            self._update()

    # -- registers ------------------------------------------------------------------------------------------

    def read_register(self, offset: int, size: int) -> int:
        timer = self._ticks() % (1 << TIMER_BITS)
        if offset == TIMER:
            return timer & (1 << 8 * size) - 1
        self._look()
        registers = self.status | self.enabled << 8 * ENABLE | self.control << 8 * CONTROL | timer << 8 * TIMER
        return registers >> 8 * offset & (1 << 8 * size) - 1

    def write_register(self, offset: int, value: int) -> None:
        place, shift = offset & ~1, 8 * (offset & 1)
        mask = 0xFF << shift
        if place == STATUS:
            self._look()
            self.status &= ~(value << shift & STATUS_BITS)
        elif place == ENABLE:
            self.enabled = (self.enabled & ~mask | value << shift) & ENABLE_BITS
            self._look()
        elif place == CONTROL:
            control = self.control & ~mask | value << shift
            self.control = control & CONTROL_BITS
            if control & SLEEP and self.control & SLEEP_TYPE == SOFT_OFF:
                self.power_off()
        self._update()

    def read(self, port: int) -> int:
        if port == SMI_COMMAND:
            return self.smi_command
        if port == SMI_STATUS:
            return self.smi_status
        events = self.event_status | self.event_enabled << 16
        return events >> 8 * (port - EVENTS) & 0xFF

    def write(self, port: int, value: int) -> None:
        if port == SMI_COMMAND:
            self.smi_command = value
            if value in (ACPI_ENABLE, ACPI_DISABLE):
                self.control = self.control & ~SCI_ENABLED | (value == ACPI_ENABLE)
        elif port == SMI_STATUS:
            self.smi_status = value
        elif port < EVENTS + 2:
            self.event_status &= ~(value << 8 * (port - EVENTS))
        else:
            shift = 8 * (port - EVENTS - 2)
            self.event_enabled = self.event_enabled & ~(0xFF << shift) | value << shift
        self._update()

    def save(self) -> dict[str, Any]:
        return {"config": self.config.hex()} | {name: getattr(self, name) for name in SAVED}

    def load(self, state: dict[str, Any]) -> None:
        self.config[:] = bytes.fromhex(state["config"])
        vars(self).update({name: state[name] for name in SAVED})
        self.carries = self._ticks() // CARRY
        self._map()
        self._update()


SAVED = ("status", "enabled", "control", "event_status", "event_enabled", "smi_command", "smi_status")
