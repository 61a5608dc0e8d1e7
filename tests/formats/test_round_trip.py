"""The main job on real disks: raw -> qcow2 -> vmdk -> vdi -> raw, each step looked at by QEMU's tools too.

The disks are a bootable hybrid image from a Debian package, and an ext4 file system with real files in it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import imgtools
from tests.conftest import Runner, cannot_run, require_tool, run
from tests.model import check_is_clean

BOOTABLE = (
    Path("/usr/lib/grub-rescue/grub-rescue-cdrom.iso"),
    Path("/usr/lib/memtest86+/memtest86+x64.iso"),
    Path("/boot/memtest86+x64.iso"),
)


def bootable_disk(path: Path) -> None:
    source = next((candidate for candidate in BOOTABLE if candidate.exists()), None)
    if source is None:
        cannot_run("no bootable image is installed (Debian: grub-rescue-pc or memtest86+)")
    shutil.copyfile(source, path)


def file_system(path: Path) -> None:
    """40 MiB of ext4 with this package's own source in it."""
    tool = require_tool("mke2fs") if shutil.which("mke2fs") else "/sbin/mke2fs"
    if not Path(tool).exists():
        cannot_run("mke2fs is not installed")
    run(tool, "-q", "-t", "ext4", "-d", Path(imgtools.__file__).parent, path, "40M")


@pytest.mark.parametrize("make", [bootable_disk, file_system])
@pytest.mark.parametrize("compress", [False, True], ids=["plain", "compressed"])
def test_round_trip(make: object, compress: bool, tmp_path: Path, qemu_img: Runner) -> None:
    original = tmp_path / "disk.raw"
    make(original)  # type: ignore[operator]
    size = -(-original.stat().st_size // 512) * 512
    previous, previous_format = original, "raw"
    for format in ("qcow2", "vmdk", "vdi", "raw"):
        step = tmp_path / f"step.{format}"
        imgtools.create_image(str(step), size, format=format)
        with (
            imgtools.open(str(previous), format=previous_format) as source,
            imgtools.open(str(step), format=format, writable=True) as target,
        ):
            imgtools.convert([source], target, compress=compress and format == "qcow2", target_is_zero=True)
        qemu_img("compare", "-f", "raw", "-F", format, original, step)
        if format != "raw":
            qemu_img("check", "-f", format, step)
        with imgtools.open(str(step), format=format) as node:
            check_is_clean(node)
        previous, previous_format = step, format
    assert previous.read_bytes().startswith(original.read_bytes())
    assert previous.stat().st_size == size
    if make is file_system:
        run("/sbin/e2fsck", "-f", "-n", previous)
