"""The shell for somebody who types, driven through a pseudo-terminal: completion, history, the prompt."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from imgtools.io.completion import candidates
from imgtools.io.image import Settings
from imgtools.io.shell import Shell
from imgtools.operations.create import create_image
from tests.conftest import PATIENCE

ROOT = Path(__file__).parent.parent.parent
TAB, UP, END_OF_INPUT, INTERRUPT = "\t", "\x1b[A", "\x04", "\x03"

Start = Callable[..., pexpect.spawn]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start("disk.qcow2")`: the shell on a terminal of its own, in a directory with that image."""
    create_image(str(tmp_path / "disk.qcow2"), format="qcow2", size=1 << 20)
    started: list[pexpect.spawn] = []
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TERM": "xterm",
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "PROMPT_TOOLKIT_NO_CPR": "1",
    }

    def spawn(*words: str, name: str = "imgtools") -> pexpect.spawn:
        program = f"import sys; sys.argv[0] = {name!r}; from imgtools.cli.program import main; sys.exit(main())"
        verb = ["io"] if name == "imgtools" else []
        child = pexpect.spawn(
            sys.executable,
            ["-c", program, *verb, *words],
            cwd=str(tmp_path),
            env=environment,
            encoding="utf-8",
            timeout=PATIENCE,
            dimensions=(40, 120),
        )
        started.append(child)
        return child

    yield spawn
    for child in started:
        child.close(force=True)


def end(child: pexpect.spawn) -> int:
    """Leave the shell; its exit status."""
    child.send(END_OF_INPUT)
    child.expect(pexpect.EOF)
    child.close()
    return int(child.exitstatus)


def complete(child: pexpect.spawn, typed: str, rest: str) -> None:
    """Type the beginning of a word and TAB; what is missing appears."""
    child.send(typed + TAB)
    child.expect(re.escape(rest))


def test_prompt_shows_the_image_and_its_state(start: Start) -> None:
    child = start("-r", "disk.qcow2")
    child.expect("disk.qcow2 1 MiB read-only>")
    child.send("close\r")
    child.expect("no image>")
    child.send("open disk.qcow2\r")
    child.expect("disk.qcow2 1 MiB>")
    child.send("length\r")
    child.expect("1 MiB\r\n")
    assert end(child) == 0


def test_completion(start: Start) -> None:
    child = start("disk.qcow2")
    child.expect("1 MiB>")
    complete(child, "trunc", "ate")
    child.send(" 2M\r")
    child.expect("disk.qcow2 2 MiB>")
    complete(child, "hex", "dump")
    child.send(" 0 16\r")
    child.expect(r"00000000  00 00")
    child.expect("2 MiB>")
    child.send("close\r")
    child.expect("no image>")
    complete(child, "open dis", "k.qcow2")
    child.send("\r")
    child.expect("disk.qcow2 2 MiB>")
    assert end(child) == 0


def test_history_of_this_session_and_the_last(start: Start) -> None:
    for _ in range(2):
        child = start("disk.qcow2")
        child.expect("1 MiB>")
        if _ == 0:
            child.send("alloc 0 4096\r")
            child.expect("0/4096 bytes allocated")
            child.expect("1 MiB>")
        child.send(UP + "\r")
        child.expect("0/4096 bytes allocated at offset 0 bytes\r\n")
        child.expect("1 MiB>")
        assert end(child) == 0


def test_failures_and_interrupts_do_not_end_it(start: Start) -> None:
    child = start("disk.qcow2")
    child.expect("1 MiB>")
    child.send("nonsense\r")
    child.expect('command "nonsense" not found')
    child.expect("1 MiB>")
    child.send("half a line" + INTERRUPT)
    child.expect("1 MiB>")
    child.send("python print('be' + 'gun'); import time; time.sleep(60)\r")
    child.expect("begun")
    child.send(INTERRUPT)
    child.expect("interrupted")
    child.expect("1 MiB>")
    assert end(child) == 1


def test_requests_in_the_background_are_told_of_while_the_prompt_waits(start: Start) -> None:
    child = start("blkdebug::disk.qcow2")
    child.expect("1 MiB>")
    child.send("break write_aio A\r")
    child.expect("1 MiB>")
    child.send("aio_write 0 512\r")
    child.expect("Suspended request 'A'")
    child.send("resume A\r")
    child.expect("wrote 512/512 bytes at offset 0")
    child.send("length\r")
    child.expect("1 MiB\r\n")
    assert end(child) == 0


def test_qemu_io_keeps_its_prompt(start: Start) -> None:
    child = start("disk.qcow2", name="qemu-io")
    child.expect("qemu-io>")
    child.send("length\r")
    child.expect("1 MiB\r\n")
    child.expect("qemu-io>")
    child.send("quit\r")
    child.expect(pexpect.EOF)


def words(text: str, shell: Shell) -> list[str]:
    return [word for word, _ in candidates(text, shell)]


def test_candidates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    create_image("disk.vdi", format="vdi", size=1 << 20)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "one.raw").touch()
    shell = Shell()
    assert words("wri", shell) == ["write", "writev"]
    assert words("help wri", shell) == ["write", "writev"]
    assert words("discard -", shell) == ["-C", "-q"]
    assert words("open ", shell) == ["disk.vdi", "images/"]
    assert words("open images/", shell) == ["images/one.raw"]
    assert words("write -s di", shell) == ["disk.vdi"]
    assert words("write -P di", shell) == []
    assert words("read di", shell) == []
    assert words("nonsense di", shell) == []
    assert words("struct ", shell) == []
    shell.open("disk.vdi", Settings())
    assert words("struct ", shell) == ["header", "map"]
    assert "hexdump" not in words("", Shell(own=False))
