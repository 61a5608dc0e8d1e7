"""Commit, rebase and repair beside qemu-img, on the same images in one run.

    python -m benchmarks.chains [--quick] [--only TEXT]

prints one table: the peer's time, ours, the ratio, and what is demanded of it. Each run works on new copies.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import images
from benchmarks.timing import HEADER, IMGTOOLS, Row, Setup, run, side_by_side

GIB, TIB = 1 << 30, 1 << 40
LEAKS = 100_000
CORRUPT = (0, 2, 3)
"""Exit statuses of a check that has found something."""


class Bench:
    """The rows, and the images that they share."""

    def __init__(self, folder: Path, runs: int, size: int, only: str) -> None:
        self.folder = folder
        self.runs = runs
        self.size = size
        self.only = only

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def rows(self) -> Iterator[Row]:
        if any(self.only in work for work in ("commit", "rebase", "rebase to none")):
            images.mixed(self.folder / "mixed.raw", self.size)
            self.make("convert", "-O", "qcow2", self.path("mixed.raw"), self.path("mixed.qcow2"))
        if self.only in "commit":
            yield self.row("commit", ["commit", "-q", self.path("top.qcow2")], 0.8, self.full_top)
        if self.only in "rebase":
            images.mixed(self.folder / "other.raw", self.size, seed=2)
            words = ["rebase", "-b", self.path("other.raw"), "-F", "raw", self.path("top.qcow2")]
            yield self.row("rebase", words, 0.8, self.empty_top)
        if self.only in "rebase to none":
            yield self.row("rebase to none", ["rebase", "-b", "", self.path("top.qcow2")], 0.8, self.empty_top)
        if self.only in "check -r all":
            yield self.repair()

    def row(self, work: str, words: list[str], limit: float, before: Setup) -> Row:
        """A command line that both understand, on images made anew."""
        return side_by_side(
            f"{work}, {self.size >> 20} MiB",
            [[*IMGTOOLS, *words]],
            [["qemu-img", *words]],
            limit,
            runs=self.runs,
            before=before,
        )

    def make(self, *words: str) -> None:
        run(["qemu-img", *words])

    def full_top(self) -> None:
        """A top layer with all of the data over an empty image."""
        self.make("create", "-f", "qcow2", self.path("base.qcow2"), str(self.size))
        shutil.copyfile(self.folder / "mixed.qcow2", self.folder / "top.qcow2")
        self.make("rebase", "-u", "-b", "base.qcow2", "-F", "qcow2", self.path("top.qcow2"))

    def empty_top(self) -> None:
        """An empty top layer over an image with all of the data."""
        self.make("create", "-f", "qcow2", "-b", "mixed.qcow2", "-F", "qcow2", self.path("top.qcow2"))

    def repair(self) -> Row:
        """A disk of 1 TiB with metadata for all of it, and counts for clusters that nothing refers to."""
        sound, broken = self.folder / "sound.qcow2", self.folder / "leaks.qcow2"
        clusters = TIB // images.CLUSTER
        images.qcow2_of(sound, TIB, np.arange(clusters))
        leak(sound, LEAKS)
        words = ["check", "-r", "all", str(broken)]
        return side_by_side(
            f"check -r all, 1 TiB with {LEAKS} leaks",
            [[*IMGTOOLS, *words]],
            [["qemu-img", *words]],
            0.3,
            runs=min(self.runs, 3),
            before=lambda: run(["cp", "--sparse=always", str(sound), str(broken)]) and None,
            accept=CORRUPT,
        )


def leak(path: Path, count: int) -> None:
    """Take L2 entries away, evenly over the whole disk: what they referred to is leaked."""
    from imgtools.formats.qcow2.mapping import OFFSET_MASK

    with path.open("r+b") as file:
        header = file.read(48)
        file.seek(int.from_bytes(header[40:48], "big"))
        l1 = np.frombuffer(file.read(8 * int.from_bytes(header[36:40], "big")), dtype=">u8")
        for number in range(count):
            table, index = divmod(number * (len(l1) * images.CLUSTER // 8 // count), images.CLUSTER // 8)
            file.seek((int(l1[table]) & OFFSET_MASK) + 8 * index)
            file.write(bytes(8))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run of each, on a quarter of the data")
    parser.add_argument("--only", default="", help="only the rows whose name contains this")
    parser.add_argument("--folder", help="where to put the images")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        print(HEADER)
        runs, size = (1, GIB // 2) if options.quick else (5, 2 * GIB)
        over = [row.work for row in Bench(Path(folder), runs, size, options.only).rows() if row.ratio > row.limit]
    print(f"\n{len(over)} over their limit{': ' + ', '.join(over) if over else ''}")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
