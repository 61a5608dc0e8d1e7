"""Disks of the emulated PC beside QEMU's translator: guests that read an image from its first to its last byte.

    python -m benchmarks.boot_disk [--size MIB] [--runs N] [--format raw|qcow2] [--only TEXT]

prints one table: the throughput of each in MB/s, and the ratio, which is to be at least 1. The first guest is a program
without an operating system that reads by the IDE controller's bus master, 128 KiB a command; the others are Debian's
kernel with a `dd` that goes past its cache or through it. The image is in the host's cache, and writes are kept apart
in a file of their own, as by default; where the host's cache does not keep it, TMPDIR=/dev/shm does. Runs alternate, so
that a change of the machine's speed hits both alike.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks.emulator import measure

TESTS = Path(__file__).parents[1] / "tests/emulator"
GUESTS = TESTS / "machine/guests"
COMPILE = (
    "gcc -m32 -O2 -ffreestanding -fno-pic -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables "
    "-nostdlib -static -no-pie "
    "-Wl,--build-id=none,-z,noseparate-code,-z,noexecstack,-z,max-page-size=4096,-Ttext=0x100000"
)
MEMORY = 512  # MiB
OURS = [sys.executable, "-m", "imgtools", "boot", "--accel", "tcg", "--no-reboot", "-m", f"{MEMORY}M"]
QEMU = (
    f"qemu-system-x86_64 -accel tcg -M pc -m {MEMORY} -display none -monitor none -no-reboot -snapshot "
    "-device isa-debug-exit,iobase=0xf4,iosize=4"
)
COMMAND_LINE = "console=ttyS0 quiet"
MODULES = ("ata_piix", "sd_mod", "virtio_blk", "virtio_pci")
SCRIPT = """
disk=/dev/sda; [ -e $disk ] || disk=/dev/vda
echo '<'
dd if=$disk of=/dev/null bs=1M {options} 2>/dev/null
echo '>'
poweroff -f
"""
MIB = 1 << 20


class Guest(NamedTuple):
    """How the guest reads: the controller, and the options of its `dd`, None for the program without a system."""

    name: str
    interface: str
    options: str | None


WORKS = (
    Guest("a program, IDE", "ide", None),
    Guest("Linux, IDE", "ide", "iflag=direct"),
    Guest("Linux, IDE, through its cache", "ide", ""),
    Guest("Linux, virtio", "virtio", "iflag=direct"),
    Guest("Linux, virtio, through its cache", "virtio", ""),
)


def make_image(folder: Path, size: int, image_format: str) -> Path:
    """Random data, so that nothing is a hole."""
    raw, path = folder / "disk.raw", folder / f"disk.{image_format}"
    with raw.open("wb") as file:
        for _ in range(size):
            file.write(os.urandom(MIB))
    if image_format != "raw":
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", image_format, raw, path], check=True)
    return path


def commands(work: Guest, image: str, image_format: str, folder: Path) -> tuple[list[str], list[str]]:
    """Ours, and QEMU's."""
    ours = [*OURS, "-f", image_format, "--if", work.interface, image]
    theirs = [*QEMU.split(), "-drive", f"file={image},format={image_format},if={work.interface}"]
    if work.options is None:
        return [*ours, "--kernel", str(folder / "program")], [
            *theirs, "-debugcon", "stdio", "-serial", "null", "-kernel", str(folder / "program")
        ]  # fmt: skip
    sys.path.append(str(TESTS / "boot"))
    from linux_guests import initramfs, kernel

    linux, disk = kernel("amd64"), folder / "initrd"
    disk.write_bytes(initramfs(linux, MODULES, SCRIPT.format(options=work.options)))
    boot = ["kernel", str(linux.image), "initrd", str(disk), "append", COMMAND_LINE]
    names, values = boot[::2], boot[1::2]
    ours += [word for name, value in zip(names, values, strict=True) for word in (f"--{name}", value)]
    theirs += [word for name, value in zip(names, values, strict=True) for word in (f"-{name}", value)]
    return ours, [*theirs, "-serial", "stdio"]


def compare(name: str, both: tuple[list[str], list[str]], size: int, runs: int) -> str:
    """A line of the table."""
    seconds: tuple[list[float], list[float]] = [], []
    for _ in range(runs):
        for command, measured in zip(both, seconds, strict=True):
            measured.append(measure(command)[0])
    ours, theirs = (size * MIB / 1e6 / statistics.median(measured) for measured in seconds)
    verdict = "ok" if ours >= theirs else "UNDER"
    return f"| {name} | {theirs:.0f} | {ours:.0f} | {ours / theirs:.2f} {verdict} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Disks of the emulated PC beside QEMU's translator.")
    parser.add_argument("--size", type=int, default=1024, help="MiB that are read")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--format", default="raw", choices=("raw", "qcow2"))
    parser.add_argument("--only", default="", help="rows whose name contains this")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image = str(make_image(folder, options.size, options.format))
        sources = [str(GUESTS / source) for source in ("start32.S", "ide.c")]
        program = ["-o", str(folder / "program"), *sources]
        subprocess.run([*COMPILE.split(), f"-DLOOPS={options.size}", *program], check=True)
        print("| read by | QEMU, MB/s | imgtools, MB/s | ratio |\n|---|---|---|---|", flush=True)
        for work in WORKS:
            if options.only in work.name:
                both = commands(work, image, options.format, folder)
                print(compare(work.name, both, options.size, options.runs), flush=True)


if __name__ == "__main__":
    main()
