"""What a line may go on with: commands, their options, file names. From the tables, for any kind of terminal."""

from __future__ import annotations

import os

from imgtools.block.structure import structures_of
from imgtools.io.table import all_commands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgtools.io.command import ShellCommand
    from imgtools.io.shell import Shell

FILE_OPERANDS = ("open", "diff", "record", "replay")
"""Commands whose operands are files."""
FILE_OPTIONS = ("source",)
"""Options whose values are."""


def candidates(text: str, shell: Shell) -> Iterator[tuple[str, str]]:
    """(word, what it is) for each word that may stand where the last one of `text` begins."""
    before, _, word = text.rpartition(" ")
    words = before.split()
    if not words:
        yield from _names(word, shell)
        return
    command = shell.command(words[0])
    if command is None:
        return
    awaited = _option_awaiting(command, words[-1]) if len(words) > 1 else None
    if awaited is not None:
        if awaited in FILE_OPTIONS:
            yield from _files(word)
    elif word.startswith("-"):
        yield from _options(word, command)
    elif command.name == "help":
        yield from _names(word, shell)
    elif command.name == "struct":
        yield from _structures(word, shell)
    elif command.name in FILE_OPERANDS:
        yield from _files(word)


def _names(word: str, shell: Shell) -> Iterator[tuple[str, str]]:
    for command in all_commands(shell.own):
        if command.name.startswith(word):
            yield command.name, command.summary


def _options(word: str, command: ShellCommand) -> Iterator[tuple[str, str]]:
    for option in command.options:
        if f"-{option.short}".startswith(word):
            yield f"-{option.short}", option.help


def _structures(word: str, shell: Shell) -> Iterator[tuple[str, str]]:
    for structure in structures_of(shell.opened.disk) if shell.image else ():
        if structure.name.startswith(word):
            yield structure.name, structure.summary


def _option_awaiting(command: ShellCommand, word: str) -> str | None:
    """The name of the option for whose value `word` leaves room."""
    for option in command.options:
        if option.argument and word.startswith("-") and not word.startswith("--") and word.endswith(option.short):
            return option.name
    return None


def _files(word: str) -> Iterator[tuple[str, str]]:
    """Files whose names begin with `word`; names with a space in them cannot be written on a line."""
    directory, _, start = word.rpartition("/")
    try:
        entries = sorted(os.scandir(directory + "/" if "/" in word else "."), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(start) and " " not in entry.name and (start or not entry.name.startswith(".")):
            name = f"{directory}/{entry.name}" if "/" in word else entry.name
            yield (name + "/", "directory") if entry.is_dir() else (name, "file")
