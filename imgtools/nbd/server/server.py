"""The NBD server: it listens, accepts as many clients as it may, and stops in good order.

    import imgtools
    from imgtools.nbd.server.export import Export
    from imgtools.nbd.server.listen import listen_unix
    from imgtools.nbd.server.server import Server

    with imgtools.open("disk.qcow2", writable=True) as disk:
        with Server([Export(disk)], [listen_unix("disk.sock")]) as server:
            ...                                 # it serves, in a thread, until the block is left
        Server([Export(disk)], [...]).run()     # or here, until stop() is called

export -> handshake -> transmission is the way of a client; `connections` runs them, a thread a client; `workers` does
so in several processes, where the disk allows that.
"""

from __future__ import annotations

import os
import select
import threading
import time

from imgtools.errors import ImageError
from imgtools.nbd.server.connections import GRACE, HANDSHAKE_LIMIT, Connections, Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Sequence
    from typing import Self

    from imgtools.nbd.server.export import Export
    from imgtools.nbd.server.listen import Listener
    from imgtools.nbd.server.workers import Workers

MAX_CLIENTS = 100
"""At a time, unless it is said otherwise. Who comes too many waits until another leaves."""
LEFT, LEFT_EARLY, STOP = range(3)
"""Events: a client has left, or had done so before it chose an export; stop."""
PAUSE = 0.1
"""Seconds to wait where the system has no file descriptors left for another client."""


class Server:
    """Serves `exports` on `listeners`, to at most `clients` at a time (0: any number).

    Where it is not `persistent` it ends when the last client has left. It closes the listeners, and flushes the
    disks, but leaves closing them to whoever opened them. `workers` processes do the serving, if they are two or more:
    only where `workers.can_be_divided`, and where this process has no other threads.
    """

    def __init__(
        self,
        exports: Sequence[Export],
        listeners: Sequence[Listener],
        *,
        clients: int = MAX_CLIENTS,
        persistent: bool = True,
        tls: ssl.SSLContext | None = None,
        handshake_limit: float = HANDSHAKE_LIMIT,
        workers: int = 0,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.exports = exports
        self.listeners = listeners
        self.clients = clients
        self.persistent = persistent
        self.service = Service(exports, tls=tls, handshake_limit=handshake_limit, log=log)
        self.workers = workers
        self.present = 0
        """Clients at the moment."""
        self._was_used = False
        self._stopping = False
        self._events, self._tell = os.pipe()
        """A byte in this pipe is an event; there is one until `run` has returned."""
        self._has_ended = False
        self._telling = threading.RLock()
        os.set_blocking(self._events, False)
        self._thread: threading.Thread | None = None
        self._failure: ImageError | None = None

    def run(self) -> None:
        """Serve, once, until `stop`, or until the last client has left. Raises ImageError where the disk cannot be
        flushed."""
        connections = self._connections()
        try:
            while not self._stopping:
                for listener in self._wait():
                    self._accept(listener.socket, connections)
        finally:
            for listener in self.listeners:
                listener.close()
            connections.stop(GRACE)
            self._end_events()
            self._flush()

    def _connections(self) -> Connections | Workers:
        def ended(negotiated: bool) -> None:
            self._notify(LEFT if negotiated else LEFT_EARLY)

        if self.workers < 2:
            return Connections(self.service, ended)
        from imgtools.nbd.server.workers import Workers

        own = [self._events, *(listener.socket.fileno() for listener in self.listeners)]
        return Workers(self.service, ended, self.workers, own)

    def stop(self) -> None:
        """Make `run` finish what was accepted, and return. May be called from a signal handler, or any thread."""
        self._notify(STOP)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run_aside)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
        assert self._thread is not None
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run_aside(self) -> None:
        try:
            self.run()
        except ImageError as error:
            self._failure = error

    def _notify(self, event: int) -> None:
        with self._telling:
            if not self._has_ended:
                try:
                    os.write(self._tell, bytes([event]))
                except BrokenPipeError:
                    pass  # a worker's parent was killed

    def _end_events(self) -> None:
        with self._telling:
            self._has_ended = True
            os.close(self._events)
            os.close(self._tell)

    def _wait(self) -> list[Listener]:
        """Wait for something to happen; the listeners with clients that may be accepted."""
        sources = select.poll()
        sources.register(self._events, select.POLLIN)
        if not self.clients or self.present < self.clients:
            for listener in self.listeners:
                sources.register(listener.socket, select.POLLIN)
        ready = dict(sources.poll())
        if self._events in ready:
            for event in os.read(self._events, 4096):
                self._happened(event)
        return [listener for listener in self.listeners if listener.socket.fileno() in ready]

    def _happened(self, event: int) -> None:
        if event == STOP:
            self._stopping = True
            return
        self.present -= 1
        self._was_used |= event == LEFT
        if self._was_used and not self.present and not self.persistent:
            self._stopping = True

    def _accept(self, listening: socket.socket, connections: Connections | Workers) -> None:
        try:
            client, _ = listening.accept()
        except BlockingIOError:
            return  # it has gone already
        except OSError as error:
            self.service.log(f"a client could not be accepted: {error.strerror}")
            time.sleep(PAUSE)
            return
        client.setblocking(True)
        self.present += 1
        connections.start(client)

    def _flush(self) -> None:
        failure: ImageError | None = None
        for export in self.exports:
            if not export.read_only:
                try:
                    export.node.flush()
                except ImageError as error:
                    failure = failure or error
        if failure:
            raise failure
