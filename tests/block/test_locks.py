"""Locks: ours and QEMU's refuse each other, in both directions, and say who holds the image."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import imgtools
from imgtools.block.protocols.file import create_file, open_file
from imgtools.errors import Locked
from tests.conftest import Runner, require_tool

Holder = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(65536))
    return path


@pytest.fixture
def hold() -> Iterator[Holder]:
    """Start a program that holds an image until the test is over; returns when it says that it does."""
    running = []

    def start(*command: str | Path, until: Callable[[], bool]) -> subprocess.Popen[str]:
        deadline = time.monotonic() + 30
        while True:
            process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            running.append(process)
            while process.poll() is None:
                if until():
                    return process
                time.sleep(0.01)
            # To look is to hold the image for a moment, in which the holder may have come and been refused.
            assert time.monotonic() < deadline, "the holder did not start"

    yield start
    for process in running:
        process.kill()
        process.communicate()


def locked_by(path: Path, *, write: bool) -> bool:
    """Whether someone's lock keeps us from opening the image so."""
    try:
        open_file(str(path), writable=write).close()
    except Locked:
        return True
    return False


def test_an_image_that_qemu_io_writes_is_refused(image: Path, hold: Holder) -> None:
    holder = hold(require_tool("qemu-io"), "-f", "raw", image, until=lambda: locked_by(image, write=False))
    for write, lock in ((True, '"write" lock'), (False, 'shared "write" lock')):
        with pytest.raises(Locked, match=lock) as caught:
            imgtools.open(str(image), format="raw", writable=write)
        assert f"Is another process using the image [{image}]?" in (caught.value.hint or "")
        assert f"qemu-io (pid {holder.pid})" in (caught.value.hint or "")
    with pytest.raises(Locked):
        create_file(str(image))
    assert image.stat().st_size == 65536, "a file that was refused must not have been emptied"


def test_sharing_reads_what_another_writes(image: Path, hold: Holder) -> None:
    hold(require_tool("qemu-io"), "-f", "raw", image, until=lambda: locked_by(image, write=False))
    with imgtools.open(str(image), format="raw", share=True) as disk:
        assert disk.read(0, 4) == bytes(4)


def test_an_image_that_qemu_nbd_serves_can_be_read_but_not_written(
    image: Path, hold: Holder, qemu_nbd_path: str, tmp_path: Path
) -> None:
    socket = tmp_path / "socket"
    holder = hold(
        qemu_nbd_path, "-r", "-t", "-f", "raw", "-k", socket, image, until=lambda: locked_by(image, write=True)
    )
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
        assert locked_by(image, write=True)
    with imgtools.open(str(image), format="raw", writable=True):
        assert locked_by(image, write=True) and locked_by(image, write=False)
    assert not locked_by(image, write=True)


def test_a_holder_that_is_killed_leaves_no_lock(image: Path, hold: Holder) -> None:
    holder = hold(require_tool("qemu-io"), "-f", "raw", image, until=lambda: locked_by(image, write=False))
    holder.kill()
    holder.wait()
    assert not locked_by(image, write=True)
