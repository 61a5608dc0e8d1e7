"""The ladder's fifth rung: Debian's kernels mount an ext4 file system from the disk, read and write 100 MB of files.

Afterwards the image checks clean, the file system passes e2fsck on the host, and holds what the guest says it wrote.
Some of all combinations run; LADDER=all runs every one.
"""

from __future__ import annotations

import hashlib
import os
import random
from itertools import product
from pathlib import Path

import pytest
from boot_command import boot, convert
from linux_guests import initramfs, kernel

from tests.conftest import require_tool, run

KERNELS, CARDS, FORMATS = ("cloud-amd64", "amd64", "686-pae"), ("virtio", "ide"), ("raw", "qcow2", "vdi", "vmdk")
SOME = [("cloud-amd64", "virtio", "vmdk"), ("amd64", "virtio", "raw"), ("686-pae", "ide", "qcow2")]
CASES = list(product(KERNELS, CARDS, FORMATS)) if os.environ.get("LADDER") == "all" else SOME
DISK, FILES, FILE_SIZE = 256 << 20, 10, 10 << 20
MODULES = {
    "virtio": ("virtio_pci", "virtio_blk", "ext4", "crc32c_generic"),
    "ide": ("ata_piix", "sd_mod", "ext4", "crc32c_generic"),
}
SCRIPT = """
disk=/dev/vda; [ -b /dev/sda ] && disk=/dev/sda
mount -t ext4 $disk /mnt
for number in 0 1 2 3 4 5 6 7 8 9; do md5sum /mnt/file$number; done
for number in 0 1 2 3 4; do dd if=/mnt/file$number of=/mnt/copy$number bs=1M 2>/dev/null; rm /mnt/file$number; done
sync
echo 3 > /proc/sys/vm/drop_caches
for number in 0 1 2 3 4; do md5sum /mnt/copy$number; done
umount /mnt
poweroff -f
"""


@pytest.fixture(scope="session")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of the disk."""
    return {f"file{number}": random.Random(number).randbytes(FILE_SIZE) for number in range(FILES)}


def make_disk(contents: dict[str, bytes], folder: Path, format: str) -> Path:
    files, raw, path = folder / "files", folder / "raw", folder / f"disk.{format}"
    files.mkdir()
    for name, data in contents.items():
        (files / name).write_bytes(data)
    with raw.open("wb") as file:
        file.truncate(DISK)
    run(require_tool("mkfs.ext4"), "-q", "-d", files, raw)
    return convert(raw, "raw", path, format)


@pytest.mark.parametrize(("name", "card", "format"), CASES)
def test_files(name: str, card: str, format: str, contents: dict[str, bytes], tmp_path: Path) -> None:
    linux = kernel(name)
    path = make_disk(contents, tmp_path, format)
    ram_disk = tmp_path / "initrd"
    ram_disk.write_bytes(initramfs(linux, MODULES[card], SCRIPT))
    options = ["--kernel", linux.image, "--initrd", ram_disk, "--append", "console=ttyS0 quiet"]
    done = boot("--write", "-f", format, "--if", card, path, *options)
    assert done.status == 0, done.output[-2000:] + done.errors
    sums = {words[1]: words[0] for line in done.output.splitlines() if len(words := line.split()) == 2}
    expected = {name: hashlib.md5(data).hexdigest() for name, data in contents.items()}
    expected |= {f"copy{number}": expected[f"file{number}"] for number in range(5)}
    assert {f"/mnt/{name}": digest for name, digest in expected.items()}.items() <= sums.items()

    left = tmp_path / "left"
    if format != "raw":
        run(require_tool("qemu-img"), "check", "-f", format, path)
    convert(path, format, left, "raw")
    run(require_tool("e2fsck"), "-fn", left)
    for number in range(5):
        run(require_tool("debugfs"), "-R", f"dump copy{number} {tmp_path / 'copy'}", left)
        assert (tmp_path / "copy").read_bytes() == contents[f"file{number}"]
