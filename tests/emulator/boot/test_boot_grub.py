"""GRUB's rescue images: by floppy and by CD-ROM to the prompt, where it lists the drives."""

from __future__ import annotations

from pathlib import Path

import pytest
from boot_screen import follow, require_file

import imgtools
from emulator.machine.config import CDROM, DISK, FLOPPY, IDE, Drive

IMAGES = Path("/usr/lib/grub-rescue")
# File, interface, media, boot order, how GRUB names the drive
KINDS = {
    "floppy": ("grub-rescue-floppy.img", FLOPPY, DISK, "a", "(fd0)"),
    "cd": ("grub-rescue-cdrom.iso", IDE, CDROM, "d", "(cd)"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_prompt(kind: str) -> None:
    name, interface, media, order, shown = KINDS[kind]
    path = require_file(IMAGES / name, "grub-rescue-pc")
    with imgtools.open(str(path)) as node:
        steps = [("Use the", "c"), ("grub>", "ls\n"), (shown, "")]
        outcome = follow([Drive(node, interface, media)], steps, order=order)
    assert "GNU GRUB" in outcome.screen
