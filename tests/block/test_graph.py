"""Opening trees: chains that loop or are too long, protocols that the user names, probing, and what start-up costs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import imgtools
from imgtools.block import graph
from imgtools.block.protocols.memory import NullNode
from imgtools.errors import BadOption, CorruptImage, ImageError, NotFound, OutOfBounds
from tests.conftest import Runner
from tests.model import subject_of

ROOT = Path(__file__).parent.parent.parent


def make_chain(directory: Path, qemu_img: Runner, links: dict[str, str | None]) -> None:
    for name, backing in links.items():
        below = () if backing is None else ("-b", backing, "-F", "qcow2")
        qemu_img("create", "-u", "-f", "qcow2", *below, directory / name, "1M")


@pytest.mark.parametrize("links", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "b", "b": "c", "c": "b"}])
def test_a_chain_that_loops_is_refused(links: dict[str, str | None], tmp_path: Path, qemu_img: Runner) -> None:
    make_chain(tmp_path, qemu_img, links)
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(CorruptImage, match="the chain has a loop") as caught:
        imgtools.open(str(tmp_path / "a"))
    assert caught.value.structure == "backing file"
    assert set(os.listdir("/proc/self/fd")) == before, "files were left open"
    with imgtools.open(str(tmp_path / "a"), backing=False) as disk:
        assert disk.size == 1 << 20


def test_a_loop_through_links_is_seen(tmp_path: Path, qemu_img: Runner) -> None:
    make_chain(tmp_path, qemu_img, {"a": "b"})
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(CorruptImage, match="the chain has a loop"):
        imgtools.open(str(tmp_path / "a"))


def test_two_images_may_share_one_backing_file(tmp_path: Path, qemu_img: Runner) -> None:
    make_chain(tmp_path, qemu_img, {"base": None, "a": "base", "b": "base"})
    with imgtools.open(str(tmp_path / "a")) as a, imgtools.open(str(tmp_path / "b")) as b:
        assert a.backing is not None and b.backing is not None


def test_a_chain_that_is_too_long_is_refused(tmp_path: Path, qemu_img: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    make_chain(tmp_path, qemu_img, {"0": None} | {str(number): str(number - 1) for number in range(1, 8)})
    imgtools.open(str(tmp_path / "7")).close()
    monkeypatch.setattr(graph, "MAX_CHAIN_DEPTH", 7)
    imgtools.open(str(tmp_path / "6")).close()
    with pytest.raises(OutOfBounds, match="longer than 7 images"):
        imgtools.open(str(tmp_path / "7"))


def test_protocols_that_the_user_names(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(bytes(512))
    (tmp_path / "a:b").write_bytes(bytes(1024))
    assert imgtools.open(f"file:{tmp_path}/disk", format="raw").size == 512
    assert isinstance(imgtools.open("null-co://", format="raw").children["file"], NullNode)
    with pytest.raises(BadOption, match="Unknown protocol 'gopher'"):
        imgtools.open("gopher://host/disk")
    assert imgtools.open(str(tmp_path / "a:b"), format="raw").size == 1024


@pytest.mark.parametrize("name", ["nothing", "directory/../nothing/x"])
def test_what_is_not_there_is_not_found(name: str, tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    with pytest.raises(NotFound, match=r"Could not open .*: No such file or directory"):
        imgtools.open(str(tmp_path / name))


def test_a_directory_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=str(tmp_path)):
        imgtools.open(str(tmp_path))


def test_a_format_is_probed_by_its_magic(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    subject = subject_of("vdi", size=1 << 20, unit=1 << 20)
    from imgtools.block.protocols.file import create_file

    with create_file(str(path)) as storage:
        subject.create(storage)
    with imgtools.open(str(path)) as disk:
        assert disk.driver == "vdi"
    with imgtools.open(str(path), format="raw") as disk:
        assert (disk.driver, disk.size) == ("raw", path.stat().st_size)


def test_a_guessed_raw_disk_cannot_be_made_to_look_like_another_format(tmp_path: Path) -> None:
    path, said = tmp_path / "disk", []
    path.write_bytes(bytes(65536))
    with imgtools.open(str(path), writable=True, warn=said.append) as disk:
        assert len(said) == 1 and "probing guessed raw" in said[0]
        with pytest.raises(ImageError, match="another format's header"):
            disk.write(0, b"QFI\xfb\0\0\0\3".ljust(512, b"\0"))
        disk.write(0, b"boot sector")
        disk.write(512, b"QFI\xfb\0\0\0\3")
    with imgtools.open(str(path), format="raw", writable=True) as disk:
        disk.write(0, b"QFI\xfb\0\0\0\3")


def test_opening_and_creating_import_nothing_slow(tmp_path: Path) -> None:
    code = """if True:
        import sys, imgtools
        from imgtools.block.graph import Context
        from imgtools.block.registry import find_format
        for name in ("raw", "vdi"):
            path = sys.argv[1] + name
            find_format(name).create(path, 1 << 20, {}, Context(writable=True))
            with imgtools.open(path, format=name, writable=True) as disk:
                disk.write(0, b"x")
                list(disk.extents(0, disk.size))
        slow = {"construct", "typing", "dataclasses", "re", "enum", "numpy", "asyncio", "typer", "rich", "tempfile"}
        sys.exit(" ".join(slow & set(sys.modules)) or None)
    """
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, str(tmp_path / "disk")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
