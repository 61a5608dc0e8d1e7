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

import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from emulator.hw.vga.picture import text_screen
from emulator.machine.config import PcConfig
from emulator.machine.errors import GuestError
from emulator.machine.pc import Pc
from imgtools import ImageError

from .screen import ScreenInTerminal
from .script import Script
from .serial import Sink, file_sink, pty_sink
from .signals import leave_on_signals
from .terminal import Terminal
from .trace import trace

LEFT, NOT_EXPECTED, GUEST_ERROR, SIGNALLED = 0, 1, 124, 128
RENEWED = 1.0  # seconds between two pictures of the screen
LOOK = 0.25  # seconds between two looks at the screen, by a script
RETRY = 0.5  # seconds between two tries to write to a host without space


def to_stderr(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


@dataclass
class Wishes:
    """What a person wants to see of a machine."""

    serial: str = "stdio"  # stdio, file:PATH, pty or none
    display: str = "none"  # none, text in the terminal, or png: the file of the screenshot, renewed each second
    screenshot: str | None = None  # a file for the screen at the end
    steps: Sequence[tuple[str, bytes]] = ()  # of a script
    timeout: float | None = None  # seconds
    trace: Sequence[str] = ()  # ports, interrupts
    complain: Callable[[str], None] = to_stderr


class Session:
    """A machine made of `config`, run as `wishes` say."""

    def __init__(self, config: PcConfig, wishes: Wishes) -> None:
        self.wishes = wishes
        self.sinks: list[Sink] = []
        self._late = False
        self._paused = False
        self.machine = Pc(
            replace(
                config,
                serial=self._output,
                console=self._output,
                teletype=self._output,
                on_error=self._on_disk_error,
                warn=wishes.complain,
            )
        )
        self.script = Script(wishes.steps, self.machine.type, lambda: self.machine.end(LEFT))

    def run(self) -> int:
        """Until the machine ends: the exit status."""
        with ExitStack() as stack:
            stack.enter_context(self.machine)
            self._connect(stack)
            self._obey_signals()
            self._limit_time(stack)
            trace(self.machine, self.wishes.trace)
            self.machine.power_on()
            self.script.start()
            try:
                status = self.machine.run()
            except GuestError as error:
                stack.callback(self.wishes.complain, str(error))
                status = GUEST_ERROR
            finally:
                self._picture()
        return status if status == GUEST_ERROR else self._verdict(status)

    # -- consoles -------------------------------------------------------------------------------------------

    def _output(self, data: bytes) -> None:
        for sink in self.sinks:
            sink(data)

    def _connect(self, stack: ExitStack) -> None:
        if self.script.steps:
            self.sinks.append(self.script.feed)
            if not self.machine.config.icount:  # which threads would disturb
                self._every(LOOK, self._look, stack)
        if self.wishes.display == "png":
            self._every(RENEWED, self._picture, stack)
        kind, _, path = self.wishes.serial.partition(":")
        if kind == "file":
            self.sinks.append(file_sink(path))
        elif kind == "pty":
            self.sinks.append(pty_sink(self.machine.type))
        if kind == "stdio" or self.wishes.display == "text":
            terminal = stack.enter_context(Terminal(self.machine.type, lambda: self.machine.end(LEFT)))
            if self.wishes.display == "text":
                stack.enter_context(ScreenInTerminal(self.machine))
            else:
                self.sinks.append(terminal.show)

    def _picture(self) -> None:
        """The file of the screenshot, replaced as a whole."""
        if self.wishes.screenshot is not None:
            new = f"{self.wishes.screenshot}.new{Path(self.wishes.screenshot).suffix}"
            self.machine.screenshot(new)
            os.replace(new, self.wishes.screenshot)

    def _look(self) -> None:
        """What a script waits for may stand on the screen."""
        screen = text_screen(self.machine.vga)
        if screen is not None:
            self.script.see("\n".join(screen.lines))

    def _every(self, period: float, function: Callable[[], None], stack: ExitStack) -> None:
        """Call a function in the machine's thread again and again."""
        over = threading.Event()

        def tick() -> None:
            while not over.wait(period):
                self.machine.post(function)

        threading.Thread(target=tick, name="look", daemon=True).start()
        stack.callback(over.set)

    # -- what comes from outside ----------------------------------------------------------------------------

    def _obey_signals(self) -> None:
        def end(number: int, _: Any) -> None:
            self.machine.end(SIGNALLED + number)

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, end)
        leave_on_signals(self.machine.wake)

    def _limit_time(self, stack: ExitStack) -> None:
        if self.wishes.timeout is None:
            return

        def end() -> None:
            self._late = True
            self.machine.end(NOT_EXPECTED)

        timer = threading.Timer(self.wishes.timeout, end)
        timer.daemon = True
        timer.start()
        stack.callback(timer.cancel)

    def _on_disk_error(self, error: ImageError) -> bool:
        """A host without space pauses the guest until there is some; the guest is told of every other error."""
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            self.wishes.complain(f"the guest is told of a disk error: {error}")
            return False
        if not self._paused:
            self._paused = True
            self.wishes.complain(f"{error}: the guest is paused until there is space")
            self.machine.post(self._gone_on)
        time.sleep(RETRY)
        return self.machine.exit_status is None

    def _gone_on(self) -> None:
        """The guest runs again, so that its next pause is another one."""
        self._paused = False

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
