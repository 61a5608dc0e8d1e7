"""What becomes of a target when its work is interrupted: it is either whole or plainly unfinished."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # `signal` takes a millisecond to import
import os

from imgtools.cli import console

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Any


class Terminated(KeyboardInterrupt):
    """The process was told to end by the signal `number`."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.status = 128 + number


def stop(number: int, frame: FrameType | None) -> None:
    """Handle a signal as Ctrl-C is."""
    raise Terminated(number)


class Unfinished:
    """While this is entered, Ctrl-C, SIGTERM and SIGHUP remove the file at `path` if it was `made` for this work, or
    else say that its content is of no use."""

    def __init__(self, path: str, *, made: bool) -> None:
        self.path = path
        self.made = made
        self.before: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            try:
                if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                    self.before[number] = signal.signal(number, stop)
            except ValueError:
                pass  # not in the main thread, which alone may handle signals

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        if not isinstance(value, KeyboardInterrupt):
            return
        if self.made and os.path.isfile(self.path):
            os.unlink(self.path)
            console.complain(f"'{self.path}' was not finished and has been removed")
        else:
            console.complain(f"'{self.path}' is not finished: its content is of no use")
