"""nbdkit as a source of disks, and as the server of ours."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

import imgtools
from imgtools.errors import ImageError, UnsupportedFeature
from tests.conftest import Runner, cannot_run, require_tool, run, wait_until
from tests.nbd.conftest import content_of
from tests.nbd.peers import nbdkit_runs_in

SERVE = (sys.executable, "-m", "imgtools", "nbd", "serve", "--engine", "nbdkit")


@pytest.fixture(autouse=True)
def nbdkit() -> None:
    tool = require_tool("nbdkit")
    if "name=python" not in run(tool, "python", "--dump-plugin", check=False).stdout:
        cannot_run("nbdkit's Python plugin is not installed")


def test_a_plugin_is_started_used_and_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with imgtools.open("nbdkit:pattern?8M&filter=offset&offset=4096&range=1M", format="raw") as node:
        assert node.size == 1 << 20
        assert node.read(8, 8) == (4096 + 8).to_bytes(8, "big")
        assert nbdkit_runs_in(tmp_path)
    wait_until(lambda: not nbdkit_runs_in(tmp_path))


def test_a_tree_of_options_and_writing() -> None:
    tree = {"driver": "nbdkit", "plugin": "memory", "parameter": ["size=2M"], "filter": ["cow"]}
    with imgtools.open(tree, writable=True) as node:
        node.write(1000, b"hello")
        assert node.read(999, 7) == b"\0hello\0"
        assert node.shown_name == "nbdkit:memory?size=2M&filter=cow"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nbdkit:nonsense", "cannot open plugin 'nonsense'"),
        ("nbdkit:memory?1M&filter=nonsense", "cannot open filter 'nonsense'"),
        ("nbdkit:zero?1M", "does not need command line configuration"),
        ("nbdkit:", "requires a plugin"),
        ("nbdkit:--run=touch x", "neither a plugin"),
        ("nbdkit:memory?--run=touch x", "neither a plugin"),
    ],
)
def test_what_cannot_be_started(name: str, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        imgtools.open(name)


def test_an_image_may_not_start_one(tmp_path: Path, qemu_img: Runner) -> None:
    image = tmp_path / "top.qcow2"
    qemu_img("create", "-q", "-u", "-f", "qcow2", "-b", "nbdkit:memory?1M", "-F", "raw", image, "1M")
    with pytest.raises(ImageError, match="only plain file names"):
        imgtools.open(str(image))


def test_without_nbdkit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(UnsupportedFeature, match="nbdkit is not installed") as caught:
        imgtools.open("nbdkit:memory?1M")
    assert "apt install nbdkit" in (caught.value.hint or "")


def test_our_disk_by_nbdkit(disk: Path, tmp_path: Path) -> None:
    content = bytearray(content_of(disk))
    uri_to = f"nbdcopy \"$uri\" {tmp_path}/copy && qemu-io -f raw -c 'write -P 9 100 5000' -c 'write -z 9M 1M' \"$uri\""
    run(*SERVE, "--run", uri_to, disk)
    assert (tmp_path / "copy").read_bytes() == content
    content[100:5100] = b"\t" * 5000
    content[9 << 20 : 10 << 20] = bytes(1 << 20)
    assert content_of(disk) == content
    done = run(*SERVE, "--read-only", "--run", 'nbdinfo --json "$uri"', disk)
    assert '"is_read_only": true' in done.stdout


def test_filters_and_holes(disk: Path) -> None:
    before = disk.read_bytes()
    words = ("--filter", "cow", "--run", "qemu-io -f raw -c 'write -P 9 0 1M' -c 'read -P 9 0 1M' \"$uri\"")
    assert "read 1048576/1048576 bytes" in run(*SERVE, *words, disk).stdout
    assert disk.read_bytes() == before
    totals = run(*SERVE, "--run", 'nbdinfo --map --totals "$uri"', disk).stdout
    assert "hole" in totals or "zero" in totals


def test_complaints_of_the_engine(tmp_path: Path) -> None:
    done = run(*SERVE, tmp_path / "nothing", check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "No such file" in done.stderr
    for option in (["--temporary"], ["--bitmap", "b"], ["--object", "secret,id=s,data=abc"], ["--allocation-depth"]):
        done = run(*SERVE, *option, tmp_path / "nothing", check=False)
        assert done.stderr == f"imgtools: {option[0]} is not for --engine nbdkit: see nbdkit's filters\n"
    assert not os.path.exists(tmp_path / "nothing")
