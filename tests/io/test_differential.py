"""qemu-io and imgtools, given the same sessions, say the same and leave the same disk behind.

Standard output, standard error and exit status are compared to the letter; only times and rates, which no two runs
have in common, are masked. Differences that are meant are listed with their reasons.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from imgtools.cli.program import BROKEN_PIPE, main
from tests.conftest import PATIENCE, require_tool, run
from tests.io import transcripts

Outcome = tuple[int, str, str]

TIMES = re.compile(r"(?<= ops; )[\d:.]+(?: sec)? \([\d.]+ (?:bytes|[KMGTPE]iB)/sec and [\d.]+ ops/sec\)$", re.M)
TERSE = re.compile(r"^(\d+,\d+),\d+:\d\d:\d\d\.\d\d,[\d.]+,[\d.]+$", re.M)

IMAGES = {
    "qcow2": ("qcow2", "1M", ["write -P 0x11 64k 64k"]),
    "raw": ("raw", "1M", ["write -P 0x22 0 4k"]),
    "vdi": ("vdi", "3M", ["write -P 0x33 1M 64k"]),
    "vmdk": ("vmdk", "1M", ["write -P 0x44 64k 64k"]),
    "empty": ("raw", "0", []),
}
"""Name to format, size, and what is written."""

UNALLOCATED = "a cluster that reads as zeroes because nothing is there is not marked as zero: map tells that"

DIFFERENCES = {
    "qcow2 | write -zc 192k 64k | write -zf 0 64k | map": UNALLOCATED,
    "qcow2 | map | write -z 256k 64k | map": UNALLOCATED,
    "vmdk | write -z 0 64k | map": UNALLOCATED,
}
"""Sessions that differ, and why."""

CLOSING = "what could not be written back when the image is closed is told in one line"
OWN_WORDS = "the file with the rules is told in our own words"
COMPLAINTS = {
    "blkdebug:always:qcow2.img": CLOSING,
    "blkdebug:full:qcow2.img": CLOSING,
    "blkdebug:broken:qcow2.img": OWN_WORDS,
    "blkverify:raw.img:qcow2.img": "a mismatch is an error of the one request, not the end of the program",
    "driver=qcow2,file.driver=blkdebug,file.image.filename=qcow2.img,file.inject-error.0.event=read_aio": CLOSING,
}
"""Beginnings of sessions in which standard error differs, and why; all else is the same."""


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require_tool("qemu-img")
    require_tool("qemu-io")
    directory = tmp_path_factory.mktemp("images")
    for name, (format, size, writes) in IMAGES.items():
        path = directory / f"{name}.img"
        run("qemu-img", "create", "-q", "-f", format, path, size)
        run("qemu-io", "-f", format, *(word for write in writes for word in ("-c", write)), path, stdin="")
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "qcow2.img", "-F", "qcow2", directory / "top.img")
    run("qemu-io", "-c", "write -P 0x55 512k 64k", directory / "top.img")
    (directory / "odd.img").write_bytes(b"abcdefgh" * 100)
    for name, rules in transcripts.FAULT_FILES.items():
        (directory / name).write_text(rules)
    (directory / "source").write_bytes(b"hello")
    (directory / "void").write_bytes(b"")
    return directory


FORMAT = {"odd": "raw", "empty": "raw", "top": "qcow2"}


def words_of(session: str) -> tuple[list[str], str | None]:
    """The command line of a session, and the image that it works on."""
    head, *commands = session.split(" | ")
    *options, name = head.split()
    words = [word for command in commands for word in ("-c", command)]
    if name == "none":
        return [*options, *words], None
    return ["-f", FORMAT.get(name, name), *options, *words, f"{name}.img"], f"{name}.img"


def lines(text: str) -> list[str]:
    return [line for line in text.strip().splitlines() if line]


SESSIONS = [
    *lines(transcripts.READ),
    *lines(transcripts.WRITE),
    *lines(transcripts.ASYNCHRONOUS),
    *lines(transcripts.STATE),
    *lines(transcripts.FAULTS),
]


@pytest.mark.parametrize("session", SESSIONS)
def test_commands(session: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words, image = words_of(session)
    compare(words, session, images, tmp_path, monkeypatch)
    if image is not None and "-b" not in session:
        same_disk(tmp_path / "theirs" / image, tmp_path / "ours" / image, FORMAT.get(image[:-4], image[:-4]))


@pytest.mark.parametrize("session", lines(transcripts.BLKDEBUG))
def test_faults(session: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, *commands = session.split(" | ")
    compare([*(word for command in commands for word in ("-c", command)), name], session, images, tmp_path, monkeypatch)
    same_disk(tmp_path / "theirs/qcow2.img", tmp_path / "ours/qcow2.img", "qcow2")


@pytest.mark.parametrize("tree", lines(transcripts.TREES))
def test_trees(tree: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = ["read 64k 512", "aio_read 64k 512", "aio_flush", "write 64k 512", "length"]
    words = [word for command in commands for word in ("-c", command)]
    option = [] if tree.startswith("json:") else ["--image-opts"]
    compare([*option, *words, tree], tree, images, tmp_path, monkeypatch)


@pytest.mark.parametrize("end", ["abort", "sigraise 9", "sigraise 15", "sigraise 2"])
def test_the_end_by_a_signal(end: str, images: Path, tmp_path: Path) -> None:
    """What was written before is in the image; the status is that of the signal."""
    outcomes = []
    for side, program in (("theirs", ["qemu-io"]), ("ours", [sys.executable, "-c", PROGRAM])):
        shutil.copytree(images, tmp_path / side)
        words = [*program, "-c", "write -P 3 0 128k", "-c", end, "qcow2.img"]
        done = subprocess.run(words, cwd=tmp_path / side, capture_output=True, timeout=PATIENCE, env=ENVIRONMENT)
        outcomes.append((done.returncode, done.stderr))
    assert outcomes[0] == outcomes[1]
    same_disk(tmp_path / "theirs/qcow2.img", tmp_path / "ours/qcow2.img", "qcow2")


def test_the_end_when_nobody_listens(images: Path, tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("help\n" * 1000)
    command = f'{sys.executable} -c "$PROGRAM" qcow2.img < {tmp_path}/lines | head -n 1; exit ${{PIPESTATUS[0]}}'
    environment = {**ENVIRONMENT, "PROGRAM": PROGRAM}
    done = subprocess.run(["bash", "-c", command], cwd=images, capture_output=True, timeout=PATIENCE, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (BROKEN_PIPE, FIRST_LINE, b"")


FIRST_LINE = b"qemu-io> abort -- simulate a program crash using abort(3)\n"
PROGRAM = "import sys; from imgtools.cli.program import main; sys.argv[0] = 'qemu-io'; sys.exit(main())"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)}


@pytest.mark.parametrize("line", lines(transcripts.OPTIONS))
def test_options(line: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare(shlex.split(line), line, images, tmp_path, monkeypatch)


@pytest.mark.parametrize("text", transcripts.INPUT)
def test_standard_input(text: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare(["qcow2.img"], text, images, tmp_path, monkeypatch, text)


def compare(
    words: list[str], name: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str = ""
) -> None:
    for side in ("theirs", "ours"):
        shutil.copytree(images, tmp_path / side)
    theirs = run_peer(words, tmp_path / "theirs", text)
    monkeypatch.chdir(tmp_path / "ours")
    ours = run_in_process(words, tmp_path / "input", text)
    if name not in DIFFERENCES:
        assert ours[1] == theirs[1]
        assert ours[0] == theirs[0]
        assert (ours[2] == theirs[2]) is not name.startswith(tuple(COMPLAINTS)), ours[2] + theirs[2]
    else:
        assert ours != theirs, f"no longer different: {DIFFERENCES[name]}"


def run_peer(words: list[str], directory: Path, text: str) -> Outcome:
    done = subprocess.run(
        ["qemu-io", *words], cwd=directory, capture_output=True, input=text.encode(), timeout=PATIENCE
    )
    return done.returncode, masked(done.stdout), masked(done.stderr)


def run_in_process(words: list[str], path: Path, text: str) -> Outcome:
    path.write_text(text)
    before = sys.stdin, sys.stdout, sys.stderr
    out, err = io.TextIOWrapper(io.BytesIO()), io.TextIOWrapper(io.BytesIO())
    with path.open() as given:
        sys.stdin, sys.stdout, sys.stderr = given, out, err
        try:
            status = main(["qemu-io", *words])
        finally:
            sys.stdin, sys.stdout, sys.stderr = before
    texts = []
    for stream in (out, err):
        stream.flush()
        assert isinstance(stream.buffer, io.BytesIO)
        texts.append(masked(stream.buffer.getvalue()))
    return status, texts[0], texts[1]


def masked(text: bytes) -> str:
    """A text without times and rates."""
    return TERSE.sub(r"\1,TIME", TIMES.sub("TIME", text.decode(errors="surrogateescape")))


def same_disk(theirs: Path, ours: Path, format: str) -> None:
    """Both images hold the same bytes, and ours has no errors."""
    if os.path.getsize(theirs):
        run("qemu-img", "compare", "-q", "-f", format, "-F", format, theirs, ours)
    if format in ("qcow2", "vdi"):
        run("qemu-img", "check", "-q", "-f", format, ours)
