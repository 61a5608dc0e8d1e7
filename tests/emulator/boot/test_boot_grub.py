"""GRUB's rescue images: by floppy, hard disk and CD-ROM, from several formats, to the prompt, where it lists drives."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from boot_screen import follow, require_file

import imgtools
from emulator.machine.config import CDROM, DISK, FLOPPY, IDE, VIRTIO, Drive
from tests.conftest import run

IMAGES = Path("/usr/lib/grub-rescue")
# File, interface, media, boot order, how GRUB names the drive
KINDS = {
    "floppy": ("grub-rescue-floppy.img", FLOPPY, DISK, "a", "(fd0)"),
    "cd": ("grub-rescue-cdrom.iso", IDE, CDROM, "d", "(cd)"),
    "ide": ("grub-rescue-usb.img", IDE, DISK, "c", "(hd0)"),
    "virtio": ("grub-rescue-usb.img", VIRTIO, DISK, "c", "(hd0)"),
}


def prompt(kind: str, image_format: str, bios: str, directory: Path) -> None:
    """Boot, go to the prompt by keyboard, list the drives."""
    name, interface, media, order, shown = KINDS[kind]
    path = require_file(IMAGES / name, "grub-rescue-pc")
    if image_format != "raw":
        source, path = path, directory / f"disk.{image_format}"
        run(sys.executable, "-m", "imgtools", "convert", "-f", "raw", "-O", image_format, source, path)
    with imgtools.open(str(path)) as node:
        steps = [("Use the", "c"), ("grub>", "ls\n"), (f"{shown} ({shown[1:-1]},msdos1)", "")]
        follow([Drive(node, interface, media)], steps, bios=bios, order=order)


BUILT_IN = [
    ("floppy", "raw"), ("floppy", "vmdk"), ("cd", "raw"), ("cd", "vdi"),
    ("ide", "raw"), ("ide", "qcow2"), ("ide", "vdi"), ("ide", "vmdk"), ("virtio", "qcow2"),
]  # fmt: skip
SEABIOS = [("floppy", "raw"), ("cd", "raw"), ("ide", "qcow2"), ("virtio", "vdi")]


@pytest.mark.parametrize(("kind", "image_format"), BUILT_IN)
def test_built_in(kind: str, image_format: str, tmp_path: Path) -> None:
    prompt(kind, image_format, "built-in", tmp_path)


@pytest.mark.parametrize(("kind", "image_format"), SEABIOS)
def test_seabios(kind: str, image_format: str, tmp_path: Path) -> None:
    prompt(kind, image_format, "seabios", tmp_path)
