"""Linux on virtio disks, over each transport and its interrupts: it reads, writes and trims an ext4 disk."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from linux_disks import SIZE, digest, disk, lines_of, make_files
from linux_guests import initramfs, kernel

from emulator.machine.config import VIRTIO, Drive, LinuxBoot, PcConfig
from tests.conftest import require_tool, run

MODULES = (
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_mmio",
    "virtio_blk",
    "virtio_rng",
    "crc32c_generic",
)
CARD = "drivers/virtio/virtio_pci.ko"
SCRIPT = """
insmod /card.ko {parameters}
cat /proc/interrupts
mount -t ext4 /dev/vda /mnt
cat /mnt/file? | md5sum
dd if=/mnt/file3 of=/mnt/copy bs=1M 2>/dev/null
rm /mnt/file5
sync
busybox fstrim /mnt && echo trimmed
echo 3 > /proc/sys/vm/drop_caches
md5sum < /mnt/copy
umount /mnt
head -c 100 /dev/hwrng | cmp -n 100 - /dev/zero
poweroff -f
"""


@pytest.mark.parametrize(
    ("format", "devices", "append", "parameters", "interrupt"),
    [
        ("raw", (), "", "", "PCI-MSI"),
        ("qcow2", (), "pci=nomsi", "", "IO-APIC"),
        ("vmdk", (), "pci=nomsi noapic", "force_legacy=1", "XT-PIC"),
        ("vdi", (), "", "force_legacy=1", "PCI-MSI"),
        ("qcow2", ("virtio-mmio",), "", "", "IO-APIC"),
    ],
    ids=["messages", "pins", "legacy", "legacy-messages", "mmio"],
)
def test_disks(
    format: str, devices: tuple[str, ...], append: str, parameters: str, interrupt: str, tmp_path: Path
) -> None:
    linux, folder, said = kernel("cloud-amd64"), make_files(tmp_path), bytearray()
    card = {"card.ko": (linux.modules / CARD).read_bytes()}
    initrd = initramfs(linux, MODULES, SCRIPT.format(parameters=parameters), card)
    boot = LinuxBoot(linux.image.read_bytes(), initrd, f"console=ttyS0 quiet {append}")
    with disk(folder, tmp_path / "disk", format) as node:
        devices = (*devices, "virtio-rng")
        config = PcConfig(256 << 20, [Drive(node, VIRTIO)], linux=boot, serial=said.extend, devices=devices)
        lines = lines_of(config, said)
        left = tmp_path / "left"
        left.write_bytes(node.read(0, SIZE))
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    assert [line.split()[0] for line in lines if line.endswith("  -")] == [
        digest(b"".join(files.values())),
        digest(files["file3"]),
    ]
    assert any("virtio0" in line and interrupt in line for line in lines), lines
    assert "trimmed" in lines and any(line.startswith("- /dev/zero differ") for line in lines), lines
    run(require_tool("e2fsck"), "-fn", left)
    run(require_tool("debugfs"), "-R", f"dump copy {tmp_path / 'copy'}", left)
    assert (tmp_path / "copy").read_bytes() == files["file3"]
    if format != "raw":
        run(sys.executable, "-m", "imgtools", "check", tmp_path / "disk")
