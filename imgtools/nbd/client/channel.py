"""The client's end of a connection: bytes in and out, with a time limit for each wait.

A small buffer takes what arrives, so that the head of a reply and what follows cost one call; the data of large
reads go past it, straight to where they belong.
"""

from __future__ import annotations

import socket
from struct import Struct

from imgtools.errors import InputOutput

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from imgtools.block.node import Buffer

BUFFER = 16 << 10
"""Holds the replies to a few hundred writes, and costs large reads next to nothing."""
MAX_PIECES = 512
"""Buffers in one send; the kernel takes 1024."""
TIMEVAL = Struct("@ll")


class ConnectionLost(InputOutput):
    """The server is gone, or does not answer in time: another try may help."""


class BrokenProtocol(InputOutput):
    """The server sends what no server may send: nothing more is read from it."""


class Channel:
    """`connection`, a connected socket, to the server that messages call `name`."""

    def __init__(self, connection: socket.socket, name: str) -> None:
        self.connection = connection
        self.name = name
        self._memory = memoryview(bytearray(BUFFER))
        self._start = self._end = 0
        self._tls = False

    def limit_waits(self, seconds: float) -> None:
        """Give up when nothing has come, or gone, for so long."""
        self.connection.settimeout(None)
        # The kernel's own limits: with settimeout Python would poll before each call.
        limit = TIMEVAL.pack(int(seconds), int(seconds % 1 * 1e6))
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.connection.setsockopt(socket.SOL_SOCKET, option, limit)

    def start_tls(self, context: ssl.SSLContext, hostname: str | None) -> None:
        """Go on in TLS. Nothing that was received before may be left over: a stranger could have put it there."""
        if self._start != self._end:
            raise self.broken("data before TLS has begun")
        try:
            self.connection = context.wrap_socket(self.connection, server_hostname=hostname)
        except (OSError, ValueError) as error:
            reason = getattr(error, "verify_message", None) or getattr(error, "reason", None) or error
            raise InputOutput(f"TLS handshake with '{self.name}' failed: {reason}", path=self.name) from error
        self._tls = True

    def take(self, length: int) -> memoryview:
        """The next `length` bytes (BUFFER at most), which stay valid until the next call."""
        if self._end - self._start < length:
            self._refill(length)
        start = self._start
        self._start = start + length
        return self._memory[start : start + length]

    def receive_into(self, view: memoryview) -> None:
        """Fill `view`."""
        held = min(len(view), self._end - self._start)
        view[:held] = self._memory[self._start : self._start + held]
        self._start += held
        flags = 0 if self._tls else socket.MSG_WAITALL
        while held < len(view):
            held += self._receive(view[held:], flags)

    def receive(self, length: int) -> bytes:
        """The next bytes, any number of them, whose length has been held against a limit."""
        content = bytearray(length)
        self.receive_into(memoryview(content))
        return bytes(content)

    def send(self, pieces: Sequence[Buffer]) -> None:
        """Send buffers one behind the other."""
        try:
            if self._tls:
                self.connection.sendall(b"".join(pieces))
                return
            for first in range(0, len(pieces), MAX_PIECES):
                group = pieces[first : first + MAX_PIECES]
                sent = self.connection.sendmsg(group)
                if sent < sum(map(len, group)):
                    self._send_rest(group, sent)
        except OSError as error:
            raise self._lost(error) from error

    def close(self) -> None:
        self.connection.close()

    def broken(self, what: str) -> BrokenProtocol:
        """The error for a server that does not keep to the protocol."""
        return BrokenProtocol(f"NBD server at '{self.name}' breaks the protocol: {what}", path=self.name)

    def _send_rest(self, pieces: Sequence[Buffer], sent: int) -> None:
        for piece in pieces:
            if sent < len(piece):
                self.connection.sendall(memoryview(piece).cast("B")[sent:])
            sent = max(0, sent - len(piece))

    def _refill(self, length: int) -> None:
        """Have at least `length` bytes in the buffer, from its beginning on."""
        held = self._end - self._start
        self._memory[:held] = self._memory[self._start : self._end]
        self._start, self._end = 0, held
        while self._end < length:
            self._end += self._receive(self._memory[self._end :], 0)

    def _receive(self, view: memoryview, flags: int) -> int:
        try:
            got = self.connection.recv_into(view, len(view), flags)
        except OSError as error:
            raise self._lost(error) from error
        if not got:
            raise ConnectionLost(f"NBD server at '{self.name}' has closed the connection", path=self.name)
        return got

    def _lost(self, error: OSError) -> ConnectionLost:
        if isinstance(error, BlockingIOError | TimeoutError) or (self._tls and _is_waiting(error)):
            return ConnectionLost(f"NBD server at '{self.name}' does not answer", path=self.name)
        reason = error.strerror or error
        return ConnectionLost(f"connection to NBD server at '{self.name}' lost: {reason}", path=self.name)


def _is_waiting(error: OSError) -> bool:
    """Whether TLS gave up because the socket under it did."""
    import ssl  # importing it costs as much as all the rest of the client

    return isinstance(error, ssl.SSLWantReadError | ssl.SSLWantWriteError)
