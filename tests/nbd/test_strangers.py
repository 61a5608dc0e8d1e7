"""Clients that mean no good, or cannot help it: the others are served on, and nothing grows without bound."""

from __future__ import annotations

import random
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from imgtools.nbd import protocol as p
from tests.conftest import PATIENCE, TRIES, wait_until
from tests.nbd.conftest import MIB, SIZE, content_of
from tests.nbd.serving import Client, Server, named

Serve = Callable[..., Server]
HELLO = p.CLIENT_FLAGS.pack(p.FIXED_NEWSTYLE | p.NO_ZEROES)
GO = p.OPTION.pack(p.OPTION_MAGIC, p.OPT_GO, 6) + named(b"") + p.COUNT16.pack(0)


def request(command: int, offset: int, length: int, magic: int = p.REQUEST_MAGIC) -> bytes:
    return p.REQUEST.pack(magic, 0, command, 1, offset, length)


NONSENSE = {
    "hangs up at once": (b"", None),
    "wrong flags": (p.CLIENT_FLAGS.pack(1 << 9), "flags are 0x200"),
    "speaks HTTP": (b"GET / HTTP/1.1\r\n\r\n", "flags are"),
    "wrong option magic": (HELLO + bytes(16), "wrong magic"),
    "half an option": (HELLO + GO[:20], "hung up in the middle of the handshake"),
    "an option of 4 GiB": (HELLO + p.OPTION.pack(p.OPTION_MAGIC, p.OPT_LIST, (1 << 32) - 1), "4294967295 bytes"),
    "an unknown export": (HELLO + p.OPTION.pack(p.OPTION_MAGIC, p.OPT_EXPORT_NAME, 1) + b"x", "not present"),
    "wrong request magic": (HELLO + GO + request(p.CMD_READ, 0, 1, magic=7), "begins with 0x00000007"),
    "half a request": (HELLO + GO + request(p.CMD_READ, 0, 1)[:9], "in the middle of a request"),
    "a write of 4 GiB": (HELLO + GO + request(p.CMD_WRITE, 0, (1 << 32) - 1), "4294967295 bytes of data"),
    "vanishes before its data": (HELLO + GO + request(p.CMD_WRITE, 0, 4096), "in the middle of a request"),
    "vanishes within its data": (HELLO + GO + request(p.CMD_WRITE, 0, MIB) + b"x" * 70000, "in the middle of a"),
}


def connect(server: Server) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(server.socket))
    client.settimeout(PATIENCE)
    return client


def say(client: socket.socket, words: bytes) -> None:
    """Send what there is to say, and listen until the server hangs up."""
    try:
        client.sendall(words)
        client.shutdown(socket.SHUT_WR)
        while client.recv(1 << 16):
            pass
    except ConnectionError:
        pass  # it had heard enough


def test_nonsense(disk: Path, serve: Serve) -> None:
    before = content_of(disk)
    server = serve(disk)
    with Client(server) as neighbour:
        for number, (words, said) in enumerate(NONSENSE.values()):
            lines = len(server.said().splitlines())
            with connect(server) as client:
                say(client, words)
            assert neighbour.read(number * MIB, 4096, simple=True) == before[number * MIB : number * MIB + 4096]
            wait_until(lambda lines=lines: len(server.said().splitlines()) > lines)
            log = server.said().splitlines()[lines:]
            assert len(log) == 1 and (said or "hung up") in log[0], (words, log)
    assert server.stop() == 0
    assert content_of(disk) == before


def test_fuzz(disk: Path, serve: Serve) -> None:
    """Sound beginnings, and then bits that are not: whatever comes, the server says one line and serves on."""
    before, chance = content_of(disk), random.Random(7)
    server = serve(disk, "--read-only")
    sound = HELLO + p.OPTION.pack(p.OPTION_MAGIC, p.OPT_STRUCTURED_REPLY, 0) + GO
    sound += b"".join(request(chance.randrange(9), chance.randrange(SIZE), 4096) for _ in range(20))
    for _ in range(150):
        damaged = bytearray(sound)
        for _ in range(chance.randrange(1, 6)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        with connect(server) as client:
            say(client, damaged)
    with Client(server) as client:
        assert client.read(MIB, 4096, simple=True) == before[MIB : MIB + 4096]
    assert server.stop() == 0
    assert "internal error" not in server.said() and "Traceback" not in server.said()


def test_half_handshakes_are_cut_off(disk: Path, serve: Serve) -> None:
    server = serve(disk, "--handshake-limit=1", "--clients=20")
    idle = [connect(server) for _ in range(20)]
    with patient_client(server) as client:  # all places are taken until the limit is reached
        assert client.read(0, 512, simple=True) == bytes(512)
    wait_until(lambda: server.said().count("the handshake took too long") >= len(idle))
    for stalled in idle:
        stalled.close()


def patient_client(server: Server) -> Client:
    """One that comes again where it was turned away: there was no room yet, or this process stood still too long."""
    for _ in range(TRIES):
        try:
            return Client(server)
        except (EOFError, ConnectionError):
            time.sleep(0.1)
    raise AssertionError("no client is let in")


def test_many_clients_that_take_no_answers(disk: Path, serve: Serve) -> None:
    """Their answers wait in a bounded buffer each, and neither other clients nor the end of the server do."""
    server = serve(disk, "--read-only")
    slow = [Client(server) for _ in range(30)]
    for client in slow:
        client.socket.sendall(request(p.CMD_READ, 0, 32 * MIB) * 100)
    with Client(server) as client:
        assert client.read(0, 512, simple=True) == bytes(512)
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    assert pages * 4096 < 400 * MIB
    for client in slow:
        client.socket.close()
    assert server.stop() == 0


def test_more_clients_than_may_come_wait(disk: Path, serve: Serve) -> None:
    server = serve(disk, "--clients=2")
    with Client(server), Client(server) as second:
        waiting = connect(server)
        waiting.settimeout(0.3)
        with pytest.raises(TimeoutError):
            waiting.recv(1)
        second.send(p.CMD_DISC)
        waiting.settimeout(PATIENCE)
        assert waiting.recv(8) == p.INIT_MAGIC
        waiting.close()


@contextmanager
def crowded(server: Server) -> Iterator[list[socket.socket]]:
    """More clients than the server has file descriptors for. One who is there is served, and one who comes later."""
    with Client(server) as neighbour:
        for process in server.processes():
            resource.prlimit(process, resource.RLIMIT_NOFILE, (24, 24))
        crowd = [connect(server) for _ in range(60)]
        yield crowd
        assert neighbour.read(0, 512, simple=True) == bytes(512)
        for client in crowd:
            client.close()
        with patient_client(server) as later:  # until the server has seen that they have gone
            assert later.size == SIZE


def test_no_file_descriptors_are_left(disk: Path, serve: Serve) -> None:
    server = serve(disk, "--clients", "0")
    with crowded(server):
        wait_until(lambda: "a client could not be accepted: Too many open files" in server.said())
    assert server.stop() == 0


def test_a_log_that_is_full(disk: Path, serve: Serve) -> None:
    server = serve(disk, "--clients", "0", log=Path("/dev/full"))
    with crowded(server) as crowd:
        for client in crowd[:10]:
            say(client, bytes(20))
    assert server.stop() == 0


def test_a_thousand_connections(disk: Path, serve: Serve) -> None:
    server = serve(disk, "--read-only")
    with Client(server) as neighbour:
        for _ in range(1000):
            connect(server).close()
        assert neighbour.read(0, 512, simple=True) == bytes(512)
    assert server.stop() == 0
