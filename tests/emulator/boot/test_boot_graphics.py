"""Pictures: a boot sector draws in each kind of mode, and the screen is the one that QEMU shows."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_boot_services import build

import imgtools
from emulator.hw.vga.picture import picture
from emulator.machine.config import Drive, PcConfig
from emulator.machine.pc import Pc
from tests.conftest import require_tool

DONE = b"!"
MODE_PLACE = 508
# QEMU makes 8 bits of 6 by repeating the lowest one, we the highest ones; those of 5 it leaves as they are in one mode
TOLERANCE, TOLERANCE_OF_15_BITS = 3, 7


def here(disk: Path) -> Any:
    with imgtools.open(str(disk)) as node:
        holder: list[Pc] = []
        config = PcConfig(drives=[Drive(node)], console=lambda data: holder[0].end(0) if data == DONE else None)
        with Pc(config) as machine:
            holder.append(machine)
            machine.power_on()
            assert machine.run() == 0
            return picture(machine.vga)


def in_qemu(disk: Path, directory: Path) -> Any:
    """The screen by QMP, once the guest has said that it is done."""
    console, dump = directory / "console", directory / "screen.ppm"
    options = f"-accel tcg -display none -debugcon file:{console} -serial null -monitor none -qmp stdio".split()
    command = [require_tool("qemu-system-x86_64"), *options, "-drive", f"file={disk},format=raw"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as qemu:
        assert qemu.stdin is not None and qemu.stdout is not None

        def execute(name: str, **arguments: str) -> None:
            assert qemu.stdin is not None and qemu.stdout is not None
            qemu.stdin.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
            qemu.stdin.flush()
            while "return" not in (answer := json.loads(qemu.stdout.readline())):
                assert "error" not in answer, answer

        execute("qmp_capabilities")
        while DONE not in console.read_bytes():
            assert qemu.poll() is None
            execute("query-status")
        execute("screendump", filename=str(dump))
        execute("quit")
    kind, size, _, pixels = dump.read_bytes().split(b"\n", 3)
    assert kind == b"P6"
    width, height = map(int, size.split())
    return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)


@pytest.mark.parametrize("mode", [0x03, 0x0D, 0x12, 0x13, 0x101, 0x111, 0x112, 0x110, 0x115])
def test_picture(mode: int, tmp_path: Path) -> None:
    disk = build("graphics.S", tmp_path / "disk")
    data = bytearray(disk.read_bytes())
    data[MODE_PLACE : MODE_PLACE + 2] = mode.to_bytes(2, "little")
    disk.write_bytes(data)
    ours, qemus = here(disk), in_qemu(disk, tmp_path)
    assert ours.shape == qemus.shape
    difference = np.abs(ours.astype(int) - qemus).max(axis=2)
    tolerance = TOLERANCE_OF_15_BITS if mode == 0x110 else TOLERANCE
    assert difference.max() <= tolerance, np.argwhere(difference > tolerance)[:5]
    assert len(np.unique(ours.reshape(-1, 3), axis=0)) > 4  # something was drawn
