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
    from typing import Any

    from imgtools.block.filters.blkdebug import BlkDebug
    from imgtools.io.shell import Shell

LARGEST_SIGNAL = 65
STEP = 0.001
"""Seconds between two looks at whether a request has stopped."""
NOT_SUPPORTED = "Operation not supported"


def break_(shell: Shell, arguments: Any) -> None:
    event, tag = arguments.operands
    with _FailsAs("Could not set breakpoint"):
        debug = _debug(shell)
        debug.report = lambda message: shell.say(f"{message}\n")
        debug.break_at(event, tag)
    shell.opened.tags.add(tag)


def remove_break(shell: Shell, arguments: Any) -> None:
    (tag,) = arguments.operands
    with _FailsAs(f"Could not remove breakpoint {tag}"):
        _debug(shell).remove_break(tag)
    shell.reap()


def resume(shell: Shell, arguments: Any) -> None:
    (tag,) = arguments.operands
    with _FailsAs("Could not resume request"):
        _debug(shell).resume(tag)
    shell.reap()


def wait_break(shell: Shell, arguments: Any) -> None:
    (tag,) = arguments.operands
    debug = shell.opened.breakpoints
    if debug is None:
        raise Failed(f"Could not wait for {tag}: {NOT_SUPPORTED}")
    while not debug.is_suspended(tag):
        time.sleep(STEP)
    shell.reap()


class _NotSupported(Exception):
    """Nothing in the tree stops requests."""


def _debug(shell: Shell) -> BlkDebug:
    node = shell.opened.breakpoints
    if node is None:
        raise _NotSupported
    return node


class _FailsAs:
    """Within it an error becomes `Failed`, told as qemu-io tells it."""

    def __init__(self, words: str) -> None:
        self.words = words

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, _NotSupported):
            raise Failed(f"{self.words}: {NOT_SUPPORTED}") from None
        if isinstance(error, (NotFound, BadOption)):
            raise Failed(f"{self.words}: No such file or directory") from error


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
