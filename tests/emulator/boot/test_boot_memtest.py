"""memtest86+ starts its tests: as a floppy's boot sector, from its CD image, and with SeaBIOS."""

from __future__ import annotations

from pathlib import Path

import pytest
from boot_screen import follow, require_file

import imgtools
from emulator.machine.config import CDROM, DISK, FLOPPY, IDE, Drive

PROGRAM = Path("/boot/memtest86+x64.bin")
CDS = Path("/usr/lib/memtest86+")
FLOPPY_SIZE = 1440 << 10
MEMORY = 64 << 20  # bytes: little, so that it is soon tested
RUNNING = [("Status: Testing", ""), ("Pass", "")]


def test_floppy(tmp_path: Path) -> None:
    image = tmp_path / "floppy.img"
    image.write_bytes(require_file(PROGRAM, "memtest86+").read_bytes().ljust(FLOPPY_SIZE, b"\0"))
    with imgtools.open(str(image)) as node:
        outcome = follow([Drive(node, FLOPPY, DISK)], RUNNING, order="a", memory=MEMORY)
    assert "Errors: 0" in outcome.screen


@pytest.mark.parametrize(("name", "bios"), [("ia32", "built-in"), ("x64", "seabios")])
def test_cd(name: str, bios: str) -> None:
    path = require_file(CDS / f"memtest86+{name}.iso", "memtest86+")
    with imgtools.open(str(path)) as node:
        outcome = follow([Drive(node, IDE, CDROM)], RUNNING, bios=bios, order="d", memory=MEMORY)
    assert "Errors: 0" in outcome.screen
