"""The gate: which files an image may have opened, whatever tricks its author knows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import imgtools
from imgtools.block.gate import DENY, PERMISSIVE, SAME_DIRECTORY, Allow, gate_from_environment
from imgtools.errors import AccessDenied, ImageError, NotFound
from tests.conftest import Runner


@pytest.fixture
def image(tmp_path: Path) -> str:
    """The path of an image in a directory of its own, beside which lies one that is nobody's business."""
    for directory in ("own/below", "other"):
        (tmp_path / directory).mkdir(parents=True)
        (tmp_path / directory / "file").write_bytes(b"x")
    (tmp_path / "own" / "file").write_bytes(b"x")
    return str(tmp_path / "own" / "image")


def refusal(gate: imgtools.Gate, image: str, name: str) -> AccessDenied:
    with pytest.raises(AccessDenied) as caught:
        gate.resolve(image, name, "backing file")
    assert caught.value.path == image and caught.value.structure == "backing file"
    assert "\n" not in caught.value.message
    return caught.value


@pytest.mark.parametrize("name", ["file", "./file", "below/file", "below/../file", "not-there"])
def test_the_own_directory_is_open(image: str, name: str) -> None:
    assert SAME_DIRECTORY.resolve(image, name, "backing file") == os.path.join(os.path.dirname(image), name)


def test_an_absolute_name_in_the_own_directory_is_as_good(image: str) -> None:
    name = os.path.join(os.path.dirname(image), "file")
    assert SAME_DIRECTORY.resolve(image, name, "backing file") == name


@pytest.mark.parametrize("name", ["/etc/passwd", "../other/file", "below/../../other/file", "..", "/", "../ownother/f"])
def test_other_directories_are_closed(image: str, name: str) -> None:
    error = refusal(SAME_DIRECTORY, image, name)
    assert "outside the image's directory" in error.message and "--allow" in (error.hint or "")


def test_symbolic_links_count_as_where_they_lead(image: str, tmp_path: Path) -> None:
    own = tmp_path / "own"
    (own / "out").symlink_to(tmp_path / "other" / "file")
    (own / "dir").symlink_to(tmp_path / "other")
    (own / "in").symlink_to(own / "file")
    refusal(SAME_DIRECTORY, image, "out")
    refusal(SAME_DIRECTORY, image, "dir/file")
    assert SAME_DIRECTORY.resolve(image, "in", "backing file").endswith("/in")


PROTOCOLS = [
    "json:{}",
    "nbd:localhost:10809",
    "nbd://host/",
    "http://host/x",
    "file:file",
    "host_device:/dev/sda",
    "a:b",
]


@pytest.mark.parametrize("name", [*PROTOCOLS, "", "fi\0le"])
@pytest.mark.parametrize("gate", [SAME_DIRECTORY, PERMISSIVE, DENY], ids=["same", "permissive", "deny"])
def test_no_gate_honours_protocols(gate: imgtools.Gate, image: str, name: str) -> None:
    assert "only plain file names" in refusal(gate, image, name).message


@pytest.mark.parametrize("gate", [SAME_DIRECTORY, PERMISSIVE], ids=["same", "permissive"])
def test_fifos_devices_and_directories_are_no_images(gate: imgtools.Gate, image: str) -> None:
    own = os.path.dirname(image)
    os.mkfifo(os.path.join(own, "fifo"))
    assert "not a regular file" in refusal(gate, image, "fifo").message
    assert "not a regular file" in refusal(gate, image, "below").message
    assert refusal(gate, image, "/dev/zero")
    assert refusal(gate, image, "/dev/stdin") or os.path.isfile("/dev/stdin")


def test_deny_refuses_even_neighbours(image: str) -> None:
    refusal(DENY, image, "file")


def test_permissive_lets_other_directories_pass(image: str) -> None:
    assert PERMISSIVE.resolve(image, "../other/file", "backing file").endswith("other/file")


def test_allowed_directories(image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = str(tmp_path / "other")
    for gate in (Allow(other), gate_from_environment([other])):
        assert gate.resolve(image, "../other/file", "backing file")
        refusal(gate, image, "/etc/passwd")
    refusal(Allow(str(tmp_path / "oth")), image, "../other/file")
    monkeypatch.setenv("IMGTOOLS_ALLOW", f"/nowhere:{other}")
    assert gate_from_environment().resolve(image, "../other/file", "backing file")
    monkeypatch.delenv("IMGTOOLS_ALLOW")
    assert gate_from_environment() is SAME_DIRECTORY


def test_a_long_name_makes_a_short_message(image: str) -> None:
    assert len(refusal(SAME_DIRECTORY, image, "/" + "x" * 100_000).message) < 600


def test_a_backing_file_passes_the_gate(tmp_path: Path, qemu_img: Runner) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir(), other.mkdir()
    for directory in (own, other):
        (directory / "base").write_bytes(b"secret".ljust(65536, b"\0"))
    for name, backing in (("near", "base"), ("far", str(other / "base")), ("gone", "nothing")):
        qemu_img("create", "-u", "-f", "qcow2", "-b", backing, "-F", "raw", own / name, "64k")
    with imgtools.open(str(own / "near")) as disk:
        assert disk.read(0, 6) == b"secret"
    with pytest.raises(AccessDenied, match=r"^backing file '.*' named by"):
        imgtools.open(str(own / "far"))
    with imgtools.open(str(own / "far"), gate=Allow(str(other))) as disk:
        assert disk.read(0, 6) == b"secret"
    with pytest.raises(NotFound, match=r"^Could not open backing file: Could not open '.*nothing'"):
        imgtools.open(str(own / "gone"))
    with pytest.raises(ImageError):
        imgtools.open(str(own / "near"), gate=DENY)
    with imgtools.open(str(own / "far"), backing=False) as disk:
        assert disk.size == 65536
