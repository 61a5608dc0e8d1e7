"""Servers that are not ours: qemu-nbd, nbdkit, and one that lies."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from imgtools.nbd import protocol as p
from tests.conftest import require_tool, wait_until
from tests.nbd.peers import listens_at

Answer = Callable[[socket.socket, tuple[int, ...]], None]


class Peer:
    """A peer's server on a unix socket in `directory`; `words` is its command line without the socket."""

    def __init__(self, directory: Path, tool: str, *words: str | Path, name: str = "peer") -> None:
        self.socket = directory / f"{name}.sock"
        self.log = directory / f"{name}.log"
        self.command = [require_tool(tool), *SOCKET_OPTION[tool], str(self.socket), *map(str, words)]
        self.start()

    def start(self) -> None:
        with self.log.open("w") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self._listens)

    def _listens(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return listens_at(self.socket)

    def kill(self) -> None:
        """End it at once, as a power failure does."""
        self.process.kill()
        self.process.wait()
        self.socket.unlink(missing_ok=True)

    def uri(self, export: str = "") -> str:
        return f"nbd+unix:///{export}?socket={self.socket}"

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()


SOCKET_OPTION = {"qemu-nbd": ("--persistent", "--socket"), "nbdkit": ("--foreground", "--unix")}


class Liar:
    """A server that shakes hands as it should, and then answers each request by `answer(connection, request)`.

    `request` are the fields of p.REQUEST. What `answer` does not send is not sent; when it returns, the next request is
    awaited. `greeting` stands in for the whole handshake.
    """

    SIZE = 1 << 20

    def __init__(self, directory: Path, answer: Answer | None = None, *, greeting: bytes | None = None) -> None:
        self.socket = directory / "liar.sock"
        self.answer = answer
        self.greeting = greeting
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.socket))
        self.listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def uri(self) -> str:
        return f"nbd+unix:///?socket={self.socket}"

    def __enter__(self) -> Liar:
        return self

    def __exit__(self, *exception: object) -> None:
        self.listener.close()

    def _serve(self) -> None:
        try:
            connection, _ = self.listener.accept()
            with connection:
                if self.greeting is not None:
                    connection.sendall(self.greeting)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(4096):
                        pass
                    return
                self._shake_hands(connection)
                while self.answer is not None:
                    self.answer(connection, p.REQUEST.unpack(receive(connection, p.REQUEST.size)))
        except OSError:
            pass  # the client has had enough

    def _shake_hands(self, connection: socket.socket) -> None:
        flags = p.FIXED_NEWSTYLE | p.NO_ZEROES
        connection.sendall(p.GREETING.pack(p.INIT_MAGIC, p.OPTION_MAGIC, flags))
        receive(connection, p.CLIENT_FLAGS.size)
        option = None
        while option != p.OPT_GO:
            _, option, length = p.OPTION.unpack(receive(connection, p.OPTION.size))
            receive(connection, length)
            for kind, data in self._replies(option):
                connection.sendall(p.OPTION_REPLY.pack(p.OPTION_REPLY_MAGIC, option, kind, len(data)) + data)

    def _replies(self, option: int) -> list[tuple[int, bytes]]:
        if option == p.OPT_EXTENDED_HEADERS:
            return [(p.REP_ERR_UNSUP, b"")]
        if option == p.OPT_SET_META_CONTEXT:
            return [(p.REP_META_CONTEXT, p.CONTEXT_ID.pack(7) + b"base:allocation"), (p.REP_ACK, b"")]
        if option == p.OPT_GO:
            return [(p.REP_INFO, p.INFO_EXPORT_DATA.pack(0, self.SIZE, p.HAS_FLAGS)), (p.REP_ACK, b"")]
        return [(p.REP_ACK, b"")]


def receive(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = connection.recv(length - len(data))
        if not piece:
            raise OSError("the client has left")
        data += piece
    return data


def chunk(cookie: int, kind: int, data: bytes, *, done: bool = True, length: int | None = None) -> bytes:
    """A structured reply's chunk; `length` is what its head says, whatever is true."""
    size = len(data) if length is None else length
    return p.STRUCTURED_REPLY.pack(p.STRUCTURED_REPLY_MAGIC, p.REPLY_DONE if done else 0, kind, cookie, size) + data
