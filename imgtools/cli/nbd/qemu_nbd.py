"""qemu-nbd's command line: the same options, texts and exit statuses, for scripts that have them written down.

Checks stand in qemu-nbd's order, since only the first that fails is told. Two things differ on purpose: a socket
never replaces a file of another kind or a socket on which somebody listens, and images name further files only
through the gate.
"""

from __future__ import annotations

import os

from imgtools.block.protocols.file import AIO_MODES, CACHE_MODES
from imgtools.cli import console
from imgtools.cli.arguments import OBJECT, Choice, Complaint, number
from imgtools.cli.getopt import Command, Option, UsageError
from imgtools.cli.nbd.serving import Plan, carry_out
from imgtools.cli.objects import objects_of
from imgtools.cli.opening import named
from imgtools.errors import BadOption
from imgtools.nbd.credentials import context_of
from imgtools.nbd.protocol import DEFAULT_PORT, MAX_STRING
from imgtools.nbd.server.listen import listen_tcp, listen_unix

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence
    from typing import Any

    from imgtools.nbd.server.listen import Listener

DISCARDS = {"ignore": False, "off": False, "unmap": True, "on": True}
DETECT_ZEROES = ("off", "on", "unmap")
SEE_HELP = "Try `qemu-nbd --help' for more information."
DEFAULT_CLIENTS = 1
LARGEST_INT = (1 << 31) - 1


class PeerCommand(Command):
    """Complains of options in getopt's own words."""

    def parse(self, words: list[str], *, own: bool = True) -> Any:
        try:
            return super().parse(words, own=own)
        except UsageError as error:
            raise Complaint(error.plain or str(error), SEE_HELP) from error


def whole_number(complaint: str, largest: int) -> Callable[[str], int]:
    """A parser for a number as the C library reads it: decimal, hexadecimal after 0x, octal after 0."""

    def parse(text: str) -> int:
        return number(complaint.format(text), 0, largest)(text)

    return parse


def short_text(what: str) -> Callable[[str], str]:
    """A parser for what the protocol carries as a text."""

    def parse(text: str) -> str:
        if len(os.fsencode(text)) > MAX_STRING:
            raise Complaint(f"export {what} '{text}' too long")
        return text

    return parse


def absolute(path: str) -> str:
    if not path.startswith("/"):
        raise Complaint("socket path must be absolute")
    return path


COMMAND = PeerCommand(
    "qemu-nbd",
    "FILE",
    "Serve a disk to NBD clients.",
    (
        Option("version", "V", "version", "", "show the version and exit", asks=True),
        Option("port", "p", "port", "PORT", "listen on this TCP port (10809)"),
        Option("bind", "b", "bind", "IFACE", "listen on this address (0.0.0.0)"),
        Option("socket", "k", "socket", "PATH", "listen on this unix socket", parse=absolute),
        Option(
            "clients",
            "e",
            "shared",
            "NUM",
            "let NUM clients use the disk at a time (1; 0: any number)",
            parse=whole_number("Invalid shared device number '{}'", LARGEST_INT),
        ),
        Option("persistent", "t", "persistent", "", "serve on when the last client has left"),
        Option("verbose", "v", "verbose", "", "accepted for compatibility"),
        Option("name", "x", "export-name", "NAME", "the export's name", parse=short_text("name")),
        Option("description", "D", "description", "TEXT", "what people are told", parse=short_text("description")),
        Option(
            "offset",
            "o",
            "offset",
            "OFFSET",
            "serve the disk from this byte on",
            parse=whole_number("Invalid offset '{}'", (1 << 64) - 1),
        ),
        Option("depth", "A", "allocation-depth", "", "tell which image of a backing chain has what"),
        Option("bitmaps", "B", "bitmap", "NAME", "tell of this persistent bitmap", many=True),
        Option("list", "L", "list", "", "list the exports of another server"),
        OBJECT,
        Option("tls_creds", "", "tls-creds", "ID", "demand TLS with these credentials"),
        Option("tls_hostname", "", "tls-hostname", "HOST", "the name in the server's certificate, for --list"),
        Option("tls_authz", "", "tls-authz", "ID", "not supported: who may connect is the certificates' business"),
        Option("trace", "T", "trace", "PATTERN", "accepted for compatibility; there are no trace events", many=True),
        Option("background", "", "fork", "", "return as soon as clients can connect, and serve on"),
        Option("pid_file", "", "pid-file", "PATH", "write the server's process id to this file"),
        Option("selinux_label", "", "selinux-label", "LABEL", "not supported"),
        Option("connect", "c", "connect", "DEV", "not supported: see nbd-client"),
        Option("disconnect", "d", "disconnect", "DEV", "not supported: see nbd-client"),
        Option("format", "f", "format", "FORMAT", "the image's format"),
        Option("read_only", "r", "read-only", "", "take no writes"),
        Option("temporary", "s", "snapshot", "", "keep writes in a temporary file"),
        Option("snapshot", "l", "load-snapshot", "SNAPSHOT", "serve an internal snapshot, read-only"),
        Option("no_cache", "n", "nocache", "", "as --cache=none"),
        Choice(
            "caches",
            "",
            "cache",
            "MODE",
            f"how the image is written: {', '.join(CACHE_MODES)}",
            CACHE_MODES,
            complaint="Invalid cache mode `{}'",
            many=True,
        ),
        Choice(
            "aio",
            "",
            "aio",
            "MODE",
            "accepted for compatibility",
            AIO_MODES,
            complaint="Invalid aio mode '{}'",
            many=True,
        ),
        Choice(
            "discards",
            "",
            "discard",
            "MODE",
            "what TRIM does: ignore (the default) or unmap",
            tuple(DISCARDS),
            complaint="Invalid discard mode `{}'",
            many=True,
        ),
        Choice(
            "detect_zeroes",
            "",
            "detect-zeroes",
            "MODE",
            "look for zeroes in what is written: off, on, unmap",
            DETECT_ZEROES,
            complaint="Failed to parse detect_zeroes mode: invalid parameter value: {}",
        ),
        Option("image_opts", "", "image-opts", "", "FILE is a list of options: driver=...,file.filename=..."),
    ),
)


def run(arguments: Any) -> int:
    for pattern in arguments.trace:
        console.complain(f"warning: trace event '{pattern}' does not exist")
    check_repetitions(arguments)
    if arguments.list:
        return list_exports(arguments)
    if len(arguments.operands) != (0 if arguments.disconnect else 1):
        console.complain("Invalid number of arguments")
        console.note(SEE_HELP)
        return 1
    check_security(arguments)
    for device in (arguments.disconnect, arguments.connect):
        if device is not None:
            raise Complaint(
                f"{device} needs the kernel's NBD client: serve on a unix socket with -k, see nbd-client(8)"
            )
    return carry_out(plan_of(arguments))


def check_repetitions(arguments: Any) -> None:
    if len(arguments.caches) + arguments.no_cache > 1:
        raise Complaint("-n and --cache can only be specified once")
    for name, given in (("aio", arguments.aio), ("discard", arguments.discards)):
        if len(given) > 1:
            raise Complaint(f"--{name} can only be specified once")
    if arguments.detect_zeroes == "unmap" and arguments.discards[-1:] not in (["unmap"], ["on"]):
        raise Complaint("setting detect-zeroes to unmap is not allowed without setting discard operation to unmap")


def list_exports(arguments: Any) -> int:
    """--list: print the exports of another server."""
    from imgtools.cli.nbd.list import show_as_qemu_nbd
    from imgtools.nbd.address import Address
    from imgtools.nbd.client.inspect import inspect_server

    check_list(arguments)
    check_security(arguments)
    options = {"tls-hostname": arguments.tls_hostname} if arguments.tls_hostname is not None else {}
    port = str(arguments.port or DEFAULT_PORT)
    host = None if arguments.socket else arguments.bind or "0.0.0.0"
    uri = Address(arguments.socket, host, port, "").uri()
    show_as_qemu_nbd(inspect_server(uri, options, tls=credentials_of(arguments, "client")))
    return 0


def credentials_of(arguments: Any, endpoint: str) -> ssl.SSLContext | None:
    """What --tls-creds asks for."""
    objects = objects_of(arguments)
    if arguments.tls_creds is None:
        return None
    try:
        return context_of(arguments.tls_creds, objects, endpoint)
    except BadOption as error:
        error.message = f"Failed to get TLS creds: {error.message}"
        raise


def check_list(arguments: Any) -> None:
    """Refuse what goes against --list."""
    per_device = (arguments.name, arguments.description, arguments.snapshot, arguments.offset, arguments.format)
    if arguments.operands or arguments.disconnect:
        raise Complaint("List mode is incompatible with a file name")
    if arguments.background:
        raise Complaint("List mode is incompatible with forking")
    if any(each is not None for each in per_device) or arguments.bitmaps or arguments.depth or arguments.caches:
        raise Complaint("List mode is incompatible with per-device settings")


def check_security(arguments: Any) -> None:
    if arguments.tls_creds is None:
        for name in ("tls_authz", "tls_hostname"):
            if getattr(arguments, name) is not None:
                raise Complaint(f"--{name.replace('_', '-')} is not permitted without --tls-creds")
    elif arguments.connect is not None:
        raise Complaint("TLS is not supported with a host device")
    if arguments.selinux_label is not None:
        if arguments.socket is None:
            raise Complaint("--selinux-label is not permitted without --socket")
        raise Complaint("--selinux-label is not supported")
    if arguments.tls_authz is not None:
        raise Complaint("--tls-authz is not supported")


def plan_of(arguments: Any) -> Plan:
    """What the command line asks for."""
    if arguments.image_opts and arguments.format is not None:
        raise Complaint("--image-opts and -f are mutually exclusive")
    plan = Plan(named(arguments.operands[0], arguments.format, arguments.image_opts), arguments)
    plan.cannot_open = "Failed to blk_new_open"
    plan.tls = credentials_of(arguments, "server")
    plan.read_only = arguments.read_only or arguments.snapshot is not None
    plan.temporary, plan.snapshot = arguments.temporary, arguments.snapshot
    plan.cache = "none" if arguments.no_cache else (arguments.caches or ["writeback"])[0]
    plan.aio = (arguments.aio or ["threads"])[0]
    plan.discards = DISCARDS[(arguments.discards or ["ignore"])[0]]
    plan.detect_zeroes = arguments.detect_zeroes or "off"
    plan.offset = arguments.offset or 0
    plan.name, plan.description = arguments.name or "", arguments.description or ""
    plan.bitmaps, plan.depth = arguments.bitmaps, arguments.depth
    plan.clients = DEFAULT_CLIENTS if arguments.clients is None else arguments.clients
    plan.persistent = arguments.persistent
    plan.background, plan.pid_file = arguments.background, arguments.pid_file
    plan.listen = lambda: listen(arguments)
    return plan


def listen(arguments: Any) -> Sequence[Listener]:
    """The sockets that the options ask for."""
    if arguments.socket is not None:
        return [listen_unix(arguments.socket)]
    return listen_tcp(arguments.bind or "0.0.0.0", arguments.port or DEFAULT_PORT)
