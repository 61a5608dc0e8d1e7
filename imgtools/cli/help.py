"""`--help` and `--version`, made from the verbs' own declarations."""

from __future__ import annotations

from importlib import import_module

from imgtools.cli import console
from imgtools.cli.getopt import Command, Option
from imgtools.cli.program import OWN_VERBS, PEERS, STANDARD, VERBS

PEER_VERSION = "7.2.22"
"""The release of the peer whose command line and texts these are; scripts compare it."""

COLUMN = 34
"""Where the explanations begin."""


def version() -> str:
    """One line; under a peer's name it begins as the peer's does."""
    from imgtools import __version__

    if console.own:
        return f"imgtools {__version__}"
    return f"{console.name} version {PEER_VERSION} (imgtools {__version__})"


def verbs() -> dict[str, str]:
    """The verbs that may be called under the current name, and their modules."""
    return VERBS | (OWN_VERBS if console.own else {})


def commands() -> list[Command]:
    """The declarations of all those verbs, by name."""
    return [import_module(path).COMMAND for _, path in sorted(verbs().items())]


def subcommands(command: Command) -> list[Command]:
    """The declarations of the commands that a verb stands before."""
    return [import_module(path).COMMAND for _, path in sorted(command.subcommands.items())]


def show_program() -> None:
    """The help of the program as a whole."""
    from imgtools.block.registry import format_names

    console.say(version())
    console.say(f"usage: {console.name} [standard options] command [command options]")
    console.say(f"{STANDARD.summary}\n")
    for option in STANDARD.offered(console.own):
        console.say(option_line(option))
    console.say("\nCommands:")
    for command in commands():
        console.say(f"  {command.name:<{COLUMN - 2}}{command.summary}")
    console.say(f"\n'{console.name} COMMAND --help' shows what a command takes.")
    console.say(f"\nSupported formats: {' '.join(format_names())}")


def show_command(command: Command) -> None:
    """The help of one verb."""
    called = console.name if PEERS.get(console.name) else f"{console.name} {command.name}"
    console.say(f"usage: {called} [options] {command.operands}")
    console.say(f"{command.summary}\n")
    for option in command.offered(console.own):
        console.say(option_line(option))
    if command.subcommands:
        console.say("\nCommands:")
    for subcommand in subcommands(command):
        console.say(f"  {subcommand.name:<{COLUMN - 2}}{subcommand.summary}")


def option_line(option: Option) -> str:
    """One option and its explanation, below each other where they do not fit side by side."""
    usage = option.usage() if option.short else "    " + option.usage()
    gap = " " * max(1, COLUMN - 2 - len(usage)) if len(usage) < COLUMN - 2 else "\n" + " " * COLUMN
    return f"  {usage}{gap}{option.help}"
