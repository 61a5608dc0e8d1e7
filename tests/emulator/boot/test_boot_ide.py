"""Linux on the IDE and floppy controllers: its drivers read and write an ext4 disk, a CD-ROM and a floppy disk."""

from __future__ import annotations

import hashlib
import random
import sys
import threading
from pathlib import Path

import pytest
from linux_guests import initramfs, kernel

import imgtools
from emulator.machine.config import CDROM, FLOPPY, Drive, LinuxBoot, PcConfig
from emulator.machine.pc import Pc
from imgtools import Node, create_image
from tests.conftest import require_tool, run

SIZE, FILES, FILE_SIZE = 96 << 20, 8, 2 << 20
FLOPPY_SIZE, CD_SIZE = 1440 << 10, 3 << 20
TIME_LIMIT, LATE = 180, 99  # seconds, exit status
MODULES = ("ata_piix", "sd_mod", "sr_mod", "ext4", "crc32c_generic", "floppy")
SCRIPT = """
mount -t ext4 /dev/sda /mnt
cat /mnt/file? | md5sum
dd if=/mnt/file3 of=/mnt/copy bs=1M 2>/dev/null
rm /mnt/file5
sync
echo 3 > /proc/sys/vm/drop_caches
md5sum < /mnt/copy
umount /mnt
md5sum < /dev/sr0
md5sum < /dev/fd0
dd if=/dev/sr0 of=/dev/fd0 bs=18k count=9 2>/dev/null
sync
poweroff -f
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files for the disk."""
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"file{number}").write_bytes(random.Random(number).randbytes(FILE_SIZE))
    return folder


def disk(folder: Path, path: Path, format: str) -> Node:
    """An image with a file system of the folder's files."""
    raw = path.with_suffix(".raw")
    with raw.open("wb") as file:
        file.truncate(SIZE)
    run(require_tool("mkfs.ext4"), "-q", "-d", folder, raw)
    create_image(path, SIZE, format=format)
    with imgtools.open(path, format=format, writable=True) as node, raw.open("rb") as file:
        for place in range(0, SIZE, 1 << 20):
            piece = file.read(1 << 20)
            if any(piece):
                node.write(place, piece)
    return imgtools.open(path, format=format, writable=True)


def raw_image(path: Path, size: int) -> bytes:
    content = random.Random(size).randbytes(size)
    path.write_bytes(content)
    return content


def lines_of(config: PcConfig, said: bytearray) -> list[str]:
    with Pc(config) as machine:
        timer = threading.Timer(TIME_LIMIT, lambda: machine.end(LATE))
        timer.start()
        machine.power_on()
        status = machine.run()
        timer.cancel()
    text = said.decode("latin-1")
    assert status == 0, text[-2000:]
    return text.splitlines()


def digest(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


@pytest.mark.parametrize("format", ["qcow2", "vdi"])
def test_disks(format: str, folder: Path, tmp_path: Path) -> None:
    linux = kernel("amd64")
    cd, floppy = raw_image(tmp_path / "cd", CD_SIZE), raw_image(tmp_path / "floppy", FLOPPY_SIZE)
    boot = LinuxBoot(linux.image.read_bytes(), initramfs(linux, MODULES, SCRIPT), "console=ttyS0 quiet")
    said = bytearray()
    with (
        disk(folder, tmp_path / "disk", format) as node,
        imgtools.open(tmp_path / "cd", format="raw") as cd_node,
        imgtools.open(tmp_path / "floppy", format="raw", writable=True) as floppy_node,
    ):
        drives = [Drive(node), Drive(cd_node, media=CDROM), Drive(floppy_node, FLOPPY)]
        config = PcConfig(256 << 20, drives, linux=boot, serial=said.extend)
        sums = [line.split()[0] for line in lines_of(config, said) if line.endswith("  -")]
        left = tmp_path / "left"
        left.write_bytes(node.read(0, SIZE))
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    assert sums == [digest(b"".join(files.values())), digest(files["file3"]), digest(cd), digest(floppy)]
    assert (tmp_path / "floppy").read_bytes() == cd[: 162 << 10] + floppy[162 << 10 :]
    run(require_tool("e2fsck"), "-fn", left)
    run(require_tool("debugfs"), "-R", f"dump copy {tmp_path / 'copy'}", left)
    assert (tmp_path / "copy").read_bytes() == files["file3"]
    run(sys.executable, "-m", "imgtools", "check", tmp_path / "disk")
