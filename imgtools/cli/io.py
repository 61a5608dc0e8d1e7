"""imgtools io: a shell that exercises a disk; qemu-io under that name."""

from __future__ import annotations

from imgtools.block.protocols.file import AIO_MODES, CACHE_MODES
from imgtools.cli import console, keyvalue
from imgtools.cli.arguments import FORCE_SHARE, FORMAT, OPENING, Complaint
from imgtools.cli.getopt import Command, Option, UsageError
from imgtools.cli.objects import objects_of
from imgtools.cli.opening import gate_of
from imgtools.io.image import DISCARD_MODES, Settings
from imgtools.io.shell import Shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMMAND = Command(
    "io",
    "[FILENAME]",
    "Read, write and examine a disk by commands.",
    (
        Option("commands", "c", "cmd", "COMMAND", "run this command and read no lines (may be repeated)", many=True),
        FORMAT,
        Option("read_only", "r", "read-only", "", "take no writes"),
        Option("snapshot", "s", "snapshot", "", "keep writes in a temporary image, which is forgotten at the end"),
        Option("no_cache", "n", "nocache", "", "short for -t none"),
        Option("copy_on_read", "C", "copy-on-read", "", "store what is read from backing files"),
        Option("misalign", "m", "misalign", "", "accepted for compatibility"),
        Option("native_aio", "k", "native-aio", "", "short for -i native"),
        Option("aio", "i", "aio", "MODE", "accepted for compatibility: threads, native or io_uring", values=AIO_MODES),
        Option("cache", "t", "cache", "MODE", "how the image is written (writethrough)", values=CACHE_MODES),
        Option("discard", "d", "discard", "MODE", "unmap (the default) or ignore", values=tuple(DISCARD_MODES)),
        Option("trace", "T", "trace", "PATTERN", "accepted for compatibility; there are no trace events", many=True),
        FORCE_SHARE,
        *OPENING,
        Option("version", "V", "version", "", "show the version and exit", asks=True),
    ),
)


def run(arguments: Any) -> int:
    if len(arguments.operands) > 1:
        raise UsageError("Expecting one image file name")
    settings = Settings(
        format=arguments.format,
        read_only=arguments.read_only,
        snapshot=arguments.snapshot,
        copy_on_read=arguments.copy_on_read,
        share=arguments.force_share,
        cache="none" if arguments.no_cache else arguments.cache or "writethrough",
        discard=arguments.discard or "unmap",
        aio="native" if arguments.native_aio else arguments.aio or "threads",
        gate=gate_of(arguments),
        objects=objects_of(arguments),
    )
    if arguments.image_opts and arguments.format is not None:
        raise Complaint("--image-opts and -f are mutually exclusive")
    for pattern in arguments.trace:
        console.complain(f"warning: trace event '{pattern}' does not exist")
    shell = Shell(own=console.own, gate=settings.gate, objects=settings.objects)
    try:
        if arguments.operands:
            name = arguments.operands[0]
            if arguments.image_opts:
                shell.open(None, settings.changed(options=keyvalue.parse(name)))
            else:
                shell.open(name, settings)
        _converse(shell, arguments.commands)
    finally:
        shell.close()
    return 0 if shell.went_well else 1


def _converse(shell: Shell, commands: list[str]) -> None:
    """Run the commands, or where there are none what standard input says."""
    if commands:
        for command in commands:
            shell.execute(command)
            if shell.done:
                return
        return
    import sys

    if sys.stdin.isatty() and sys.stdout.isatty():
        from imgtools.io.terminal import run_terminal

        run_terminal(shell)
        return
    from imgtools.io.lines import run_lines

    run_lines(shell)
