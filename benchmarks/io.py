"""The exerciser shell beside qemu-io: many commands on standard input, and the start to the first one.

    python -m benchmarks.io [--quick] [--only TEXT] [--folder DIRECTORY]

prints one table: the peer's time, ours, the ratio, and what is demanded of it. Each write is made durable before the
next command, by both, so on a disk that is slow at that both take the same time; `--folder /dev/shm` leaves what the
shells themselves cost.
"""

from __future__ import annotations

import argparse
import random
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.timing import HEADER, IMGTOOLS, Row, run, side_by_side

COMMANDS = 30_000
SIZE = 64 << 20
REQUEST = 4096


def write_commands(path: Path, count: int) -> None:
    """Reads and writes in turn, at random places."""
    chance = random.Random(1)
    with path.open("w") as file:
        for number in range(count):
            verb = f"write -P {chance.randrange(256)}" if number % 2 else "read"
            file.write(f"{verb} {chance.randrange(SIZE // REQUEST) * REQUEST} 4k\n")


def fed(program: list[str], words: list[str], commands: Path) -> list[str]:
    """A command line whose standard input are the commands."""
    return ["sh", "-c", f"exec {shlex.join([*program, *words])} < {shlex.quote(str(commands))}"]


def rows(folder: Path, runs: int, count: int, only: str) -> Iterator[Row]:
    commands = folder / "commands"
    write_commands(commands, count)
    for format in ("raw", "qcow2"):
        work, image = f"{count} reads and writes, {format}", folder / f"disk.{format}"
        if only not in work:
            continue
        run(["qemu-img", "create", "-f", format, str(image), str(SIZE)])
        words = ["-f", format, str(image)]
        ours, theirs = fed([*IMGTOOLS, "io"], words, commands), fed(["qemu-io"], words, commands)
        yield side_by_side(work, [ours], [theirs], 1.5, runs=runs)
    work = "start to the first command"
    if only in work:
        image = folder / "start.qcow2"
        run(["qemu-img", "create", "-f", "qcow2", str(image), str(SIZE)])
        words = [*IMGTOOLS, "io", "-c", "read -q 0 512", str(image)]
        yield side_by_side(work, [words], [[sys.executable, "-c", "pass"]], 3.0, runs=4 * runs)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run of each, with fewer commands")
    parser.add_argument("--only", default="", help="only the rows whose name contains this")
    parser.add_argument("--folder", help="where to put the images (64 MiB each)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        print(HEADER)
        runs, count = (1, COMMANDS // 10) if options.quick else (5, COMMANDS)
        over = [row.work for row in rows(Path(folder), runs, count, options.only) if row.ratio > row.limit]
    print(f"\n{len(over)} over their limit{': ' + ', '.join(over) if over else ''}")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
