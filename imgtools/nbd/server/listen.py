"""Where a server listens: a unix socket, TCP, or sockets that a service manager has opened already.

listen_unix("/run/disk.sock").uri("")        nbd+unix:///?socket=/run/disk.sock
listen_tcp("localhost", 10809)[0].uri("a")   nbd://localhost:10809/a
"""

from __future__ import annotations

import os
import socket
import stat
from urllib.parse import quote

from imgtools.errors import BadOption, ImageError, from_os_error
from imgtools.nbd.address import unresolved
from imgtools.nbd.protocol import DEFAULT_PORT

BACKLOG = 128
"""Connections that wait to be accepted; the system keeps them, and refuses more."""
FIRST_ACTIVATED = 3
"""The first file descriptor of a service manager's sockets (sd_listen_fds(3))."""


class Listener:
    """A listening socket; `path` is the unix socket's, which goes when it is closed, if it is still the same one."""

    def __init__(self, listening: socket.socket, path: str | None = None) -> None:
        self.socket = listening
        self.path = path
        self._file = path and _identity(path)
        listening.setblocking(False)

    def uri(self, export: str = "", *, tls: bool = False) -> str:
        """How clients name `export` here."""
        scheme = "nbds" if tls else "nbd"
        name = self.socket.getsockname()
        if self.socket.family == socket.AF_UNIX:
            return f"{scheme}+unix:///{quote(export)}?socket={quote(os.fsdecode(name))}"
        host = f"[{name[0]}]" if self.socket.family == socket.AF_INET6 else name[0]
        return f"{scheme}://{host}:{name[1]}/{quote(export)}"

    def close(self) -> None:
        """Stop listening."""
        self.socket.close()
        if self.path is not None:
            try:
                if _identity(self.path) == self._file:
                    os.unlink(self.path)
            except OSError:
                pass  # somebody else has tidied up
            self.path = None


def listen_unix(path: str) -> Listener:
    """Listen on a unix socket; one that is left over from before is replaced, but not one on which somebody listens,
    nor any other file."""
    if not path:
        raise BadOption("a unix socket needs a name")
    listening = socket.socket(socket.AF_UNIX)
    try:
        if _is_left_over(path):
            os.unlink(path)
        listening.bind(path)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno is None:  # Python's own complaint
            raise BadOption(f"'{path}' is too long for the name of a unix socket", path=path) from error
        raise from_os_error(error, f"Failed to bind socket to {path}", path) from error
    return Listener(listening, path)


def listen_tcp(host: str = "localhost", port: int = DEFAULT_PORT) -> list[Listener]:
    """Listen on every address of `host`; "" means all of this machine. Port 0 takes a free one."""
    shown = f"{host}:{port}"
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, ValueError) as error:
        raise BadOption(f"address resolution failed for {shown}: {unresolved(error)}") from error
    listeners: list[Listener] = []
    failure: ImageError | None = None
    for family, kind, number, _, address in found:
        try:
            listeners.append(Listener(_bound(socket.socket(family, kind, number), address)))
        except OSError as error:
            failure = failure or from_os_error(error, f"Failed to listen on {shown}")
    if not listeners:
        assert failure is not None
        raise failure
    return listeners


def _bound(listening: socket.socket, address: object) -> socket.socket:
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listening.family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # IPv4 has a socket of its own
        listening.bind(address)  # type: ignore[arg-type]
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def is_activated() -> bool:
    """Whether a service manager passed sockets to this process (sd_listen_fds(3))."""
    return os.environ.get("LISTEN_PID") == str(os.getpid())


def activated() -> list[Listener]:
    """The sockets that a service manager passed to this process; none where it did not start us so."""
    if not is_activated():
        return []
    del os.environ["LISTEN_PID"]
    count = os.environ.pop("LISTEN_FDS", "0")
    os.environ.pop("LISTEN_FDNAMES", None)
    if not count.isdecimal():
        raise BadOption(f"Socket activation failed: LISTEN_FDS is '{count}', no number of sockets")
    return [_activated(FIRST_ACTIVATED + number) for number in range(int(count))]


def _activated(fd: int) -> Listener:
    try:
        listening = socket.socket(fileno=fd)
        listens = listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise from_os_error(error, f"Socket activation failed: file descriptor {fd}") from error
    if not listens:
        raise BadOption(f"Socket activation failed: file descriptor {fd} is not a listening socket")
    return Listener(listening)


def _is_left_over(path: str) -> bool:
    """Whether there is a socket on which nobody listens (any more)."""
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            with socket.socket(socket.AF_UNIX) as client:
                client.setblocking(False)
                client.connect(path)
    except ConnectionRefusedError:
        return True
    except (FileNotFoundError, BlockingIOError):  # nothing there; clients that wait to be accepted
        pass
    return False


def _identity(path: str) -> tuple[int, int]:
    """What tells a file from another one that has taken its name."""
    facts = os.stat(path)
    return facts.st_dev, facts.st_ino
