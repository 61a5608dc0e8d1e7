"""Our client: disks of qemu-nbd, nbdkit and our own server wherever a file name goes."""

from __future__ import annotations

import json
import random
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import imgtools
from imgtools.block.protocols.nbd import NbdNode
from imgtools.errors import InputOutput, ReadOnly
from imgtools.nbd import protocol as p
from imgtools.nbd.client import session
from tests.conftest import PATIENCE, Runner, is_locked, run, wait_until
from tests.nbd.conftest import MIB, SIZE, content_of
from tests.nbd.peers import Peer
from tests.nbd.serving import Server

Serve = Callable[..., Server]
Peers = Callable[..., Peer]
OURS = (sys.executable, "-m", "imgtools")


def test_reads(disk: Path, qemu_nbd: Peers) -> None:
    expected, chance = content_of(disk), random.Random(1)
    with imgtools.open(qemu_nbd(disk, "-r").uri, format="raw") as node:
        assert node.size == SIZE
        for length in (1, 512, 4096, 70_000, 3 * MIB, 40 * MIB):
            for _ in range(4):
                start = chance.randrange(SIZE - length)
                assert node.read(start, length) == expected[start : start + length], (start, length)


def test_changes(disk: Path, qemu_nbd: Peers) -> None:
    expected, chance = bytearray(content_of(disk)), random.Random(2)
    server = qemu_nbd(disk, "--discard=unmap")
    with imgtools.open(server.uri, format="raw", writable=True) as node:
        for length in (1, 4096, 70_000, 5 * MIB):
            start, data = chance.randrange(40 * MIB), chance.randbytes(length)
            node.write(start, data)
            expected[start : start + length] = data
        node.zero(3 * MIB, 2 * MIB)
        expected[3 * MIB : 5 * MIB] = bytes(2 * MIB)
        node.discard(50 * MIB, MIB)  # nothing is there
        node.flush()
        assert node.read(0, SIZE) == expected
    server.stop()
    assert content_of(disk) == expected


def test_every_way_to_name_it(disk: Path, qemu_nbd: Peers, peer: Peers) -> None:
    socket = qemu_nbd(disk, "-r", "-x", "a disk").socket
    kind = disk.suffix[1:]
    port = peer(
        "qemu-nbd", "-t", "-r", "-e", "8", "-b", "127.0.0.1", "-p", "PORT", "-x", "a disk", "-f", kind, disk
    ).port
    inet = {"server.type": "inet", "server.host": "127.0.0.1", "server.port": str(port), "export": "a disk"}
    unix = {"server.type": "unix", "server.path": str(socket), "export": "a disk"}
    names: list[Any] = [
        f"nbd+unix:///a%20disk?socket={socket}",
        f"nbd+unix://somebody@/a%20disk?socket={socket}",
        f"nbd:unix:{socket}:exportname=a disk",
        f"nbd://127.0.0.1:{port}/a%20disk",
        f"nbd:127.0.0.1:{port}:exportname=a disk",
        {"driver": "nbd", **unix},
        {"driver": "nbd", **inet},
        {"driver": "nbd", "path": str(socket), "export": "a disk"},
        {"driver": "nbd", "host": "127.0.0.1", "port": str(port), "export": "a disk"},
        "json:" + json.dumps({"driver": "raw", "file": {"driver": "nbd", **unix}}),
    ]
    for name in names:
        with imgtools.open(name) as node:
            assert node.size == SIZE and node.read(SIZE - 4096, 4) == b"end.", name


def test_commands_take_it(disk: Path, qemu_nbd: Peers, tmp_path: Path) -> None:
    uri, kind = qemu_nbd(disk, "-r").uri, disk.suffix[1:]
    copy, expected = tmp_path / "copy.qcow2", content_of(disk)
    assert json.loads(run(*OURS, "info", "--output=json", uri).stdout)["virtual-size"] == SIZE
    run(*OURS, "convert", "-f", "raw", "-O", "qcow2", uri, copy)
    assert content_of(copy) == expected
    assert "identical" in run(*OURS, "compare", "-U", "-f", "raw", "-F", kind, uri, disk).stdout
    run(*OURS, "io", "-r", "-f", "raw", "-c", "read -P 0 6M 1M", uri)
    run(*OURS, "measure", "-O", "qcow2", uri)


def test_a_map_is_the_peers(disk: Path, qemu_nbd: Peers, qemu_img: Runner) -> None:
    uri = qemu_nbd(disk, "-r").uri
    words = ("map", "--output=json", "-f", "raw", uri)
    assert json.loads(run(*OURS, *words).stdout) == json.loads(qemu_img(*words).stdout)


@pytest.mark.parametrize("context", ["qemu:dirty-bitmap:b0", "qemu:allocation-depth", "base:allocation"])
@pytest.mark.parametrize("output", ["json", "human"])
def test_other_contexts_as_a_map(
    context: str, output: str, tmp_path: Path, qemu_nbd: Peers, qemu_img: Runner, qemu_io: Runner
) -> None:
    """QEMU's x-dirty-bitmap: what is dirty, or lies in the top layer, is shown as not there. It is copied, though."""
    base, top = tmp_path / "base.qcow2", tmp_path / "top.qcow2"
    qemu_img("create", "-f", "qcow2", base, "8M")
    qemu_io(base, "write -P 3 0 1M", format="qcow2")
    qemu_img("create", "-f", "qcow2", "-b", base.name, "-F", "qcow2", top)
    qemu_img("bitmap", "--add", top, "b0")
    qemu_io(top, "write -P 1 1M 128k", "write -z 3M 64k", format="qcow2")
    socket = qemu_nbd(top, "-r", "-A", "-B", "b0").socket
    options = f"driver=nbd,server.type=unix,server.path={socket},x-dirty-bitmap={context}"
    words = ("map", f"--output={output}", "--image-opts", options)
    assert run(*OURS, *words).stdout == qemu_img(*words).stdout
    if context == "qemu:dirty-bitmap:b0":
        copy = tmp_path / "copy.raw"
        run(*OURS, "convert", "--image-opts", options, copy)
        assert copy.read_bytes() == content_of(top)
        done = run(*OURS, "info", "--image-opts", options.replace("b0", "b1"), check=False)
        assert done.returncode == 1 and "x-dirty-bitmap qemu:dirty-bitmap:b1 not found" in done.stderr


@pytest.mark.parametrize("block", [512, 4096, 65536])
def test_smaller_requests_than_a_server_takes_are_widened(block: int, tmp_path: Path, peer: Peers) -> None:
    image = tmp_path / "disk.raw"
    expected = bytearray(random.Random(3).randbytes(MIB))
    image.write_bytes(expected)
    policy = ["--filter=blocksize-policy", f"blocksize-minimum={block}", f"blocksize-preferred={block}"]
    server = peer("nbdkit", "-f", "-U", "SOCKET", policy[0], "file", image, *policy[1:], "blocksize-error-policy=error")
    chance = random.Random(4)
    with imgtools.open({"driver": "nbd", "server.path": str(server.socket)}, writable=True) as node:
        assert isinstance(node, NbdNode) and node.export.minimum_block == block
        for _ in range(50):
            start, length = chance.randrange(MIB - 100_000), chance.choice((1, 100, 4096, 99_999))
            assert node.read(start, length) == expected[start : start + length]
            if chance.random() < 0.3:
                node.zero(start, length)
                expected[start : start + length] = bytes(length)
            else:
                data = chance.randbytes(length)
                node.write(start, data)
                expected[start : start + length] = data
    assert image.read_bytes() == expected


def test_a_read_only_export(disk: Path, qemu_nbd: Peers) -> None:
    uri = qemu_nbd(disk, "-r").uri
    with pytest.raises(ReadOnly, match="read-only"):
        imgtools.open(uri, format="raw", writable=True)


def test_several_threads_use_several_connections(disk: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = content_of(disk)
    monkeypatch.setattr(session, "FURTHER_PATIENCE", PATIENCE)
    with imgtools.open({"driver": "nbd", "server.path": str(serve(disk, "-r").socket)}) as node:
        assert isinstance(node, NbdNode) and node.export.extended
        failures: list[BaseException] = []

        def read(number: int) -> None:
            chance = random.Random(number)
            try:
                for _ in range(40):
                    start, length = chance.randrange(SIZE // 2), chance.choice((4096, MIB))
                    assert node.read(start, length) == expected[start : start + length]
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=read, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert 1 < node.session._opened <= 4


def test_a_server_that_comes_back(disk: Path, serve: Serve) -> None:
    """What was under way when the server was killed is done again; without reconnect-delay it is an error."""
    server = serve(disk, "--once")
    options = {"driver": "nbd", "server.path": str(server.socket)}
    with (
        imgtools.open(options | {"reconnect-delay": str(PATIENCE)}, writable=True) as patient,
        imgtools.open(options) as impatient,
    ):
        server.stop(signal.SIGKILL)
        server.socket.unlink()
        with pytest.raises(InputOutput, match=r"closed the connection|lost"):
            while True:  # a process that serves raw disks has yet to notice
                impatient.read(0, 512)

        def come_back() -> None:
            wait_until(lambda: not is_locked(disk, write=True))  # another process, which noticed later
            serve(disk, "--socket", server.socket)

        again = threading.Timer(0.5, come_back)  # after the first attempt has failed
        again.start()
        with ThreadPoolExecutor(3) as threads:  # of which some have no connection yet
            list(threads.map(lambda number: patient.write((9 + number) * MIB, b"again"), range(3)))
        patient.flush()
        again.join()
        for number in range(3):
            assert patient.read((9 + number) * MIB, 5) == b"again"
    with imgtools.open(options) as node:
        assert node.read(9 * MIB, 5) == b"again"


@pytest.mark.parametrize("format", ["raw", "qcow2", "vdi"])
def test_a_new_image_on_a_server(format: str, disk: Path, tmp_path: Path, peer: Peers, qemu_img: Runner) -> None:
    """As qemu-img does: what the server has is written over, and zeroes are written where something else was."""
    store = tmp_path / "store"
    uri = peer("qemu-nbd", "-t", "-e", "8", "-k", "SOCKET", "-f", "raw", filled(store, SIZE + 4 * MIB)).uri
    run(*OURS, "convert", "-f", disk.suffix[1:], "-O", format, disk, uri)
    done = qemu_img("compare", "-f", disk.suffix[1:], "-F", format, disk, uri, check=False)
    same = "identical" if format != "raw" else f"mismatch at offset {SIZE}"  # the server's disk is longer
    assert same in done.stdout, done.stdout
    run(*OURS, "dd", "-f", disk.suffix[1:], "-O", format, "bs=1M", "count=8", f"if={disk}", f"of={uri}")
    with imgtools.open(uri, format=format) as node:
        assert node.read(0, 8 * MIB) == content_of(disk)[: 8 * MIB]
    run(*OURS, "create", "-f", "qcow2", uri, "1M")
    assert json.loads(qemu_img("info", "--output=json", uri).stdout)["virtual-size"] == MIB


def test_where_no_image_can_be_made(tmp_path: Path, peer: Peers, qemu_img: Runner) -> None:
    small, source = filled(tmp_path / "small", MIB), filled(tmp_path / "source", 2 * MIB)
    writable = peer("qemu-nbd", "-t", "-e", "8", "-k", "SOCKET", "-f", "raw", small).uri
    for uri in (writable, f"nbd+unix:///?socket={tmp_path}/nobody"):
        words = ("convert", "-f", "raw", "-O", "raw", source, uri)
        theirs, ours = qemu_img(*words, check=False), run(*OURS, *words, check=False)
        assert (ours.returncode, ours.stderr.removeprefix("imgtools")) == (1, theirs.stderr.removeprefix("qemu-img"))
    assert small.read_bytes() == b"x" * MIB


def filled(path: Path, size: int) -> Path:
    path.write_bytes(b"x" * size)
    return path


def test_large_sizes_in_one_request(tmp_path: Path, serve: Serve) -> None:
    """Extended headers: a disk of 6 GiB is discarded, made zero and mapped as a whole."""
    image = tmp_path / "large.raw"
    with image.open("wb") as file:
        file.truncate(6 << 30)
        file.write(b"x")
    with imgtools.open({"driver": "nbd", "server.path": str(serve(image).socket)}, writable=True) as node:
        node.discard(0, 6 << 30)
        node.zero(0, 6 << 30)
        assert [(extent.start, extent.length) for extent in node.extents(0, node.size)] == [(0, 6 << 30)]
        assert isinstance(node, NbdNode) and node.export.can(p.BLOCK_STATUS_PAYLOAD)
