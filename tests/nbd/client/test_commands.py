"""imgtools nbd info, list, map, copy and dump beside nbdinfo, nbdcopy, nbddump and qemu-nbd."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import require_tool, run
from tests.nbd.client.conftest import StartPeer
from tests.nbd.client.peers import Peer
from tests.nbd.conftest import SIZE, content_of

ROOT = Path(__file__).parent.parent.parent.parent

PROGRAM = (sys.executable, "-m", "imgtools", "nbd")


def ours(*words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    return run(*PROGRAM, *words, check=check)


@pytest.fixture
def server(disk: Path, peer: StartPeer) -> Peer:
    described = ("--export-name", "a disk", "--description", "for tests", "--allocation-depth")
    return peer("qemu-nbd", "--format", disk.suffix[1:], "--shared", "8", *described, disk)


def test_info_is_nbdinfos(server: Peer) -> None:
    uri = server.uri("a%20disk")
    theirs = json.loads(run(require_tool("nbdinfo"), "--json", uri).stdout)
    found = json.loads(ours("info", "--json", uri).stdout)
    del theirs["exports"][0]["content"], theirs["exports"][0]["uri"]
    assert found["exports"][0].pop("uri") == uri
    assert found.pop("extended") is False
    assert found == theirs
    assert ours("info", "--size", uri).stdout == f"{SIZE}\n"
    assert "can_fua: true" in ours("info", uri).stdout


def test_list(server: Peer) -> None:
    assert ours("list", server.uri()).stdout == f"{server.uri('a%20disk')}\t{SIZE}\tfor tests\n"
    found = json.loads(ours("list", "--json", server.uri()).stdout)
    assert [export["export-name"] for export in found["exports"]] == ["a disk"]


@pytest.mark.parametrize(
    ("words", "theirs"),
    [
        ((), ("--map",)),
        (("--totals",), ("--map", "--totals")),
        (("--context", "qemu:allocation-depth"), ("--map=qemu:allocation-depth",)),
    ],
)
def test_map_is_nbdinfos(words: tuple[str, ...], theirs: tuple[str, ...], server: Peer) -> None:
    uri = server.uri("a%20disk")
    assert ours("map", *words, uri).stdout == run(require_tool("nbdinfo"), *theirs, uri).stdout
    parsed = json.loads(ours("map", "--json", *words, uri).stdout)
    expected = json.loads(run("nbdinfo", "--json", *theirs, uri).stdout)
    if "--totals" in words:
        for row in (*parsed, *expected):
            row["percent"] = round(row["percent"], 3)
    assert parsed == expected


def test_a_context_that_the_server_has_not(server: Peer) -> None:
    done = ours("map", "--context", "qemu:dirty-bitmap:b", server.uri("a%20disk"), check=False)
    assert done.returncode == 1
    assert done.stderr == "imgtools: the server does not tell 'qemu:dirty-bitmap:b' of this export\n"


def test_dump_is_nbddumps(server: Peer) -> None:
    uri = server.uri("a%20disk")
    assert ours("dump", uri).stdout == run(require_tool("nbddump"), uri).stdout


@pytest.mark.parametrize(("start", "length"), [(0, 0), (0, 1), (5 << 20, 1017), (17, 6 << 20)])
def test_dump_has_every_byte(start: int, length: int, server: Peer, disk: Path) -> None:
    lines = ours("dump", "--start", str(start), "-n", str(length), server.uri("a%20disk")).stdout.splitlines()
    content, position, last = bytearray(), start, b""
    for number, line in enumerate(lines):
        if line == "*":
            end = int(lines[number + 1].split(":")[0], 16)
            content += last * ((end - position) // 16)
            position = end
            continue
        assert int(line[:10], 16) == position
        last = bytes.fromhex(line[12:60])
        content += last
        position += len(last)
    assert content == content_of(disk)[start : start + length]


def test_copy_from_a_server(server: Peer, disk: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.raw"
    copy.write_bytes(b"what was there before" * 5_000_000)
    ours("copy", server.uri("a%20disk"), copy)
    assert copy.read_bytes() == content_of(disk)
    assert copy.stat().st_blocks * 512 < SIZE // 2, "zeroes are holes"
    ours("copy", "--allocated", server.uri("a%20disk"), copy)
    assert copy.read_bytes() == content_of(disk)
    assert copy.stat().st_blocks * 512 >= SIZE


def test_copy_to_a_server_and_between_two(server: Peer, disk: Path, tmp_path: Path, peer: StartPeer) -> None:
    other = tmp_path / "other.raw"
    other.write_bytes(b"\xff" * SIZE)
    target = peer("nbdkit", "file", other, name="other")
    ours("copy", "--flush", server.uri("a%20disk"), target.uri())
    assert other.read_bytes() == content_of(disk)
    small = peer("nbdkit", "memory", "1M", name="small")
    done = ours("copy", server.uri("a%20disk"), small.uri(), check=False)
    assert done.stderr == f"imgtools: the target has 1048576 bytes, the source {SIZE}\n"


def test_a_copy_that_fails_says_so(peer: StartPeer, tmp_path: Path) -> None:
    server = peer("nbdkit", "--filter=error", "pattern", "8M", "error-pread=EIO", "error-pread-rate=100%")
    done = ours("copy", server.uri(), tmp_path / "copy", check=False)
    assert done.returncode == 1
    assert "Input/output error" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["disk.raw", "nbd://localhost:1/", "nbd+unix:///", "http://host/"])
def test_complaints(name: str) -> None:
    done = ours("info", name, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("imgtools: ") and done.stderr.count("\n") <= 2
    assert not os.path.exists(name)


def test_the_list_of_qemu_nbd(server: Peer, tmp_path: Path) -> None:
    program = tmp_path / "qemu-nbd"
    program.write_text(f"#!{sys.executable}\nimport sys\nfrom imgtools.cli.program import main\nsys.exit(main())\n")
    program.chmod(0o755)
    options = ("--list", "--socket", server.socket)
    expected = run(require_tool("qemu-nbd"), *options).stdout
    done = subprocess.run(
        [program, *options], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert (done.stdout, done.stderr) == (expected, "")
