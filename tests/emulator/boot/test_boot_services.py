"""The BIOS's services by what they return to a boot sector: the same lines as from SeaBIOS in QEMU."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from boot_screen import FIRMWARE, firmware

import imgtools
from emulator.machine.config import IDE, VIRTIO, Drive, PcConfig
from emulator.machine.pc import Pc
from tests.conftest import PATIENCE, require_tool, run

GUESTS = Path(__file__).with_name("guests")
SECTOR, SECTORS, PATTERN = 512, 2048, 64
MEMORY = 128  # MiB
LINE = re.compile(r"[^:]+:( [0-9A-F]{4})* C[01]")
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
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE)
    assert done.returncode == EXIT, done
    return done.stdout.decode("latin-1").splitlines()


def here(disk: Path, *, bios: str = "built-in", interface: str = IDE) -> list[str]:
    """Lines that are in the form of the program's; a firmware of its own writes others in between."""
    output = bytearray()
    with imgtools.open(str(disk), writable=True) as node:
        drives = [Drive(node, interface)]
        config = PcConfig(memory=MEMORY << 20, drives=drives, bios=firmware(bios), console=output.extend)
        with Pc(config) as machine:
            machine.power_on()
            assert machine.run() == EXIT
    return [line for line in output.decode("latin-1").splitlines() if LINE.fullmatch(line)]


@pytest.fixture
def disks(tmp_path: Path) -> tuple[Path, Path]:
    """The same twice."""
    first = build("services.S", tmp_path / "here")
    return first, Path(shutil.copy(first, tmp_path / "there"))


def test_built_in(disks: tuple[Path, Path]) -> None:
    ours, qemus = here(disks[0]), in_qemu(disks[1])
    for mine, theirs in zip(ours, qemus, strict=True):
        name = theirs.partition(":")[0]
        assert mine == f"{name}: {DIFFERENCES[name]}" if name in DIFFERENCES else mine == theirs
    assert disks[0].read_bytes() == disks[1].read_bytes()  # what the guest has written


def test_seabios(disks: tuple[Path, Path]) -> None:
    """SeaBIOS on our chips returns to the last line what it returns on QEMU's."""
    assert here(disks[0], bios="seabios") == in_qemu(disks[1])
    assert disks[0].read_bytes() == disks[1].read_bytes()


@pytest.mark.parametrize("interface", [IDE, VIRTIO])
@pytest.mark.parametrize("image_format", ["qcow2", "vdi", "vmdk"])
def test_formats(disks: tuple[Path, Path], tmp_path: Path, image_format: str, interface: str) -> None:
    """A disk of any format, behind either controller, is the same to the program, and has the same written on it."""
    raw, image, back = disks[0], tmp_path / f"disk.{image_format}", tmp_path / "back"
    convert = (sys.executable, "-m", "imgtools", "convert")
    run(*convert, "-f", "raw", "-O", image_format, raw, image)
    assert here(image, interface=interface) == here(raw)
    run(*convert, "-O", "raw", image, back)
    assert back.read_bytes() == raw.read_bytes()


@pytest.mark.parametrize("bios", FIRMWARE)
def test_read_only(disks: tuple[Path, Path], bios: str) -> None:
    """Writes fail with a status, and the program goes on."""
    output = bytearray()
    before = disks[0].read_bytes()
    with imgtools.open(str(disks[0])) as node:
        config = PcConfig(memory=MEMORY << 20, drives=[Drive(node)], bios=firmware(bios), console=output.extend)
        with Pc(config) as machine:
            machine.power_on()
            assert machine.run() == EXIT
    lines = dict(line.split(": ", 1) for line in output.decode("latin-1").splitlines() if LINE.fullmatch(line))
    assert lines["write by packet"].endswith("C1") and lines["sum"].endswith("C0")
    assert disks[0].read_bytes() == before
