"""imgtools boot beside qemu-system-x86_64 -accel tcg: Debian's cloud kernel from its start to /init, and our start.

    python -m benchmarks.boot [--runs N]

Wall time of whole processes, from the call to the text that /init prints first; runs alternate. Needs the kernels
that tests/emulator/boot/fetch_kernels.sh unpacks, and qemu-system-x86.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from tests.emulator.boot.linux_guests import initramfs, kernel

from .timing import HEADER, IMGTOOLS, Row

BOOT = (*IMGTOOLS, "boot", "--accel", "tcg")
REACHED = b"INIT-REACHED"
MEMORY = 512  # MiB
BOOT_LIMIT = 2.0  # of QEMU's time
START_LIMIT = 0.6  # seconds to the first instruction
MEMORY_LIMIT = MEMORY + 300
QEMU = f"qemu-system-x86_64 -accel tcg -m {MEMORY} -display none -serial stdio -monitor none -no-reboot -nodefaults"
HELLO = """
    .code16
    mov $0x3f8, %dx
    mov $'!', %al
    out %al, %dx
    mov $0xf4, %dx
    xor %al, %al
    out %al, %dx
    .org 510
    .word 0xaa55
    .org 1048576
"""


def time_to(command: list[str], text: bytes) -> tuple[float, float]:
    """Seconds until a command prints a text, and the most memory it held until then, in MiB; then it is killed."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    printed = b""
    while text not in printed:
        piece = os.read(process.stdout.fileno(), 4096)
        if not piece:
            raise SystemExit(f"{' '.join(command)} ended before {text!r}: {printed[-500:]!r}")
        printed += piece
    seconds = time.perf_counter() - began
    os.kill(process.pid, signal.SIGKILL)
    _, _, usage = os.wait4(process.pid, 0)
    return seconds, usage.ru_maxrss / 1024


def boot(folder: Path, runs: int) -> None:
    linux = kernel("cloud-amd64")
    disk = folder / "initrd"
    disk.write_bytes(initramfs(linux, (), f"echo {REACHED.decode()}; sleep 60\n"))
    options = ["-kernel", str(linux.image), "-initrd", str(disk), "-append", "console=ttyS0"]
    ours = [*BOOT, "-m", f"{MEMORY}M", *(f"-{word}" if word.startswith("-") else word for word in options)]
    samples: dict[str, list[tuple[float, float]]] = {"ours": [], "peer": []}
    for _ in range(runs + 1):
        samples["ours"].append(time_to(ours, REACHED))
        samples["peer"].append(time_to([*QEMU.split(), *options], REACHED))
    mine, peer = (statistics.median(seconds for seconds, _ in samples[who][1:]) for who in ("ours", "peer"))
    memory = max(used for _, used in samples["ours"])
    print(HEADER)
    print(Row("Debian's kernel to /init", mine, peer, BOOT_LIMIT, f"{memory:.0f} MiB, at most {MEMORY_LIMIT}"))


def start(folder: Path, runs: int) -> None:
    source, image = folder / "hello.S", folder / "hello.img"
    source.write_text(HELLO)
    subprocess.run(["as", "--32", "-o", folder / "hello.o", source], check=True)
    subprocess.run(["objcopy", "-O", "binary", folder / "hello.o", image], check=True)
    command = [*BOOT, "-f", "raw", str(image)]
    seconds = statistics.median(time_to(command, b"!")[0] for _ in range(runs + 1))
    print(f"start to the first output of a boot sector: {seconds:.2f} s, at most {START_LIMIT} s")


def main() -> None:
    parser = argparse.ArgumentParser(description="imgtools boot beside QEMU's translator.")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        boot(Path(name), options.runs)
        start(Path(name), options.runs)


if __name__ == "__main__":
    main()
