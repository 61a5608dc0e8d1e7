"""Servers that lie, stall and vanish: one error each, in time, and nothing taken that was not asked for."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest

import imgtools
from imgtools.errors import ImageError, InputOutput
from imgtools.nbd import protocol as p
from tests.nbd.client.peers import Answer, Liar, chunk

GIB = 1 << 30
GREETING = p.GREETING.pack(p.INIT_MAGIC, p.OPTION_MAGIC, p.FIXED_NEWSTYLE)


def reply(option: int, kind: int, data: bytes = b"", length: int | None = None) -> bytes:
    size = len(data) if length is None else length
    return p.OPTION_REPLY.pack(p.OPTION_REPLY_MAGIC, option, kind, size) + data


AGREED = reply(p.OPT_EXTENDED_HEADERS, p.REP_ERR_UNSUP) + reply(p.OPT_STRUCTURED_REPLY, p.REP_ACK)
NO_CONTEXT = reply(p.OPT_SET_META_CONTEXT, p.REP_ACK)
EXPORT = p.INFO_EXPORT_DATA.pack(p.INFO_EXPORT, 1 << 20, p.HAS_FLAGS)
BLOCKS = p.INFO_BLOCK_SIZE_DATA.pack(p.INFO_BLOCK_SIZE, 3, 4096, 1 << 20)

HANDSHAKES = {
    "nothing": (b"", "closed the connection"),
    "garbage": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "Bad initial magic"),
    "old protocol": (b"NBDMAGIC" + struct.pack(">QQI", p.OLDSTYLE_MAGIC, 1 << 20, 0), "before 2012"),
    "not fixed": (p.GREETING.pack(p.INIT_MAGIC, p.OPTION_MAGIC, 0), "Bad server magic"),
    "half": (GREETING[:9], "closed the connection"),
    "reply magic": (GREETING + bytes(20), "Unexpected option reply"),
    "another option": (GREETING + reply(p.OPT_LIST, p.REP_ACK), "Unexpected option reply"),
    "4 GiB": (GREETING + reply(p.OPT_EXTENDED_HEADERS, p.REP_ACK, length=(1 << 32) - 1), "a reply of 4294967295"),
    "no size": (GREETING + AGREED + NO_CONTEXT + reply(p.OPT_GO, p.REP_ACK), "does not tell the size"),
    "huge": (
        GREETING + AGREED + NO_CONTEXT + reply(p.OPT_GO, p.REP_INFO, p.INFO_EXPORT_DATA.pack(0, (1 << 64) - 1, 1))
        + reply(p.OPT_GO, p.REP_ACK),
        "an export of 18446744073709551615 bytes",
    ),
    "block size": (
        GREETING + AGREED + NO_CONTEXT + reply(p.OPT_GO, p.REP_INFO, EXPORT) + reply(p.OPT_GO, p.REP_INFO, BLOCKS)
        + reply(p.OPT_GO, p.REP_ACK),
        "block sizes of 3 and 4096",
    ),
    "without end": (GREETING + reply(p.OPT_EXTENDED_HEADERS, p.REP_SERVER, bytes(8)) * 2, "reply 2 to option 11"),
    "terminal codes": (
        GREETING + AGREED + NO_CONTEXT + reply(p.OPT_GO, p.REP_ERR_UNKNOWN, b"\x1b[2Jno"), "Requested export not"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HANDSHAKES)
def test_handshakes(name: str, tmp_path: Path) -> None:
    greeting, message = HANDSHAKES[name]
    with Liar(tmp_path, greeting=greeting) as liar, pytest.raises(ImageError, match=message) as caught:
        imgtools.open(liar.uri)
    assert "\x1b" not in str(caught.value.hint)


def data(cookie: int, offset: int, content: bytes, **more: bool) -> bytes:
    return chunk(cookie, p.CHUNK_OFFSET_DATA, p.CHUNK_OFFSET.pack(offset) + content, **more)


def status(cookie: int, *descriptors: tuple[int, int], context: int = 7) -> bytes:
    packed = b"".join(p.STATUS_DESCRIPTOR.pack(*each) for each in descriptors)
    return chunk(cookie, p.CHUNK_BLOCK_STATUS, p.STATUS_HEAD.pack(context) + packed)


READS = {
    "before the range": (lambda c: data(c, 4095, b"x" * 512), "not asked for"),
    "behind the range": (lambda c: data(c, 4097, b"x" * 512), "not asked for"),
    "twice": (lambda c: data(c, 4096, b"x" * 512, done=False) + data(c, 4096, b"y" * 512), "more data than"),
    "too little": (lambda c: data(c, 4096, b"x" * 511), "511 bytes for a read of 512"),
    "none": (lambda c: chunk(c, p.CHUNK_NONE, b""), "0 bytes for a read"),
    "empty chunk": (lambda c: data(c, 4096, b""), "a data chunk of 8 bytes"),
    "4 GiB": (lambda c: chunk(c, p.CHUNK_OFFSET_DATA, p.CHUNK_OFFSET.pack(4096), length=(1 << 32) - 1), "not asked"),
    "hole of 4 GiB": (
        lambda c: chunk(c, p.CHUNK_OFFSET_HOLE, p.CHUNK_HOLE.pack(4096, (1 << 32) - 1)), "not asked for"
    ),
    "another cookie": (lambda c: data(c + 1, 4096, b"x" * 512), "a request that was not made"),
    "simple": (lambda c: p.SIMPLE_REPLY.pack(p.SIMPLE_REPLY_MAGIC, 0, c) + bytes(512), "a simple reply to a read"),
    "magic": (lambda c: b"\xff" * 64, "invalid magic 0xffffffff"),
    "unknown chunk": (lambda c: chunk(c, 77, b""), "a chunk of type 77"),
    "status": (lambda c: status(c, (512, 0)), "a block status of 12 bytes"),
    "error 0": (lambda c: chunk(c, p.CHUNK_ERROR, p.CHUNK_ERROR_HEAD.pack(0, 0)), "an error without a number"),
    "endless error": (lambda c: chunk(c, p.CHUNK_ERROR, b"", length=1 << 30), "an error of 1073741824 bytes"),
    "hangs up": (None, "has closed the connection"),
}  # fmt: skip


def once(make: object) -> Answer:
    def answer(connection: socket.socket, request: tuple[int, ...]) -> None:
        if make is None:
            raise OSError("gone")
        connection.sendall(make(request[3]))  # type: ignore[operator]

    return answer


@pytest.mark.parametrize("name", READS)
def test_replies_to_a_read(name: str, tmp_path: Path) -> None:
    make, message = READS[name]
    liar = Liar(tmp_path, once(make))
    with liar, imgtools.open(liar.uri, format="raw") as node, pytest.raises(InputOutput, match=message):
        node.read(4096, 512)


STATUSES = {
    "no progress": (lambda c: status(c, (0, 0)), "gives no block status"),
    "no descriptors": (lambda c: status(c), "a block status of 4 bytes"),
    "another context": (lambda c: status(c, (512, 0), context=8), "was not asked for"),
    "nothing": (lambda c: chunk(c, p.CHUNK_NONE, b""), "without content"),
    "1 GiB": (lambda c: chunk(c, p.CHUNK_BLOCK_STATUS, b"", length=GIB), "a block status of 1073741824 bytes"),
}


@pytest.mark.parametrize("name", STATUSES)
def test_block_status(name: str, tmp_path: Path) -> None:
    make, message = STATUSES[name]
    liar = Liar(tmp_path, once(make))
    with liar, imgtools.open(liar.uri, format="raw") as node, pytest.raises(InputOutput, match=message):
        list(node.extents(0, node.size))


def test_a_status_beyond_the_disk_is_cut(tmp_path: Path) -> None:
    liar = Liar(tmp_path, once(lambda c: status(c, (4096, 3), ((1 << 32) - 1, 0))))
    with liar, imgtools.open(liar.uri, format="raw") as node:
        found = [(extent.start, extent.length, extent.kind) for extent in node.extents(0, node.size)]
    assert found == [(0, 4096, "zero"), (4096, Liar.SIZE - 4096, "data")]


def test_a_server_that_is_silent_counts_as_dead(tmp_path: Path) -> None:
    with Liar(tmp_path, lambda connection, request: None) as liar:
        tree = {"driver": "nbd", "path": str(liar.socket), "timeout": "1"}
        with imgtools.open(tree) as node, pytest.raises(InputOutput, match="does not answer"):
            node.read(0, 512)
