"""Servers that lie, stall or die: our client says so in one line, and neither hangs nor fills memory."""

from __future__ import annotations

import random
import resource
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import imgtools
from imgtools.errors import ImageError, InputOutput
from imgtools.nbd import protocol as p
from tests.conftest import run
from tests.nbd.conftest import MIB

SIZE = 8 * MIB
GREETING = p.GREETING.pack(p.INIT_MAGIC, p.OPTION_MAGIC, p.FIXED_NEWSTYLE | p.NO_ZEROES)
FLAGS = p.HAS_FLAGS | p.SEND_FLUSH | p.SEND_DF
Script = Callable[["Liar"], None]


class Gone(Exception):
    """The client has hung up."""


class Liar:
    """A server's side of one connection, which does what a test has it do."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def take(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            piece = self.connection.recv(length - len(data))
            if not piece:
                raise Gone
            data += piece
        return data

    def say(self, data: bytes) -> None:
        self.connection.sendall(data)

    def option(self) -> int:
        """The next option that the client sends."""
        _, option, length = p.OPTION.unpack(self.take(p.OPTION.size))
        self.take(length)
        return int(option)

    def reply(self, option: int, type: int, data: bytes = b"", length: int | None = None) -> None:
        """A reply, whose length may be a lie."""
        size = len(data) if length is None else length
        self.say(p.OPTION_REPLY.pack(p.OPTION_REPLY_MAGIC, option, type, size) + data)

    def greet(self) -> None:
        self.say(GREETING)
        self.take(p.CLIENT_FLAGS.size)

    def let_in(self, size: int = SIZE, blocks: tuple[int, int, int] = (1, 4096, p.MAX_PAYLOAD)) -> None:
        """An honest handshake with structured replies and base:allocation, which has the number 7."""
        self.greet()
        while True:
            option = self.option()
            if option == p.OPT_EXTENDED_HEADERS:
                self.reply(option, p.REP_ERR_UNSUP)
                continue
            if option == p.OPT_SET_META_CONTEXT:
                self.reply(option, p.REP_META_CONTEXT, p.CONTEXT_ID.pack(7) + p.BASE_ALLOCATION.encode())
            if option == p.OPT_GO:
                self.reply(option, p.REP_INFO, p.INFO_BLOCK_SIZE_DATA.pack(p.INFO_BLOCK_SIZE, *blocks))
                self.reply(option, p.REP_INFO, p.INFO_EXPORT_DATA.pack(p.INFO_EXPORT, size, FLAGS))
            self.reply(option, p.REP_ACK)
            if option == p.OPT_GO:
                return

    def request(self) -> tuple[int, int, int, int]:
        """The next request: (command, cookie, offset, length)."""
        _, _, command, cookie, offset, length = p.REQUEST.unpack(self.take(p.REQUEST.size))
        return command, cookie, offset, length

    def chunk(self, cookie: int, kind: int, data: bytes, flags: int = p.REPLY_DONE, length: int | None = None) -> None:
        size = len(data) if length is None else length
        self.say(p.STRUCTURED_REPLY.pack(p.STRUCTURED_REPLY_MAGIC, flags, kind, cookie, size) + data)

    def linger(self) -> None:
        """Say nothing more until the client has had enough."""
        while self.connection.recv(1 << 16):
            pass


@pytest.fixture
def lies(tmp_path: Path) -> Iterator[Callable[[Script], str]]:
    """`lies(script)`: the path of the socket where such a server listens; every connection gets the script."""
    listening: list[socket.socket] = []
    connections: list[socket.socket] = []

    def serve(script: Script, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connections.append(connection)
            try:
                script(Liar(connection))
                Liar(connection).linger()
            except (Gone, OSError):
                pass
            connection.close()

    def start(script: Script) -> str:
        listener = socket.socket(socket.AF_UNIX)
        path = str(tmp_path / f"liar{len(listening)}.sock")
        listener.bind(path)
        listener.listen()
        listening.append(listener)
        threading.Thread(target=serve, args=(script, listener), daemon=True).start()
        return path

    yield start
    for each in (*listening, *connections):
        try:
            each.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        each.close()


def honest_up_to(liar: Liar, option: int) -> None:
    """The handshake until the client sends that option; of the others all but extended headers are agreed to."""
    liar.greet()
    while (asked := liar.option()) != option:
        liar.reply(asked, p.REP_ERR_UNSUP if asked == p.OPT_EXTENDED_HEADERS else p.REP_ACK)


def replies(option: int, *answers: tuple[int, bytes] | tuple[int, bytes, int]) -> Script:
    """Answer an option with these replies: (type, data) or (type, data, claimed length)."""

    def script(liar: Liar) -> None:
        honest_up_to(liar, option)
        for answer in answers:
            liar.reply(option, *answer)

    return script


def endless(option: int, type: int, data: bytes) -> Script:
    """Answer an option with this reply, over and over."""

    def script(liar: Liar) -> None:
        honest_up_to(liar, option)
        while True:
            liar.reply(option, type, data)

    return script


def info(size: int) -> tuple[int, bytes]:
    return p.REP_INFO, p.INFO_EXPORT_DATA.pack(p.INFO_EXPORT, size, FLAGS)


def sizes(*blocks: int) -> tuple[int, bytes]:
    return p.REP_INFO, p.INFO_BLOCK_SIZE_DATA.pack(p.INFO_BLOCK_SIZE, *blocks)


HANDSHAKES: dict[str, tuple[Script, str]] = {
    "hangs up at once": (lambda liar: liar.connection.close(), "closed the connection"),
    "speaks HTTP": (lambda liar: liar.say(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "Bad initial magic"),
    "the old handshake": (
        lambda liar: liar.say(p.INIT_MAGIC + p.OLDSTYLE_MAGIC.to_bytes(8, "big") + bytes(136)),
        "old",
    ),
    "half a greeting": (lambda liar: (liar.say(GREETING[:10]), liar.connection.close()), "closed the connection"),
    "no fixed newstyle": (lambda liar: liar.say(GREETING[:-2] + b"\0\0"), "fixed"),
    "another magic": (lambda liar: (liar.greet(), liar.option(), liar.say(bytes(20))), "breaks the protocol"),
    "an answer to another option": (
        lambda liar: (liar.greet(), liar.option(), liar.reply(99, p.REP_ACK)),
        "breaks the protocol",
    ),
    "a reply of 4 GiB": (replies(p.OPT_GO, (p.REP_INFO, b"", (1 << 32) - 1)), "breaks the protocol"),
    "no size": (replies(p.OPT_GO, (p.REP_ACK, b"")), "breaks the protocol"),
    "a size beyond all bounds": (replies(p.OPT_GO, info((1 << 64) - 1), (p.REP_ACK, b"")), "breaks the protocol"),
    "a block of 3 bytes": (replies(p.OPT_GO, sizes(3, 4096, MIB), info(SIZE), (p.REP_ACK, b"")), "block sizes of 3"),
    "a block of 2 GiB": (
        replies(p.OPT_GO, sizes(1 << 31, 1 << 31, 1 << 31), info(SIZE), (p.REP_ACK, b"")),
        "breaks the protocol",
    ),
    "a payload of nothing": (replies(p.OPT_GO, sizes(1, 512, 0), info(SIZE), (p.REP_ACK, b"")), "largest payload of 0"),
    "information without end": (endless(p.OPT_GO, *info(SIZE)), "more than"),
    "a refusal": (replies(p.OPT_GO, (p.REP_ERR_UNKNOWN, b"no \x1b[31msuch\nthing")), "Requested export not available"),
}


@pytest.mark.parametrize("lie", HANDSHAKES)
def test_in_the_handshake(lie: str, lies: Callable[[Script], str]) -> None:
    script, said = HANDSHAKES[lie]
    done = run(sys.executable, "-m", "imgtools", "info", f"nbd+unix:///?socket={lies(script)}", check=False)
    assert done.returncode == 1 and said in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and "\x1b" not in done.stderr and len(done.stderr.splitlines()) <= 2


def test_a_list_without_end(lies: Callable[[Script], str]) -> None:
    path = lies(endless(p.OPT_LIST, p.REP_SERVER, p.NAME_LENGTH.pack(1) + b"x"))
    done = run(sys.executable, "-m", "imgtools", "nbd", "list", f"nbd+unix:///?socket={path}", check=False)
    assert done.returncode == 1 and "more than 10000 replies" in done.stderr, done.stderr


def answers(*chunks: Callable[[Liar, int, int, int], None]) -> Script:
    """Let the client in, and answer its first request like this."""

    def script(liar: Liar) -> None:
        liar.let_in()
        _, cookie, offset, length = liar.request()
        for chunk in chunks:
            chunk(liar, cookie, offset, length)

    return script


def data(at: int, length: int, flags: int = p.REPLY_DONE) -> Callable[[Liar, int, int, int], None]:
    """A chunk of `length` bytes, `at` bytes from where was asked."""
    return lambda liar, cookie, offset, _: liar.chunk(
        cookie, p.CHUNK_OFFSET_DATA, p.CHUNK_OFFSET.pack((offset + at) % (1 << 64)) + bytes(length), flags
    )


READS: dict[str, tuple[Script, str]] = {
    "dies": (answers(lambda liar, *_: liar.connection.close()), "closed the connection"),
    "dies within the data": (
        answers(lambda liar, cookie, *_: (liar.chunk(cookie, p.CHUNK_OFFSET_DATA, bytes(99)), liar.connection.close())),
        "data that was not asked for|closed",
    ),
    "another magic": (answers(lambda liar, *_: liar.say(bytes(32))), "invalid magic"),
    "another cookie": (answers(lambda liar, cookie, *_: liar.chunk(cookie + 1, p.CHUNK_NONE, b"")), "not made"),
    "the same twice": (answers(data(0, 4096, 0), data(0, 4096)), "more data than was asked for"),
    "too little": (answers(data(0, 100)), "100 bytes for a read of 4096"),
    "too much": (answers(data(0, 8192)), "not asked for"),
    "from elsewhere": (answers(data(4096, 4096)), "not asked for"),
    "from before": (answers(data(-1, 4096)), "not asked for"),
    "a chunk of 4 GiB": (
        answers(
            lambda liar, cookie, offset, _: liar.chunk(
                cookie, p.CHUNK_OFFSET_DATA, p.CHUNK_OFFSET.pack(offset), length=(1 << 32) - 1
            )
        ),
        "not asked for",
    ),
    "a hole of 4 GiB": (
        answers(
            lambda liar, cookie, offset, _: liar.chunk(
                cookie, p.CHUNK_OFFSET_HOLE, p.CHUNK_HOLE.pack(offset, (1 << 32) - 1)
            )
        ),
        "not asked for",
    ),
    "an error of 1 GiB": (
        answers(lambda liar, cookie, *_: liar.chunk(cookie, p.CHUNK_ERROR, b"", length=1 << 30)),
        "an error of",
    ),
    "no error": (
        answers(lambda liar, cookie, *_: liar.chunk(cookie, p.CHUNK_ERROR, p.CHUNK_ERROR_HEAD.pack(0, 0))),
        "without a number",
    ),
    "an unknown chunk": (answers(lambda liar, cookie, *_: liar.chunk(cookie, 99, b"x")), "a chunk of type 99"),
    "a simple reply": (
        answers(
            lambda liar, cookie, _, length: liar.say(
                p.SIMPLE_REPLY.pack(p.SIMPLE_REPLY_MAGIC, 0, cookie) + bytes(length)
            )
        ),
        "simple reply",
    ),
    "an honest error": (
        answers(lambda liar, cookie, *_: liar.chunk(cookie, p.CHUNK_ERROR, p.CHUNK_ERROR_HEAD.pack(p.EIO, 3) + b"bad")),
        "could not read",
    ),
}


@pytest.mark.parametrize("lie", READS)
def test_in_a_read(lie: str, lies: Callable[[Script], str]) -> None:
    script, said = READS[lie]
    with (
        imgtools.open({"driver": "nbd", "server.path": lies(script)}) as node,
        pytest.raises(InputOutput, match=said),
    ):
        node.read(MIB, 4096)


STATUSES: dict[str, bytes] = {
    "nothing": p.STATUS_HEAD.pack(7),
    "another context": p.STATUS_HEAD.pack(8) + p.STATUS_DESCRIPTOR.pack(SIZE, 0),
    "half a descriptor": p.STATUS_HEAD.pack(7) + p.STATUS_DESCRIPTOR.pack(SIZE, 0)[:5],
    "no bytes": p.STATUS_HEAD.pack(7) + p.STATUS_DESCRIPTOR.pack(0, 0),
}


@pytest.mark.parametrize("lie", STATUSES)
def test_in_a_block_status(lie: str, lies: Callable[[Script], str]) -> None:
    path = lies(answers(lambda liar, cookie, *_: liar.chunk(cookie, p.CHUNK_BLOCK_STATUS, STATUSES[lie])))
    with imgtools.open({"driver": "nbd", "server.path": path}) as node, pytest.raises(InputOutput):
        list(node.extents(0, SIZE))


def test_silence(lies: Callable[[Script], str]) -> None:
    """A server that owes an answer and says nothing is given up after `timeout` seconds."""
    options = {"driver": "nbd", "server.path": lies(answers()), "timeout": "1"}
    with imgtools.open(options) as node, pytest.raises(InputOutput, match="does not answer"):
        node.read(0, 4096)


def test_fuzz(lies: Callable[[Script], str]) -> None:
    """Honest answers, and then bits that are not: an error of ours, or the bytes that the server sent."""
    honest = bytearray()

    class Recorder(Liar):
        def say(self, data: bytes) -> None:
            honest.extend(data)
            super().say(data)

    def record(liar: Liar) -> None:
        recorder = Recorder(liar.connection)
        recorder.let_in()
        _, cookie, offset, length = recorder.request()
        recorder.chunk(cookie, p.CHUNK_OFFSET_DATA, p.CHUNK_OFFSET.pack(offset) + b"x" * length)

    with imgtools.open({"driver": "nbd", "server.path": lies(record)}) as node:
        assert node.read(0, 64) == b"x" * 64
    chance = random.Random(11)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def lie(liar: Liar) -> None:
        damaged = bytearray(honest)
        for _ in range(chance.randrange(1, 5)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        liar.say(damaged)
        liar.connection.shutdown(socket.SHUT_WR)

    path = lies(lie)
    for _ in range(200):
        try:
            with imgtools.open({"driver": "nbd", "server.path": path, "timeout": "5"}) as node:
                node.read(0, 64)
        except ImageError as error:
            assert "\n" not in error.message
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 1_000_000  # KiB
