"""imgtools nbd info, list, map, copy and dump beside nbdinfo and nbdcopy, on servers of each kind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Runner, require_tool, run
from tests.nbd.conftest import MIB, SIZE, content_of
from tests.nbd.peers import Peer
from tests.nbd.serving import Server

Serve = Callable[..., Server]
Peers = Callable[..., Peer]
OURS = (sys.executable, "-m", "imgtools", "nbd")


@pytest.fixture(params=["qemu-nbd", "nbdkit", "imgtools"])
def uri(request: pytest.FixtureRequest, disk: Path, qemu_nbd: Peers, peer: Peers, serve: Serve) -> str:
    """A server of each kind with the disk; nbdkit has the image's file."""
    if request.param == "qemu-nbd":
        return qemu_nbd(disk, "-D", "what it is").uri
    if request.param == "nbdkit":
        return peer("nbdkit", "-f", "-U", "SOCKET", "file", disk).uri
    return serve(disk, "--description", "what it is").uri


def test_info_and_list(uri: str) -> None:
    """The same facts under the same names; nbdinfo looks also into the disk, and knows no extended headers."""
    nbdinfo = require_tool("nbdinfo")
    for ours, theirs in (("info", []), ("list", ["--list"])):
        told = json.loads(run(*OURS, ours, "--json", uri).stdout)
        expected = json.loads(run(nbdinfo, "--json", *theirs, uri).stdout)
        del told["extended"]
        for export in expected["exports"]:
            export.pop("content", None)
        assert told["structured"] == expected.pop("structured")
        assert [dict(each, uri="") for each in told["exports"]] == [dict(each, uri="") for each in expected["exports"]]
        for name in ("protocol", "TLS"):
            assert told[name] == expected[name]
    assert run(*OURS, "info", "--size", uri).stdout == run(nbdinfo, "--size", uri).stdout
    text, expected_text = (run(*words, uri).stdout.splitlines() for words in ([*OURS, "info"], [nbdinfo]))
    assert [line for line in expected_text if ": " in line and "content:" not in line and "uri:" not in line][1:] == [
        line for line in text if ": " in line and "uri:" not in line
    ][1:]


def test_map(uri: str) -> None:
    nbdinfo = require_tool("nbdinfo")
    assert run(*OURS, "map", uri).stdout == run(nbdinfo, "--map", uri).stdout
    ours, theirs = run(*OURS, "map", "--json", uri).stdout, run(nbdinfo, "--map", "--json", uri).stdout
    assert json.loads(ours) == json.loads(theirs)
    totals = run(*OURS, "map", "--totals", uri).stdout, run(nbdinfo, "--map", "--totals", uri).stdout
    assert [line.split() for line in totals[0].splitlines()] == [line.split() for line in totals[1].splitlines()]
    done = run(*OURS, "map", "--context", "no:such", uri, check=False)
    assert done.returncode == 1 and "does not tell 'no:such'" in done.stderr


def test_copies(uri: str, disk: Path, tmp_path: Path) -> None:
    """To a file and back, by name and through pipes: the bytes of nbdcopy."""
    expected, copies = tmp_path / "expected", [tmp_path / f"copy{number}" for number in range(3)]
    run(require_tool("nbdcopy"), uri, expected)
    run(*OURS, "copy", uri, copies[0])
    with copies[1].open("wb") as out:
        subprocess.run([*OURS, "copy", uri, "-"], stdout=out, check=True)
    with expected.open("rb") as source:
        subprocess.run([*OURS, "copy", "-", copies[2]], stdin=source, check=True)
    for copy in copies:
        assert copy.read_bytes() == expected.read_bytes()
    assert copies[2].stat().st_blocks <= expected.stat().st_blocks + MIB // 512  # holes are holes
    changed = bytearray(expected.read_bytes())
    changed[: MIB // 4] = os.urandom(MIB // 4)
    changed[len(changed) // 2 :] = bytes(len(changed) - len(changed) // 2)
    copies[0].write_bytes(changed)
    run(*OURS, "copy", copies[0], uri)
    run("nbdcopy", uri, copies[1])
    assert copies[1].read_bytes() == changed
    changed[100:200] = bytes(100)
    subprocess.run([*OURS, "copy", "-", uri], input=bytes(changed), check=True)
    run("nbdcopy", uri, copies[1])
    assert copies[1].read_bytes() == changed


def test_what_a_server_can(uri: str) -> None:
    """The answers are nbdinfo's, for all that it knows by the same word."""
    words = (
        "cache connect df fast-zero flush fua multi-conn read read-only rotational structured-reply tls trim write zero"
    )
    for word in words.split():
        done = run(*OURS, "info", "--can", word, uri, check=False)
        assert (done.stdout, done.stderr) == ("", "")
        theirs = "--is" if word in ("read-only", "rotational", "tls") else "--can"
        assert done.returncode == run("nbdinfo", theirs, word, uri, check=False).returncode, word
    done = run(*OURS, "info", "--can", "fly", uri, check=False)
    assert (done.returncode, done.stderr) == (1, "imgtools: 'fly' is nothing that can be asked about\n")


def test_pipes_by_name(uri: str, tmp_path: Path) -> None:
    """As a shell's <(...) and programs' /dev/stdout name them; and /dev/null."""
    expected, copy = tmp_path / "expected", tmp_path / "copy"
    run(require_tool("nbdcopy"), uri, expected)
    run("bash", "-c", '"${@:2}" copy <(cat "$0") "$1"', expected, copy, *OURS)
    assert copy.read_bytes() == expected.read_bytes()
    done = subprocess.run([*OURS, "copy", uri, "/dev/stdout"], capture_output=True, check=True)
    assert done.stdout == expected.read_bytes()
    run(*OURS, "copy", uri, os.devnull)
    failed = run(*OURS, "copy", uri, "/dev/full", check=False)
    assert (failed.returncode, failed.stderr) == (1, "imgtools: could not write to the pipe: No space left on device\n")


def test_odd_sizes(tmp_path: Path, peer: Peers) -> None:
    """Not a byte more than there is."""
    image = tmp_path / "odd"
    image.write_bytes(os.urandom(MIB + 333))
    uri = peer("nbdkit", "-f", "-U", "SOCKET", "file", image).uri
    run(*OURS, "copy", uri, tmp_path / "copy")
    run(*OURS, "copy", tmp_path / "copy", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == image.read_bytes()
    assert subprocess.run([*OURS, "copy", uri, "-"], stdout=subprocess.PIPE, check=True).stdout == image.read_bytes()


def test_copies_that_cannot_be(disk: Path, serve: Serve, tmp_path: Path) -> None:
    uri, large = serve(disk).uri, tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(SIZE + 1)
    before = content_of(disk)
    for words, said in (
        ([str(large), uri], "the target has"),
        (["-", "-"], "only one of source and target"),
        (["-p", uri, "-"], "--progress=json"),
        ([uri, str(tmp_path / "nowhere" / "copy")], "No such file"),
        ([str(tmp_path / "nothing"), uri], "No such file"),
    ):
        done = run(*OURS, "copy", *words, check=False)
        assert done.returncode == 1 and said in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*OURS, "copy", uri, "-"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1 and "No space left" in done.stderr
    assert content_of(disk) == before
    with large.open("rb") as source:
        done = subprocess.run([*OURS, "copy", "-", uri], stdin=source, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1 and "ends at byte" in done.stderr


def test_dump(uri: str, tmp_path: Path) -> None:
    """The lines of od for the same bytes; a line that repeats the one before is left out, but for the last."""
    run(*OURS, "copy", uri, tmp_path / "copy")
    size = (tmp_path / "copy").stat().st_size
    for start, length in ((0, 4096), (MIB, 4096), (size - 4096, 4096)):
        dumped = run(*OURS, "dump", f"--start={start}", f"--length={length}", uri).stdout.splitlines()
        words = ["-A", "x", "-t", "x1", "-j", str(start), "-N", str(length), str(tmp_path / "copy")]
        expected = [line.split(" ", 1) for line in run("od", *words).stdout.splitlines()[:-1] if line != "*"]
        found = {
            line[:10].lstrip("0").rjust(6, "0"): line[12:].split(" |")[0].split() for line in dumped if line != "*"
        }
        for place, content in expected:
            assert found[place] == content.split()
        assert list(found)[-1] == f"{start + length - 16:06x}"


def test_names_that_are_none(qemu_img: Runner) -> None:
    for command in ("info", "list", "map", "dump"):
        for name in (
            "disk.raw",
            "http://localhost/",
            "nbd://",
            "nbd+unix:///",
            "nbd://h:99999",
            "nbd://h?foo=1",
            "nbd://a..b",
        ):
            done = run(*OURS, command, name, check=False)
            assert done.returncode == 1 and "Traceback" not in done.stderr and done.stderr, (command, name)
