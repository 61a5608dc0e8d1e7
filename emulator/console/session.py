"""One run of a PC: its consoles, signals, the script that it is to follow, and what its end means.

| exit status | |
|---|---|
| 0 | the guest switched the machine off, or the last expected text came |
| the guest's | by isa-debug-exit |
| 1 | an expected text did not come in time, or before the end |
| 124 | the guest cannot go on: a triple fault, a disk that cannot boot |
| 128 + n | signal n |
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from emulator.machine.config import PcConfig
from emulator.machine.errors import GuestError
from emulator.machine.pc import Pc

from .script import Script
from .serial import Sink, file_sink, pty_sink
from .signals import leave_on_signals
from .terminal import Terminal

LEFT, NOT_EXPECTED, GUEST_ERROR, SIGNALLED = 0, 1, 124, 128


@dataclass
class Wishes:
    """What a person wants to see of a machine."""

    serial: str = "stdio"  # stdio, file:PATH, pty or none
    screenshot: str | None = None  # a file for the screen at the end
    steps: Sequence[tuple[str, str]] = ()  # of a script
    timeout: float | None = None  # seconds
    complain: Callable[[str], None] = lambda message: print(message, file=sys.stderr)


class Session:
    """A machine made of `config`, run as `wishes` say."""

    def __init__(self, config: PcConfig, wishes: Wishes) -> None:
        self.wishes = wishes
        self.sinks: list[Sink] = []
        self.machine = Pc(replace(config, serial=self._output, console=self._output, teletype=self._output))
        self.script = Script(wishes.steps, self.machine.type, lambda: self.machine.end(LEFT))
        if wishes.steps:
            self.sinks.append(self.script.feed)

    def _output(self, data: bytes) -> None:
        for sink in self.sinks:
            sink(data)

    def run(self) -> int:
        """Until the machine ends: the exit status."""
        with ExitStack() as stack:
            stack.enter_context(self.machine)
            self._connect(stack)
            self._obey_signals()
            timer = self._limit_time()
            self.machine.power_on()
            self.script.start()
            try:
                status = self.machine.run()
            except GuestError as error:
                self._finish(timer)
                self.wishes.complain(str(error))
                return GUEST_ERROR
            self._finish(timer)
        return self._verdict(status)

    def _connect(self, stack: ExitStack) -> None:
        kind, _, path = self.wishes.serial.partition(":")
        if kind == "file":
            self.sinks.append(file_sink(path))
        elif kind == "pty":
            self.sinks.append(pty_sink(self.machine.type))
        if kind == "stdio":
            leave = lambda: self.machine.end(LEFT)  # noqa: E731
            terminal = stack.enter_context(Terminal(self.machine.type, leave))
            self.sinks.append(terminal.show)

    def _obey_signals(self) -> None:
        def end(number: int, _: Any) -> None:
            self.machine.end(SIGNALLED + number)

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, end)
        leave_on_signals(self.machine.wake)

    def _limit_time(self) -> threading.Timer | None:
        if self.wishes.timeout is None:
            return None
        timer = threading.Timer(self.wishes.timeout, self.machine.end, (NOT_EXPECTED,))
        timer.daemon = True
        self._timed_out = timer
        timer.start()
        return timer

    def _finish(self, timer: threading.Timer | None) -> None:
        self._late = timer is not None and timer.finished.is_set()
        if timer is not None:
            timer.cancel()
        if self.wishes.screenshot is not None:
            self.machine.screenshot(self.wishes.screenshot)

    def _verdict(self, status: int) -> int:
        missing = self.script.waits_for
        if self._late:
            wanted = "" if missing is None else f", and {missing!r} had not come"
            self.wishes.complain(f"the time of {self.wishes.timeout:g} s is over{wanted}")
            return NOT_EXPECTED
        if missing is not None and status < SIGNALLED:
            self.wishes.complain(f"the machine ended before {missing!r} came")
            return NOT_EXPECTED
        return status
