"""Linux on the IDE and floppy controllers: its drivers read and write an ext4 disk, a CD-ROM and a floppy disk."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from linux_disks import SIZE, digest, disk, lines_of, make_files
from linux_guests import initramfs, kernel

import imgtools
from emulator.machine.config import CDROM, FLOPPY, Drive, LinuxBoot, PcConfig
from tests.conftest import require_tool, run

FLOPPY_SIZE, CD_SIZE = 1440 << 10, 3 << 20
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


def raw_image(path: Path, size: int) -> bytes:
    content = random.Random(size).randbytes(size)
    path.write_bytes(content)
    return content


@pytest.mark.parametrize("format", ["qcow2", "vdi"])
def test_disks(format: str, tmp_path: Path) -> None:
    folder = make_files(tmp_path)
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
