"""The bare machine: a processor, RAM, and the few chips that a program without an operating system needs.

| ports | chip |
|---|---|
| 20h, A0h, 4D0h | two 8259A interrupt controllers |
| 40h, 61h | 8254 interval timer on line 0 |
| 3F8h | 16550A serial port on line 4 |
| E9h | debug console |
| F4h | isa-debug-exit |

`run` executes until the program ends the machine. While the processor runs, a thread waits for the chips' next event
and makes the interpreter leave when it comes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from emulator.hw.debug_console import DebugConsole
from emulator.hw.debug_exit import DebugExit
from emulator.hw.device import Bus
from emulator.hw.pic import InterruptControllers
from emulator.hw.pit import IntervalTimer
from emulator.hw.uart import SerialPort
from emulator.softmmu.space import AddressSpace
from emulator.tcg.core import HALTED, TRIPLE_FAULT
from emulator.tcg.flags import IF
from emulator.tcg.platform import Platform
from emulator.tcg.processor import Processor

from .alarm import Alarm
from .errors import GuestError
from .firmware import Firmware
from .report import describe, exception_name

MEMORY = 128 << 20


class BareMachine(Platform):
    """A machine with `memory` bytes of RAM. `output` gets what the program writes to its consoles.

    A context manager: at its end it releases what the program came from.
    """

    def __init__(self, output: Callable[[bytes], None], memory: int = MEMORY, *, native: bool = True) -> None:
        self.space = AddressSpace()
        self.ram = self.space.add_ram(0, memory)
        self.output = output
        self.firmware: Firmware | None = None
        self.exit_status: int | None = None
        self._started = time.perf_counter_ns()
        self._alarm = Alarm(self.now, self._wake)
        self.bus = Bus()
        self.processor = Processor(self.space, self, native=native)
        self.interrupts = InterruptControllers(self.processor.set_interrupt)
        self.timer = IntervalTimer(self.interrupts.line(0), self.now)
        self.serial = SerialPort(output, self.interrupts.line(4))
        for device in (self.interrupts, self.timer, self.serial, DebugConsole(output), DebugExit(self.end)):
            self.bus.add(device)
        self._input = bytearray()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Release the disk that the program came from."""
        if self.firmware is not None:
            self.firmware.close()

    def __enter__(self) -> BareMachine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- what the processor asks for ------------------------------------------------------------------------

    def read_port(self, port: int, size: int) -> int:
        return self.bus.read(port, size)

    def write_port(self, port: int, size: int, value: int) -> None:
        self.bus.write(port, size, value)
        self._alarm.set(self.bus.next_event())

    def acknowledge(self) -> int:
        return self.interrupts.acknowledge()

    # -- time and the outside -------------------------------------------------------------------------------

    def now(self) -> int:
        """Nanoseconds since the machine was made."""
        return time.perf_counter_ns() - self._started

    def end(self, status: int) -> None:
        """End the machine with an exit status."""
        self.exit_status = status
        self.processor.request_exit()

    def type(self, data: bytes) -> None:
        """Bytes for the serial port, from any thread."""
        with self._lock:
            self._input += data
        self._wake()

    def _wake(self) -> None:
        self._alarm.ring()
        self.processor.request_exit()

    def _attend(self) -> None:
        """Between two runs: what came in, and what is due."""
        with self._lock:
            data, self._input = bytes(self._input), bytearray()
        if data:
            self.serial.receive(data)
        self.bus.run_events(self.now())
        self._alarm.set(self.bus.next_event())

    # -- running --------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Execute until the program ends the machine: its exit status. A program that cannot go on is a GuestError."""
        self.exit_status = None
        with self._alarm:
            while self.exit_status is None:
                self._attend()
                reason = self.processor.run()
                if reason == TRIPLE_FAULT:
                    raise GuestError(self._triple_fault())
                if reason == HALTED and not self.processor.core.interrupt_line:
                    self._wait()
        return self.exit_status

    def _wait(self) -> None:
        """The processor sleeps until an interrupt."""
        if not self.processor.core.cpu.rflags & IF:
            raise GuestError(f"the program halted with interrupts masked\n{describe(self.processor)}")
        self._alarm.wait()

    def _triple_fault(self) -> str:
        first = exception_name(self.processor.core.first_vector)
        return f"triple fault: {first} could not be delivered\n{describe(self.processor)}"
