"""Forwards: ports of the host that are the guest's."""

from __future__ import annotations

import socket
from typing import NamedTuple

from imgtools.errors import InputOutput

KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
BACKLOG = 64


class Forward(NamedTuple):
    protocol: str
    host: str
    host_port: int
    guest_port: int


def open_forward(forward: Forward) -> socket.socket:
    """The socket on the host. Raises InputOutput."""
    sock = socket.socket(socket.AF_INET, KINDS[forward.protocol])
    try:
        if forward.protocol == "tcp":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((forward.host, forward.host_port))
        if forward.protocol == "tcp":
            sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        reason = error.strerror or str(error)
        raise InputOutput(
            f"cannot forward port {forward.host_port} of {forward.host}: {reason}",
            hint="choose another port, or an address of this host",
            errno=error.errno,
        ) from error
    return sock
