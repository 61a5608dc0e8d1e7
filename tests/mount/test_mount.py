"""Mounted disks as other programs see them: cmp, dd, cp, e2fsck, debugfs, and qemu-img for what is left behind."""

from __future__ import annotations

import os
import random
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.conftest import PATIENCE, Runner, cannot_run, has_ended, require_tool, run, wait_until
from tests.nbd.serving import Server

PROGRAM = (sys.executable, "-m", "imgtools")
Mount = Callable[..., Path]
MIB = 1 << 20


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """`mount(image, "--write")`: mount it, and give its directory, which is unmounted in the end."""
    if not os.path.exists("/dev/fuse"):
        cannot_run("there is no /dev/fuse")
    require_tool("fusermount3")
    mounted = []

    def mount_image(image: Path | str, *options: str) -> Path:
        directory = tmp_path / f"mounted-{len(mounted)}"
        directory.mkdir()
        run(*PROGRAM, "mount", *options, image, directory)
        mounted.append(directory)
        return directory

    yield mount_image
    for directory in mounted:
        if os.path.ismount(directory):
            unmount(directory)


def unmount(directory: Path) -> None:
    run(*PROGRAM, "umount", directory)


@pytest.fixture
def disk(tmp_path: Path, qemu_img: Runner) -> tuple[Path, Path]:
    """A raw disk of data and holes, and a qcow2 image of the same bytes."""
    raw, image = tmp_path / "disk.raw", tmp_path / "disk.qcow2"
    with raw.open("wb") as file:
        file.truncate(24 * MIB)
        for start in (0, 5 * MIB, 20 * MIB):
            file.seek(start)
            file.write(random.Random(start).randbytes(2 * MIB))
    qemu_img("convert", "-O", "qcow2", raw, image)
    return raw, image


def test_the_file_has_the_bytes_of_the_disk(disk: tuple[Path, Path], mount: Mount) -> None:
    raw, image = disk
    directory = mount(image)
    assert os.listdir(directory) == ["disk"]
    run("cmp", raw, directory / "disk")
    with (directory / "disk").open("rb") as file:
        file.seek(-10, os.SEEK_END)
        assert file.read(100) == raw.read_bytes()[-10:]
    assert (directory / "disk").stat().st_mode & 0o777 == 0o400
    with pytest.raises(OSError, match="Read-only file system"):
        (directory / "disk").open("r+b")


def test_holes_are_told(disk: tuple[Path, Path], mount: Mount, tmp_path: Path) -> None:
    raw, image = disk
    directory = mount(image)
    fd = os.open(directory / "disk", os.O_RDONLY)
    try:
        assert os.lseek(fd, 0, os.SEEK_HOLE) == 2 * MIB
        assert os.lseek(fd, 3 * MIB, os.SEEK_DATA) == 5 * MIB
        assert os.lseek(fd, 23 * MIB, os.SEEK_HOLE) == 23 * MIB
        with pytest.raises(OSError, match="No such device or address"):
            os.lseek(fd, 23 * MIB, os.SEEK_DATA)
    finally:
        os.close(fd)
    run("cp", "--sparse=always", directory / "disk", tmp_path / "copy")
    run("cmp", raw, tmp_path / "copy")


def test_what_is_written_is_in_the_image(disk: tuple[Path, Path], mount: Mount, qemu_img: Runner) -> None:
    raw, image = disk
    directory = mount(image, "--write")
    news = random.Random(1).randbytes(3 * MIB + 777)
    for path in (raw, directory / "disk"):
        with path.open("r+b") as file:
            file.seek(9 * MIB + 13)
            file.write(news)
            file.flush()
            os.fsync(file.fileno())
            fd = file.fileno()
            subprocess.run(["fallocate", "-p", "-o", str(MIB), "-l", str(MIB), f"/dev/fd/{fd}"], pass_fds=[fd])
    run("cmp", raw, directory / "disk")
    unmount(directory)
    qemu_img("compare", "-f", "raw", "-F", "qcow2", raw, image)
    qemu_img("check", image)


def test_a_flushed_write_survives_a_kill(disk: tuple[Path, Path], mount: Mount, qemu_io: Runner) -> None:
    _, image = disk
    directory = mount(image, "--write")
    fd = os.open(directory / "disk", os.O_RDWR)
    os.pwrite(fd, b"\x5a" * 65536, 3 * MIB)
    os.fsync(fd)
    server = os.readlink(directory / ".imgtools-server")
    os.kill(int(server), signal.SIGKILL)
    with suppress(OSError):  # nobody is left to close it for
        os.close(fd)
    wait_until(lambda: has_ended(server))
    run("fusermount3", "-u", directory)
    qemu_io(image, f"read -P 0x5a {3 * MIB} 65536", format="qcow2")


def test_what_a_killed_server_leaves_can_be_taken_away(disk: tuple[Path, Path], mount: Mount) -> None:
    directory = mount(disk[1])
    server = os.pidfd_open(int(os.readlink(directory / ".imgtools-server")))
    signal.pidfd_send_signal(server, signal.SIGKILL)
    select.select([server], [], [])
    os.close(server)
    done = run(*PROGRAM, "mount", disk[1], directory, check=False)
    assert done.returncode == 1 and f"imgtools umount {directory}\n" in done.stderr
    unmount(directory)
    assert not os.path.ismount(directory)
    run(*PROGRAM, "mount", disk[1], directory)


def test_a_disk_whose_server_is_gone_is_no_missing_file(disk: tuple[Path, Path], mount: Mount, tmp_path: Path) -> None:
    with Server(tmp_path, disk[0], "-r") as server:
        file = mount(server.uri, "-f", "raw") / "disk"
        server.stop()
        for _ in range(2):
            with file.open("rb") as opened, pytest.raises(OSError, match="Input/output error"):
                opened.read(1)


def test_what_cannot_be_written_back_is_told(disk: tuple[Path, Path], mount: Mount, qemu_io: Runner) -> None:
    """As on a full disk: the image's tables are still to be written when the directory is to be taken away."""
    _, image = disk
    directory = mount(image, "--write")
    server = int(os.readlink(directory / ".imgtools-server"))
    with (directory / "disk").open("r+b", buffering=0) as file:
        file.seek(3 * MIB)
        file.write(b"\x5a" * 65536)
    resource.prlimit(server, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    done = run(*PROGRAM, "umount", directory, check=False)
    assert done.returncode == 1 and done.stderr.startswith("imgtools: could not write back what was written in")
    assert "File too large" in done.stderr and os.path.ismount(directory)
    resource.prlimit(server, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    unmount(directory)
    qemu_io(image, f"read -P 0x5a {3 * MIB} 65536", format="qcow2")


def test_odd_names(disk: tuple[Path, Path], mount: Mount, tmp_path: Path) -> None:
    image = disk[1].rename(tmp_path / "a, b\\c.qcow2")
    directory = mount(image)
    shown = next(line.split(" ")[0] for line in Path("/proc/mounts").read_text().splitlines() if str(directory) in line)
    assert shown == str(image).replace("\\", r"\134").replace(" ", r"\040")
    link = tmp_path / "link"
    link.symlink_to(directory)
    unmount(link)
    assert not os.path.ismount(directory)


def test_its_size_is_fixed(disk: tuple[Path, Path], mount: Mount) -> None:
    raw, image = disk
    file = mount(image, "--write") / "disk"
    with pytest.raises(OSError, match="Operation not permitted"):
        os.truncate(file, 5)
    with file.open("wb") as opened:  # O_TRUNC
        opened.write(b"x")
    assert file.read_bytes() == b"x" + raw.read_bytes()[1:]
    done = run("dd", "if=/dev/zero", f"of={file}", "bs=1M", "seek=23", "count=2", "conv=notrunc", check=False)
    assert "No space left on device" in done.stderr


def test_partitions_are_files(tmp_path: Path, mount: Mount, qemu_img: Runner) -> None:
    raw, image = tmp_path / "disk.raw", tmp_path / "disk.qcow2"
    run("truncate", "-s", "32M", raw)
    run(require_tool("sfdisk"), "--quiet", raw, stdin="label: gpt\nsize=16M\nsize=8M\n")
    qemu_img("convert", "-O", "qcow2", raw, image)
    directory = mount(image, "--write")
    assert sorted(os.listdir(directory)) == ["disk", "partition-1", "partition-2"]
    part = directory / "partition-1"
    run(require_tool("mkfs.ext4"), "-q", part)
    (tmp_path / "hello").write_text("hello")
    run(require_tool("debugfs"), "-w", "-R", f"write {tmp_path}/hello hello", part)
    assert run("debugfs", "-R", "cat hello", part).stdout == "hello"
    assert part.read_bytes() == (directory / "disk").read_bytes()[MIB : 17 * MIB], "two names, the same bytes"
    run(require_tool("e2fsck"), "-fn", part)
    unmount(directory)
    qemu_img("check", image)
    qemu_img("convert", "-O", "raw", image, raw)
    run("dd", f"if={raw}", f"of={tmp_path}/part", "bs=1M", "skip=1", "count=16")
    run("e2fsck", "-fn", tmp_path / "part")


def test_snapshots_are_files(disk: tuple[Path, Path], mount: Mount, qemu_img: Runner, qemu_io: Runner) -> None:
    raw, image = disk
    for name in ("first", "a/b", "first"):
        qemu_img("snapshot", "-c", name, image)
        qemu_io(image, f"write -P 7 {4 * MIB} 64k", format="qcow2")
    directory = mount(image, "--write")
    assert sorted(os.listdir(directory)) == ["disk", "snapshot-2", "snapshot-3", "snapshot-first"]
    run("cmp", raw, directory / "snapshot-first")
    assert run("cmp", raw, directory / "snapshot-3", check=False).returncode == 1
    run("cmp", directory / "disk", directory / "snapshot-3")
    with pytest.raises(PermissionError):
        (directory / "snapshot-first").open("r+b")


@contextmanager
def in_foreground(image: Path, directory: Path) -> Iterator[subprocess.Popen[str]]:
    directory.mkdir()
    words = [*PROGRAM, "mount", "--foreground", str(image), str(directory)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        wait_until(lambda: os.path.ismount(directory) or process.poll() is not None)
        yield process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_unmounts(number: signal.Signals, disk: tuple[Path, Path], tmp_path: Path, mount: Mount) -> None:
    directory = tmp_path / "directory"
    with in_foreground(disk[1], directory) as process:
        assert (directory / "disk").stat().st_size == 24 * MIB
        process.send_signal(number)
        assert process.wait(PATIENCE) == 0
        assert process.stdout is not None and process.stdout.read() == ""
    assert not os.path.ismount(directory)


def test_a_busy_directory_stays(disk: tuple[Path, Path], mount: Mount) -> None:
    directory = mount(disk[1])
    with (directory / "disk").open("rb"):
        done = run(*PROGRAM, "umount", directory, check=False)
        assert done.returncode == 1 and "busy" in done.stderr
    assert os.path.ismount(directory)


def test_complaints(disk: tuple[Path, Path], tmp_path: Path) -> None:
    done = run(*PROGRAM, "mount", tmp_path / "nothing", tmp_path, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "No such file" in done.stderr
    done = run(*PROGRAM, "mount", disk[1], tmp_path / "nowhere", check=False)
    assert done.stderr == f"imgtools: could not mount on '{tmp_path}/nowhere': No such file or directory\n"
    done = run(*PROGRAM, "umount", tmp_path, check=False)
    assert done.stderr == f"imgtools: '{tmp_path}' is not a directory that imgtools has mounted\n"
