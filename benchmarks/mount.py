"""A mounted disk beside qemu-storage-daemon's FUSE export: reading 1 GiB of a qcow2 image in sequence, in one run.

    python -m benchmarks.mount [--runs N] [--size MIB] [--folder DIR]

prints a table of times; the ratio is ours to the daemon's, at most 1.00 is wanted. Both are mounted anew for each run,
so that nothing comes from the page cache of the mounted file; the image itself is cached.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from benchmarks.timing import HEADER, IMGTOOLS, Row, run

MIB = 1 << 20
Mounted = Callable[[], AbstractContextManager[Path]]


@contextmanager
def ours(image: Path, *options: str) -> Iterator[Path]:
    """The disk's file, while it is mounted by imgtools."""
    directory = image.with_suffix(".mounted")
    directory.mkdir(exist_ok=True)
    run([*IMGTOOLS, "mount", *options, str(image), str(directory)])
    yield directory / "disk"
    run([*IMGTOOLS, "umount", str(directory)])


@contextmanager
def theirs(image: Path) -> Iterator[Path]:
    """The disk's file, while qemu-storage-daemon exports it."""
    file = image.with_suffix(".exported")
    file.touch()
    size = file.stat().st_size
    nodes = [f"driver=file,node-name=file,filename={image}", "driver=qcow2,node-name=disk,file=file"]
    export = f"type=fuse,id=export,node-name=disk,mountpoint={file}"
    words = [word for node in nodes for word in ("--blockdev", node)]
    with subprocess.Popen(["qemu-storage-daemon", *words, "--export", export]) as process:
        while file.stat().st_size == size:
            time.sleep(0.01)
        yield file
        process.terminate()
    file.unlink()


def seconds_to_read(mounted: Mounted) -> float:
    with mounted() as file:
        started = time.perf_counter()
        run(["dd", f"if={file}", "of=/dev/null", "bs=1M"])
        return time.perf_counter() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--size", type=int, default=1024, help="MiB")
    parser.add_argument("--folder", help="where to put the image (twice its size)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        raw, image = Path(folder, "disk.raw"), Path(folder, "disk.qcow2")
        with raw.open("wb") as file:
            for _ in range(options.size):
                file.write(random.randbytes(MIB))
        run(["qemu-img", "convert", "-O", "qcow2", str(raw), str(image)])
        os.unlink(raw)
        ways: dict[str, Mounted] = {
            "read-only": lambda: ours(image),
            "--write": lambda: ours(image, "--write"),
            "peer": lambda: theirs(image),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.runs):
            for name, mounted in ways.items():
                times[name].append(seconds_to_read(mounted))
        medians = {name: statistics.median(found) for name, found in times.items()}
        rows = [
            Row(f"sequential read, {name}", medians[name], medians["peer"], 1.0) for name in ("read-only", "--write")
        ]
        print(HEADER, *rows, sep="\n")
        return 1 if any(row.ratio > row.limit for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
