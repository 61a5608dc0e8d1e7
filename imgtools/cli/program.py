"""The program: which verb, under which name, and what becomes of an error.

Started as `imgtools` it takes `imgtools VERB ...`. Started under the name of one of QEMU's tools, by a link
of that name, it takes that tool's command line and puts that name in front of its messages.

Errors end here and nowhere else: an ImageError becomes one line and its hints, a nonsensical command line
one line and a pointer to --help, Ctrl-C exit status 130, a closed pipe silence. IMGTOOLS_DEBUG=1 shows the
traceback that is otherwise kept from people.
"""

from __future__ import annotations

import os
import sys

from imgtools.cli import console
from imgtools.cli.arguments import Complaint
from imgtools.cli.getopt import Asked, Command, Option, UsageError
from imgtools.errors import ImageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

VERBS = {
    "amend": "imgtools.cli.amend",
    "bench": "imgtools.cli.bench",
    "bitmap": "imgtools.cli.bitmap",
    "check": "imgtools.cli.check",
    "commit": "imgtools.cli.commit",
    "compare": "imgtools.cli.compare",
    "convert": "imgtools.cli.convert",
    "create": "imgtools.cli.create",
    "dd": "imgtools.cli.dd",
    "info": "imgtools.cli.info",
    "map": "imgtools.cli.map",
    "measure": "imgtools.cli.measure",
    "rebase": "imgtools.cli.rebase",
    "resize": "imgtools.cli.resize",
    "snapshot": "imgtools.cli.snapshot",
}
"""Verb to module, which has a COMMAND and a `run(arguments)`. A module is imported when its verb is called."""

OWN_VERBS = {
    "audit": "imgtools.cli.audit",
    "boot": "imgtools.cli.boot",
    "completion": "imgtools.cli.completion",
    "explain": "imgtools.cli.explain",
    "io": "imgtools.cli.io",
    "mount": "imgtools.cli.mount",
    "nbd": "imgtools.cli.nbd",
    "umount": "imgtools.cli.umount",
}
"""Verbs that exist only under the program's own name."""

PEERS = {
    "qemu-img": "",
    "qemu-io": "imgtools.cli.io",
    "qemu-nbd": "imgtools.cli.nbd.qemu_nbd",
}
"""Names under which the program takes a peer's command line; where that has no verbs, the module of its command."""

STANDARD = Command(
    "imgtools",
    "COMMAND [ARGUMENTS]",
    "Create, convert, inspect and check disk images.",
    (
        Option("version", "V", "version", "", "show the version and exit", asks=True),
        Option("trace", "T", "trace", "PATTERN", "accepted for compatibility; there are no trace events", many=True),
    ),
)
STANDARD.stops_at_operand = True

INTERRUPTED = 130
BROKEN_PIPE = 141


def main(argv: list[str] | None = None) -> int:
    """Run a command line (`sys.argv` where none is given) and return the exit status, all output written."""
    words = sys.argv if argv is None else argv
    called = os.path.basename(words[0])
    console.own = called not in PEERS
    console.errors_as_json = False
    console.name = "imgtools" if console.own else called
    console.prepare()
    return guarded(lambda: dispatch(words))


def guarded(work: Callable[[], int]) -> int:
    """The exit status of `work`, its errors told to the user."""
    try:
        status = work()
        console.flush()
        return status
    except BrokenPipeError:
        _silence_output()
        return BROKEN_PIPE
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("IMGTOOLS_DEBUG"):
            raise
        return report(error)


def report(error: BaseException) -> int:
    """Tell the user what went wrong, and return the exit status for it."""
    if isinstance(error, UsageError):
        return complain_of_usage(error)
    if isinstance(error, Complaint):
        for line in error.lines:
            console.complain(line)
        return error.status
    if isinstance(error, KeyboardInterrupt):
        console.complain("interrupted")
        return int(getattr(error, "status", INTERRUPTED))
    if isinstance(error, ImageError) and console.errors_as_json:
        from imgtools.cli.json_text import to_json

        console.note(to_json(error.as_dict()))
    elif isinstance(error, ImageError):
        console.complain(error.message)
        if error.hint:
            console.note(error.hint)
    elif isinstance(error, OSError):
        where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        console.complain(f"{where}{error.strerror or error}")
    elif isinstance(error, MemoryError):
        console.complain("out of memory")
    else:
        console.complain(f"internal error: {type(error).__name__}: {error}")
        console.note("This is a bug in imgtools; IMGTOOLS_DEBUG=1 shows where.")
    return 1


def complain_of_usage(error: UsageError) -> int:
    console.complain(str(error))
    console.note(f"Try '{console.name} --help' for more information")
    return 1


def dispatch(words: list[str]) -> int:
    """Run what follows the program's name."""
    if PEERS.get(console.name):
        return run_tool(import_command(PEERS[console.name]), words)
    if len(words) == 1:
        raise UsageError("Not enough arguments")
    try:
        standard = STANDARD.parse(words)
    except Asked as asked:
        from imgtools.cli.help import show_program, version

        show_program() if asked.name == "help" else console.say(version())
        return 0
    for pattern in standard.trace:
        console.complain(f"warning: trace event '{pattern}' does not exist")
    if not standard.operands:
        return 0
    return run_verb(find_verb(standard.operands[0]), standard.operands)


def find_verb(name: str) -> ModuleType:
    """The module of a verb. Raises UsageError where there is none of that name."""
    path = VERBS.get(name) or (OWN_VERBS.get(name) if console.own else None)
    if path is None:
        raise UsageError(f"Command not found: {name}")
    return import_command(path)


def import_command(path: str) -> ModuleType:
    """A module that has a COMMAND, by its dotted name."""
    return __import__(path, fromlist=["COMMAND"])


def run_verb(module: ModuleType, words: list[str]) -> int:
    """Parse a verb's command line and run it."""
    command = module.COMMAND
    try:
        arguments = command.parse(words, own=console.own)
    except Asked:
        from imgtools.cli.help import show_command

        show_command(command)
        return 0
    except UsageError as error:
        if console.own or not command.complains_plainly:
            raise
        console.note(f"{words[0]}: {error.plain or error}")
        return dispatch([console.name, "--help"])
    if command.subcommands:
        return run_subcommand(command, arguments.operands)
    return int(module.run(arguments))


def run_subcommand(command: Command, words: list[str]) -> int:
    """Run one of the commands that a verb stands before."""
    known = ", ".join(command.subcommands)
    if not words:
        raise UsageError(f"Expecting one of: {known}")
    if words[0] not in command.subcommands:
        raise UsageError(f"Command not found: {command.name} {words[0]} (there are {known})")
    return run_verb(import_command(command.subcommands[words[0]]), words)


def run_tool(module: ModuleType, words: list[str]) -> int:
    """Run a peer's tool that is one verb: without a word for it, and with its help where the words make no sense."""
    from imgtools.cli.help import show_command, version

    try:
        return int(module.run(module.COMMAND.parse(words, own=False)))
    except Asked as asked:
        show_command(module.COMMAND) if asked.name == "help" else console.say(version())
        return 0
    except UsageError as error:
        if error.plain:
            console.complain(error.plain)
        show_command(module.COMMAND)
        return 1


def _silence_output() -> None:
    """Point standard output at nothing: Python flushes it once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
