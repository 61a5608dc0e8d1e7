"""What a command is: declared as data, called with its parsed arguments.

    def flush(shell: Shell, arguments: Any) -> None:
        ...

    COMMANDS = (ShellCommand("flush", None, "flush all in-core file state to disk", flush, alias="f"),)

Options are those of `imgtools.cli.getopt`, with short names only. A command raises `Failed` for what qemu-io says
on standard output, `Refused` for what it says on standard error as it is, `Misused` where it shows how it is written,
and `Complaint` or an ImageError for what it says on standard error under its own name.
"""

from __future__ import annotations

from types import SimpleNamespace

from imgtools.cli.getopt import Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from imgtools.io.shell import Shell

ANY = -1
"""In place of the most words that a command takes: as many as one likes."""


class Failed(Exception):
    """A command did not do what was asked; the message belongs among the results."""


class Refused(Exception):
    """A command was not tried; the message goes to standard error as it is."""


class Misused(Exception):
    """A command's words make no sense: how it is written is shown."""


class ShellCommand(Command):
    """A command: `operands` is how its arguments are written (None where it has none), `run` what it does.

    `takes` bounds the words after its name, options included; `text` is what `help NAME` says beyond one line, before
    the options, and `ends_blank` whether an empty line follows; `needs_image` and `writes` say what must be open.
    `run` answers False where it failed and has said so.
    """

    has_long_options = False

    def __init__(
        self,
        name: str,
        operands: str | None,
        summary: str,
        run: Callable[[Shell, Any], bool | None],
        *options: Option,
        alias: str = "",
        takes: tuple[int, int] = (0, 0),
        text: str = "",
        ends_blank: bool = True,
        needs_image: bool = True,
        writes: bool = False,
    ) -> None:
        super().__init__(name, operands or "", summary, options)
        self.shown = "" if operands is None else f"{operands} "
        self.run = run
        self.alias = alias
        self.takes = takes
        self.text = text
        self.ends_blank = ends_blank
        self.needs_image = needs_image
        self.writes = writes

    def parse(self, words: list[str], *, own: bool = True) -> Any:
        """As `Command.parse`; where there are no options, every word is an operand."""
        return super().parse(words, own=own) if self.options else SimpleNamespace(operands=words[1:])

    def line(self, called: str | None = None) -> str:
        """How it is written and what it is for, in one line."""
        return f"{called or self.name} {self.shown}-- {self.summary}"

    def explanation(self) -> list[str]:
        """What `help NAME` says after that line; the options without a help text are left out."""
        if not self.text:
            return []
        options = [f" -{option.short}, -- {option.help}" for option in self.options if option.help]
        return [*self.text.removesuffix("\n").split("\n"), *options, *[""] * self.ends_blank]

    def check_count(self, called: str, count: int) -> None:
        """Raise Refused where `count` words after its name are too few or too many."""
        low, high = self.takes
        if count >= low and (high == ANY or count <= high):
            return
        if high == ANY:
            expected = f"at least {low}"
        elif low == high:
            expected = str(low)
        else:
            expected = f"between {low} and {high}"
        raise Refused(f"bad argument count {count} to {called}, expected {expected} arguments")


def flag(short: str, name: str, help: str = "") -> Option:
    """An option without a value."""
    return Option(name, short, "", "", help)


def value(
    short: str,
    name: str,
    argument: str,
    help: str = "",
    parse: Callable[[str], Any] | None = None,
    *,
    many: bool = False,
) -> Option:
    """An option with one; `many` collects those of all occurrences."""
    return Option(name, short, "", argument, help, parse=parse, many=many)


QUIET = flag("q", "quiet", "quiet mode, do not show I/O statistics")
TERSE = flag("C", "terse", "report statistics in a machine parsable format")
