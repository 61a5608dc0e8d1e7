"""Our client and the servers of others: qemu-nbd, and nbdkit with plugins and filters that make it difficult."""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import imgtools
from imgtools.block.extent import READS_ZERO
from imgtools.errors import ImageError, InputOutput, ReadOnly
from imgtools.nbd.client import session
from tests.conftest import PATIENCE, Runner, run
from tests.nbd.client.conftest import StartPeer
from tests.nbd.conftest import content_of

MIB = 1 << 20


def test_reading_and_extents(disk: Path, peer: StartPeer) -> None:
    content = content_of(disk)
    server = peer("qemu-nbd", "--format", disk.suffix[1:], "--export-name", "a/b c", "--shared", "5", disk)
    with imgtools.open(server.uri("a/b%20c"), format="raw") as node:
        assert node.size == len(content) and node.read_only
        assert node.read(0, node.size) == content
        for offset, length in ((0, 1), (MIB - 1, 2), (5 * MIB + 999, 4097), (node.size - 1, 1)):
            assert node.read(offset, length) == content[offset : offset + length]
        position = 0
        for extent in node.extents(0, node.size):
            assert extent.start == position
            position += extent.length
            if extent.kind in READS_ZERO:
                assert not any(content[extent.start : position])
        assert position == node.size
        with pytest.raises(ReadOnly):
            node.write(0, b"x")


def test_map_is_qemu_imgs(disk: Path, peer: StartPeer, qemu_img: Runner) -> None:
    server = peer("qemu-nbd", "--format", disk.suffix[1:], "--shared", "5", "--read-only", disk)
    for words in (["map", "--output=json"], ["map"], ["info"]):
        ours = run(sys.executable, "-m", "imgtools", *words, "-f", "raw", server.uri())
        assert ours.stdout == qemu_img(*words, "-f", "raw", server.uri()).stdout


@pytest.mark.parametrize("cache", ["writeback", "writethrough"])
def test_writing(cache: str, disk: Path, peer: StartPeer, qemu_img: Runner) -> None:
    content = bytearray(content_of(disk))
    server = peer("qemu-nbd", "--format", disk.suffix[1:], "--discard", "unmap", disk)
    chance = random.Random(1)
    with imgtools.open(server.uri(), format="raw", writable=True, cache=cache) as node:
        for _ in range(60):
            length = chance.choice([1, 511, 4096, 70_000, 3 * MIB])
            start = chance.randrange(node.size - length)
            if chance.random() < 0.3:
                node.zero(start, length, unmap=chance.random() < 0.5)
                content[start : start + length] = bytes(length)
            else:
                data = chance.randbytes(length)
                node.write(start, data)
                content[start : start + length] = data
        node.discard(0, 0)
        node.flush()
        assert node.read(0, node.size) == content
    server.kill()
    assert content_of(disk) == content
    if disk.suffix == ".qcow2":
        assert "corrupt" not in qemu_img("check", disk, check=False).stdout


@pytest.mark.parametrize("words", [(), ("blocksize-minimum=512",)], ids=["any length", "whole blocks"])
@pytest.mark.parametrize("cache", ["writeback", "writethrough"])
def test_several_ranges_at_once(cache: str, words: tuple[str, ...], peer: StartPeer) -> None:
    server = peer("nbdkit", "--filter=blocksize-policy", "memory", "8M", *words)
    content = bytearray(8 * MIB)
    chance = random.Random(7)
    with imgtools.open(server.uri(), format="raw", writable=True, cache=cache) as node:
        for _ in range(20):
            starts = sorted(chance.sample(range(node.size), 40))
            changes = []
            for start, end in zip(starts, [*starts[1:], node.size], strict=True):
                data = memoryview(chance.randbytes(end - start)) if chance.random() < 0.6 else None
                content[start:end] = data or bytes(end - start)
                changes.append((start, end - start, data))
            chance.shuffle(changes)
            node.apply(changes)
        node.flush()
        assert node.read(0, node.size) == content
        with pytest.raises(ImageError):
            node.apply([(node.size - 1, 2, None)])
    with imgtools.open(server.uri(), format="raw") as node, pytest.raises(ReadOnly):
        node.apply([(0, 1, None)])


def test_an_image_on_a_server(tmp_path: Path, peer: StartPeer, qemu_img: Runner) -> None:
    image = tmp_path / "disk.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-o", "preallocation=metadata", image, "8M")
    os.truncate(image, 32 * MIB)
    server = peer("nbdkit", "file", image)
    with imgtools.open(server.uri(), writable=True) as node:
        assert node.driver == "qcow2"
        node.write(MIB, b"hello")
    server.kill()
    with imgtools.open(str(image)) as node:
        assert node.read(MIB, 5) == b"hello"


@pytest.mark.parametrize("minimum", [512, 65536])
def test_a_server_that_demands_whole_blocks(minimum: int, peer: StartPeer) -> None:
    policy = ("--filter=blocksize-policy", "memory", "4M", "blocksize-error-policy=error")
    sizes = (f"blocksize-minimum={minimum}", "blocksize-preferred=65536", "blocksize-maximum=1M")
    server = peer("nbdkit", *policy, *sizes)
    content = bytearray(4 * MIB)
    chance = random.Random(2)
    with imgtools.open(server.uri(), format="raw", writable=True) as node:
        for _ in range(80):
            start = chance.randrange(node.size)
            length = min(chance.choice([1, 100, minimum, 100_000, 2 * MIB]), node.size - start)
            data = chance.randbytes(length) if chance.random() < 0.7 else bytes(length)
            content[start : start + length] = data
            node.write(start, data) if any(data) else node.zero(start, length)
            start = chance.randrange(node.size)
            assert node.read(start, 5000) == content[start : start + 5000]
        assert node.read(0, node.size) == content
        assert sum(extent.length for extent in node.extents(1, node.size - 2)) == node.size - 2


@pytest.mark.parametrize("filter", ["noextents", "nozero", "nocache", "fua", "noparallel"])
def test_servers_that_lack_something(filter: str, peer: StartPeer) -> None:
    server = peer("nbdkit", f"--filter={filter}", "memory", "2M")
    with imgtools.open(server.uri(), format="raw", writable=True) as node:
        node.write(MIB - 5, b"0123456789")
        node.zero(MIB - 3, 5)
        node.discard(0, 4096)
        node.flush()
        assert node.read(MIB - 6, 12) == b"\x0001\0\0\0\0\x00789\0"
        assert sum(extent.length for extent in node.extents(0, node.size)) == node.size


def test_a_server_without_structured_replies(peer: StartPeer) -> None:
    server = peer("nbdkit", "--no-sr", "pattern", "4M")
    with imgtools.open(server.uri(), format="raw") as node:
        expected = b"".join(offset.to_bytes(8, "big") for offset in range(0, 4 * MIB, 8))
        assert node.read(0, node.size) == expected
        assert [extent.kind for extent in node.extents(0, node.size)] == ["data"]


def test_errors_of_the_server(tmp_path: Path, peer: StartPeer) -> None:
    server = peer("nbdkit", "--filter=error", "memory", "1M", "error-pread=ENOMEM", "error-pread-rate=100%")
    with imgtools.open(server.uri(), format="raw", writable=True) as node:
        with pytest.raises(InputOutput, match="Cannot allocate memory") as caught:
            node.read(4096, 10)
        assert (caught.value.errno, caught.value.offset) == (12, 4096)
        node.write(0, b"the connection lives on")


def test_threads_do_not_wait_for_each_other(peer: StartPeer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server answers none of four reads before all have come."""
    monkeypatch.setattr(session, "FURTHER_PATIENCE", PATIENCE)
    (come := tmp_path / "come").mkdir()
    read = f"touch {come}/$4; until [ $(ls {come} | wc -l) = 4 ]; do sleep 0.01; done; head -c $3 /dev/zero"
    facts = ("get_size=echo 1048576", "thread_model=echo parallel", "can_multi_conn=exit 0")
    server = peer("nbdkit", "eval", *facts, f"pread={read}")
    with imgtools.open(server.uri(), format="raw") as node, ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda number: node.read(number * 4096, 8), range(4))) == [bytes(8)] * 4


def test_a_server_that_lets_in_one_only(disk: Path, peer: StartPeer) -> None:
    server = peer("nbdkit", "--filter=limit", "file", disk, "limit=1")
    with imgtools.open(server.uri(), format="raw") as node:
        threads = [threading.Thread(target=node.read, args=(0, MIB)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert node.read(0, 16) == disk.read_bytes()[:16]


def test_a_lost_connection_is_made_again(tmp_path: Path, peer: StartPeer, disk: Path) -> None:
    server = peer("qemu-nbd", "--format", disk.suffix[1:], disk)
    tree = {"driver": "nbd", "server.type": "unix", "server.path": str(server.socket), "reconnect-delay": str(PATIENCE)}
    with imgtools.open(tree, writable=True) as node:
        node.write(0, b"before")
        node.flush()
        server.kill()
        restart = threading.Timer(0.5, server.start)
        restart.start()
        assert node.read(0, 6) == b"before"
        node.write(0, b"behind")
        restart.join()
    server.kill()
    assert content_of(disk)[:6] == b"behind"


def test_a_server_that_is_late(peer: StartPeer, tmp_path: Path) -> None:
    tree = {"driver": "nbd", "server.type": "unix", "server.path": str(tmp_path / "peer.sock")}
    with pytest.raises(ImageError, match="No such file or directory"):
        imgtools.open(tree)
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(imgtools.open, {**tree, "open-timeout": str(PATIENCE)})
        time.sleep(0.3)
        peer("nbdkit", "memory", "1M")
        opening.result().close()


def test_without_reconnect_a_killed_server_is_an_error(peer: StartPeer) -> None:
    server = peer("nbdkit", "memory", "1M")
    with imgtools.open(server.uri(), format="raw") as node:
        server.kill()
        with pytest.raises(InputOutput, match="NBD server"):
            node.read(0, 10)


def test_sizes_beyond_one_request(peer: StartPeer) -> None:
    server = peer("nbdkit", "memory", "20G")
    with imgtools.open(server.uri(), format="raw", writable=True) as node:
        node.write(15 << 30, b"x")
        node.zero(0, node.size)
        assert node.read(15 << 30, 1) == b"\0"
        assert len(list(node.extents(0, node.size))) == 1
