"""The block layer beside qemu-img, on the same images in one run.

    python -m benchmarks.block [--quick] [--only TEXT]

prints one table: the peer's time, ours (of each the faster way, in order or -W), the ratio, and what is demanded of it.
Memory, in the last column, is the most that our process held.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import images
from benchmarks.timing import HEADER, IMGTOOLS, Row, run, side_by_side

GIB, TIB = 1 << 30, 1 << 40
FAST = ["-W", "-m", "8"]


class Bench:
    """The rows, and the images that several of them share."""

    def __init__(self, folder: Path, runs: int, size: int, only: str) -> None:
        self.folder = folder
        self.runs = runs
        self.size = size
        self.only = only

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def wanted(self, work: str) -> bool:
        return self.only in work

    def convert(self, work: str, source: str, target: str, options: list[str], limit: float) -> Row:
        """A conversion in the order of the disk and unordered: the faster way of each counts."""
        out = self.folder / f"out.{target}"
        command = ["convert", "-O", target, *options, self.path(source), str(out)]
        return side_by_side(
            work,
            [[*IMGTOOLS, *command], [*IMGTOOLS, "convert", "-W", *command[1:]]],
            [["qemu-img", *command], ["qemu-img", "convert", *FAST, *command[1:]]],
            limit,
            runs=self.runs,
            before=lambda: clean(out),
        )

    def same(self, work: str, words: list[str], limit: float, *, runs: int | None = None) -> Row:
        """A command line that both understand."""
        return side_by_side(work, [[*IMGTOOLS, *words]], [["qemu-img", *words]], limit, runs=runs or self.runs)

    def rows(self) -> Iterator[Row]:
        yield from self.conversions()
        yield from self.compressions()
        yield from self.large_tables()
        yield from self.snapshots()
        yield from self.amendments()
        yield from self.resizes()
        yield from self.requests()
        yield from self.starts()

    def conversions(self) -> Iterator[Row]:
        images.mixed(self.folder / "mixed.raw", self.size)
        for target, there, back in (("qcow2", 0.80, 0.85), ("vmdk", 0.90, 0.90), ("vdi", 0.90, 0.90)):
            if self.wanted(f"raw -> {target}"):
                yield self.convert(f"raw -> {target}", "mixed.raw", target, [], there)
            if self.wanted(f"{target} -> raw"):
                run(["qemu-img", "convert", "-O", target, self.path("mixed.raw"), self.path(f"mixed.{target}")])
                yield self.convert(f"{target} -> raw", f"mixed.{target}", "raw", [], back)
        if self.wanted("compare"):
            run(["qemu-img", "convert", "-O", "qcow2", self.path("mixed.raw"), self.path("mixed.qcow2")])
            yield self.same("compare", ["compare", self.path("mixed.raw"), self.path("mixed.qcow2")], 0.70)

    def compressions(self) -> Iterator[Row]:
        for method, there, back in (("zlib", 0.30, 0.45), ("zstd", 0.65, 0.75)):
            options = ["-c", "-o", f"compression_type={method}"]
            if self.wanted(f"convert -c {method}"):
                row = self.convert(f"convert -c {method}", "mixed.raw", "qcow2", options, there)
                yield row
                sizes = []
                for program in (IMGTOOLS, ["qemu-img"]):
                    out = self.folder / "sized.qcow2"
                    out.unlink(missing_ok=True)
                    run([*program, "convert", "-O", "qcow2", *options, self.path("mixed.raw"), str(out)])
                    sizes.append(out.stat().st_size)
                print(f"|   file, {method} | {sizes[1]} | {sizes[0]} | {sizes[0] / sizes[1]:.3f} | 1.03 | bytes |")
            if self.wanted(f"{method} -> raw"):
                packed = self.path(f"{method}.qcow2")
                run(["qemu-img", "convert", "-O", "qcow2", *options, *FAST, self.path("mixed.raw"), packed])
                yield self.convert(f"compressed {method} -> raw", f"{method}.qcow2", "raw", [], back)

    def large_tables(self) -> Iterator[Row]:
        preallocated, spread = self.path("preallocated.qcow2"), self.path("scattered.qcow2")
        rows = ("check: 1 TiB preallocated", "map: 1 TiB preallocated", "measure 1 TiB")
        if any(self.wanted(row) for row in rows):
            run(["qemu-img", "create", "-f", "qcow2", "-o", "preallocation=metadata", preallocated, str(TIB)])
        if self.wanted("check: 1 TiB preallocated"):
            yield self.same("check: 1 TiB preallocated", ["check", preallocated], 0.30)
        if self.wanted("check: 10 GiB"):
            small = self.path("small.qcow2")
            run(["qemu-img", "create", "-f", "qcow2", "-o", "preallocation=metadata", small, str(10 * GIB)])
            yield self.same("check: 10 GiB", ["check", small], 1.2)
        if self.wanted("check: 1 TiB scattered"):
            images.scattered(Path(spread), TIB)
            yield self.same("check: 1 TiB scattered", ["check", spread], 0.05, runs=1)
            Path(spread).unlink()
        if self.wanted("map: 1 TiB preallocated"):
            yield self.same("map: 1 TiB preallocated", ["map", "--output=json", preallocated], 0.25)
        if self.wanted("measure 1 TiB"):
            yield self.same("measure 1 TiB", ["measure", "-O", "qcow2", preallocated], 0.25)
        if self.wanted("map: 2 million extents"):
            many = self.path("many.qcow2")
            images.alternating(Path(many), 2_000_000)
            yield self.same("map: 2 million extents", ["map", "--output=json", many], 0.40, runs=min(self.runs, 3))

    def amendments(self) -> Iterator[Row]:
        """Each on a new image."""
        work = "amend refcount_bits: 1 TiB"
        if not self.wanted(work):
            return
        path = self.path("amended.qcow2")

        def make() -> None:
            run(["qemu-img", "create", "-f", "qcow2", "-o", "preallocation=metadata", path, str(TIB)])

        words = ["amend", "-o", "refcount_bits=32", path]
        yield side_by_side(
            work, [[*IMGTOOLS, *words]], [["qemu-img", *words]], 0.5, runs=min(self.runs, 3), before=make
        )
        os.unlink(path)

    def resizes(self) -> Iterator[Row]:
        """Each on a new image: growing by clusters that are all mapped, and giving such clusters back."""
        path = self.path("resized.qcow2")
        for work, before, words in (
            ("resize: by 128 GiB with metadata", "off", ["--preallocation=metadata", path, "256G"]),
            ("resize: --shrink by 16 GiB with metadata", "metadata", ["--shrink", path, str(112 * GIB)]),
        ):
            if self.wanted(work):

                def make(before: str = before) -> None:
                    run(["qemu-img", "create", "-f", "qcow2", "-o", f"preallocation={before}", path, str(128 * GIB)])

                words = ["resize", "-q", *words]
                yield side_by_side(work, [[*IMGTOOLS, *words]], [["qemu-img", *words]], 1.0, runs=3, before=make)
                os.unlink(path)

    def snapshots(self) -> Iterator[Row]:
        """Each on an image of its own: as many snapshots as there are runs are made, applied, and deleted."""
        if not self.wanted("snapshot"):
            return
        ours, peers = self.path("ours.qcow2"), self.path("peers.qcow2")
        for image in (ours, peers):
            run(["qemu-img", "create", "-f", "qcow2", "-o", "preallocation=metadata", image, str(TIB)])
        for flag in ("-c", "-a", "-d"):
            words = ["snapshot", flag, "s"]
            yield side_by_side(
                f"snapshot {flag}: 1 TiB preallocated",
                [[*IMGTOOLS, *words, ours]],
                [["qemu-img", *words, peers]],
                0.5,
                runs=min(self.runs, 3),
            )

    def requests(self) -> Iterator[Row]:
        """4 KiB requests in process: what `bench` itself says, so that starting does not count."""
        for work, flags in (("bench: 4 KiB reads", []), ("bench: 4 KiB allocating writes", ["-w"])):
            if self.wanted(work):
                yield self.bench(work, flags)

    def bench(self, work: str, flags: list[str]) -> Row:
        path, size, count = self.path("bench.qcow2"), 8 * GIB if flags else GIB, 60_000
        step = 65_536 * 7919 + 4096  # every request in another cluster, far from the last
        results: dict[str, list[float]] = {"ours": [], "depth 1": [], "depth 64": []}
        for _ in range(self.runs):
            for name, program, depth in (
                ("ours", IMGTOOLS, "1"),
                ("depth 1", ["qemu-img"], "1"),
                ("depth 64", ["qemu-img"], "64"),
            ):
                run(["qemu-img", "create", "-f", "qcow2", path, str(size)])
                if not flags:
                    run(["qemu-io", "-f", "qcow2", "-c", "write 0 1G", path])
                span = ["-S", str(step if flags else 4096 * 40503), "-s", "4096", "-c", str(count), "-d", depth]
                words = [*program, "bench", "-f", "qcow2", "-t", "writeback", *span, *flags, path]
                done = subprocess.run(words, capture_output=True, text=True, check=True)
                found = re.search(r"completed in ([0-9.]+) seconds", done.stdout)
                assert found is not None, done.stdout
                results[name].append(float(found[1]) / count)
        medians = {name: statistics.median(values) for name, values in results.items()}
        row = Row(work, medians["ours"], min(medians["depth 1"], medians["depth 64"]), 0.6)
        row.note = f"depth 1 {medians['depth 1'] * 1e6:.1f} us, 64 {medians['depth 64'] * 1e6:.1f} us"
        print(row, flush=True)
        return row

    def starts(self) -> Iterator[Row]:
        """Whole processes against an interpreter that does nothing."""
        bare = [[sys.executable, "-c", "pass"]]
        image = self.path("start.qcow2")
        run(["qemu-img", "create", "-f", "qcow2", image, "10G"])
        for work, words in (
            ("start: info", ["info", image]),
            ("start: create", ["create", "-f", "qcow2", self.path("new.qcow2"), "10G"]),
        ):
            if self.wanted(work):
                yield side_by_side(work, [[*IMGTOOLS, *words]], bare, 3.0, runs=4 * self.runs)


def clean(out: Path) -> None:
    """Remove the last target and let the disk settle, so that no run pays for the one before it."""
    out.unlink(missing_ok=True)
    os.sync()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run of each, on small images")
    parser.add_argument("--only", default="", help="only the rows whose name contains this")
    parser.add_argument("--folder", help="where to put the images (a few GiB)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        bench = Bench(Path(folder), 1 if options.quick else 5, (256 << 20) if options.quick else 2 * GIB, options.only)
        print(HEADER)
        over = [row.work for row in bench.rows() if row.ratio > row.limit]
    print(f"\n{len(over)} over their limit{': ' + ', '.join(over) if over else ''}")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
