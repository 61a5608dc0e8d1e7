"""imgtools nbd serve: a disk for NBD clients."""

from __future__ import annotations

import os

from imgtools.block.protocols.file import CACHE_MODES
from imgtools.cli.arguments import FORMAT, OPENING, Choice, Complaint, cache_mode, number, size_between
from imgtools.cli.getopt import Command, Option, UsageError
from imgtools.cli.nbd.serving import Plan, carry_out
from imgtools.cli.opening import named
from imgtools.nbd.protocol import DEFAULT_PORT
from imgtools.nbd.server.connections import HANDSHAKE_LIMIT
from imgtools.nbd.server.listen import listen_tcp, listen_unix
from imgtools.nbd.server.server import MAX_CLIENTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence
    from typing import Any

    from imgtools.nbd.server.listen import Listener

DISCARD_MODES = ("unmap", "ignore")
DETECT_ZEROES = ("off", "on", "unmap")
ENGINES = ("imgtools", "nbdkit")


COMMAND = Command(
    "nbd serve",
    "FILENAME",
    "Serve a disk to NBD clients, until SIGTERM or Ctrl-C.",
    (
        FORMAT,
        Option("socket", "k", "socket", "PATH", "listen on this unix socket"),
        Option("bind", "b", "bind", "ADDRESS", "listen on this address (localhost); '' means every address"),
        Option(
            "port",
            "p",
            "port",
            "PORT",
            f"listen on this TCP port ({DEFAULT_PORT})",
            parse=number("Invalid port specified. Must be between 0 and 65535.", 0, 65535),
        ),
        Option("read_only", "r", "read-only", "", "take no writes"),
        Option("temporary", "s", "temporary", "", "keep writes in a temporary file and leave the image as it is"),
        Option("snapshot", "l", "snapshot", "SNAPSHOT", "serve this internal snapshot (its name or id), read-only"),
        Option("offset", "o", "offset", "OFFSET", "serve the disk from this byte on (0)", parse=size_between("offset")),
        Option("name", "x", "name", "NAME", "the export's name (the empty one)"),
        Option("description", "D", "description", "TEXT", "what people are told of the export"),
        Option("bitmaps", "B", "bitmap", "NAME", "tell clients of this persistent bitmap (may be repeated)", many=True),
        Option("depth", "A", "allocation-depth", "", "tell clients which image of a backing chain has what"),
        Option(
            "clients",
            "e",
            "clients",
            "N",
            f"at most this many at a time ({MAX_CLIENTS}; 0: any number)",
            parse=number("Invalid number of clients specified", 0, 1 << 20),
        ),
        Option("once", "", "once", "", "end when the last client has left"),
        Option("run", "", "run", "COMMAND", "serve for as long as this shell command runs; it finds the disk at $uri"),
        Option("background", "", "background", "", "return as soon as clients can connect, and serve on"),
        Option("pid_file", "", "pid-file", "PATH", "write the server's process id to this file"),
        Option(
            "cache", "t", "cache", "CACHE", f"how the image is written: {', '.join(CACHE_MODES)}", values=CACHE_MODES
        ),
        Choice(
            "discard",
            "",
            "discard",
            "MODE",
            "what TRIM does: unmap (the default) or ignore",
            DISCARD_MODES,
        ),
        Choice(
            "detect_zeroes",
            "",
            "detect-zeroes",
            "MODE",
            "look for zeroes in what is written: off (the default), on, or unmap",
            DETECT_ZEROES,
        ),
        Choice(
            "engine",
            "",
            "engine",
            "ENGINE",
            "who serves: imgtools (the default), or nbdkit through its Python plugin",
            ENGINES,
        ),
        Option("filters", "", "filter", "NAME", "with nbdkit, a filter of its (may be repeated)", many=True),
        Option("parameters", "", "parameter", "NAME=VALUE", "with nbdkit, a parameter for its filters", many=True),
        Option("tls", "", "tls", "DIR", "demand TLS; DIR has server-cert.pem, server-key.pem and ca-cert.pem"),
        Option("keys", "", "tls-psk", "FILE", "demand TLS; FILE has the keys of the clients: USER:KEY"),
        Option("any_client", "", "tls-any-client", "", "let clients in that have no certificate of that authority"),
        Option(
            "handshake_limit",
            "",
            "handshake-limit",
            "SECONDS",
            f"hang up on clients that take longer to choose an export ({HANDSHAKE_LIMIT:.0f})",
            parse=number("Invalid handshake limit specified", 1, 1 << 20),
        ),
        *OPENING,
    ),
)


def run(arguments: Any) -> int:
    if len(arguments.operands) != 1:
        raise UsageError("Expecting one image file name")
    if arguments.socket is not None and (arguments.bind is not None or arguments.port is not None):
        raise Complaint("--socket excludes --bind and --port")
    if arguments.engine == "nbdkit":
        from imgtools.cli.nbd.engine import serve_by_nbdkit

        serve_by_nbdkit(arguments)
    if arguments.filters or arguments.parameters:
        raise Complaint("--filter and --parameter are for --engine nbdkit")
    if arguments.detect_zeroes == "unmap" and arguments.discard == "ignore":
        raise Complaint("--detect-zeroes=unmap and --discard=ignore exclude each other")
    plan = Plan(named(arguments.operands[0], arguments.format, arguments.image_opts), arguments)
    plan.read_only = arguments.read_only
    plan.temporary = arguments.temporary
    plan.snapshot = arguments.snapshot
    plan.cache = cache_mode(arguments.cache, "writeback")
    plan.discards = arguments.discard != "ignore"
    plan.detect_zeroes = arguments.detect_zeroes or "off"
    plan.offset = arguments.offset or 0
    plan.name, plan.description = arguments.name or "", arguments.description or ""
    plan.bitmaps, plan.depth = arguments.bitmaps, arguments.depth
    plan.clients = MAX_CLIENTS if arguments.clients is None else arguments.clients
    plan.persistent = not arguments.once
    plan.handshake_limit = arguments.handshake_limit or HANDSHAKE_LIMIT
    plan.background, plan.pid_file, plan.run = arguments.background, arguments.pid_file, arguments.run
    plan.tls = tls_of(arguments)
    plan.listen = lambda: listen(arguments)
    if arguments.run is None or (arguments.socket, arguments.bind, arguments.port) != (None, None, None):
        return carry_out(plan)
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="imgtools-nbd-") as directory:  # a socket that only the command finds
        plan.listen = lambda: [listen_unix(os.path.join(directory, "socket"))]
        return carry_out(plan)


def tls_of(arguments: Any) -> ssl.SSLContext | None:
    """How clients prove who they are, where they have to."""
    if arguments.any_client and arguments.tls is None:
        raise Complaint("--tls-any-client is for --tls")
    if arguments.tls is None and arguments.keys is None:
        return None
    from imgtools.nbd.tls import server_context, server_context_of_keys

    if arguments.tls is None:
        return server_context_of_keys(arguments.keys)
    if arguments.keys is not None:
        raise Complaint("--tls and --tls-psk exclude each other")
    return server_context(arguments.tls, verify_peer=not arguments.any_client)


def listen(arguments: Any) -> Sequence[Listener]:
    """The sockets that the options ask for."""
    if arguments.socket is not None:
        return [listen_unix(arguments.socket)]
    host = "localhost" if arguments.bind is None else arguments.bind
    return listen_tcp(host, DEFAULT_PORT if arguments.port is None else arguments.port)
