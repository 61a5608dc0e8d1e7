"""Locks: ours and QEMU's refuse each other, in both directions, and say who holds the image."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import imgtools
from imgtools.block.protocols.file import create_file
from imgtools.errors import Locked
from tests.conftest import Runner, is_locked, require_tool, wait_until

Holder = Callable[..., subprocess.Popen[str]]
PROMPT = "qemu-io> "


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(65536))
    return path


@pytest.fixture
def hold() -> Iterator[Holder]:
    """Start a program that holds an image until the test is over; returns once it does, which its prompt tells, or a
    file that it makes: to try the image is to hold it for a moment, in which the program would be refused."""
    running = []

    def start(*command: str | Path, makes: Path | None = None) -> subprocess.Popen[str]:
        words = [str(word) for word in command]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        running.append(process)
        if makes is not None:
            wait_until(lambda: process.poll() is not None or makes.exists())
        else:
            assert process.stdout is not None and process.stdout.read(len(PROMPT)) == PROMPT
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def test_an_image_that_qemu_io_writes_is_refused(image: Path, hold: Holder) -> None:
    holder = hold(require_tool("qemu-io"), "-f", "raw", image)
    for write, lock in ((True, '"write" lock'), (False, 'shared "write" lock')):
        with pytest.raises(Locked, match=lock) as caught:
            imgtools.open(str(image), format="raw", writable=write)
        assert f"Is another process using the image [{image}]?" in (caught.value.hint or "")
        assert f"qemu-io (pid {holder.pid})" in (caught.value.hint or "")
    with pytest.raises(Locked):
        create_file(str(image))
    assert image.stat().st_size == 65536, "a file that was refused must not have been emptied"


def test_sharing_reads_what_another_writes(image: Path, hold: Holder) -> None:
    hold(require_tool("qemu-io"), "-f", "raw", image)
    with imgtools.open(str(image), format="raw", share=True) as disk:
        assert disk.read(0, 4) == bytes(4)


def test_an_image_that_qemu_nbd_serves_can_be_read_but_not_written(
    image: Path, hold: Holder, qemu_nbd_path: str, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    words = ("-r", "-t", "-f", "raw", "-k", tmp_path / "socket", "--pid-file", pid, image)
    holder = hold(qemu_nbd_path, *words, makes=pid)
    with pytest.raises(Locked) as caught:
        imgtools.open(str(image), format="raw", writable=True)
    assert f"qemu-nbd (pid {holder.pid})" in (caught.value.hint or "")
    with imgtools.open(str(image), format="raw") as disk:
        assert disk.size == 65536


def test_qemu_is_refused_what_we_write(image: Path, qemu_io: Runner, qemu_img: Runner) -> None:
    with imgtools.open(str(image), format="raw", writable=True):
        for done in (
            qemu_io(image, "write 0 512", check=False),
            qemu_io(image, "read 0 512", check=False),
            qemu_img("convert", "-f", "raw", "-O", "raw", image, image.with_suffix(".copy"), check=False),
        ):
            assert done.returncode != 0 and "Failed to get" in done.stderr
        qemu_img("map", "-U", "-f", "raw", image)
    qemu_io(image, "write 0 512")


def test_qemu_may_read_but_not_write_what_we_read(image: Path, qemu_io: Runner, qemu_img: Runner) -> None:
    with imgtools.open(str(image), format="raw"):
        qemu_img("map", "-f", "raw", image)
        done = qemu_io(image, "write 0 512", check=False)
        assert done.returncode != 0 and 'Failed to get "write" lock' in done.stderr


def test_we_refuse_ourselves_as_we_refuse_others(image: Path) -> None:
    with imgtools.open(str(image), format="raw"):
        imgtools.open(str(image), format="raw").close()
        assert is_locked(image, write=True)
    with imgtools.open(str(image), format="raw", writable=True):
        assert is_locked(image, write=True) and is_locked(image, write=False)
    assert not is_locked(image, write=True)


def test_a_holder_that_is_killed_leaves_no_lock(image: Path, hold: Holder) -> None:
    holder = hold(require_tool("qemu-io"), "-f", "raw", image)
    holder.kill()
    holder.wait()
    assert not is_locked(image, write=True)
