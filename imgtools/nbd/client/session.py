"""A session with a server: as many connections as are useful, opened when they are, and opened again when lost.

Several connections are used only where the server says that it is one disk behind all of them (multi-conn). A
request that was under way when its connection broke is made again on the next one: every NBD request may be repeated.
"""

from __future__ import annotations

import time
from threading import Condition

from imgtools.errors import ImageError, InputOutput
from imgtools.nbd import protocol
from imgtools.nbd.client.channel import Channel, ConnectionLost
from imgtools.nbd.client.connection import Connection
from imgtools.nbd.client.handshake import Handshake, Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from imgtools.nbd.address import Address
    from imgtools.nbd.client.connection import Request
    from imgtools.nbd.client.handshake import Export

HANDSHAKE_PATIENCE = 30.0
"""Seconds until a server must have let us in."""
FURTHER_PATIENCE = 3.0
"""The same for further connections: a server that lets in only so many clients keeps the next one waiting."""
REPLY_PATIENCE = 120.0
"""Seconds without a byte from the server, while it owes a reply, after which it counts as dead."""
CONNECTIONS = 4
"""At most: more of them no longer gain anything on one machine."""
PAUSE = 0.1
"""Seconds between two attempts to connect."""


class Session:
    """The export at `address`. `contexts` are the meta contexts that block status is to tell."""

    def __init__(
        self,
        address: Address,
        *,
        tls: ssl.SSLContext | None = None,
        tls_hostname: str | None = None,
        contexts: Sequence[str] = (protocol.BASE_ALLOCATION,),
        connections: int = CONNECTIONS,
        open_timeout: float = 0,
        reconnect_delay: float = 0,
        reply_timeout: float = REPLY_PATIENCE,
    ) -> None:
        self.address = address
        self.tls = tls
        self.tls_hostname = tls_hostname
        self.contexts = contexts
        self.reconnect_delay = reconnect_delay
        self.reply_timeout = reply_timeout
        self._turns = Condition()
        self._idle = [self._connect_within(open_timeout)]
        self._opened = 1
        self.export: Export = self._idle[0].export
        several = self.export.can(protocol.CAN_MULTI_CONN)
        self._limit = max(1, connections) if several else 1

    def carry_out(self, requests: Sequence[Request]) -> None:
        """Make requests on one connection, and wait for the replies to all; see Connection.carry_out.

        Where it is lost, or cannot be made, that is tried again until `reconnect_delay` seconds have passed.
        """
        deadline = 0.0
        while True:
            connection = None
            try:
                connection = self._take()
                connection.carry_out(requests)
                return
            except ImageError as error:
                if not self.reconnect_delay or (connection is not None and not isinstance(error, ConnectionLost)):
                    raise
                now = time.monotonic()
                deadline = deadline or now + self.reconnect_delay
                if now > deadline:
                    raise
            finally:
                if connection is not None:
                    self._give_back(connection)
            time.sleep(PAUSE)
            for request in requests:
                request.restart()

    def close(self) -> None:
        with self._turns:
            while self._idle:
                self._idle.pop().close()
                self._opened -= 1

    def _take(self) -> Connection:
        """A connection that is free, or a new one, or the next one that becomes free."""
        with self._turns:
            while True:
                if self._idle:
                    return self._idle.pop()
                if self._opened < self._limit:
                    self._opened += 1
                    break
                self._turns.wait()
        try:
            connection = self._connect(HANDSHAKE_PATIENCE if self._opened == 1 else FURTHER_PATIENCE)
            if not self._is_same(connection.export):
                connection.close()
                raise self._changed(connection.export)
            return connection
        except BaseException as error:
            with self._turns:
                self._opened -= 1
                self._turns.notify()
                is_only_one = not self._opened
                if not is_only_one:
                    self._limit = self._opened
            if is_only_one or not isinstance(error, ImageError):
                raise
        return self._take()

    def _give_back(self, connection: Connection) -> None:
        with self._turns:
            if connection.is_broken:
                self._opened -= 1
            else:
                self._idle.append(connection)
            self._turns.notify()

    def _connect_within(self, seconds: float) -> Connection:
        """Connect; where that fails try again for so long."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return self._connect(HANDSHAKE_PATIENCE)
            except ImageError as error:
                if time.monotonic() >= deadline:
                    raise error
            time.sleep(PAUSE)

    def _connect(self, patience: float) -> Connection:
        channel, handshake = open_channel(self.address, patience, self.tls, self.tls_hostname)
        try:
            handshake.extend()
            export = handshake.go(self.address.export, self.contexts)
            channel.limit_waits(self.reply_timeout)
        except Refusal:
            handshake.abort()
            channel.close()
            raise
        except BaseException:
            channel.close()
            raise
        return Connection(channel, export)

    def _is_same(self, export: Export) -> bool:
        """Whether a further connection, or one to a server that is back, leads to the disk that is known."""
        known = self.export
        return (export.size, export.extended, export.structured) == (known.size, known.extended, known.structured)

    def _changed(self, export: Export) -> InputOutput:
        return InputOutput(
            f"NBD server at '{self.address.server}' has another disk now: {export.size} bytes, not {self.export.size}",
            path=self.address.server,
        )


def open_channel(
    address: Address, patience: float, tls: ssl.SSLContext | None, tls_hostname: str | None
) -> tuple[Channel, Handshake]:
    """Connect and begin the handshake, in TLS if a context for it is given."""
    channel = Channel(address.connect(patience), address.server)
    try:
        handshake = Handshake(channel, patience)
        if tls is not None:
            handshake.start_tls(tls, tls_hostname or address.host or "localhost")
    except BaseException:
        channel.close()
        raise
    return channel, handshake
