"""The processor beside QEMU's translator: bare-metal programs on `python -m emulator` and on qemu-system-x86_64.

    python -m benchmarks.emulator [--quick] [--only TEXT]

prints one table: the speed of each in guest MIPS (millions of instructions a second), the ratio, and what is demanded
of it; then how long the emulator takes to be built from an empty cache, and to start with a full one. Runs alternate,
so that a change of the machine's speed hits both alike.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

GUESTS = Path(__file__).with_name("guests")
START = Path(__file__).parents[1] / "tests/emulator/machine/guests/start64.S"
COMPILE = (
    "gcc -m64 -O2 -ffreestanding -fno-pic -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables "
    "-fno-reorder-functions -fno-tree-vectorize -nostdlib -static -no-pie "
    "-Wl,--build-id=none,-z,noseparate-code,-z,noexecstack,-z,max-page-size=4096,-Ttext=0x100000"
)
QEMU = (
    "qemu-system-x86_64 -accel tcg -m 128 -display none -debugcon stdio -serial null -monitor none -no-reboot "
    "-device isa-debug-exit,iobase=0xf4,iosize=4 -kernel"
)
BUILD_LIMIT, START_LIMIT = 20.0, 0.5


class Work(NamedTuple):
    """A loop: its turns in a run, the instructions of a turn, and how much of QEMU's speed is demanded."""

    name: str
    symbol: str
    turns: int
    instructions: float
    demanded: float


WORKS = (
    Work("registers", "registers", 100_000_000, 8, 0.45),
    Work("memory", "memory", 50_000_000, 8, 0.70),
    Work("call and return", "calls", 40_000_000, 7, 1.20),
    Work("compiled C, -O2", "mixed", 400, 2_095_000, 0.65),
)


def build(work: Work, folder: Path, turns: int) -> Path:
    """The program as a multiboot file of 32 bits, which is what both start."""
    target = folder / work.symbol
    sources = [START, GUESTS / "main.c", GUESTS / "loops.S", GUESTS / "mixed.c"]
    options = [f"-DWORK={work.symbol}", f"-DCOUNT={turns}ull", "-o", str(target)]
    subprocess.run([*COMPILE.split(), *options, *map(str, sources)], check=True)
    subprocess.run(["objcopy", "-O", "elf32-i386", str(target)], check=True)
    return target


def measure(command: list[str]) -> tuple[float, str]:
    """Seconds between the marks that the program writes, and its result."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert process.stdout is not None
    marks: dict[bytes, float] = {}
    result = b""
    while byte := os.read(process.stdout.fileno(), 1):
        if byte in b"<>":
            marks[byte] = time.perf_counter()
        else:
            result += byte
    process.wait()
    return marks[b">"] - marks[b"<"], result.decode()


def compare(work: Work, folder: Path, runs: int, scale: float) -> str:
    """A line of the table."""
    turns = max(1, int(work.turns * scale))
    program = str(build(work, folder, turns))
    ours, peers = [], []
    for _ in range(runs):
        seconds, result = measure([sys.executable, "-m", "emulator", "run", program])
        ours.append(seconds)
        seconds, expected = measure([*QEMU.split(), program])
        peers.append(seconds)
        if result != expected:
            raise SystemExit(f"{work.name}: the result is {result}, QEMU's {expected}")
    millions = turns * work.instructions / 1e6
    mine, peer = millions / statistics.median(ours), millions / statistics.median(peers)
    verdict = "ok" if mine / peer >= work.demanded else "UNDER"
    return f"| {work.name} | {peer:.0f} | {mine:.0f} | {mine / peer:.2f} | {work.demanded:.2f} {verdict} |"


def starts(folder: Path, runs: int) -> list[str]:
    """From an empty cache and from a full one to the first instruction of a program that ends at once."""
    program = build(Work("nothing", "calls", 1, 0, 0), folder, 1)
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    command = [sys.executable, "-m", "emulator", "run", str(program)]
    seconds = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment)
        assert process.stdout is not None
        os.read(process.stdout.fileno(), 1)
        seconds.append(time.perf_counter() - began)
        process.stdout.read()
        process.wait()
    return [
        f"build from an empty cache: {seconds[0]:.1f} s, at most {BUILD_LIMIT} s",
        f"start with a full cache: {statistics.median(seconds[1:]):.2f} s, at most {START_LIMIT} s",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="The processor beside QEMU's translator.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, one run")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    options = parser.parse_args()
    runs, scale = (1, 0.1) if options.quick else (5, 1.0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print("| program | QEMU, MIPS | imgtools, MIPS | ratio | at least |\n|---|---|---|---|---|", flush=True)
        for work in WORKS:
            if options.only in work.name:
                print(compare(work, folder, runs, scale), flush=True)
        if options.only in "starts":
            print(*starts(folder, runs), sep="\n")


if __name__ == "__main__":
    main()
