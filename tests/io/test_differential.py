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

from imgtools.cli.program import main
from tests.conftest import require_tool, run
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
        assert ours[2] == theirs[2]
        assert ours[0] == theirs[0]
    else:
        assert ours != theirs, f"no longer different: {DIFFERENCES[name]}"


def run_peer(words: list[str], directory: Path, text: str) -> Outcome:
    done = subprocess.run(["qemu-io", *words], cwd=directory, capture_output=True, input=text.encode(), timeout=60)
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
