"""imgtools nbd list: the exports that a server has."""

from __future__ import annotations

from imgtools.cli import console
from imgtools.cli.getopt import Command, Option, UsageError
from imgtools.cli.nbd.info import JSON, show
from imgtools.nbd import protocol
from imgtools.nbd.client.handshake import printable
from imgtools.nbd.client.inspect import Server, inspect_server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMMAND = Command(
    "nbd list",
    "URI",
    "List the exports that a server has, with their sizes.",
    (JSON, Option("long", "l", "long", "", "tell of each export what nbd info tells")),
)

FLAG_NAMES = (
    ("readonly", protocol.READ_ONLY),
    ("flush", protocol.SEND_FLUSH),
    ("fua", protocol.SEND_FUA),
    ("rotational", protocol.ROTATIONAL),
    ("trim", protocol.SEND_TRIM),
    ("zeroes", protocol.SEND_WRITE_ZEROES),
    ("df", protocol.SEND_DF),
    ("multi", protocol.CAN_MULTI_CONN),
    ("resize", protocol.SEND_RESIZE),
    ("cache", protocol.SEND_CACHE),
    ("fast-zero", protocol.SEND_FAST_ZERO),
)
"""Transmission flags in qemu-nbd's words."""


def run(arguments: Any) -> int:
    if len(arguments.operands) != 1:
        raise UsageError("Expecting one NBD URI")
    server = inspect_server(arguments.operands[0])
    if arguments.json or arguments.long:
        show(server, arguments.json)
        return 0
    for found in server.exports:
        export = found.export
        console.say("\t".join(filter(None, [printable(found.uri), str(export.size), printable(export.description)])))
    return 0


def show_as_qemu_nbd(server: Server) -> None:
    """The list as `qemu-nbd --list` prints it."""
    console.say(f"exports available: {len(server.exports)}")
    for found in server.exports:
        export = found.export
        console.say(f" export: '{printable(export.name)}'")
        if export.description:
            console.say(f"  description: {printable(export.description)}")
        names = "".join(f" {name}" for name, flag in FLAG_NAMES if export.can(flag))
        console.say(f"  size:  {export.size}\n  flags: 0x{export.flags:x} ({names} )")
        if export.has_block_sizes:
            sizes = (export.minimum_block, export.preferred_block, export.maximum_payload)
            console.say("  min block: {}\n  opt block: {}\n  max block: {}".format(*sizes))
        if found.contexts:
            console.say(f"  available meta contexts: {len(found.contexts)}")
            for context in found.contexts:
                console.say(f"   {printable(context)}")
