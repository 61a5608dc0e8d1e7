"""Other people's clients against our server: what it serves is what they expect of any server."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import imgtools
from tests.conftest import PATIENCE, Runner, cannot_run, require_tool, run, wait_until
from tests.nbd.conftest import MIB, SIZE, content_of
from tests.nbd.serving import Client, Server

Serve = Callable[..., Server]


def test_qemu_img(disk: Path, serve: Serve, qemu_img: Runner) -> None:
    server = serve(disk, "--read-only")
    assert "identical" in qemu_img("compare", "-f", "raw", "-F", disk.suffix[1:], "-U", server.uri, disk).stdout
    ours = json.loads(qemu_img("map", "-f", "raw", "--output=json", server.uri).stdout)
    theirs = json.loads(qemu_img("map", "-U", "-f", disk.suffix[1:], "--output=json", disk).stdout)
    assert runs(ours) == runs(theirs)


def runs(mapped: list[dict[str, int]]) -> list[tuple[int, int]]:
    """Where the kind of content changes, as (start, whether zero)."""
    found: list[tuple[int, int]] = []
    for extent in mapped:
        if not found or found[-1][1] != extent["zero"]:
            found.append((extent["start"], extent["zero"]))
    return found


def test_qemu_img_writes(disk: Path, serve: Serve, qemu_img: Runner) -> None:
    expected = content_of(disk)
    target = disk.with_name("target.qcow2")
    imgtools.create_image(str(target), SIZE, format="qcow2")
    server = serve(target)
    qemu_img("convert", "-n", "-W", "-f", disk.suffix[1:], "-O", "raw", disk, server.uri)
    assert server.stop() == 0
    assert content_of(target) == expected
    qemu_img("check", target)
    assert not server.said()


def test_qemu_io(disk: Path, serve: Serve, qemu_io: Runner) -> None:
    server = serve(disk)
    qemu_io(
        server.uri,
        "read -P 0 6M 1M",
        "write -P 9 2M 300k",
        "write -f -P 10 2400k 3",
        "write -z -u 3M 200k",
        "discard 40M 1M",
        "flush",
        "read -P 9 2M 300k",
        "read -P 0 3M 200k",
        "aio_write -P 3 10M 1M",
        "aio_write -P 4 11M 1M",
        "aio_flush",
        "read -P 4 11M 1M",
    )


def test_nbdinfo(disk: Path, serve: Serve) -> None:
    server = serve(disk, "--description", "what it is")
    told = json.loads(run(require_tool("nbdinfo"), "--json", server.uri).stdout)
    (export,) = told["exports"]
    assert told["structured"] and export["export-size"] == SIZE and export["description"] == "what it is"
    for can in ("cache", "df", "fast_zero", "flush", "fua", "multi_conn", "trim", "zero"):
        assert export[f"can_{can}"] is True
    assert export["contexts"] == ["base:allocation"]
    assert run("nbdinfo", "--list", server.uri).returncode == 0
    assert "hole,zero" in run("nbdinfo", "--map", server.uri).stdout


def test_nbdcopy_both_ways(disk: Path, serve: Serve) -> None:
    expected, server = content_of(disk), serve(disk)
    copy = disk.with_name("copy")
    run(require_tool("nbdcopy"), server.uri, copy)
    assert copy.read_bytes() == expected
    changed = bytearray(expected)
    changed[20 * MIB : 24 * MIB] = random.Random(1).randbytes(4 * MIB)
    changed[MIB : 2 * MIB] = bytes(MIB)
    copy.write_bytes(changed)
    run("nbdcopy", "--connections=4", "--flush", copy, server.uri)
    assert server.stop() == 0
    assert content_of(disk) == changed


def test_nbdsh(disk: Path, serve: Serve) -> None:
    server = serve(disk)
    script = f"""
import nbd
h = nbd.NBD()
h.add_meta_context("base:allocation")
h.connect_uri("{server.uri}")
h.pwrite(b"by hand", 12345, nbd.CMD_FLAG_FUA)
assert h.pread(7, 12345) == b"by hand"
found = []
h.block_status(8 << 20, 0, lambda context, offset, entries, error: found.append((context, offset, entries)))
assert found[0][0] == "base:allocation" and sum(found[0][2][::2]) == 8 << 20, found
h.zero(7, 12345); h.trim(65536, 0); h.cache(65536, 0); h.flush()
assert h.pread(7, 12345) == bytes(7)
h.shutdown()
"""
    require_tool("nbdsh")
    run("/usr/bin/python3", "-c", script)  # what nbdsh does, with the interpreter that the module was made for


def test_nbd_client(disk: Path) -> None:
    tool = shutil.which("nbd-client", path=f"{os.environ['PATH']}:/usr/sbin:/sbin") or cannot_run("no nbd-client")
    program = [sys.executable, "-m", "imgtools", "nbd", "serve", "--name=a disk", "--bind=127.0.0.1", "--port=0", disk]
    done = run(
        *program[:5], "--run", f"port=${{uri##*:}}; {tool} -l 127.0.0.1 -p ${{port%%/*}}", *program[5:], check=False
    )
    assert "a disk" in done.stdout, done.stdout + done.stderr


def fio(server: Server, *words: str) -> None:
    command = ["fio", "--name=x", "--ioengine=nbd", f"--uri={server.uri}", "--thread", "--bsrange=512-128k", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=server.socket.parent)
    assert done.returncode == 0, done.stdout + done.stderr


def test_fio_verifies_what_several_connections_wrote(disk: Path, serve: Serve, qemu_img: Runner) -> None:
    require_tool("fio")
    server = serve(disk)
    jobs = ["--rw=randwrite", "--verify=crc32c", "--size=8m", "--offset_increment=16m", "--numjobs=4", "--iodepth=16"]
    fio(server, *jobs, "--verify_fatal=1")
    assert server.stop() == 0
    if disk.suffix == ".qcow2":
        qemu_img("check", disk)


def test_what_was_flushed_survives_a_kill(disk: Path, serve: Serve, qemu_img: Runner) -> None:
    """kill -9 while four connections write: the image checks clean but for leaks, and has every flushed write."""
    server = serve(disk)
    block, flushed = 64 << 10, [0] * 4

    def write(number: int) -> None:
        base = number * 16 * MIB
        try:
            with Client(server) as client:
                for count in range(256):
                    assert client.ask(1, base + count % 64 * block, data=content(number, count) * block) == 0
                    if count % 5 == 4:
                        assert client.ask(3) == 0
                        flushed[number] = count + 1
        except (EOFError, OSError):
            pass  # killed

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: sum(flushed) >= 60 or not all(thread.is_alive() for thread in threads))
    server.stop(signal.SIGKILL)
    for thread in threads:
        thread.join()
    if disk.suffix == ".qcow2":
        assert qemu_img("check", disk, check=False).returncode in (0, 3)
    after = content_of(disk)
    for number in range(4):
        for place in range(min(64, flushed[number])):
            start = number * 16 * MIB + place * block
            data = after[start : start + block]
            last = max(count for count in range(flushed[number]) if count % 64 == place)
            # A write after the last flush may have replaced it, wholly or in part.
            written = {content(number, count)[0] for count in range(last, last + 128, 64)}
            assert set(data) <= written, (number, place)


def content(number: int, count: int) -> bytes:
    """A byte that tells which writer wrote, and in which round."""
    return bytes([1 + number * 50 + count // 64])


def test_run_ends_with_its_command(disk: Path, tmp_path: Path) -> None:
    serve = [sys.executable, "-m", "imgtools", "nbd", "serve", "-f", disk.suffix[1:]]
    done = run(*serve, "--run", 'test -S "$unixsocket" && nbdinfo --size "$uri"; exit 7', disk, check=False)
    assert (done.stdout, done.returncode) == (f"{SIZE}\n", 7)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_finishes_what_was_accepted(number: int, disk: Path, serve: Serve) -> None:
    server = serve(disk)
    with Client(server) as client:
        for place in range(64):
            client.send(1, place * MIB // 2, data=bytes([place + 1]) * 4096)
        client.chunk()
        assert server.stop(number) == 0
    after = content_of(disk)
    for place in range(64):
        start = place * MIB // 2
        assert after[start : start + 4096] == bytes([place + 1]) * 4096
    assert not server.socket.exists()


def test_temporary_writes(disk: Path, serve: Serve) -> None:
    before = content_of(disk)
    with Client(serve(disk, "--temporary", "--offset=1M")) as client:
        assert client.size == SIZE - MIB
        assert client.ask(1, 5 * MIB, data=b"x" * 70000) == 0
        assert client.read(5 * MIB - 1, 4, simple=True) == before[6 * MIB - 1 : 6 * MIB] + b"xxx"
    assert content_of(disk) == before


def test_once_ends_with_the_last_client(disk: Path, serve: Serve) -> None:
    server = serve(disk, "--once")
    with Client(server, go=False) as client:
        client.socket.close()  # has not chosen: does not count
    with Client(server) as first, Client(server) as second:
        first.send(2)
        assert second.read(0, 512, simple=True) == bytes(512)
        assert server.process.poll() is None
    assert server.process.wait(PATIENCE) == 0
