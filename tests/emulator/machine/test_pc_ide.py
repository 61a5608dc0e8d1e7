"""Programs of the PC that use its IDE disk, here and in QEMU: what they read, and what they leave on the image."""

from __future__ import annotations

import random
import subprocess
import zlib
from pathlib import Path

import pytest
from guest_programs import QEMU, build

import imgtools
from emulator.machine.config import Drive, LinuxBoot, PcConfig
from emulator.machine.pc import Pc
from imgtools import create_image
from tests.conftest import PATIENCE, require_tool

SIZE = 4 << 20
SECTOR = 512


def run_here(program: Path, disk: Path, format: str) -> str:
    output = bytearray()
    with imgtools.open(disk, format=format, writable=True) as node:
        config = PcConfig(64 << 20, [Drive(node)], linux=LinuxBoot(program.read_bytes()), console=output.extend)
        with Pc(config) as machine:
            machine.power_on()
            machine.run()
    return output.decode("latin-1")


def run_qemu(program: Path, disk: Path) -> str:
    how = ["-kernel", str(program), "-drive", f"file={disk},format=raw,if=ide"]
    done = subprocess.run(
        [require_tool("qemu-system-x86_64"), *QEMU.split(), *how],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE,
    )
    return done.stdout.decode("latin-1")


@pytest.mark.parametrize("format", ["raw", "qcow2"])
def test_pio_and_dma(format: str, tmp_path: Path) -> None:
    program = build("ide.c", tmp_path / "program")
    content = random.Random(7).randbytes(SIZE)
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.write_bytes(content)
    create_image(ours, SIZE, format=format)
    with imgtools.open(ours, format=format, writable=True) as node:
        node.write(0, content)
    output = run_here(program, ours, format)
    assert output == run_qemu(program, theirs)
    sums = dict(line.rsplit(" ", 1) for line in output.splitlines())
    assert int(sums["rep insw"], 16) == zlib.adler32(content[100 * SECTOR : 105 * SECTOR])
    assert int(sums["dma"], 16) == zlib.adler32(content[1000 * SECTOR : 1256 * SECTOR])
    with imgtools.open(ours, format=format) as node:
        left = node.read(0, SIZE)
    assert left == theirs.read_bytes() and left != content
