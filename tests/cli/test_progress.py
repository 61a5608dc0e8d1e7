"""Progress in its forms, as processes and on a terminal."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.launch import install, run
from tests.conftest import PATIENCE, wait_until

SIZE = 8 << 20


@pytest.fixture
def imgtools(tmp_path: Path) -> Path:
    (tmp_path / "disk").write_bytes(bytes(range(256)) * (SIZE // 256))
    return install(tmp_path) / "imgtools"


def test_percents(imgtools: Path, tmp_path: Path) -> None:
    done = run(imgtools, "convert", "-p", "-f", "raw", "disk", "new", cwd=tmp_path)
    shown = done.stdout.decode().split("\r")
    assert shown[0] == "    (0.00/100%)"
    assert shown[-2:] == ["    (100.00/100%)", "\n"]
    percents = [float(text.strip()[1:].partition("/")[0]) for text in shown[:-1]]
    assert percents == sorted(percents)
    assert done.stderr == b""


def test_quiet_wins(imgtools: Path, tmp_path: Path) -> None:
    done = run(imgtools, "convert", "-p", "-q", "-f", "raw", "disk", "new", cwd=tmp_path)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_json(imgtools: Path, tmp_path: Path) -> None:
    done = run(imgtools, "convert", "--progress", "json", "-r", "4M", "-f", "raw", "disk", "new", cwd=tmp_path)
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert len(events) > 2
    assert all(set(event) == {"transferred", "size", "elapsed", "description"} for event in events)
    assert events[-1] | {"elapsed": 0} == {
        "transferred": SIZE,
        "size": SIZE,
        "elapsed": 0,
        "description": "convert",
    }
    for key in ("transferred", "elapsed"):
        values = [event[key] for event in events]
        assert values == sorted(values)


def test_none(imgtools: Path, tmp_path: Path) -> None:
    done = run(imgtools, "convert", "--progress", "none", "-p", "-f", "raw", "disk", "new", cwd=tmp_path)
    assert (done.stdout, done.stderr) == (b"", b"")
    refused = run(imgtools, "convert", "--progress", "dots", "disk", "new", cwd=tmp_path)
    assert refused.stderr == b"imgtools: --progress must be used with bar, json, none as argument.\n"


def test_signal(imgtools: Path, tmp_path: Path) -> None:
    with subprocess.Popen(
        [imgtools, "convert", "-r", "256k", "-f", "raw", "disk", "new"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        wait_until((tmp_path / "new").exists)
        process.send_signal(signal.SIGUSR1)
        line = process.stderr.readline()
        process.kill()
    assert line.startswith("    (")
    assert line.endswith("/100%)\n")


def on_a_terminal(imgtools: Path, directory: Path, *words: str) -> str:
    pexpect = pytest.importorskip("pexpect")
    pytest.importorskip("rich")
    text: str
    text, status = pexpect.run(
        f"{imgtools} {' '.join(words)}",
        withexitstatus=True,
        cwd=str(directory),
        timeout=PATIENCE,
        encoding="utf-8",
        env={"TERM": "xterm", "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
    )
    assert status == 0, text
    return text


def test_bar_on_a_terminal(imgtools: Path, tmp_path: Path) -> None:
    slow = on_a_terminal(imgtools, tmp_path, "convert", "-r", "4M", "-f", "raw", "disk", "new")
    assert "convert" in slow
    assert "MiB" in slow
    assert on_a_terminal(imgtools, tmp_path, "compare", "-f", "raw", "disk", "new").strip() == "Images are identical."


def test_no_bar_where_it_is_not_wanted(imgtools: Path, tmp_path: Path) -> None:
    peer = imgtools.with_name("qemu-img")
    for program, words in (
        (imgtools, ("--progress", "none")),
        (imgtools, ("-q",)),
        (peer, ()),
    ):
        shown = on_a_terminal(program, tmp_path, "convert", *words, "-r", "6M", "-f", "raw", "disk", "new")
        assert shown == ""
