"""What every machine is: memory, a processor, a bus of chips, a clock, and `run`.

The clock (`clocks`) makes the interpreter leave when the chips' next event is due. All chips live in the thread that
calls `run`; other threads hand over what they have for them by `post`.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Self

from emulator.hw.device import Bus
from emulator.softmmu.space import AddressSpace
from emulator.tcg.core import HALTED, STUCK, TRIPLE_FAULT
from emulator.tcg.flags import IF
from emulator.tcg.platform import Platform

from .clocks import HostClock, InstructionClock
from .engine import TCG, engine
from .errors import GuestError
from .report import describe


class Machine(Platform):
    """A processor and a bus. A context manager: at its end it releases what it holds.

    With `icount`, time goes by with instructions, and chance is always the same.
    """

    def __init__(self, *, native: bool = True, icount: bool = False, accelerator: str = TCG) -> None:
        self.space = AddressSpace()
        self.exit_status: int | None = None
        self.time = InstructionClock(self.wake) if icount else HostClock(self.wake)
        self.now = self.time.now
        self.clock_start = self.time.start
        self.bus = Bus(self.time.set)
        self.read_port, self.write_port = self.bus.read, self.bus.write
        self.read_ports, self.write_ports = self.bus.read_many, self.bus.write_many
        self._posted: deque[Callable[[], None]] = deque()
        self._chance = random.Random(0) if icount else random.SystemRandom()
        self.processor = engine(self, accelerator, native=native, counting=icount)
        self.time.attach(self.processor)

    def close(self) -> None:
        """Release what the machine holds."""
        self.processor.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- what the processor asks for ------------------------------------------------------------------------

    def clock(self) -> int:
        return self.now()

    def noise(self) -> int:
        return self._chance.getrandbits(64)

    # -- time and the outside -------------------------------------------------------------------------------

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
        self.time.ring()
        self.processor.request_exit()

    def _attend(self) -> None:
        """Between two runs: what came in, and what is due."""
        while self._posted:
            self._posted.popleft()()
        self.bus.run_events(self.now())
        self.time.set(self.bus.next_event())

    # -- running --------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Execute until the program ends the machine: its exit status. A program that cannot go on is a GuestError."""
        self.exit_status = None
        with self.time:
            while self.exit_status is None:
                self._attend()
                reason = self.processor.run()
                if reason == TRIPLE_FAULT:
                    self.triple_fault()
                if reason == STUCK:
                    raise GuestError(f"{self.processor.trouble()}\n{describe(self.processor)}")
                if reason == HALTED:
                    self._wait()
        return self.exit_status

    def _wait(self) -> None:
        """The processor sleeps until an interrupt."""
        if not self.processor.rflags & IF:
            self.halted()
        elif not self.processor.interrupt_asked:
            self.time.wait()
            self.processor.forget_request()  # what made it wake is attended to at once

    def halted(self) -> None:
        """HLT with interrupts masked: nothing can end it."""
        raise GuestError(f"the program halted with interrupts masked\n{describe(self.processor)}")

    def triple_fault(self) -> None:
        """What a real processor answers with a shutdown."""
        raise GuestError(f"triple fault: {self.processor.trouble()}\n{describe(self.processor)}")
