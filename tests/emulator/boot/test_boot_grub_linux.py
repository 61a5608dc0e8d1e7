"""GRUB on a partitioned disk loads Debian's kernel and its initial RAM disk by the BIOS, and Linux takes over."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from boot_screen import MISSING, firmware
from linux_guests import initramfs, kernel

import imgtools
from emulator.machine.config import IDE, VIRTIO, Drive, PcConfig
from emulator.machine.pc import Pc
from tests.conftest import PATIENCE, require_tool, run

GRUB = Path("/usr/lib/grub/i386-pc")
MEBIBYTE = 1 << 20
SIZE, START = 96 * MEBIBYTE, MEBIBYTE  # of the disk; where its partition begins
SECTOR = 512
BOOT_CODE = 440  # bytes of the first sector that are not the partition table's
MODULES = ["biosdisk", "part_msdos", "ext2", "serial", "terminal", "normal", "linux", "echo", "configfile", "minicmd"]
CONFIGURATION = """
serial --unit=0
terminal_output serial
linux /vmlinuz console=ttyS0 panic=-1 quiet
initrd /initrd
boot
"""
SCRIPT = "echo Linux is here; cat /proc/partitions; poweroff -f\n"


def make_disk(directory: Path) -> Path:
    """Boot code, GRUB behind it, and an ext4 file system with what it loads (GRUB's manual, "BIOS installation")."""
    chosen = kernel("cloud-amd64")
    files, disk = directory / "files", directory / "disk.raw"
    (files / "grub").mkdir(parents=True)
    (files / "vmlinuz").write_bytes(chosen.image.read_bytes())
    (files / "initrd").write_bytes(initramfs(chosen, ["ata_piix", "sd_mod", "virtio_pci", "virtio_blk"], SCRIPT))
    (files / "grub" / "grub.cfg").write_text(CONFIGURATION)
    with disk.open("wb") as file:
        file.truncate(SIZE)
    table = f"{START // SECTOR},,L,*\n"
    subprocess.run([require_tool("sfdisk"), "--quiet", "--label", "dos", str(disk)], input=table, text=True, check=True)
    where, blocks = f"offset={START}", f"{(SIZE - START) >> 10}k"
    run(require_tool("mkfs.ext4"), "-q", "-F", "-E", where, "-d", files, disk, blocks)
    core = directory / "core.img"
    run(require_tool("grub-mkimage"), "-O", "i386-pc", "-o", core, "-p", "(hd0,msdos1)/grub", *MODULES)
    with disk.open("r+b") as file:
        file.write((GRUB / "boot.img").read_bytes()[:BOOT_CODE])
        file.seek(SECTOR)
        file.write(core.read_bytes())
    return disk


@pytest.mark.parametrize(
    ("bios", "interface", "image_format", "shown"),
    [("built-in", IDE, "qcow2", "sda1"), ("built-in", VIRTIO, "raw", "vda1"), ("seabios", IDE, "vmdk", "sda1")],
)
def test_linux_by_grub(tmp_path: Path, bios: str, interface: str, image_format: str, shown: str) -> None:
    disk = make_disk(tmp_path)
    if image_format != "raw":
        raw, disk = disk, tmp_path / f"disk.{image_format}"
        run(sys.executable, "-m", "imgtools", "convert", "-f", "raw", "-O", image_format, raw, disk)
    output = bytearray()
    with imgtools.open(str(disk)) as node:
        config = PcConfig(drives=[Drive(node, interface)], bios=firmware(bios), serial=output.extend)
        with Pc(config) as machine:
            late = threading.Timer(PATIENCE, machine.end, (MISSING,))
            late.start()
            machine.power_on()
            status = machine.run()
            late.cancel()
    text = output.decode("latin-1")
    assert status == 0, text[-2000:]
    assert "Linux is here" in text and shown in text, text[-2000:]
