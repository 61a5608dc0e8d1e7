"""The program as a process: its names, its exit statuses, and what becomes of errors."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.launch import install, run
from tests.cli.pictures import make_pictures
from tests.conftest import PATIENCE, require_tool


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    return install(tmp_path)


def test_names(programs: Path, tmp_path: Path) -> None:
    own = run(programs / "imgtools", "info", "nothing", cwd=tmp_path)
    peer = run(programs / "qemu-img", "info", "nothing", cwd=tmp_path)
    text = b"Could not open 'nothing': Could not open 'nothing': No such file or directory\n"
    assert (own.returncode, own.stdout, own.stderr) == (1, b"", b"imgtools: " + text)
    assert (peer.returncode, peer.stdout, peer.stderr) == (1, b"", b"qemu-img: " + text)


def test_versions(programs: Path, tmp_path: Path) -> None:
    assert run(programs / "imgtools", "--version", cwd=tmp_path).stdout.startswith(b"imgtools ")
    assert run(programs / "qemu-img", "-V", cwd=tmp_path).stdout.startswith(b"qemu-img version 7.2.22 ")


def test_peers_have_only_their_own_options_and_verbs(programs: Path, tmp_path: Path) -> None:
    refused = run(programs / "qemu-img", "info", "--allow", "x", "y", cwd=tmp_path)
    assert refused.stderr.startswith(b"qemu-img: unrecognized option '--allow'\n")
    refused = run(programs / "qemu-img", "completion", "bash", cwd=tmp_path)
    assert refused.stderr.startswith(b"qemu-img: Command not found: completion\n")
    assert b"--allow" not in run(programs / "qemu-img", "info", "--help", cwd=tmp_path).stdout
    assert b"--allow" in run(programs / "imgtools", "info", "--help", cwd=tmp_path).stdout


CORE = [
    "info base.qcow2",
    "info --output=json top.qcow2",
    "info nothing",
    "info --bogus",
    "foo",
    "create -f qcow2 new 1M",
    "create -f qcow2 new 1x",
    "check base.qcow2",
    "check corrupt.qcow2",
    "check disk.raw",
    "map --output=json top.qcow2",
    "map compressed.qcow2",
    "compare base.qcow2 top.qcow2",
    "compare -q base.qcow2 top.qcow2",
    "convert -O qcow2 disk.raw new",
    "convert -q disk.raw new",
    "measure --size 1G -O qcow2",
    "dd if=disk.raw of=new bs=64k",
    "resize base.qcow2 512k",
    "resize disk.raw 2M",
]


def test_same_as_peer(programs: Path, tmp_path: Path) -> None:
    peer = Path(require_tool("qemu-img"))
    require_tool("qemu-io")
    outcomes = []
    for name, program in (("theirs", peer), ("ours", programs / "qemu-img")):
        directory = tmp_path / name
        directory.mkdir()
        make_pictures(directory)
        done = [run(program, *shlex.split(line), cwd=directory) for line in CORE]
        outcomes.append([(each.returncode, each.stdout, each.stderr) for each in done])
    for line, theirs, ours in zip(CORE, *outcomes, strict=True):
        assert without_space(ours) == without_space(theirs), line


def without_space(outcome: tuple[int, bytes, bytes]) -> tuple[int, list[bytes], bytes]:
    """The outcome without the lines that tell what a file takes on its host."""
    status, out, err = outcome
    lines = [line for line in out.splitlines() if b"disk size" not in line and b"actual-size" not in line]
    return status, lines, err


def test_output_comes_before_complaints(programs: Path, tmp_path: Path) -> None:
    run(programs / "imgtools", "create", "-q", "-f", "qcow2", "disk", "1M", cwd=tmp_path)
    done = run(programs / "imgtools", "create", "-f", "raw", "no/disk", "1M", cwd=tmp_path, stderr=subprocess.STDOUT)
    assert [line.split(b" ")[0] for line in done.stdout.splitlines()] == [b"Formatting", b"imgtools:"]


def test_closed_pipe_is_silent(programs: Path, tmp_path: Path) -> None:
    run(programs / "imgtools", "create", "-q", "disk", "1M", cwd=tmp_path)
    command = f"'{programs}/imgtools' info disk; echo $? >&2"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, timeout=PATIENCE
    )
    os.close(writer)
    assert done.stderr == b"141\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_full_output(programs: Path, tmp_path: Path) -> None:
    run(programs / "imgtools", "create", "-q", "disk", "1M", cwd=tmp_path)
    with open("/dev/full", "wb") as full:
        done = run(programs / "imgtools", "info", "disk", cwd=tmp_path, stdout=full)
    assert (done.returncode, done.stderr) == (1, b"imgtools: standard output: No space left on device\n")


def test_names_that_are_no_text(programs: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    assert run(programs / "imgtools", "create", "-q", name, "1M", cwd=tmp_path).returncode == 0
    done = run(programs / "imgtools", "info", name, cwd=tmp_path)
    assert done.stdout.startswith(b"image: caf\xe9\n")
    done = run(programs / "imgtools", "info", "--output=json", name, cwd=tmp_path)
    assert b'"filename": "caf\\uFFFD"' in done.stdout
    done = run(programs / "imgtools", "info", name + name, cwd=tmp_path)
    assert done.stderr.startswith(b"imgtools: Could not open 'caf\xe9caf\xe9'")


def test_internal_errors_are_one_line_unless_debugged(monkeypatch: pytest.MonkeyPatch, capsys: object) -> None:
    from imgtools.cli import program

    def fail(words: list[str]) -> int:
        raise RuntimeError("boom")

    monkeypatch.setattr(program, "dispatch", fail)
    assert program.main(["imgtools", "info"]) == 1
    monkeypatch.setenv("IMGTOOLS_DEBUG", "1")
    with pytest.raises(RuntimeError, match="boom"):
        program.main(["imgtools", "info"])


def test_memory_and_system_errors_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from imgtools.cli import program

    for error, text in (
        (MemoryError(), "imgtools: out of memory\n"),
        (OSError(5, "Input/output error", "disk"), "imgtools: disk: Input/output error\n"),
        (OSError("odd"), "imgtools: odd\n"),
    ):

        def fail(words: list[str], error: BaseException = error) -> int:
            raise error

        monkeypatch.setattr(program, "dispatch", fail)
        assert program.main(["imgtools", "info"]) == 1
        assert capsys.readouterr().err == text


def test_allowed_directories(programs: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    run(programs / "imgtools", "create", "-q", "-f", "qcow2", "base", "1M", cwd=tmp_path)
    overlay = ("create", "-q", "-f", "qcow2", "-b", "../base", "-F", "qcow2", "images/top")
    assert run(programs / "imgtools", *overlay, cwd=tmp_path).returncode == 0
    refused = run(programs / "imgtools", "map", "images/top", cwd=tmp_path)
    assert refused.returncode == 1
    assert b"lies outside the image's directory" in refused.stderr
    assert run(programs / "imgtools", "map", "--allow", ".", "images/top", cwd=tmp_path).returncode == 0
    env = {"IMGTOOLS_ALLOW": str(tmp_path)}
    assert run(programs / "imgtools", "map", "images/top", cwd=tmp_path, env=env).returncode == 0
    assert run(programs / "qemu-img", "map", "images/top", cwd=tmp_path, env=env).returncode == 0


def test_errors_are_objects_where_json_is_asked_for(programs: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(bytes(512))
    told = json.loads(run(programs / "imgtools", "info", "--output=json", "-f", "qcow2", "disk", cwd=tmp_path).stderr)
    assert (told["kind"], told["path"], told["structure"]) == ("invalid-format", "disk", "header")
    assert told["message"] == "Could not open 'disk': Image is not in qcow2 format"
    plain = run(programs / "qemu-img", "info", "--output=json", "-f", "qcow2", "disk", cwd=tmp_path)
    assert plain.stderr == b"qemu-img: Could not open 'disk': Image is not in qcow2 format\n"


def interrupted(program: Path, directory: Path, *words: str, by: signal.Signals = signal.SIGINT) -> tuple[int, str]:
    """Start a conversion that takes half a minute, send it a signal once it writes, and return how it ended."""
    with subprocess.Popen(
        [program, "convert", "--progress", "json", "-r", "1M", *words], cwd=directory, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        while '"transferred": 0' in process.stderr.readline():
            pass
        process.send_signal(by)
        _, err = process.communicate(timeout=PATIENCE)
        return process.returncode, err


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupt_leaves_nothing_half_done(by: signal.Signals, programs: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(bytes(range(256)) * (1 << 17))
    status, err = interrupted(programs / "imgtools", tmp_path, "-f", "raw", "-O", "qcow2", "disk", "new", by=by)
    assert status == 128 + by
    assert "imgtools: 'new' was not finished and has been removed\n" in err
    assert err.endswith("imgtools: interrupted\n")
    assert not (tmp_path / "new").exists()


def test_interrupt_says_that_an_old_target_is_unfinished(programs: Path, tmp_path: Path) -> None:
    for name in ("disk", "old"):
        (tmp_path / name).write_bytes(bytes(range(256)) * (1 << 17))
    status, err = interrupted(programs / "imgtools", tmp_path, "-n", "-f", "raw", "-O", "raw", "disk", "old")
    assert status == 130
    assert "imgtools: 'old' is not finished: its content is of no use\n" in err
    assert (tmp_path / "old").exists()


def test_completion_for_bash(programs: Path, tmp_path: Path) -> None:
    script = run(programs / "imgtools", "completion", "bash", cwd=tmp_path).stdout.decode()

    def complete(*words: str) -> list[str]:
        line = " ".join(shlex.quote(word) for word in words)
        ask = f'COMP_WORDS=({line}); COMP_CWORD=$(({len(words)} - 1)); _imgtools; printf "%s\\n" "${{COMPREPLY[@]}}"'
        done = subprocess.run(["bash", "-c", f"{script}\n{ask}"], capture_output=True, text=True, timeout=PATIENCE)
        assert not done.stderr
        return done.stdout.split()

    assert complete("imgtools", "con") == ["convert"]
    assert complete("imgtools", "info", "--back") == ["--backing-chain"]
    assert complete("imgtools", "info", "--output", "") == ["human", "json"]
    assert complete("imgtools", "create", "-f", "vm") == ["vmdk"]
    assert complete("imgtools", "info", "di") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_verb_and_option(shell: str, programs: Path, tmp_path: Path) -> None:
    script = run(programs / "imgtools", "completion", shell, cwd=tmp_path).stdout.decode()
    for word in ("create", "info", "resize", "backing-chain", "target-is-zero", "preallocation", "qcow2"):
        assert word in script
