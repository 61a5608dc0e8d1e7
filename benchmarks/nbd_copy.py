"""Our NBD client beside nbdcopy: 1 GiB from qemu-nbd and to it, by a unix socket, in one run.

    python -m benchmarks.nbd_copy [--runs N] [--size MIB] [--folder DIR]

prints a table of times; the ratio is ours to nbdcopy's, at most 1.00 is wanted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import images
from benchmarks.timing import HEADER, IMGTOOLS, run, side_by_side

MIB = 1 << 20


@contextmanager
def qemu_nbd(image: Path, socket: Path) -> Iterator[str]:
    """A server for several clients; its URI."""
    words = ["qemu-nbd", "--persistent", "--shared", "8", "--socket", str(socket), "--format", image.suffix[1:], image]
    with subprocess.Popen(words) as process:
        while not socket.exists():
            time.sleep(0.01)
        yield f"nbd+unix:///?socket={socket}"
        process.terminate()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--size", type=int, default=1024, help="MiB")
    parser.add_argument("--folder", help="where to put the images (three times their size)")
    options = parser.parse_args()
    over = 0
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        disk, packed, out = folder / "disk.raw", folder / "disk.qcow2", folder / "out.raw"
        images.mixed(disk, options.size * MIB)
        run(["qemu-img", "convert", "-O", "qcow2", str(disk), str(packed)])
        print(HEADER)
        for image in (disk, packed):
            with qemu_nbd(image, folder / f"{image.suffix}.sock") as uri:
                over += compare(f"from qemu-nbd, {image.suffix[1:]}, to a file", [uri, str(out)], out, options.runs)
        with out.open("wb") as file:
            file.truncate(options.size * MIB)
        with qemu_nbd(out, folder / "out.sock") as uri:
            over += compare("from a file to qemu-nbd, raw", [str(disk), uri], None, options.runs)
    return 1 if over else 0


def compare(work: str, operands: list[str], out: Path | None, runs: int) -> bool:
    """A row; whether we were slower."""

    def before() -> None:
        if out is not None:
            out.unlink(missing_ok=True)
        os.sync()

    ours = [*IMGTOOLS, "nbd", "copy", *operands]
    return side_by_side(work, [ours], [["nbdcopy", *operands]], 1.0, runs=runs, before=before).ratio > 1


if __name__ == "__main__":
    sys.exit(main())
