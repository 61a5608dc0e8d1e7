"""How far long work is: as the peers print it, as a line of JSON an event, or as a bar on a terminal.

A `Progress` is given to an operation, which calls it with bytes done and bytes in all. SIGUSR1 makes it
print where it stands, whatever its style.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # `signal` takes a millisecond to import
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Any, Self

INTERVAL = 0.1
"""Seconds between two events of the JSON and the bar style."""
PATIENCE = 0.5
"""Seconds that work takes before a bar that nobody asked for appears."""


class Progress:
    """Shows nothing; the other styles override `show`."""

    def __init__(self, description: str) -> None:
        self.description = description
        self.done = 0
        self.total = 0
        self.started = time.monotonic()
        self._before: Any = None

    def __call__(self, done: int, total: int) -> None:
        self.done, self.total = done, total
        self.show()

    @property
    def percent(self) -> float:
        return 100 * self.done / self.total if self.total else 100.0

    def show(self) -> None:
        """Something was done."""

    def finish(self) -> None:
        """All is done, or given up."""

    def __enter__(self) -> Self:
        if hasattr(signal, "SIGUSR1"):
            try:
                self._before = signal.signal(signal.SIGUSR1, self._print_once)
            except ValueError:
                pass  # not in the main thread, which alone may handle signals
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish()
        if self._before is not None:
            signal.signal(signal.SIGUSR1, self._before)

    def _print_once(self, number: int, frame: FrameType | None) -> None:
        sys.stderr.write(f"    ({self.percent:.2f}/100%)\n")
        sys.stderr.flush()


class Percent(Progress):
    """The peers' own form: "    (12.34/100%)" again and again on one line of standard output."""

    def __init__(self, description: str, step: float) -> None:
        super().__init__(description)
        self.step = step
        """Percent points between two prints."""
        self.shown = -step

    def show(self) -> None:
        percent = self.percent
        if abs(percent - self.shown) > self.step or percent in (0.0, 100.0):
            self.shown = percent
            sys.stdout.write(f"    ({percent:.2f}/100%)\r")
            sys.stdout.flush()

    def finish(self) -> None:
        sys.stdout.write("\n")


class JsonLines(Progress):
    """One JSON object a line on standard error, ten a second at most, the first and the last always."""

    def __init__(self, description: str) -> None:
        super().__init__(description)
        self.last = -1.0

    def show(self) -> None:
        elapsed = time.monotonic() - self.started
        if self.last < 0 or elapsed - self.last >= INTERVAL:
            self._write(elapsed)

    def finish(self) -> None:
        self._write(time.monotonic() - self.started)

    def _write(self, elapsed: float) -> None:
        self.last = elapsed
        sys.stderr.write(
            f'{{"transferred": {self.done}, "size": {self.total}, "elapsed": {elapsed:.3f}, '
            f'"description": "{self.description}"}}\n'
        )
        sys.stderr.flush()


class Bar(Progress):
    """A bar on the terminal, with speed and remaining time; `patience` seconds pass before it appears."""

    def __init__(self, description: str, patience: float = 0.0) -> None:
        super().__init__(description)
        self.patience = patience
        self.last = 0.0
        self._bar: Any = None
        self._task: Any = None

    def show(self) -> None:
        elapsed = time.monotonic() - self.started
        if elapsed < self.patience or elapsed - self.last < INTERVAL:
            return
        self.last = elapsed
        if self._bar is None:
            self._start()
        self._bar.update(self._task, completed=self.done, total=self.total)

    def finish(self) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, total=self.total)
            self._bar.stop()
            self._bar = None

    def _start(self) -> None:
        from rich import progress
        from rich.console import Console

        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.DownloadColumn(binary_units=True),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task(self.description, total=self.total)


def progress_of(arguments: Any, description: str, step: float = 1.0) -> Progress:
    """The progress that the options ask for; on a terminal, without any, a bar for work that takes its time.

    `step` is how many percent points -p waits for.
    """
    from imgtools.cli import console

    style = getattr(arguments, "progress", None)
    if style == "json":
        return JsonLines(description)
    if style == "bar":
        return Bar(description)
    if style == "none" or arguments.quiet:
        return Progress(description)
    if arguments.show_progress:
        return Percent(description, step)
    if console.own and sys.stderr.isatty():
        return Bar(description, PATIENCE)
    return Progress(description)
