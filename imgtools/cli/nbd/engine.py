"""imgtools nbd serve --engine nbdkit: nbdkit serves the disk, with its filters, and asks our node for the bytes."""

from __future__ import annotations

import os

from imgtools.cli.arguments import Complaint, cache_mode
from imgtools.cli.opening import named, open_named
from imgtools.nbd.nbdkit import become_server
from imgtools.nbd.protocol import DEFAULT_PORT
from imgtools.nbd.server.listen import is_activated

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

NOT_THERE = [
    "temporary",
    "snapshot",
    "offset",
    "description",
    "bitmaps",
    "depth",
    "clients",
    "discard",
    "detect_zeroes",
    "handshake_limit",
    "any_client",
    "image_opts",
    "object",
    "once",
]
"""Options that are this server's own, by their names in `arguments`; nbdkit has filters for most of them."""


def serve_by_nbdkit(arguments: Any) -> NoReturn:
    """Become an nbdkit that serves the image."""
    from imgtools.cli.nbd.serve import COMMAND

    for option in COMMAND.options:
        if option.name in NOT_THERE and getattr(arguments, option.name):
            raise Complaint(f"--{option.long} is not for --engine nbdkit: see nbdkit's filters")
    image = arguments.operands[0]
    open_named(named(image, arguments.format, False), arguments).close()  # errors are told here, and better
    parameters = [f"image={os.path.abspath(image) if os.path.exists(image) else image}"]
    parameters += [f"format={arguments.format}"] * bool(arguments.format)
    parameters += [f"cache={cache_mode(arguments.cache, 'writeback')}"]
    parameters += ["readonly=on"] * arguments.read_only
    parameters += [f"allow={os.path.abspath(directory)}" for directory in arguments.allow]
    become_server(listening(arguments), arguments.filters, [*parameters, *arguments.parameters])


def listening(arguments: Any) -> list[str]:
    """nbdkit's options for where it listens, and how."""
    words = []
    if arguments.socket is not None:
        words += ["--unix", arguments.socket]
    elif arguments.run is not None and (arguments.bind, arguments.port) == (None, None):
        words += ["--unix", "-"]
    elif is_activated() and (arguments.bind, arguments.port) == (None, None):
        pass  # nbdkit finds the service manager's sockets as we would
    else:
        bind = "localhost" if arguments.bind is None else arguments.bind
        words += [f"--port={DEFAULT_PORT if arguments.port is None else arguments.port}"]
        words += [f"--ipaddr={bind}"] * bool(bind)
    words += [] if arguments.background or arguments.run is not None else ["--foreground"]
    words += ["--readonly"] * arguments.read_only
    for option, value in (
        ("run", arguments.run),
        ("pidfile", arguments.pid_file),
        ("exportname", arguments.name),
        ("tls-certificates", arguments.tls),
        ("tls-psk", arguments.keys),
    ):
        words += [f"--{option}={value}"] * (value is not None)
    words += ["--tls-verify-peer"] * (arguments.tls is not None)
    return words + ["--tls=require"] * ((arguments.tls, arguments.keys) != (None, None))
