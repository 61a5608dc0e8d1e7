"""Disks on a real web server: the same bytes, few requests, bounded memory, and servers that lie about ranges."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import imgtools
from imgtools.block.protocols import remote
from imgtools.errors import ImageError, InputOutput, NotFound, ReadOnly
from tests.conftest import PATIENCE, Runner, run
from tests.nbd.certificates import make
from tests.remote.server import WebServer

MIB = 1 << 20
CONTENT = random.Random(1).randbytes(5 * MIB + 1234)


def test_any_range_has_its_bytes() -> None:
    chance = random.Random(2)
    with WebServer(CONTENT) as server, imgtools.open(server.url, format="raw") as node:
        for length in (1, 512, 65536, 300_000, 3 * MIB):
            for _ in range(8):
                start = chance.randrange(len(CONTENT) - length)
                assert node.read(start, length) == CONTENT[start : start + length]
        assert node.read(0, node.size) == CONTENT + bytes(node.size - len(CONTENT))


def test_reading_on_takes_few_requests_and_reading_again_none() -> None:
    with WebServer(CONTENT) as server, imgtools.open(server.url, format="raw") as node:
        for offset in range(0, 5 * MIB, 4096):
            assert node.read(offset, 4096) == CONTENT[offset : offset + 4096]
        asked = len(server.asked)
        assert asked <= 8, server.asked
        for offset in range(0, 5 * MIB, 65536):
            node.read(offset, 4096)
        assert len(server.asked) == asked


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "CACHE", 4 * remote.BLOCK)
    with WebServer(CONTENT) as server, imgtools.open({"driver": "http", "url": server.url}) as node:
        assert isinstance(node, remote.RemoteNode)
        for offset in range(0, 5 * MIB, 4096):
            node.read(offset, 1)
        assert len(node._blocks) <= 4


def test_an_image_and_its_convert(tmp_path: Path, qemu_img: Runner) -> None:
    raw, image = tmp_path / "disk.raw", tmp_path / "disk.qcow2"
    raw.write_bytes(CONTENT[: 5 * MIB])
    qemu_img("convert", "-c", "-O", "qcow2", raw, image)
    with WebServer(image.read_bytes()) as server:
        words = [sys.executable, "-m", "imgtools", "convert", "-O", "raw", server.url, str(tmp_path / "copy.raw")]
        subprocess.run(words, check=True)
        assert (tmp_path / "copy.raw").read_bytes() == raw.read_bytes()
        info = subprocess.run([*words[:3], "info", server.url], capture_output=True, text=True, check=True).stdout
        assert f"image: {server.url}\nfile format: qcow2\n" in info


def test_several_threads() -> None:
    with WebServer(CONTENT) as server, imgtools.open(server.url, format="raw") as node:
        wrong = []

        def work(seed: int) -> None:
            chance = random.Random(seed)
            for _ in range(30):
                start = chance.randrange(4 * MIB)
                if node.read(start, 100_000) != CONTENT[start : start + 100_000]:
                    wrong.append(start)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong


LIES = {
    "no ranges": "does not answer range requests",
    "no content-range": "no usable Content-Range",
    "garbage": "no usable Content-Range",
    "unknown size": "no usable Content-Range",
    "huge": "says that the file has 1180591620717411303424 bytes",
    "another range": "the server sends bytes",
    "another size": "has changed",
    "another version": "has changed",
    "hangs up": "could not read",
    "short": "the answer ends after 100 of",
    "error later": "answers 500",
    "whole later": "answers 200",
}


@pytest.mark.parametrize("lie", LIES)
def test_servers_that_lie(lie: str) -> None:
    with (
        WebServer(CONTENT, lie) as server,
        pytest.raises(ImageError, match=LIES[lie]),
        imgtools.open(server.url, format="raw") as node,
    ):
        node.read(3 * MIB, 4096)
    assert len(server.asked) <= 5


def test_more_than_was_asked_for_is_not_read() -> None:
    with WebServer(CONTENT, "long") as server, imgtools.open(server.url, format="raw") as node:
        for offset in (3 * MIB, 0, 4 * MIB):
            assert node.read(offset, 4096) == CONTENT[offset : offset + 4096]


def test_an_answer_that_breaks_off_is_continued() -> None:
    with WebServer(CONTENT, "hangs up once") as server, imgtools.open(server.url, format="raw") as node:
        assert node.read(MIB, 3 * MIB) == CONTENT[MIB : 4 * MIB]
        assert [first for first, _ in server.asked] == [0, MIB, MIB + remote.BLOCK]


def test_what_is_not_there() -> None:
    with WebServer(CONTENT) as server:
        with pytest.raises(NotFound, match="answers 404"):
            imgtools.open(server.url.replace("disk.img", "none"))
        with pytest.raises(InputOutput, match="redirect"):
            imgtools.open(server.url.replace("disk.img", "round"))
        assert imgtools.open(server.url.replace("disk.img", "moved"), format="raw").read(5, 5) == CONTENT[5:10]
        with pytest.raises(ReadOnly):
            imgtools.open(server.url, writable=True)
    with pytest.raises(InputOutput, match="Connection refused"):
        imgtools.open(server.url)


def test_an_empty_file() -> None:
    with WebServer(b"") as server, imgtools.open(server.url) as node:
        assert node.size == 0


def test_options() -> None:
    with WebServer(CONTENT) as server:
        tree = {"driver": "http", "url": server.url, "cookie": "a=b", "readahead": "1M", "timeout": str(PATIENCE)}
        with imgtools.open(tree) as node:
            assert node.read(MIB, 3) == CONTENT[MIB : MIB + 3]
        assert set(server.cookies) == {"a=b"}


def test_who_asks() -> None:
    with WebServer(CONTENT) as server:
        for url, options in (
            (server.url.replace("//", "//me:p%40ss@"), {}),
            (server.url, {"username": "me", "password": "p@ss"}),
        ):
            with imgtools.open({"driver": "http", "url": url, **options}) as node:
                assert node.read(MIB, 3) == CONTENT[MIB : MIB + 3]
                assert "p%40ss" not in node.filename
        assert set(server.credentials) == {"Basic bWU6cEBzcw=="}


def test_a_server_whose_certificate_nobody_has_signed(tmp_path: Path) -> None:
    with WebServer(CONTENT, certificates=make(tmp_path / "pki")) as server:
        words = (sys.executable, "-m", "imgtools", "info", "--image-opts")
        options = f"driver=raw,file.driver=https,file.url={server.url}"
        done = run(*words, options, check=False)
        assert done.returncode == 1 and "certificate verify failed" in done.stderr and done.stderr.count("\n") == 1
        done = run(*words, f"{options},file.sslverify=off")
        assert done.stderr == "" and "virtual size: 5 MiB" in done.stdout


def test_an_image_may_not_name_one(tmp_path: Path, qemu_img: Runner) -> None:
    with WebServer(CONTENT) as server:
        image = tmp_path / "top.qcow2"
        qemu_img("create", "-q", "-u", "-f", "qcow2", "-b", server.url, "-F", "raw", image, "1M")
        with pytest.raises(ImageError, match="only plain file names"):
            imgtools.open(str(image))
        assert not server.asked


def test_stores_that_fsspec_knows(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(CONTENT)
    with imgtools.open({"driver": "fsspec", "url": f"file://{tmp_path}/disk"}) as node:
        assert node.read(0, node.size) == CONTENT
        assert node.read(MIB + 1, 7) == CONTENT[MIB + 1 : MIB + 8]
    for url in (f"file://{tmp_path}/none", "memory://none"):
        with pytest.raises(NotFound, match="No such file or directory"):
            imgtools.open({"driver": "fsspec", "url": url})
    with pytest.raises(ImageError, match="Protocol not known"):
        imgtools.open({"driver": "fsspec", "url": "nonsense://bucket/disk"})
