"""A server as a process of its own, as users start it, and a client that says whatever a test wants it to say."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from imgtools.nbd import protocol as p
from tests.conftest import PATIENCE, wait_until

ROOT = Path(__file__).parent.parent.parent
PROGRAM = "import sys; sys.path.insert(0, sys.argv.pop(1)); from imgtools.__main__ import main; main()"


class Server:
    """`imgtools nbd serve` on a unix socket; the image's format is in its name."""

    def __init__(self, directory: Path, image: Path, *words: str | Path, log: Path | None = None) -> None:
        self.socket = directory / f"nbd{len(list(directory.iterdir()))}.sock"
        self.log = log or self.socket.with_suffix(".log")
        listens = self.socket.with_suffix(".pid")
        options = ["--socket", self.socket, "--pid-file", listens, "--format", image.suffix[1:], *words, image]
        command = [sys.executable, "-c", PROGRAM, str(ROOT), "nbd", "serve", *map(str, options)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log)

        def is_ready() -> bool:
            assert self.process.poll() is None, self.said()
            return listens.exists()

        wait_until(is_ready)

    @property
    def uri(self) -> str:
        return f"nbd+unix:///?socket={self.socket}"

    def said(self) -> str:
        """What the server has written to standard error."""
        return self.log.read_text()

    def processes(self) -> list[int]:
        """Its process, and those that it has made to share its work."""
        pid = self.process.pid
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it by a signal; its exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Client:
    """One connection, from `magic` to `go`; `extension` is an option to agree upon (structured, extended)."""

    def __init__(self, server: Server, extension: int | None = None, *, name: bytes = b"", go: bool = True) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(str(server.socket))
        self.extended = extension == p.OPT_EXTENDED_HEADERS
        self.structured = extension is not None
        self.size = self.flags = 0
        self.cookies = 0
        self.receive(p.GREETING.size)
        self.socket.sendall(p.CLIENT_FLAGS.pack(p.FIXED_NEWSTYLE | p.NO_ZEROES))
        if extension is not None:
            assert self.option(extension)[-1][0] == p.REP_ACK
        if go:
            self.go(name)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    def receive(self, length: int) -> bytes:
        """Exactly so many bytes; EOFError where the server hangs up."""
        data = b""
        while len(data) < length:
            piece = self.socket.recv(length - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def option(self, number: int, data: bytes = b"") -> list[tuple[int, bytes]]:
        """Send an option; its replies as (type, data), the last an ACK or an error."""
        self.socket.sendall(p.OPTION.pack(p.OPTION_MAGIC, number, len(data)) + data)
        replies = []
        while True:
            magic, option, kind, length = p.OPTION_REPLY.unpack(self.receive(p.OPTION_REPLY.size))
            assert (magic, option) == (p.OPTION_REPLY_MAGIC, number)
            replies.append((kind, self.receive(length)))
            if kind == p.REP_ACK or kind & p.REP_ERROR:
                return replies

    def go(self, name: bytes = b"") -> None:
        for kind, data in self.option(p.OPT_GO, named(name) + p.COUNT16.pack(0)):
            assert not kind & p.REP_ERROR, data
            if kind == p.REP_INFO and p.INFO_TYPE.unpack_from(data)[0] == p.INFO_EXPORT:
                _, self.size, self.flags = p.INFO_EXPORT_DATA.unpack(data)

    def contexts(self, *names: bytes) -> list[int]:
        """Agree upon meta contexts (before `go`); their numbers."""
        queries = b"".join(map(named, names))
        replies = self.option(p.OPT_SET_META_CONTEXT, named(b"") + p.COUNT32.pack(len(names)) + queries)
        return [p.CONTEXT_ID.unpack_from(data)[0] for kind, data in replies if kind == p.REP_META_CONTEXT]

    def send(self, command: int, offset: int = 0, length: int = 0, data: bytes = b"", flags: int = 0) -> int:
        """Send a request; its cookie."""
        self.cookies += 1
        self.socket.sendall(self.request(command, offset, length or len(data), flags, self.cookies) + data)
        return self.cookies

    def request(self, command: int, offset: int, length: int, flags: int = 0, cookie: int = 0) -> bytes:
        if not self.extended:
            return p.REQUEST.pack(p.REQUEST_MAGIC, flags, command, cookie, offset, length)
        return p.EXTENDED_REQUEST.pack(p.EXTENDED_REQUEST_MAGIC, flags, command, cookie, offset, length)

    def chunk(self) -> tuple[int, int, int, bytes]:
        """The next chunk of a reply, or a simple reply without data: (cookie, flags, type, content)."""
        magic = self.receive(4)
        number = int.from_bytes(magic, "big")
        if number == p.SIMPLE_REPLY_MAGIC:
            _, error, cookie = p.SIMPLE_REPLY.unpack(magic + self.receive(p.SIMPLE_REPLY.size - 4))
            kind = p.CHUNK_ERROR if error else p.CHUNK_NONE
            return cookie, p.REPLY_DONE, kind, p.CHUNK_ERROR_HEAD.pack(error, 0) if error else b""
        if number == p.STRUCTURED_REPLY_MAGIC:
            _, flags, kind, cookie, length = p.STRUCTURED_REPLY.unpack(
                magic + self.receive(p.STRUCTURED_REPLY.size - 4)
            )
        else:
            assert number == p.EXTENDED_REPLY_MAGIC
            head = p.EXTENDED_REPLY.unpack(magic + self.receive(p.EXTENDED_REPLY.size - 4))
            _, flags, kind, cookie, _, length = head
        return cookie, flags, kind, self.receive(length)

    def chunks(self, cookie: int) -> list[tuple[int, bytes]]:
        """The chunks of a whole reply, as (type, content)."""
        found = []
        while True:
            whose, flags, kind, content = self.chunk()
            assert whose == cookie
            found.append((kind, content))
            if flags & p.REPLY_DONE:
                return found

    def ask(self, command: int, offset: int = 0, length: int = 0, data: bytes = b"", flags: int = 0) -> int:
        """A request without data in its reply: the error number, 0 where all went well."""
        if self.extended and data:
            flags |= p.FLAG_PAYLOAD_LEN
        ((kind, content),) = self.chunks(self.send(command, offset, length, data, flags))
        return p.CHUNK_ERROR_HEAD.unpack_from(content)[0] if kind & p.CHUNK_IS_ERROR else 0

    def read(self, offset: int, length: int, flags: int = 0, *, simple: bool = False) -> bytes:
        """The bytes of a range, put together from whatever chunks they come in."""
        cookie = self.send(p.CMD_READ, offset, length, flags=flags)
        if simple:
            _, error, whose = p.SIMPLE_REPLY.unpack(self.receive(p.SIMPLE_REPLY.size))
            assert (error, whose) == (0, cookie)
            return self.receive(length)
        data: dict[int, bytes] = {}
        for kind, content in self.chunks(cookie):
            if kind == p.CHUNK_OFFSET_DATA:
                data[p.CHUNK_OFFSET.unpack_from(content)[0]] = content[p.CHUNK_OFFSET.size :]
            elif kind == p.CHUNK_OFFSET_HOLE:
                start, count = p.CHUNK_HOLE.unpack(content)
                data[start] = bytes(count)
            else:
                raise AssertionError(f"chunk {kind}: {content!r}")
        place = offset
        for start, piece in sorted(data.items()):
            assert start == place
            place += len(piece)
        assert place == offset + length
        return b"".join(piece for _, piece in sorted(data.items()))


def named(name: bytes) -> bytes:
    """A text with its length in front."""
    return p.NAME_LENGTH.pack(len(name)) + name


def status_runs(content: bytes) -> list[tuple[int, int]]:
    """The (length, flags) of a BLOCK_STATUS chunk."""
    return list(p.STATUS_DESCRIPTOR.iter_unpack(content[p.STATUS_HEAD.size :]))


def extended_status_runs(content: bytes) -> list[tuple[int, int]]:
    runs: list[Any] = list(p.STATUS_EXT_DESCRIPTOR.iter_unpack(content[p.STATUS_EXT_HEAD.size :]))
    assert p.STATUS_EXT_HEAD.unpack_from(content)[1] == len(runs)
    return runs
