"""The 8254 interval timer (Intel 8254 data sheet, 231164-005), and the part of port 61h that goes with it.

Counters are computed from the machine's clock when somebody looks. Counter 0 is the interrupt line, counter 1 nothing,
counter 2 the speaker, whose gate and output are in port 61h.
"""

from __future__ import annotations

from typing import Any

from .device import Clock, Device, Line

FREQUENCY = 1_193_182
SECOND = 1_000_000_000
PORT_61 = 0x61
REFRESH_PERIOD = 15_085  # ns; port 61h, bit 4 changes that often
LATCH, HIGH, BOTH = 0, 2, 3  # access modes; 1 is the low byte alone
ONE_SHOTS = (0, 1, 4, 5)


def to_ticks(nanoseconds: int) -> int:
    return nanoseconds * FREQUENCY // SECOND


def to_nanoseconds(ticks: int) -> int:
    """When a tick has come: rounded up, so that `to_ticks` of it is that tick."""
    return -(-ticks * SECOND // FREQUENCY)


class Counter:
    """One of the three counters."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.mode, self.access, self.bcd = 3, BOTH, False
        self.reload = 0x10000
        self.start = 0  # when counting began
        self.counting = False
        self.gate = True
        self.low_byte: int | None = None  # the first of two written
        self.latched: list[int] = []
        self.status: int | None = None
        self.reads_high = False

    def elapsed(self) -> int:
        return to_ticks(self.clock() - self.start)

    def value(self) -> int:
        """The counting element."""
        elapsed = self.elapsed() if self.counting else 0
        if self.mode in (2, 3):
            step = 2 if self.mode == 3 else 1
            count = self.reload - elapsed * step % self.reload
        else:
            count = self.reload - elapsed
        count &= 0xFFFF
        return int(f"{count % 10000:04}", 16) if self.bcd else count

    def output(self) -> bool:
        """The OUT pin."""
        elapsed = self.elapsed()
        match self.mode:
            case 0 | 1:
                return self.counting and elapsed >= self.reload
            case 2:
                return not self.counting or (elapsed + 1) % self.reload != 0
            case 3:
                return not self.counting or elapsed % self.reload < (self.reload + 1) // 2
        return elapsed != self.reload

    def set_mode(self, control: int) -> None:
        self.access = control >> 4 & 3
        self.mode = control >> 1 & 7
        self.mode -= 4 if self.mode > 5 else 0
        self.bcd = bool(control & 1)
        self.low_byte = None
        self.reads_high = False
        self.counting = False
        self.latched = []

    def write(self, value: int) -> bool:
        """A byte of the reload value; whether counting starts anew."""
        if self.access == BOTH and self.low_byte is None:
            self.low_byte = value
            return False
        count = value << 8 | (self.low_byte or 0) if self.access == BOTH else value << 8 * (self.access == HIGH)
        self.low_byte = None
        if self.bcd:
            count = sum((count >> 4 * digit & 15) * 10**digit for digit in range(4)) or 10000
        self.reload = count or 0x10000
        self.start = self.clock()
        self.counting = self.mode in (0, 4) or self.gate
        return True

    def set_gate(self, high: bool) -> None:
        if high and not self.gate and self.mode not in (0, 4):
            self.start = self.clock()
            self.counting = True
        self.gate = high

    def latch(self) -> None:
        if not self.latched:
            value = self.value()
            pair = [value & 0xFF, value >> 8]
            self.latched = pair if self.access == BOTH else [pair[self.access == HIGH]]

    def latch_status(self) -> None:
        if self.status is None:
            flags = self.output() << 7 | (not self.counting) << 6
            self.status = flags | self.access << 4 | self.mode << 1 | self.bcd

    def read(self) -> int:
        if self.status is not None:
            value, self.status = self.status, None
            return value
        if self.latched:
            return self.latched.pop(0)
        value = self.value()
        high = self.access == HIGH or (self.access == BOTH and self.reads_high)
        if self.access == BOTH:
            self.reads_high = not self.reads_high
        return value >> 8 if high else value & 0xFF


class IntervalTimer(Device):
    """Three counters; `line` gets a pulse when counter 0 ends, while it is `connected` to something."""

    ports = (0x40, 0x41, 0x42, 0x43, PORT_61)

    def __init__(self, line: Line, clock: Clock) -> None:
        self.line = line
        self.clock = clock
        self.connected = True
        self.reset()

    def reset(self) -> None:
        self.counters = [Counter(self.clock) for _ in range(3)]
        self.counters[2].gate = False
        self.speaker = 0
        self.due: int | None = None  # when counter 0 ends next

    def next_event(self) -> int | None:
        return self.due if self.connected else None

    def run_events(self, now: int) -> None:
        """Ends that were missed because the host was busy come as one."""
        counter = self.counters[0]
        if self.due is None or now < self.due:
            return
        self.line(True)
        self.line(False)
        if counter.mode in ONE_SHOTS:
            self.due = None
        else:
            done = to_ticks(now - counter.start) // counter.reload
            self.due = counter.start + to_nanoseconds((done + 1) * counter.reload)

    def read(self, port: int) -> int:
        if port == PORT_61:
            refresh = self.clock() // REFRESH_PERIOD & 1
            return self.speaker & 3 | refresh << 4 | self.counters[2].output() << 5
        return 0xFF if port == 0x43 else self.counters[port & 3].read()

    def write(self, port: int, value: int) -> None:
        if port == PORT_61:
            self.speaker = value & 3
            self.counters[2].set_gate(bool(value & 1))
        elif port != 0x43:
            if self.counters[port & 3].write(value) and port == 0x40:
                self.due = self.counters[0].start + to_nanoseconds(self.counters[0].reload)
        elif value >> 6 == 3:
            self._read_back(value)
        elif value >> 4 & 3 == LATCH:
            self.counters[value >> 6].latch()
        else:
            self.counters[value >> 6].set_mode(value)
            if value >> 6 == 0:
                self.due = None

    def _read_back(self, value: int) -> None:
        for number, counter in enumerate(self.counters):
            if value >> number + 1 & 1:
                if not value & 0x20:
                    counter.latch()
                if not value & 0x10:
                    counter.latch_status()

    def save(self) -> dict[str, Any]:
        """Times are kept relative to now."""
        now = self.clock()
        counters = []
        for counter in self.counters:
            fields = {name: value for name, value in vars(counter).items() if name != "clock"}
            counters.append(fields | {"start": counter.start - now})
        due = None if self.due is None else self.due - now
        return {"counters": counters, "speaker": self.speaker, "due": due}

    def load(self, state: dict[str, Any]) -> None:
        now = self.clock()
        for counter, fields in zip(self.counters, state["counters"], strict=True):
            vars(counter).update(fields | {"start": fields["start"] + now})
        self.speaker = state["speaker"]
        self.due = None if state["due"] is None else state["due"] + now
