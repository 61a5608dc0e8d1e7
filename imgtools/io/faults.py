"""Breakpoints, waiting, and the ways to die: what tests of crashes and races are made of."""

from __future__ import annotations

import os
import sys
import time

from imgtools.errors import BadOption, NotFound
from imgtools.io.command import Failed, ShellCommand
from imgtools.io.numbers import number, whole_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from imgtools.block.filters.blkdebug import BlkDebug
    from imgtools.io.shell import Shell

LARGEST_SIGNAL = 65
STEP = 0.001
"""Seconds between two looks at whether a request has stopped."""


def break_(shell: Shell, arguments: Any) -> None:
    event, tag = arguments.operands

    def set_breakpoint(debug: BlkDebug) -> None:
        debug.report = lambda message: shell.say(f"{message}\n")
        debug.break_at(event, tag)

    _tried(shell, "Could not set breakpoint", set_breakpoint)
    shell.opened.tags.add(tag)


def remove_break(shell: Shell, arguments: Any) -> None:
    (tag,) = arguments.operands
    _tried(shell, f"Could not remove breakpoint {tag}", lambda debug: debug.remove_break(tag))


def resume(shell: Shell, arguments: Any) -> None:
    (tag,) = arguments.operands
    _tried(shell, "Could not resume request", lambda debug: debug.resume(tag))


def wait_break(shell: Shell, arguments: Any) -> None:
    (tag,) = arguments.operands

    def wait(debug: BlkDebug) -> None:
        while not debug.is_suspended(tag):
            time.sleep(STEP)

    _tried(shell, f"Could not wait for {tag}", wait)


def _tried(shell: Shell, failure: str, action: Callable[[BlkDebug], None]) -> None:
    """Do something with the node that stops requests; raises Failed where there is none or it cannot."""
    debug = shell.opened.breakpoints
    if debug is None:
        raise Failed(f"{failure}: Operation not supported")
    try:
        action(debug)
    except (NotFound, BadOption) as error:
        raise Failed(f"{failure}: No such file or directory") from error
    shell.reap()


def sleep(shell: Shell, arguments: Any) -> None:
    text = arguments.operands[0]
    milliseconds = whole_number(text)
    if milliseconds is None or milliseconds < 0:
        raise Failed(f"{text} is not a valid number")
    time.sleep(milliseconds / 1000)
    shell.reap()


def abort(shell: Shell, arguments: Any) -> None:
    sys.stdout.flush()
    os.abort()


def sigraise(shell: Shell, arguments: Any) -> None:
    import signal

    text = arguments.operands[0]
    chosen = number(text)
    if chosen > LARGEST_SIGNAL:
        raise Failed(f"signal argument '{text}' is too large to be a valid signal")
    sys.stdout.flush()
    if chosen in signal.valid_signals():
        if signal.getsignal(chosen) is signal.default_int_handler:
            signal.signal(chosen, signal.SIG_DFL)
        signal.raise_signal(chosen)


COMMANDS = (
    ShellCommand(
        "break", "event tag", "sets a breakpoint on event and tags the stopped request as tag", break_, takes=(2, 2)
    ),
    ShellCommand("remove_break", "tag", "remove a breakpoint by tag", remove_break, takes=(1, 1)),
    ShellCommand("resume", "tag", "resumes the request tagged as tag", resume, takes=(1, 1)),
    ShellCommand("wait_break", "tag", "waits for the suspension of a request", wait_break, takes=(1, 1)),
    ShellCommand("sleep", None, "waits for the given value in milliseconds", sleep, takes=(1, 1), needs_image=False),
    ShellCommand("abort", None, "simulate a program crash using abort(3)", abort, needs_image=False),
    ShellCommand(
        "sigraise",
        "signal",
        "raises a signal",
        sigraise,
        takes=(1, 1),
        needs_image=False,
        text="""
 raises the given signal

 Example:
 'sigraise 15' - raises SIGTERM

 Invokes raise(signal), where "signal" is the mandatory integer argument
 given to sigraise.
""",
    ),
)
