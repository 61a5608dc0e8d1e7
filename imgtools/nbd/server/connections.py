"""The connections of one process: a thread for each, from the handshake to the end.

Whatever a client does ends at most its own connection, with one line in the log.
"""

from __future__ import annotations

import os
import socket
import threading
import time

from imgtools.nbd.server.handshake import Handshake
from imgtools.nbd.server.transmission import Transmission
from imgtools.nbd.server.wire import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Mapping

    from imgtools.nbd.server.export import Export

HANDSHAKE_LIMIT = 10.0
"""Seconds that a client has to choose an export. Machines do so in milliseconds."""
GRACE = 10.0
"""Seconds that connections have to finish what they have accepted when the server stops."""
SOCKET_BUFFER = 1 << 20
"""A burst of large requests fits in, so that neither side waits for the other to empty it."""


class Service:
    """What every connection is offered, and under which conditions."""

    def __init__(
        self,
        exports: Iterable[Export],
        *,
        tls: ssl.SSLContext | None = None,
        handshake_limit: float = HANDSHAKE_LIMIT,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.exports: Mapping[str, Export] = {export.name: export for export in exports}
        self.tls = tls
        self.handshake_limit = handshake_limit
        self.log = log


class Connections:
    """The clients that this process serves. `ended` is called, in the client's thread, when one has gone: with
    whether it had got through the handshake."""

    def __init__(self, service: Service, ended: Callable[[bool], None]) -> None:
        self.service = service
        self.ended = ended
        self.lock = threading.Lock()
        self.open: dict[Handshake, threading.Thread] = {}
        """The thread of each connection, by the handshake that it began with, which knows its socket."""
        self.stopping = False

    def start(self, client: socket.socket) -> None:
        """Serve a client that was accepted."""
        service = self.service
        handshake = Handshake(client, service.exports, tls=service.tls, limit=service.handshake_limit)
        thread = threading.Thread(target=self._serve, args=(handshake,), daemon=True)
        with self.lock:
            self.open[handshake] = thread
        try:
            thread.start()
        except RuntimeError as error:
            self._leave(handshake)
            self.turned_away(str(error))

    def turned_away(self, reason: str) -> None:
        """A client was accepted that the system has no room for."""
        self._log(f"a client could not be accepted: {reason}")
        self.ended(False)

    def stop(self, grace: float = GRACE) -> None:
        """Answer what was received so far, and hang up; after `grace` seconds also on clients that take no answers."""
        self.stopping = True
        self._shut(socket.SHUT_RD)
        self._join(grace)
        self._shut(socket.SHUT_RDWR)
        self._join(1)

    def _shut(self, how: int) -> None:
        with self.lock:
            for handshake in self.open:
                try:
                    socket.socket.shutdown(handshake.socket, how)  # TLS' own would stop to encrypt what is sent yet
                except OSError:
                    pass  # gone already

    def _join(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        with self.lock:
            threads = list(self.open.values())
        for thread in threads:
            thread.join(max(0, deadline - time.monotonic()))

    def _serve(self, handshake: Handshake) -> None:
        peer, negotiated = _name_of(handshake.socket), False
        try:
            _prepare(handshake.socket)
            agreement = handshake.run()
            if agreement is not None:
                negotiated = True
                Transmission(agreement, lambda: len(self.open) == 1).run()
        except ProtocolError as error:
            self._log(f"{peer}: {error}")
        except OSError as error:
            late = isinstance(error, TimeoutError) and not negotiated
            self._log(f"{peer}: {'the handshake took too long' if late else error.strerror or error}")
        except Exception as error:  # a bug of ours: the others need not suffer
            self._log(f"{peer}: internal error: {type(error).__name__}: {error}")
        finally:
            self._leave(handshake)
            self.ended(negotiated)

    def _leave(self, handshake: Handshake) -> None:
        with self.lock:
            del self.open[handshake]
        handshake.socket.close()

    def _log(self, line: str) -> None:
        if not self.stopping:
            self.service.log(line)


def _prepare(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
    if client.family != socket.AF_UNIX:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _name_of(client: socket.socket) -> str:
    """How the log names a client."""
    try:
        name = client.getpeername()
    except OSError:
        return "client"
    return (
        f"client {name[0]}:{name[1]}" if isinstance(name, tuple) else f"client of {os.fsdecode(client.getsockname())}"
    )
