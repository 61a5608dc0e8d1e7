"""The local APIC (Intel SDM Vol. 3, chapter 11), in xAPIC mode: registers in memory, 16 bytes apart.

The three vectors of 256 bits, IRR, ISR and TMR, are numbers. The output is high while there is something that the
processor's priority lets through, or while the 8259A asks at LINT0; `acknowledge` gives the vector. The timer counts
nanoseconds, as CPUID's leaf 15h says.

LINT0 begins as the virtual wire of the 8259A: that is how a firmware leaves it, and how an older system wants it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .apic_bus import EXTERNAL, FIXED, NMI, ApicBus
from .device import Clock, Device, Line

ADDRESS, SIZE = 0xFEE00000, 0x1000
VERSION = 0x14 | 5 << 16  # six local interrupts


class Register:
    """Table 11-1."""

    ID, VERSION, TASK_PRIORITY, ARBITRATION_PRIORITY, PROCESSOR_PRIORITY = 0x20, 0x30, 0x80, 0x90, 0xA0
    EOI, REMOTE_READ, LOGICAL, FORMAT, SPURIOUS = 0xB0, 0xC0, 0xD0, 0xE0, 0xF0
    IN_SERVICE, TRIGGERS, REQUESTS, ERRORS = 0x100, 0x180, 0x200, 0x280  # the first three are 8 words each
    COMMAND, COMMAND_HIGH = 0x300, 0x310
    INITIAL_COUNT, CURRENT_COUNT, DIVIDE = 0x380, 0x390, 0x3E0


READ_ONLY = {
    *(Register.ID, Register.VERSION, Register.ARBITRATION_PRIORITY, Register.PROCESSOR_PRIORITY),
    *(Register.REMOTE_READ, Register.CURRENT_COUNT, *range(Register.IN_SERVICE, Register.ERRORS, 16)),
}
TIMER, THERMAL, COUNTERS, LINT0, LINT1, ERROR = range(0x320, 0x380, 0x10)  # the local vector table

# IA32_APIC_BASE (section 11.4.4)
BOOTSTRAP, ENABLED = 1 << 8, 1 << 11
BASE_RESERVED = 0x2FF | 1 << 10 | ~((1 << 40) - 1) & (1 << 64) - 1  # x2APIC mode among it

MASKED = 1 << 16
LOCAL_BITS = {TIMER: 0x710FF, THERMAL: 0x117FF, COUNTERS: 0x117FF, LINT0: 0x1A7FF, LINT1: 0x1A7FF, ERROR: 0x110FF}
ONE_SHOT, PERIODIC, DEADLINE = 0, 1, 2  # of the timer, in bits 17 and 18
SOFTWARE_ENABLED, NO_BROADCAST = 1 << 8, 1 << 12  # SPURIOUS
SENT_ILLEGAL, RECEIVED_ILLEGAL, NO_REGISTER = 1 << 5, 1 << 6, 1 << 7  # ERRORS
FLAT = 0xF
WORD = 0xFFFFFFFF
SAVED = (
    *("base", "requests", "service", "triggers", "task_priority", "logical", "format", "spurious", "errors"),
    *("shown_errors", "command", "initial_count", "divide", "deadline", "external_line"),
)


class LocalApic(Device):
    """The APIC of processor `number`. `external` acknowledges the 8259A, `tsc` is the guest's time stamp counter."""

    def __init__(
        self,
        number: int,
        apics: ApicBus,
        output: Line,
        *,
        clock: Clock,
        tsc: Clock,
        external: Callable[[], int],
        nmi: Callable[[], None],
        priority_changed: Callable[[int], None],
    ) -> None:
        self.number = number
        self.apics, self.output, self.clock, self.tsc = apics, output, clock, tsc
        self.external, self.nmi, self.priority_changed = external, nmi, priority_changed
        self.external_line = False
        apics.targets.append(self)
        self.reset()

    def reset(self) -> None:
        self.base = ADDRESS | ENABLED | (BOOTSTRAP if self.number == 0 else 0)
        self.requests = self.service = self.triggers = 0
        self.task_priority = self.logical = 0
        self.format, self.spurious = WORD, 0xFF
        self.errors = self.shown_errors = 0
        self.command = 0
        self.local = dict.fromkeys(LOCAL_BITS, MASKED)
        if self.number == 0:
            self.local[LINT0] = EXTERNAL << 8
        self.initial_count = self.divide = 0
        self.start = 0  # when the timer began to count
        self.deadline = 0
        self.due: int | None = None
        self.priority_changed(0)
        self._update()

    # -- priorities -----------------------------------------------------------------------------------------

    def priority(self) -> int:
        """The processor priority (section 11.8.3.1)."""
        service = self.service.bit_length() - 1 & 0xF0 if self.service else 0
        return self.task_priority if self.task_priority & 0xF0 >= service else service

    def _pending(self) -> int | None:
        """The vector to interrupt the processor with."""
        if not self.requests:
            return None
        vector = self.requests.bit_length() - 1
        return vector if vector >> 4 > self.priority() >> 4 and self.spurious & SOFTWARE_ENABLED else None

    def _update(self) -> None:
        self.output(self._pending() is not None or self._external_pending())

    def _external_pending(self) -> bool:
        if not self.external_line:
            return False
        return not self.base & ENABLED or self.local[LINT0] & (MASKED | 0x700) == EXTERNAL << 8

    def acknowledge(self) -> int:
        """The interrupt that the processor takes; the spurious one if there is none any more."""
        vector = self._pending()
        if vector is None:
            return self.external() if self._external_pending() else self.spurious & 0xFF
        self.requests &= ~(1 << vector)
        self.service |= 1 << vector
        self._update()
        return vector

    def _end(self) -> None:
        """EOI."""
        if not self.service:
            return
        vector = self.service.bit_length() - 1
        self.service &= ~(1 << vector)
        if self.triggers >> vector & 1 and not self.spurious & NO_BROADCAST:
            self.apics.end_of_interrupt(vector)

    def set_priority(self, value: int) -> None:
        """CR8, 0 to 15."""
        self.task_priority = value << 4
        self._update()

    # -- interrupts -----------------------------------------------------------------------------------------

    def matches(self, mask: int) -> bool:
        if self.format >> 28 == FLAT:
            return bool(mask & self.logical)
        return mask >> 4 in (self.logical >> 4, 0xF) and bool(mask & self.logical & 0xF)

    def accept(self, mode: int, vector: int, level: bool) -> None:
        """SMI, INIT and SIPI do nothing: there is no system management mode, and nobody else to start it."""
        if mode == NMI:
            self.nmi()
        elif mode == FIXED and self.spurious & SOFTWARE_ENABLED:
            if vector < 16:
                self._error(RECEIVED_ILLEGAL)
                return
            bit = 1 << vector
            self.requests |= bit
            self.triggers = self.triggers | bit if level else self.triggers & ~bit
            self._update()

    def set_external(self, high: bool) -> None:
        """LINT0: the 8259A's output."""
        if high == self.external_line:
            return
        self.external_line = high
        if high and self.local[LINT0] & 0x700 != EXTERNAL << 8:
            self._local(LINT0)
        self._update()

    def _local(self, register: int) -> None:
        """An interrupt of the local vector table."""
        entry = self.local[register]
        if not entry & MASKED:
            mode = FIXED if register in (TIMER, ERROR) else entry >> 8 & 7
            self.accept(mode, entry & 0xFF, False)

    def _error(self, kind: int) -> None:
        if not self.errors & kind:
            self.errors |= kind
            self._local(ERROR)

    def _send(self, value: int) -> None:
        """ICR (section 11.6.1): the low half sends."""
        self.command = self.command & ~WORD | value & 0xCDFFF
        mode, vector = value >> 8 & 7, value & 0xFF
        if mode == FIXED and vector < 16:
            self._error(SENT_ILLEGAL)
            return
        match value >> 18 & 3:
            case 0:
                self.apics.deliver(self.command >> 56, bool(value & 0x800), mode, vector, False)
            case 1:
                self.accept(mode, vector, False)
            case 2:
                self.apics.deliver_to(self.apics.targets, mode, vector, False)
            case _:
                others = [target for target in self.apics.targets if target is not self]
                self.apics.deliver_to(others, mode, vector, False)

    # -- the timer (section 11.5.4) -------------------------------------------------------------------------

    def _mode(self) -> int:
        return self.local[TIMER] >> 17 & 3

    def _divisor(self) -> int:
        code = self.divide & 3 | self.divide >> 1 & 4
        return 1 if code == 7 else 2 << code

    def _restart(self, count: int) -> None:
        """Count from a value on."""
        self.start = self.clock()
        self.initial_count = count
        self.due = self.start + count * self._divisor() if count and self._mode() != DEADLINE else None

    def current_count(self) -> int:
        if not self.initial_count or self._mode() == DEADLINE:
            return 0
        elapsed = (self.clock() - self.start) // self._divisor()
        if self._mode() == PERIODIC:
            return self.initial_count - elapsed % self.initial_count
        return max(0, self.initial_count - elapsed)

    def set_deadline(self, value: int) -> None:
        """IA32_TSC_DEADLINE: 0 disarms."""
        if self._mode() != DEADLINE:
            return
        self.deadline = value
        self.due = self.clock() + max(0, value - self.tsc()) if value else None

    def next_event(self) -> int | None:
        return self.due

    def run_events(self, now: int) -> None:
        """Periods that were missed because the host was busy come as one."""
        if self.due is None or now < self.due:
            return
        if self._mode() == PERIODIC:
            period = self.initial_count * self._divisor()
            self.due += ((now - self.due) // period + 1) * period
        else:
            self.due = None
            self.deadline = 0
        self._local(TIMER)

    def _set_divide(self, value: int) -> None:
        left = self.current_count()
        initial = self.initial_count
        self.divide = value & 11
        if self.due is not None and self._mode() != DEADLINE:
            self.start = self.clock() - (initial - left) * self._divisor()
            self.due = self.start + initial * self._divisor()

    def _set_local(self, register: int, value: int) -> None:
        before = self._mode()
        value &= LOCAL_BITS[register]
        self.local[register] = value if self.spurious & SOFTWARE_ENABLED else value | MASKED
        if register == TIMER and DEADLINE in (before, self._mode()) and before != self._mode():
            self.due = None
            self.initial_count = self.deadline = 0

    # -- registers ------------------------------------------------------------------------------------------

    def read_memory(self, offset: int, size: int) -> int:
        register, inside = offset & 0xFF0, offset & 15
        return self._read(register) >> 8 * inside & (1 << 8 * size) - 1

    def _read(self, register: int) -> int:
        if Register.IN_SERVICE <= register < Register.ERRORS:
            vectors = (self.service, self.triggers, self.requests)[(register - Register.IN_SERVICE) >> 7]
            return vectors >> (register >> 4 & 7) * 32 & WORD
        if register in self.local:
            return self.local[register]
        match register:
            case Register.ID:
                return self.number << 24
            case Register.VERSION:
                return VERSION
            case Register.TASK_PRIORITY:
                return self.task_priority
            case Register.ARBITRATION_PRIORITY | Register.PROCESSOR_PRIORITY:
                return self.priority()
            case Register.EOI | Register.REMOTE_READ:
                return 0
            case Register.LOGICAL:
                return self.logical << 24
            case Register.FORMAT:
                return self.format
            case Register.SPURIOUS:
                return self.spurious
            case Register.ERRORS:
                return self.shown_errors
            case Register.COMMAND:
                return self.command & WORD
            case Register.COMMAND_HIGH:
                return self.command >> 32
            case Register.INITIAL_COUNT:
                return self.initial_count
            case Register.CURRENT_COUNT:
                return self.current_count()
            case Register.DIVIDE:
                return self.divide
        self._error(NO_REGISTER)
        return 0

    def write_memory(self, offset: int, size: int, value: int) -> None:
        """Only whole registers can be written (section 11.4.1)."""
        if offset & 15 == 0 and size == 4:
            self._write(offset, value)
            self._update()

    def _write(self, register: int, value: int) -> None:
        if register in self.local:
            self._set_local(register, value)
            return
        match register:
            case Register.EOI:
                self._end()
            case Register.TASK_PRIORITY:
                self.task_priority = value & 0xFF
                self.priority_changed(self.task_priority >> 4)
            case Register.LOGICAL:
                self.logical = value >> 24
            case Register.FORMAT:
                self.format = value | 0x0FFFFFFF
            case Register.SPURIOUS:
                self._set_spurious(value)
            case Register.ERRORS:
                self.shown_errors, self.errors = self.errors, 0
            case Register.COMMAND:
                self._send(value)
            case Register.COMMAND_HIGH:
                self.command = self.command & WORD | (value & 0xFF000000) << 32
            case Register.INITIAL_COUNT:
                if self._mode() != DEADLINE:
                    self._restart(value)
            case Register.DIVIDE:
                self._set_divide(value)
            case _ if register not in READ_ONLY:
                self._error(NO_REGISTER)

    def _set_spurious(self, value: int) -> None:
        """A disabled APIC masks its local interrupts (section 11.4.7.2)."""
        self.spurious = value & 0x11FF
        if not value & SOFTWARE_ENABLED:
            for register in self.local:
                self.local[register] |= MASKED

    def set_base(self, value: int) -> bool:
        """IA32_APIC_BASE: the machine moves the registers; false if the value is none that it can have."""
        if value & BASE_RESERVED:
            return False
        self.base = value & ~BOOTSTRAP | self.base & BOOTSTRAP
        self._update()
        return True

    def save(self) -> dict[str, Any]:
        """Times are kept relative to now."""
        state = {name: getattr(self, name) for name in SAVED}
        now = self.clock()
        due = None if self.due is None else self.due - now
        local = {str(register): entry for register, entry in self.local.items()}
        return state | {"start": self.start - now, "due": due, "local": local}

    def load(self, state: dict[str, Any]) -> None:
        now = self.clock()
        vars(self).update({name: state[name] for name in SAVED})
        self.start = state["start"] + now
        self.due = None if state["due"] is None else state["due"] + now
        self.local = {int(register): entry for register, entry in state["local"].items()}
        self.priority_changed(self.task_priority >> 4)
        self._update()
