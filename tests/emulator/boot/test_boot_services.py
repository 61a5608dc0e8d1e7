"""The BIOS's services by what they return to a boot sector: the same lines as from SeaBIOS in QEMU."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

import imgtools
from emulator.machine.config import Drive, PcConfig
from emulator.machine.pc import Pc
from tests.conftest import require_tool

GUESTS = Path(__file__).with_name("guests")
SECTOR, SECTORS, PATTERN = 512, 2048, 64
MEMORY = 128  # MiB
EXIT = 1  # what the guest's exit is in both machines
LINK = "-nostdlib -static -no-pie -Wl,--build-id=none,-z,noseparate-code,-z,noexecstack,-z,max-page-size=4096"
# SeaBIOS keeps the last cylinder to itself, for diagnostics that nobody runs; here programs get all sectors.
DIFFERENCES = {"geometry": "013F 0F01 C0", "kind": "0300 0000 0800 C0"}


def build(name: str, target: Path) -> Path:
    """A disk: the boot sector, and behind it a pattern."""
    script = (GUESTS / name).with_suffix(".ld")
    command = f"{require_tool('gcc')} -m32 {LINK} -Wl,-T,{script},--oformat=binary -o {target} {GUESTS / name}"
    done = subprocess.run(command.split(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    data = target.read_bytes().ljust(PATTERN * SECTOR, b"\0")
    target.write_bytes(data + random.Random(7).randbytes((SECTORS - PATTERN) * SECTOR))
    return target


def in_qemu(disk: Path) -> list[str]:
    machine = f"-accel tcg -m {MEMORY} -display none -debugcon stdio -serial null -monitor none -no-reboot"
    options = [*machine.split(), "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-drive", f"file={disk},format=raw"]
    command = [require_tool("qemu-system-x86_64"), *options]
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=100)
    assert done.returncode == EXIT, done
    return done.stdout.decode("latin-1").splitlines()


def here(disk: Path) -> list[str]:
    output = bytearray()
    with imgtools.open(str(disk), writable=True) as node:
        config = PcConfig(memory=MEMORY << 20, drives=[Drive(node)], console=output.extend)
        with Pc(config) as machine:
            machine.power_on()
            assert machine.run() == EXIT
    return output.decode("latin-1").splitlines()


@pytest.fixture
def disks(tmp_path: Path) -> tuple[Path, Path]:
    """The same twice."""
    first = build("services.S", tmp_path / "here")
    return first, Path(shutil.copy(first, tmp_path / "there"))


def test_services(disks: tuple[Path, Path]) -> None:
    ours, qemus = here(disks[0]), in_qemu(disks[1])
    for mine, theirs in zip(ours, qemus, strict=True):
        name = theirs.partition(":")[0]
        assert mine == f"{name}: {DIFFERENCES[name]}" if name in DIFFERENCES else mine == theirs
    assert disks[0].read_bytes() == disks[1].read_bytes()  # what the guest has written
