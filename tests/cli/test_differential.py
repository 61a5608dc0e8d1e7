"""qemu-img and imgtools, given the same command lines, say the same and return the same.

Standard output and exit status are compared to the letter. On standard error imgtools may say more after what
the peer says (what to do about it), never less and nothing else. Differences that are meant are listed in
DIFFERENCES with their reasons, and a case that stops to differ has to leave that list.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.cli import commands
from tests.cli.launch import Outcome, decoded, run_in_process
from tests.cli.pictures import make_pictures
from tests.conftest import PATIENCE, require_tool

CASES = [line for line in commands.ALL.strip().splitlines() if line]

HOST_SPACE = re.compile(r"^disk size: .*$|(?<=\"actual-size\": )\d+", re.M)
"""What a file takes on its host is the file system's business as much as the tool's."""
TIMING = re.compile(r"(?<=Run completed in )[\d.]+")
SNAPSHOT_DATE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
CONTENT_ID = re.compile(r"(?<=cid: )\d+|(?<=\"cid\": )\d+")

CHOICES = "qcow2 says which values an option takes, where the peer says which it does not"
COPIED = "a count that is too high is a leak; the flag that disagrees with it is not a second finding"
WITHOUT_BACKING = "an image can be checked without its backing file"
COUNT = "count= counts the blocks that are copied, as its help says; the peer counts the skipped ones, too"
FAILED = "the peer tells of an error and then reports success"

DIFFERENCES = {
    "info -f vdi base.qcow2": "the signature is looked at before the size",
    'info \'json:{"driver": "qcow2"\'': "what is wrong with JSON is told with its place",
    "create -f qcow2 -o compat=foo new 1M": CHOICES,
    "create -f qcow2 -o compression_type=foo new 1M": CHOICES,
    "create -f qcow2 -o preallocation=foo new 1M": CHOICES,
    "create -f qcow2 -o preallocation= new 1M": CHOICES,
    "measure -O raw -o preallocation=bogus disk.raw": "refused, though nothing depends on it",
    "create -f vmdk -o backing_fmt=raw new 1M": "told as for every other format",
    "check shared.qcow2": COPIED,
    "check broken-backing.qcow2": WITHOUT_BACKING,
    "map --output=json flat.vmdk": "a hole in a flat extent is told as a hole in a raw file is",
    "dd if=disk.raw of=new bs=4k skip=16 count=4 && info -f raw --output=json new": COUNT,
    "dd if=disk.raw of=new bs=4k skip=2 count=4 && info -f raw --output=json new": COUNT,
    "dd if=disk.raw of=new skip=2049 && info -f raw --output=json new": FAILED,
    "dd if=disk.raw of=new skip=99999 && info -f raw --output=json new": FAILED,
    "convert -n --target-is-zero -B base.qcow2 disk.raw new": FAILED,
    "snapshot -c a base.qcow2 && resize base.qcow2 2M && snapshot -a a base.qcow2 && info base.qcow2 && "
    "check base.qcow2": "the L1 table of another size is not written over the active one, and ends the file elsewhere",
    "bitmap --add base.qcow2 a && bitmap --add --merge a --disable base.qcow2 b && info base.qcow2 && "
    "check base.qcow2": "what the first action let go of is in use again after the second, so the file ends sooner",
}
"""Cases that differ, and why."""


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require_tool("qemu-img")
    require_tool("qemu-io")
    directory = tmp_path_factory.mktemp("pictures")
    make_pictures(directory)
    return directory


BELOW = {
    "upper.qcow2": "middle.qcow2",
    "middle.qcow2": "base.qcow2",
    "top.qcow2": "base.qcow2",
    "over-raw.qcow2": "disk.raw",
    "over-vmdk.qcow2": "disk.vmdk",
    "over-vdi.qcow2": "disk.vdi",
    "flat.vmdk": "flat-flat.vmdk",
}
"""Images, and what they stand on; one that stands on another of these comes before it."""


def copy_pictures(line: str, pictures: Path, directory: Path) -> Path:
    """A directory with those of the images that a command line names, and what they stand on."""
    directory.mkdir()
    wanted = {name for name in os.listdir(pictures) if name in line}
    for name in BELOW:
        wanted |= {BELOW[name]} if name in wanted else set()
    named = [pictures / name for name in wanted]
    if named:
        subprocess.run(["cp", "-a", "--sparse=always", *named, directory], check=True)
    return directory


@pytest.mark.parametrize("line", CASES)
def test_same_as_peer(line: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs_in = copy_pictures(line, pictures, tmp_path / "theirs")
    ours_in = copy_pictures(line, pictures, tmp_path / "ours")
    equal = True
    for command in line.split(" && "):
        words = shlex.split(command)
        theirs = run_peer(words, theirs_in)
        monkeypatch.chdir(ours_in)
        ours = run_in_process(words)
        if line not in DIFFERENCES:
            assert_same(normal(ours), normal(theirs))
        equal = equal and is_same(normal(ours), normal(theirs))
    assert equal is (line not in DIFFERENCES), f"no longer different: {DIFFERENCES.get(line)}"


def run_peer(words: list[str], directory: Path) -> Outcome:
    done = subprocess.run(
        ["qemu-img", *words], cwd=directory, capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE
    )
    return done.returncode, decoded(done.stdout), decoded(done.stderr)


def normal(outcome: Outcome) -> Outcome:
    """The outcome without what may differ from run to run."""
    status, out, err = outcome
    for pattern in (HOST_SPACE, TIMING, CONTENT_ID, SNAPSHOT_DATE):
        out = pattern.sub("...", out)
    return status, out, err


def is_same(ours: Outcome, theirs: Outcome) -> bool:
    return ours[:2] == theirs[:2] and ours[2].startswith(theirs[2]) and bool(ours[2]) is bool(theirs[2])


def assert_same(ours: Outcome, theirs: Outcome) -> None:
    assert ours[1] == theirs[1]
    assert ours[2][: len(theirs[2])] == theirs[2]
    assert bool(ours[2]) is bool(theirs[2]), ours[2]
    assert ours[0] == theirs[0]
