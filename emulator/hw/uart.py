"""The 16550A serial port (National Semiconductor PC16550D data sheet). What is sent goes out at once.

Registers by their offset: 0 data, 1 interrupt enable, 2 interrupt identification and FIFO control, 3 line control,
4 modem control, 5 line status, 6 modem status, 7 scratch; 0 and 1 are the divisor while bit 7 of line control is set.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from .device import Device, Line

FIFO_SIZE = 16
# Interrupt enable
ON_DATA, ON_EMPTY, ON_LINE = 1, 2, 4
# Line status
DATA_READY, OVERRUN, EMPTY = 1, 2, 0x60
DIVISOR_ACCESS = 0x80
LOOPBACK = 0x10
CONNECTED = 0xB0  # modem status: CTS, DSR, DCD


class SerialPort(Device):
    """A serial port at a base address; `receive` takes what comes in."""

    def __init__(self, output: Callable[[bytes], None], line: Line, base: int = 0x3F8) -> None:
        self.output = output
        self.line = line
        self.base = base
        self.ports = range(base, base + 8)
        self.reset()

    def reset(self) -> None:
        self.line(False)
        self.enabled = self.line_control = self.modem_control = self.scratch = 0
        self.fifo = False
        self.divisor = 12
        self.overrun = False
        self.was_emptied = False  # the transmitter's interrupt is pending
        self.has_sent = False  # a byte to the outside
        self.asserted = False  # the interrupt
        self.received: deque[int] = deque()

    def receive(self, data: bytes) -> None:
        """Bytes from outside; there is no limit but the other side's, so none gets lost."""
        self.received.extend(data)
        self._update()

    def read(self, port: int) -> int:
        register = port - self.base
        value = self._read(register)
        if register in (0, 2, 5):
            self._update()
        return value

    def _read(self, register: int) -> int:
        match register:
            case 0 | 1 if self.line_control & DIVISOR_ACCESS:
                return self.divisor >> 8 * register & 0xFF
            case 0:
                return self.received.popleft() if self.received else 0
            case 1:
                return self.enabled
            case 2:
                return self._identify()
            case 3:
                return self.line_control
            case 4:
                return self.modem_control
            case 5:
                status = EMPTY | (DATA_READY if self.received else 0) | (OVERRUN if self.overrun else 0)
                self.overrun = False
                return status
            case 6:
                return self._modem_status()
        return self.scratch

    def _modem_status(self) -> int:
        """In loopback mode the outputs are the inputs: DTR, RTS, OUT1 and OUT2 are DSR, CTS, RI and DCD."""
        if not self.modem_control & LOOPBACK:
            return CONNECTED
        control = self.modem_control
        return (control & 1) << 5 | (control & 2) << 3 | (control & 4) << 4 | (control & 8) << 4

    def _pending(self) -> int:
        """The interrupt of the highest priority, as it is identified; 1 is none."""
        if self.enabled & ON_LINE and self.overrun:
            return 6
        if self.enabled & ON_DATA and self.received:
            return 4
        return 2 if self.enabled & ON_EMPTY and self.was_emptied else 1

    def _identify(self) -> int:
        pending = self._pending()
        if pending == 2:
            self.was_emptied = False
        return pending | (0xC0 if self.fifo else 0)

    def write(self, port: int, value: int) -> None:
        register = port - self.base
        match register:
            case 0 | 1 if self.line_control & DIVISOR_ACCESS:
                shift = 8 * register
                self.divisor = self.divisor & ~(0xFF << shift) | value << shift
            case 0:
                self._send(value)
            case 1:
                self.was_emptied |= bool(value & ON_EMPTY and not self.enabled & ON_EMPTY)
                self.enabled = value & 15
            case 2:
                self.fifo = bool(value & 1)
                if value & 2:
                    self.received.clear()
            case 3:
                self.line_control = value
            case 4:
                self.modem_control = value & 0x1F
            case 7:
                self.scratch = value
        self._update()

    def _send(self, value: int) -> None:
        if not self.modem_control & LOOPBACK:
            self.has_sent = True
            self.output(bytes((value,)))
        elif len(self.received) < (FIFO_SIZE if self.fifo else 1):
            self.received.append(value)
        else:
            self.overrun = True
        self.was_emptied = True

    def _update(self) -> None:
        """OUT2 connects the interrupt to the bus, as on every PC."""
        asserted = self._pending() != 1 and bool(self.modem_control & 8)
        if asserted != self.asserted:
            self.asserted = asserted
            self.line(asserted)

    def save(self) -> dict[str, Any]:
        fields = {name: value for name, value in vars(self).items() if name not in ("output", "line", "base", "ports")}
        return fields | {"received": list(self.received)}

    def load(self, state: dict[str, Any]) -> None:
        vars(self).update(state | {"received": deque(state["received"])})
        self.line(self.asserted)
