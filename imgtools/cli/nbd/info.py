"""imgtools nbd info: what a server tells of an export."""

from __future__ import annotations

from imgtools.cli import console
from imgtools.cli.arguments import Choice
from imgtools.cli.getopt import Command, Option, UsageError
from imgtools.cli.json_text import to_json
from imgtools.nbd import protocol
from imgtools.nbd.client.handshake import printable
from imgtools.nbd.client.inspect import CAPABILITIES, Server, inspect_export

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

JSON = Option("json", "", "json", "", "print JSON, under nbdinfo's names")

CAN = {name.partition("_")[2].replace("_", "-"): flag for name, flag in CAPABILITIES}
"""Transmission flags by the words for them on the command line."""
ALSO = ("connect", "extended-headers", "read", "structured-reply", "tls", "write")
"""What else may be asked about."""
FALSE = 2
"""The exit status where what was asked about is not so."""

COMMAND = Command(
    "nbd info",
    "URI",
    "Tell what a server says of an export: its size, what it can do, its block sizes and meta contexts.",
    (
        JSON,
        Option("size", "", "size", "", "print only the size, in bytes"),
        Choice(
            "capability",
            "",
            "can",
            "WHAT",
            "print nothing; the exit status is 0 if the export can do that, and 2 if not",
            tuple(sorted((*CAN, *ALSO))),
            complaint="'{}' is nothing that can be asked about",
        ),
    ),
)


def run(arguments: Any) -> int:
    if len(arguments.operands) != 1:
        raise UsageError("Expecting one NBD URI")
    server = inspect_export(arguments.operands[0])
    if arguments.capability is not None:
        return 0 if can(server, arguments.capability) else FALSE
    if arguments.size:
        console.say(str(server.exports[0].export.size))
    else:
        show(server, arguments.json)
    return 0


def can(server: Server, what: str) -> bool:
    """Whether the server's one export can do what a word of the command line means."""
    export = server.exports[0].export
    also = {
        "extended-headers": server.extended,
        "structured-reply": server.structured,
        "tls": server.tls,
        "write": not export.can(protocol.READ_ONLY),
    }
    return export.can(CAN[what]) if what in CAN else also.get(what, True)


def show(server: Server, as_json: bool) -> None:
    """Print what is known of a server and its exports."""
    facts = server.as_dict()
    if as_json:
        console.say(to_json(facts))
        return
    packets = "extended" if server.extended else "structured" if server.structured else "simple"
    console.say(f"protocol: newstyle-fixed {'with' if server.tls else 'without'} TLS, using {packets} packets")
    for export in facts["exports"]:
        console.say(f'export="{printable(export.pop("export-name"))}":')
        if "description" in export:
            console.say(f"\tdescription: {printable(export.pop('description'))}")
        size = export.pop("export-size")
        console.say(f"\texport-size: {size} ({export.pop('export-size-str')})")
        for name, value in export.items():
            if isinstance(value, list):
                console.say(f"\t{name}:" + "".join(f"\n\t\t{printable(each)}" for each in value))
            else:
                console.say(f"\t{name}: {printable(str(value).lower() if isinstance(value, bool) else str(value))}")
