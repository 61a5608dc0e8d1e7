"""Every command's name, and the module that declares it: modules are imported when a command of theirs is called."""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.io.command import ShellCommand

MODULES = {
    "reading": ("read", "r", "readv"),
    "writing": ("write", "w", "writev", "discard", "d"),
    "asynchronous": ("aio_read", "aio_write", "aio_flush"),
    "state": (
        *("flush", "f", "truncate", "t", "length", "l", "info", "i", "alloc", "a", "map"),
        *("open", "o", "close", "c", "reopen", "help", "quit", "q"),
    ),
    "faults": ("break", "remove_break", "resume", "wait_break", "sleep", "abort", "sigraise"),
}
"""Module to the names of its commands, aliases behind the names."""

OWN_MODULES = {
    "beyond": ("hexdump", "struct", "why", "diff", "record", "replay", "python"),
}
"""The same for commands that qemu-io does not have."""


def find_command(name: str, own: bool) -> ShellCommand | None:
    """The command of that name or alias; None where there is none. `own` admits those of OWN_MODULES."""
    for module, names in (MODULES | (OWN_MODULES if own else {})).items():
        if name in names:
            return next(command for command in _commands_of(module) if name in (command.name, command.alias))
    return None


def all_commands(own: bool) -> list[ShellCommand]:
    """All commands, by name."""
    modules = MODULES | (OWN_MODULES if own else {})
    return sorted((command for module in modules for command in _commands_of(module)), key=lambda c: c.name)


def _commands_of(module: str) -> tuple[ShellCommand, ...]:
    commands: tuple[ShellCommand, ...] = import_module(f"imgtools.io.{module}").COMMANDS
    return commands
