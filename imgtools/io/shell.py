"""The session: it holds the open image, takes lines and runs them.

    shell = Shell()
    shell.open("disk.qcow2", Settings())
    shell.execute("read -P 0 0 64k")       # True where it went well
    shell.close()

Results go to standard output, complaints to standard error. Nothing that a line does wrong ends the session.
"""

from __future__ import annotations

import sys
from time import perf_counter

from imgtools.block.gate import SAME_DIRECTORY
from imgtools.cli import console
from imgtools.cli.arguments import Complaint
from imgtools.cli.getopt import UsageError
from imgtools.errors import ImageError
from imgtools.io.command import Failed, Misused, Refused
from imgtools.io.failure import system_error
from imgtools.io.report import statistics
from imgtools.io.table import find_command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from imgtools.block.gate import Gate
    from imgtools.block.node import Node
    from imgtools.io.background import Background
    from imgtools.io.command import ShellCommand
    from imgtools.io.image import Image, Settings
    from imgtools.io.transcript import Recording


class Shell:
    """A session without an image at first. `own` says whether there are the commands that qemu-io does not have."""

    def __init__(self, *, own: bool = True, gate: Gate = SAME_DIRECTORY, objects: dict[str, Any] | None = None) -> None:
        self.own = own
        self.gate = gate
        self.objects = objects
        """Secrets, by id."""
        """Which files the images that `open` is given may name."""
        self.image: Image | None = None
        self.done = False
        """Whether `quit` was asked for."""
        self.went_well = True
        """Whether every line so far did what it was to do."""
        self.recording: Recording | None = None
        self.replaying = False
        self.names: dict[str, Any] = {}
        """What `python` has defined."""
        self._background: Background | None = None
        self._commands: dict[str, ShellCommand | None] = {}

    # Lines.

    def execute(self, line: str) -> bool:
        """Run a line and tell what it says; False where it failed."""
        words = [word for word in line.split(" ") if word]
        if not words:
            return True
        if self.recording is None or words[0] == "record":
            return self._count(words)
        well = True

        def run() -> None:
            nonlocal well
            well = self._count(words)

        try:
            self.recording.run(line, run)
        except OSError as error:
            console.complain(f"{self.recording.path}: {error.strerror}; nothing more is recorded")
            self.recording, self.went_well = None, False
        return well

    def _count(self, words: list[str]) -> bool:
        well = self._run(words)
        self.went_well = self.went_well and well
        return well

    def _run(self, words: list[str]) -> bool:
        command = self.command(words[0])
        if command is None:
            console.note(f'command "{words[0]}" not found')
            return False
        try:
            self._check(command, words)
            return command.run(self, command.parse(words)) is not False
        except Failed as error:
            self.say(f"{error}\n")
        except Refused as error:
            console.note(str(error))
        except Misused:
            self.say(command.line() + "\n")
        except UsageError as error:
            console.note(f"{words[0]}: {error.plain or error}")
            self.say(command.line() + "\n")
        except Complaint as error:
            for text in error.lines:
                console.complain(text)
        except ImageError as error:
            self._complain(error)
        except MemoryError:
            self.say(f"{words[0]} failed: Cannot allocate memory\n")
        except BrokenPipeError:
            raise  # nobody listens any more
        except OSError as error:
            console.complain(f"{error.filename}: {error.strerror}" if error.filename else f"{error.strerror or error}")
        return False

    def command(self, name: str) -> ShellCommand | None:
        """The command of that name or alias, as far as this session has it."""
        if name not in self._commands:
            self._commands[name] = find_command(name, self.own)
        return self._commands[name]

    def _check(self, command: ShellCommand, words: list[str]) -> None:
        if command.needs_image and self.image is None:
            raise Refused("no file open, try 'help open'")
        command.check_count(words[0], len(words) - 1)
        if command.writes and self.node.read_only:
            raise Complaint("Block node is read-only")

    # What commands use.

    @property
    def opened(self) -> Image:
        """The open image. Commands that need one are not called without."""
        assert self.image is not None
        return self.image

    @property
    def node(self) -> Node:
        """The open image as a disk."""
        return self.opened.node

    @property
    def background(self) -> Background:
        """The requests that run meanwhile."""
        if self._background is None:
            from imgtools.io.background import Background

            self._background = Background()
        return self._background

    def say(self, text: str) -> None:
        """Write to standard output."""
        sys.stdout.write(text)

    def explain(self, error: ImageError) -> None:
        """Under our own name, tell on standard error what qemu-io's few words leave out."""
        if self.own:
            self._complain(error)

    def _complain(self, error: ImageError) -> None:
        console.complain(error.message)
        if self.own and error.hint:
            console.note(error.hint)

    def timed(self, name: str, request: Callable[[], None]) -> float:
        """The seconds that a request takes; raises Failed where it fails."""
        started = perf_counter()
        try:
            request()
        except ImageError as error:
            self.reap()
            self.explain(error)
            raise Failed(f"{name} failed: {system_error(error)}") from error
        seconds = perf_counter() - started
        self.reap()
        return seconds

    def report(self, verb: str, arguments: Any, offset: int, length: int, seconds: float) -> None:
        """The statistics of a request, unless they are not wanted."""
        if not arguments.quiet:
            self.say(statistics(verb, offset, length, seconds, arguments.terse))

    def reap(self, *, wait: bool = False) -> None:
        """Tell of the requests in the background that are complete; `wait` for all of them."""
        if self._background is not None:
            for text in self._background.complete(wait=wait):
                self.say(text)

    @property
    def running(self) -> int:
        """How many requests run in the background."""
        return 0 if self._background is None else self._background.running

    @property
    def has_news(self) -> bool:
        """Whether a request in the background is complete and has not been told of."""
        return self._background is not None and self._background.has_news

    # The image.

    def open(self, name: str | None, settings: Settings) -> None:
        """Open an image; raises Complaint where that fails."""
        from imgtools.io.image import open_image

        self.image = open_image(name, settings)

    def close(self) -> None:
        """Let all requests end and close the image."""
        if self.image is not None:
            self.image.release_breakpoints()
        self.reap(wait=True)
        image, self.image = self.image, None
        if image is not None:
            try:
                image.node.close()
            except ImageError as error:
                error.message = f"Failed to close '{image.shown}': {error.message}"
                raise
