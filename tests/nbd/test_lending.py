"""Small reads that are answered out of the page cache get the bytes that others get, whatever happens to the file."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import imgtools
from imgtools.block.cached import TRUSTED
from imgtools.nbd import protocol as p
from tests.conftest import TRIES
from tests.nbd.conftest import MIB, SIZE, content_of
from tests.nbd.serving import Client, Server

Serve = Callable[..., Server]
pytestmark = pytest.mark.usefixtures("telling")
EXTENSIONS = [None, p.OPT_STRUCTURED_REPLY, p.OPT_EXTENDED_HEADERS]
PAGE = 4096


def burst(client: Client, *requests: bytes) -> None:
    client.socket.sendall(b"".join(requests))


def read(client: Client, offset: int, length: int = PAGE, cookie: int = 0) -> bytes:
    return client.request(p.CMD_READ, offset, length, 0, cookie)


def answers(client: Client, lengths: Sequence[int]) -> dict[int, bytes]:
    """The data of as many reads, by their cookies, which count `lengths`; an error is no data."""
    found = {}
    for _ in lengths:
        if client.structured:
            cookie, _, kind, content = client.chunk()
            found[cookie] = content[8:] if kind == p.CHUNK_OFFSET_DATA else b""
        else:
            magic, error, cookie = p.SIMPLE_REPLY.unpack(client.receive(p.SIMPLE_REPLY.size))
            assert magic == p.SIMPLE_REPLY_MAGIC
            found[cookie] = b"" if error else client.receive(lengths[cookie])
    return found


def make_lend(client: Client, server: Server, image: Path, places: Sequence[int]) -> None:
    """Read what is cached so often that the server maps the image; again, where the system has dropped some of it."""
    for _ in range(TRIES):
        for _ in range(TRUSTED // len(places) + 2):
            burst(client, *(read(client, place, cookie=number) for number, place in enumerate(places)))
            answers(client, [PAGE] * len(places))
        if is_mapped(server, image):
            return
    raise AssertionError("the image was not mapped")


def is_mapped(server: Server, image: Path) -> bool:
    return str(image) in Path(f"/proc/{server.process.pid}/maps").read_text()


DATA = [MIB + PAGE * number for number in range(64)]
"""Where the disk has data, in pages."""


@pytest.mark.parametrize("extension", EXTENSIONS, ids=["simple", "structured", "extended"])
def test_bursts(extension: int | None, disk: Path, serve: Serve) -> None:
    expected, chance = content_of(disk), random.Random(3)
    server = serve(disk, "--clients=1")
    with Client(server, extension) as client:
        make_lend(client, server, disk, DATA)
        for _ in range(30):
            lengths = [chance.choice((1, 512, 4096, 4096, 30000, 65535)) for _ in range(60)]
            places = [chance.randrange(MIB, SIZE - length) for length in lengths]
            requests = zip(places, lengths, strict=True)
            burst(client, *(read(client, *where, cookie) for cookie, where in enumerate(requests)))
            found = answers(client, lengths)
            for cookie, (place, length) in enumerate(zip(places, lengths, strict=True)):
                assert found[cookie] == expected[place : place + length]


def test_more_requests_than_one_call_may_send(disk: Path, serve: Serve) -> None:
    expected = content_of(disk)
    server = serve(disk, "--clients=1")
    with Client(server) as client:
        make_lend(client, server, disk, DATA)
        places = [DATA[number % 64] + number % 512 for number in range(3000)]
        burst(client, *(read(client, place, 8, cookie) for cookie, place in enumerate(places)))
        found = answers(client, [8] * len(places))
        assert all(found[cookie] == expected[place : place + 8] for cookie, place in enumerate(places))


def test_a_write_in_the_same_burst_does_not_change_an_earlier_read(disk: Path, serve: Serve) -> None:
    expected = content_of(disk)
    server = serve(disk, "--clients=1")
    with Client(server, p.OPT_STRUCTURED_REPLY) as client:
        make_lend(client, server, disk, DATA)
        for number, place in enumerate(DATA):
            new = bytes([number + 1]) * PAGE
            write = client.request(p.CMD_WRITE, place, PAGE, 0, 1) + new
            burst(client, read(client, place, cookie=0), write, read(client, place, cookie=2))
            found = answers(client, [0] * 3)
            assert found[0] == expected[place : place + PAGE]
            assert found[2] == new


def test_a_client_that_does_not_take_its_answers_gets_them_later(disk: Path, serve: Serve) -> None:
    expected, lengths = content_of(disk), [60000] * 40
    server = serve(disk, "--clients=1")
    with Client(server, p.OPT_STRUCTURED_REPLY) as client:
        make_lend(client, server, disk, DATA)
        for _ in range(5):
            places = [MIB + 4096 * number for number in range(40)]
            requests = zip(places, lengths, strict=True)
            burst(client, *(read(client, *where, cookie) for cookie, where in enumerate(requests)))
            time.sleep(0.05)  # the answers are more than a socket holds
            found = answers(client, lengths)
            assert all(found[cookie] == expected[place : place + 60000] for cookie, place in enumerate(places))


def test_a_file_that_is_cut_short_reads_as_zeroes_from_there(telling: Path, serve: Serve) -> None:
    disk = telling / "disk.raw"
    content = random.Random(4).randbytes(4 * MIB)
    disk.write_bytes(content)
    server = serve(disk, "--clients=1")
    places = [PAGE * number for number in range(0, 1024, 64)]
    with Client(server) as client:
        make_lend(client, server, disk, places)
        os.truncate(disk, 2 * MIB)
        for _ in range(20):
            burst(client, *(read(client, place, cookie=cookie) for cookie, place in enumerate(places)))
            found = answers(client, [PAGE] * len(places))
            for cookie, place in enumerate(places):
                assert found[cookie] == (content[place : place + PAGE] if place < 2 * MIB else bytes(PAGE))
            places.reverse()  # so that it is also a burst's first answer that cannot be given
    assert server.stop() == 0
    assert not server.said()


def test_an_image_that_grows_is_lent_as_far_as_it_went(telling: Path, serve: Serve) -> None:
    disk = telling / "disk.qcow2"
    imgtools.create_image(str(disk), SIZE, format="qcow2")
    server = serve(disk, "--clients=1")
    with Client(server) as client:
        for start in range(0, 16 * MIB, MIB):
            data = bytes([start // MIB + 1]) * MIB
            assert client.ask(p.CMD_WRITE, start, data=data) == 0
            places = [PAGE * number for number in range(0, (start + MIB) // PAGE, 8)]
            burst(client, *(read(client, place, cookie=cookie) for cookie, place in enumerate(places)))
            found = answers(client, [PAGE] * len(places))
            for cookie, place in enumerate(places):
                assert found[cookie] == bytes([place // MIB + 1]) * PAGE
        make_lend(client, server, disk, places)
