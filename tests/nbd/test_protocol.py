"""The server to the letter of the protocol, and the quick ways give the bytes of the plain one."""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import imgtools
from imgtools.block.node import Filter
from imgtools.errors import InputOutput
from imgtools.nbd import protocol as p
from imgtools.nbd.server import waiting
from imgtools.nbd.server.export import Export
from imgtools.nbd.server.listen import listen_unix
from imgtools.nbd.server.server import Server as Threads
from tests.nbd.conftest import MIB, SIZE, content_of
from tests.nbd.serving import Client, Server, extended_status_runs, named, status_runs

Serve = Callable[..., Server]
EXTENSIONS = [None, p.OPT_STRUCTURED_REPLY, p.OPT_EXTENDED_HEADERS]
by_extension = pytest.mark.parametrize("extension", EXTENSIONS, ids=["simple", "structured", "extended"])

RANGES = [
    (0, 1),
    (MIB - 1, 2),
    (MIB, 65535),
    (MIB, 65536),
    (MIB + 7, 70000),
    (5 * MIB, 4096),
    (MIB - 5000, MIB),
    (0, 20 * MIB),
    (7 * MIB + 123, 9 * MIB + 77),
    (SIZE - 8192, 8192),
    (SIZE - 32 * MIB, 32 * MIB),
]
"""Small and large, across the borders of data, holes and pieces."""


@by_extension
def test_reads(extension: int | None, disk: Path, serve: Serve) -> None:
    expected = content_of(disk)
    with Client(serve(disk, "--read-only"), extension) as client:
        assert client.size == SIZE
        for offset, length in RANGES:
            data = client.read(offset, length, simple=extension is None)
            assert data == expected[offset : offset + length], (offset, length)
            if extension is not None:
                cookie = client.send(p.CMD_READ, offset, length, flags=p.FLAG_DF)
                ((kind, content),) = client.chunks(cookie)
                assert kind == p.CHUNK_OFFSET_DATA
                assert content == p.CHUNK_OFFSET.pack(offset) + expected[offset : offset + length]


@by_extension
def test_changes(extension: int | None, disk: Path, serve: Serve) -> None:
    expected = bytearray(content_of(disk))
    chance = random.Random(5)
    server = serve(disk)
    with Client(server, extension) as client:
        for length in (1, 511, 4096, 65535, 65536, 65537, 300_000, MIB, MIB + 1, 5 * MIB, 32 * MIB):
            offset, data = chance.randrange(SIZE - length), chance.randbytes(length)
            expected[offset : offset + length] = data
            assert client.ask(p.CMD_WRITE, offset, data=data, flags=chance.choice((0, p.FLAG_FUA))) == 0
        for flags in (0, p.FLAG_NO_HOLE, p.FLAG_FUA):
            offset, length = chance.randrange(SIZE // 2), chance.randrange(3 * MIB)
            expected[offset : offset + length] = bytes(length)
            assert client.ask(p.CMD_WRITE_ZEROES, offset, length, flags=flags) == 0
        assert client.ask(p.CMD_TRIM, 40 * MIB, MIB) == 0
        for flags in (0, p.FLAG_FUA):  # which any command may have
            assert client.ask(p.CMD_CACHE, 0, MIB, flags=flags) == 0
            assert client.ask(p.CMD_FLUSH, flags=flags) == 0
            assert client.read(0, 512, flags, simple=extension is None) == expected[:512]
        client.send(p.CMD_DISC)
    assert server.stop() == 0
    assert not server.said()
    after = content_of(disk)
    trimmed = slice(40 * MIB, 41 * MIB)
    expected[trimmed] = after[trimmed]
    assert after == expected


@by_extension
def test_bursts_are_answered_as_single_requests_are(extension: int | None, disk: Path, serve: Serve) -> None:
    expected = bytearray(content_of(disk))
    chance = random.Random(6)
    with Client(serve(disk), extension) as client:
        for _ in range(20):
            burst, wanted = b"", {}
            for cookie in range(1, 80):
                offset, length = chance.randrange(SIZE - 70000), chance.choice((512, 4096, 4096, 30000, 66000))
                if chance.random() < 0.3:
                    offset = cookie * 131072 + chance.randrange(60000)
                    data = chance.randbytes(length)
                    flags = p.FLAG_PAYLOAD_LEN if client.extended else 0
                    burst += client.request(p.CMD_WRITE, offset, length, flags, cookie) + data
                    expected[offset : offset + length] = data
                    wanted[cookie] = 0
            while burst:
                count = chance.randrange(1, 200_000)
                client.socket.sendall(burst[:count])
                burst = burst[count:]
            while wanted:
                cookie, _, kind, _ = client.chunk()
                assert kind == p.CHUNK_NONE
                del wanted[cookie]
            places = [chance.randrange(SIZE - 5000) for _ in range(64)]
            requests = [client.request(p.CMD_READ, place, 4096, 0, cookie) for cookie, place in enumerate(places)]
            client.socket.sendall(b"".join(requests))
            for _ in places:
                if extension is None:
                    _, error, cookie = p.SIMPLE_REPLY.unpack(client.receive(p.SIMPLE_REPLY.size))
                    data, kind = client.receive(4096), p.CHUNK_OFFSET_DATA
                    assert not error
                else:
                    cookie, _, kind, content = client.chunk()
                    data = content[p.CHUNK_OFFSET.size :]
                assert kind == p.CHUNK_OFFSET_DATA
                assert data == expected[places[cookie] : places[cookie] + 4096]


@by_extension
def test_requests_that_make_no_sense(extension: int | None, disk: Path, serve: Serve) -> None:
    beyond = SIZE - 100
    with Client(serve(disk), extension) as client:
        assert client.ask(p.CMD_READ, beyond, 4096) == p.EINVAL
        assert client.ask(p.CMD_READ, 1 << 63, 4096) == p.EINVAL
        assert client.ask(p.CMD_READ, 0, 33 * MIB) == p.EINVAL
        assert client.ask(p.CMD_WRITE, beyond, data=bytes(4096)) == p.ENOSPC
        assert client.ask(p.CMD_WRITE, beyond, data=bytes(3 * MIB)) == p.ENOSPC
        assert client.ask(p.CMD_WRITE_ZEROES, beyond, 4096) == p.ENOSPC
        assert client.ask(p.CMD_TRIM, beyond, 4096) == p.EINVAL
        assert client.ask(p.CMD_CACHE, beyond, 4096) == p.EINVAL
        assert client.ask(p.CMD_BLOCK_STATUS, 0, 4096) == p.EINVAL  # no context was agreed upon
        assert client.ask(4711) == p.EINVAL
        assert client.ask(p.CMD_FLUSH, flags=p.FLAG_DF) == p.EINVAL
        assert client.ask(p.CMD_WRITE, 0, data=b"x", flags=p.FLAG_NO_HOLE) == p.EINVAL
        assert client.read(0, 4096, simple=extension is None) == bytes(4096)  # and all the same it goes on


@by_extension
def test_nothing_is_asked_for(extension: int | None, disk: Path, serve: Serve) -> None:
    with Client(serve(disk), extension) as client:
        for command in (p.CMD_READ, p.CMD_TRIM, p.CMD_WRITE_ZEROES, p.CMD_CACHE):
            assert client.ask(command, 4096, 0) == 0
        assert client.chunks(client.send(p.CMD_READ, 0, 0)) == [(p.CHUNK_NONE, b"")]


def test_read_only(disk: Path, serve: Serve) -> None:
    with Client(serve(disk, "-r")) as client:
        assert client.flags & p.READ_ONLY
        assert client.ask(p.CMD_WRITE, 0, data=b"x" * 4096) == p.EPERM
        assert client.ask(p.CMD_WRITE, 0, data=b"x" * MIB) == p.EPERM
        assert client.ask(p.CMD_WRITE_ZEROES, 0, 4096) == p.EPERM
        assert client.ask(p.CMD_TRIM, 0, 4096) == p.EPERM
        assert client.ask(p.CMD_FLUSH) == 0


def test_fast_zero(disk: Path, serve: Serve) -> None:
    with Client(serve(disk), p.OPT_STRUCTURED_REPLY) as client:
        assert client.flags & p.SEND_FAST_ZERO
        assert client.ask(p.CMD_WRITE_ZEROES, 30 * MIB, MIB, flags=p.FLAG_FAST_ZERO) == 0
        assert client.ask(p.CMD_WRITE_ZEROES, MIB, MIB, flags=p.FLAG_FAST_ZERO) in (0, p.ENOTSUP)


def test_block_status(disk: Path, serve: Serve) -> None:
    with Client(serve(disk, "--allocation-depth"), p.OPT_STRUCTURED_REPLY, go=False) as client:
        numbers = client.contexts(p.BASE_ALLOCATION.encode(), p.ALLOCATION_DEPTH.encode(), b"no:such")
        assert len(numbers) == 2
        client.go()
        chunks = client.chunks(client.send(p.CMD_BLOCK_STATUS, 0, 16 * MIB))
        assert [kind for kind, _ in chunks] == [p.CHUNK_BLOCK_STATUS] * 2
        assert [p.STATUS_HEAD.unpack_from(content)[0] for _, content in chunks] == numbers
        for _, content in chunks:
            assert sum(length for length, _ in status_runs(content)) == 16 * MIB
        allocation = status_runs(chunks[0][1])
        hole = p.STATE_HOLE | p.STATE_ZERO
        assert (3 * MIB, 0) in allocation and all(flags in (0, hole) for _, flags in allocation)
        content = client.chunks(client.send(p.CMD_BLOCK_STATUS, MIB, 16 * MIB, flags=p.FLAG_REQ_ONE))[0][1]
        assert status_runs(content) == [(3 * MIB, 0)]


def test_extended_block_status(disk: Path, serve: Serve) -> None:
    with Client(serve(disk, "--allocation-depth"), p.OPT_EXTENDED_HEADERS, go=False) as client:
        numbers = client.contexts(p.BASE_ALLOCATION.encode(), p.ALLOCATION_DEPTH.encode())
        client.go()
        chunks = client.chunks(client.send(p.CMD_BLOCK_STATUS, 0, SIZE))
        assert [kind for kind, _ in chunks] == [p.CHUNK_BLOCK_STATUS_EXT] * 2
        for _, content in chunks:
            assert sum(length for length, _ in extended_status_runs(content)) == SIZE
        wanted = p.STATUS_PAYLOAD.pack(4 * MIB) + p.CONTEXT_ID.pack(numbers[1])
        cookie = client.send(p.CMD_BLOCK_STATUS, 0, data=wanted, flags=p.FLAG_PAYLOAD_LEN)
        ((kind, content),) = client.chunks(cookie)
        assert kind == p.CHUNK_BLOCK_STATUS_EXT
        assert p.STATUS_EXT_HEAD.unpack_from(content)[0] == numbers[1]
        assert sum(length for length, _ in extended_status_runs(content)) == 4 * MIB
        unknown = p.STATUS_PAYLOAD.pack(4096) + p.CONTEXT_ID.pack(99)
        assert client.ask(p.CMD_BLOCK_STATUS, 0, data=unknown) == p.EINVAL
        assert client.ask(p.CMD_BLOCK_STATUS, 0, data=b"short") == p.EINVAL
        assert client.ask(p.CMD_READ, 0, data=bytes(70000)) == p.EINVAL  # data where none belongs is thrown away
        assert client.ask(p.CMD_WRITE_ZEROES, 0, SIZE) == 0


def test_options(disk: Path, serve: Serve) -> None:
    server = serve(disk, "--name", "a disk", "--description", "for tests")
    with Client(server, p.OPT_STRUCTURED_REPLY, go=False) as client:
        text = b"a disk"
        assert client.option(p.OPT_LIST) == [(p.REP_SERVER, named(text) + b"for tests"), (p.REP_ACK, b"")]
        assert client.option(p.OPT_INFO, named(b"other") + p.COUNT16.pack(0))[0][0] == p.REP_ERR_UNKNOWN
        asked = named(text) + p.COUNT16.pack(2) + p.INFO_TYPE.pack(p.INFO_NAME) + p.INFO_TYPE.pack(p.INFO_DESCRIPTION)
        told = {p.INFO_TYPE.unpack_from(data)[0]: data[2:] for _, data in client.option(p.OPT_INFO, asked)[:-1]}
        assert told[p.INFO_NAME] == text and told[p.INFO_DESCRIPTION] == b"for tests"
        query = named(text) + p.COUNT32.pack(1) + named(b"base:")
        assert [kind for kind, _ in client.option(p.OPT_LIST_META_CONTEXT, query)] == [p.REP_META_CONTEXT, p.REP_ACK]
        assert client.option(p.OPT_STARTTLS)[0][0] == p.REP_ERR_POLICY
        for number, data, error in (
            (4711, b"", p.REP_ERR_UNSUP),
            (p.OPT_LIST, b"x", p.REP_ERR_INVALID),
            (p.OPT_INFO, b"\0", p.REP_ERR_INVALID),
            (p.OPT_INFO, named(text), p.REP_ERR_INVALID),
            (p.OPT_INFO, named(text) + p.COUNT16.pack(9), p.REP_ERR_INVALID),
            (p.OPT_INFO, p.NAME_LENGTH.pack(99), p.REP_ERR_INVALID),
            (p.OPT_INFO, named(b"\xff") + p.COUNT16.pack(0), p.REP_ERR_INVALID),
            (p.OPT_INFO, named(b"x" * 5000) + p.COUNT16.pack(0), p.REP_ERR_INVALID),
            (p.OPT_SET_META_CONTEXT, named(text) + p.COUNT32.pack(1 << 31), p.REP_ERR_TOO_BIG),
            (p.OPT_LIST, bytes(1 << 20), p.REP_ERR_TOO_BIG),
        ):
            assert client.option(number, data)[-1][0] == error, (number, data[:20])
        assert client.option(p.OPT_ABORT)[0][0] == p.REP_ACK
    assert not server.said()


def test_export_name(disk: Path, serve: Serve) -> None:
    server = serve(disk)
    with Client(server, go=False) as client:
        client.socket.sendall(p.OPTION.pack(p.OPTION_MAGIC, p.OPT_EXPORT_NAME, 0))
        size, flags = p.EXPORT_NAME_REPLY.unpack(client.receive(p.EXPORT_NAME_REPLY.size))
        assert size == SIZE and flags & p.HAS_FLAGS
        assert client.read(0, 4096, simple=True) == bytes(4096)
    with Client(server, go=False) as client, pytest.raises(EOFError):
        client.socket.sendall(p.OPTION.pack(p.OPTION_MAGIC, p.OPT_EXPORT_NAME, 1) + b"x")
        client.receive(1)
    assert "export 'x' not present" in server.said()


@contextmanager
def served(*exports: Export, folder: Path) -> Iterator[Any]:
    """A server in a thread of this process: what `Client` connects to."""
    listener = listen_unix(str(folder / "thread.sock"))
    with Threads(exports, [listener]):
        yield SimpleNamespace(socket=listener.path)


def test_contexts_belong_to_one_export(disk: Path, tmp_path: Path) -> None:
    """What was agreed upon for one export does not hold for another."""
    with (
        imgtools.open(str(disk), format=disk.suffix[1:]) as node,
        served(Export(node), Export(node, "other"), folder=tmp_path) as server,
        Client(server, p.OPT_STRUCTURED_REPLY, go=False) as client,
    ):
        client.contexts(p.BASE_ALLOCATION.encode())
        client.go(b"other")
        assert client.ask(p.CMD_BLOCK_STATUS, 0, 4096) == p.EINVAL


class Fails(Filter):
    """Reads fail from 4 MiB on."""

    def readinto(self, offset: int, buffer: memoryview) -> None:
        if offset + len(buffer) > 4 * MIB:
            raise InputOutput("a bad sector", errno=errno.EIO)
        super().readinto(offset, buffer)


@by_extension
def test_reads_that_fail(extension: int | None, disk: Path, tmp_path: Path) -> None:
    """Filters are not passed by, small and large reads tell the error, and where that cannot be told it is the end."""
    with (
        imgtools.open(str(disk), format=disk.suffix[1:]) as node,
        served(Export(Fails(node)), folder=tmp_path) as server,
        Client(server, extension) as client,
    ):
        simple = extension is None
        assert client.read(MIB, 3 * MIB, simple=simple) == bytes(range(256)) * (3 * MIB // 256)
        for length in (512, 70_000, MIB):
            chunks = client.chunks(client.send(p.CMD_READ, 8 * MIB, length))
            assert p.CHUNK_ERROR_HEAD.unpack_from(chunks[-1][1])[0] == p.EIO
        assert client.read(MIB, 512, simple=simple) == bytes(range(256)) * 2
        if simple:
            client.send(p.CMD_READ, MIB, 16 * MIB)
            with pytest.raises((EOFError, ConnectionError)):
                client.receive(16 * MIB)


def test_one_request_at_a_time(disk: Path, serve: Serve) -> None:
    """Long enough that the server waits in each of its ways; some requests come in two pieces, or after a pause."""
    expected, chance = bytearray(content_of(disk)), random.Random(8)
    with Client(serve(disk)) as client:
        for count in range(3 * waiting.TRIAL):
            offset = chance.randrange(SIZE - 4096)
            if chance.random() < 0.3:
                data = chance.randbytes(512)
                assert client.ask(p.CMD_WRITE, offset, data=data) == 0
                expected[offset : offset + 512] = data
            elif chance.random() < 0.2:
                request = client.request(p.CMD_READ, offset, 512, cookie=count)
                client.socket.sendall(request[:9])
                time.sleep(0.001)
                client.socket.sendall(request[9:])
                assert p.SIMPLE_REPLY.unpack(client.receive(p.SIMPLE_REPLY.size))[1:] == (0, count)
                assert client.receive(512) == expected[offset : offset + 512]
            else:
                assert client.read(offset, 4096, simple=True) == expected[offset : offset + 4096]
