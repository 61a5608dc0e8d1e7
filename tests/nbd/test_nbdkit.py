"""nbdkit both ways: its plugins as our disks, and itself, with its filters, as the server of ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import imgtools
from tests.conftest import Runner, has_ended, require_tool, run, wait_until
from tests.nbd.conftest import MIB, SIZE, content_of
from tests.nbd.peers import nbdkit_runs_in

OURS = (sys.executable, "-m", "imgtools")


@pytest.fixture(autouse=True)
def _nbdkit() -> None:
    require_tool("nbdkit")


def test_a_plugin_is_a_disk(disk: Path, tmp_path: Path) -> None:
    """Started when the disk is opened, ended when it is closed; what it is given arrives."""
    pattern = b"".join(number.to_bytes(8, "big") for number in range(0, MIB, 8))
    with imgtools.open(f"nbdkit:pattern?{MIB}") as node:
        assert node.read(0, MIB) == pattern
    with imgtools.open(f"nbdkit:pattern?{MIB}&filter=offset&offset=4096&range=8192") as node:
        assert node.read(0, node.size) == pattern[4096 : 4096 + 8192]
    with imgtools.open(f"nbdkit:file?{disk}&filter=cow", format="raw", writable=True) as node:
        node.write(0, b"kept elsewhere")
        assert node.read(0, 14) == b"kept elsewhere"
    with imgtools.open({"driver": "nbdkit", "plugin": "memory", "parameter.0": "1M"}, writable=True) as node:
        node.write(MIB - 3, b"end")
        assert node.read(MIB - 4, 4) == b"\0end"
    with imgtools.open(f"nbdkit:file?{disk}", format=disk.suffix[1:]) as node:
        assert node.read(0, 14) == bytes(14)
        assert node.read(SIZE - 4096, 4) == b"end."
    copy = tmp_path / "copy.qcow2"
    run(*OURS, "convert", "-O", "qcow2", f"nbdkit:pattern?{MIB}", copy)
    assert content_of(copy) == pattern


def test_it_ends_with_us(tmp_path: Path) -> None:
    """Also where we are killed, and have no time to see to it."""
    program = "import imgtools; node = imgtools.open('nbdkit:memory?1M'); print('open', flush=True); input()"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "open\n"
        assert nbdkit_runs_in(tmp_path)
        process.kill()
    wait_until(lambda: not nbdkit_runs_in(tmp_path))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nbdkit:", "plugin"),
        ("nbdkit:no-such-plugin", "could not be started"),
        ("nbdkit:memory", "could not be started"),
        ("nbdkit:memory?1M&filter=no-such", "could not be started"),
        ("nbdkit:--dump-config", "neither a plugin"),
        ("nbdkit:memory?--run=id", "neither a plugin"),
    ],
)
def test_plugins_that_cannot_be(name: str, said: str) -> None:
    done = run(*OURS, "info", name, check=False)
    assert done.returncode == 1 and said in done.stderr and len(done.stderr.splitlines()) <= 2, done.stderr


def test_an_image_may_not_name_one(tmp_path: Path, qemu_img: Runner) -> None:
    image = tmp_path / "evil.qcow2"
    qemu_img("create", "-u", "-f", "qcow2", "-b", "nbdkit:sh?/bin/true", "-F", "raw", image, "1M")
    done = run(*OURS, "convert", "-O", "raw", image, tmp_path / "copy", check=False)
    assert done.returncode == 1 and "only plain file names" in done.stderr


def test_missing_nbdkit_says_what_to_install(disk: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": str(tmp_path)}
    for words in (["info", "nbdkit:memory?1M"], ["nbd", "serve", "--engine", "nbdkit", disk]):
        done = subprocess.run([*OURS, *words], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "apt install nbdkit" in done.stderr, done.stderr


def test_it_serves_our_disk(disk: Path, tmp_path: Path, qemu_img: Runner) -> None:
    """What nbdkit serves through our node is the disk, and what is written is in the image."""
    expected = bytearray(content_of(disk))
    socket, pid, copy = tmp_path / "socket", tmp_path / "pid", tmp_path / "copy"
    words = ["--engine", "nbdkit", "-f", disk.suffix[1:], "--socket", socket, "--pid-file", pid]
    run(*OURS, "nbd", "serve", "--background", *words, disk)
    uri = f"nbd+unix:///?socket={socket}"
    run(require_tool("nbdcopy"), uri, copy)
    assert copy.read_bytes() == expected
    assert "hole,zero" in run("nbdinfo", "--map", uri).stdout
    with imgtools.open(uri, format="raw", writable=True) as node:
        node.write(9 * MIB, b"through nbdkit")
        node.zero(MIB, MIB)
        node.flush()
    expected[9 * MIB : 9 * MIB + 14] = b"through nbdkit"
    expected[MIB : 2 * MIB] = bytes(MIB)
    os.kill(int(pid.read_text()), signal.SIGTERM)
    wait_until(lambda: has_ended(pid.read_text().strip()))
    assert content_of(disk) == expected
    if disk.suffix == ".qcow2":
        qemu_img("check", disk)


def test_it_serves_with_filters(disk: Path) -> None:
    before = content_of(disk)
    serve = [*OURS, "nbd", "serve", "--engine", "nbdkit", "-f", disk.suffix[1:]]
    command = 'nbdinfo --size "$uri"; qemu-io -f raw -c "write -P 9 0 64k" "$uri"'
    done = run(*serve, "--filter=cow", "--filter=offset", "--parameter", "offset=1M", "--run", command, disk)
    assert done.stdout.startswith(f"{SIZE - MIB}\nwrote 65536/65536")
    assert content_of(disk) == before
    done = run(*serve, "-r", "--run", 'nbdinfo --json "$uri"', disk)
    assert '"is_read_only": true' in done.stdout
    done = run(*serve, "--snapshot=x", disk, check=False)
    assert done.returncode == 1 and "not for --engine nbdkit" in done.stderr
    done = run(*serve, "--run", "true", disk.with_name("nothing"), check=False)
    assert done.returncode == 1 and "No such file" in done.stderr
