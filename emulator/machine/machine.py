"""What every machine is: memory, a processor, a bus of chips, a clock, and `run`.

While the processor runs, a thread waits for the chips' next event and makes the interpreter leave when it comes. All
chips live in the thread that calls `run`; other threads hand over what they have for them by `post`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Self

from emulator.hw.device import Bus
from emulator.softmmu.space import AddressSpace
from emulator.tcg.core import HALTED, TRIPLE_FAULT
from emulator.tcg.flags import IF
from emulator.tcg.platform import Platform
from emulator.tcg.processor import Processor

from .alarm import Alarm
from .errors import GuestError
from .report import describe, exception_name


class Machine(Platform):
    """A processor and a bus. A context manager: at its end it releases what it holds."""

    def __init__(self, *, native: bool = True) -> None:
        self.space = AddressSpace()
        self.exit_status: int | None = None
        self._started = time.perf_counter_ns()
        self._alarm = Alarm(self.now, self.wake)
        self.bus = Bus(self._alarm.set)
        self._posted: deque[Callable[[], None]] = deque()
        self.processor = Processor(self.space, self, native=native)

    def close(self) -> None:
        """Release what the machine holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- what the processor asks for ------------------------------------------------------------------------

    def read_port(self, port: int, size: int) -> int:
        return self.bus.read(port, size)

    def write_port(self, port: int, size: int, value: int) -> None:
        self.bus.write(port, size, value)
        self._alarm.set(self.bus.next_event())

    # -- time and the outside -------------------------------------------------------------------------------

    def now(self) -> int:
        """Nanoseconds since the machine was made."""
        return time.perf_counter_ns() - self._started

    def end(self, status: int) -> None:
        """From any thread: end the machine with an exit status."""
        self.exit_status = status
        self.wake()

    def post(self, function: Callable[[], None]) -> None:
        """From any thread: call a function in the machine's thread, between two instructions."""
        self._posted.append(function)
        self.wake()

    def wake(self) -> None:
        """From any thread: make the machine see what there is to do."""
        self._alarm.ring()
        self.processor.request_exit()

    def _attend(self) -> None:
        """Between two runs: what came in, and what is due."""
        while self._posted:
            self._posted.popleft()()
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
                    self.triple_fault()
                if reason == HALTED and not self.processor.core.interrupt_line:
                    self._wait()
        return self.exit_status

    def _wait(self) -> None:
        """The processor sleeps until an interrupt."""
        if not self.processor.core.cpu.rflags & IF:
            self.halted()
        else:
            self._alarm.wait()

    def halted(self) -> None:
        """HLT with interrupts masked: nothing can end it."""
        raise GuestError(f"the program halted with interrupts masked\n{describe(self.processor)}")

    def triple_fault(self) -> None:
        """What a real processor answers with a shutdown."""
        first = exception_name(self.processor.core.first_vector)
        raise GuestError(f"triple fault: {first} could not be delivered\n{describe(self.processor)}")
