"""The NBD server beside qemu-nbd and nbdkit: the same image, the same clients, one run.

    python -m benchmarks.nbd [--quick] [--only TEXT]

prints one table: what the peer does, what we do, the ratio (higher is better), and what is demanded of it. Of qemu-nbd
the better of aio=threads and aio=io_uring counts. The servers take turns, a few times each; medians are compared.
The image lies in the page cache, but for the rows that say cold.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.timing import IMGTOOLS
from imgtools.nbd import protocol as p

MIB = 1 << 20
PAGE = 4096
HEADER = "| load | peer | imgtools | ratio | at least |\n|---|---|---|---|---|"
STARTS_WITHIN = 0.5
Load = Callable[["Server"], float]
"""Puts a load on a server and returns how much it did in a second."""


class Server:
    """A server on a unix socket: `command` is completed by the socket's path and the image."""

    def __init__(self, name: str, command: Sequence[str], folder: Path, image: Path) -> None:
        self.name = name
        self.image = image
        self.socket = folder / f"{name}.sock"
        self.socket.unlink(missing_ok=True)  # nbdkit leaves it behind, and does not listen where one is
        words = [word.format(socket=self.socket, format=image.suffix[1:]) for word in command]
        self.process = subprocess.Popen([*words, str(image)], stderr=subprocess.DEVNULL)
        while not self._answers():
            if self.process.poll() is not None:
                raise SystemExit(f"{name} did not start")
            time.sleep(0.002)

    @property
    def uri(self) -> str:
        return f"nbd+unix:///?socket={self.socket}"

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return self.socket.exists() and probe.connect_ex(str(self.socket)) == 0

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


QEMU = ["qemu-nbd", "-t", "-e", "16", "-f", "{format}", "-k", "{socket}"]
OURS = {"imgtools": [*IMGTOOLS, "nbd", "serve", "-f", "{format}", "-k", "{socket}"]}
QEMU_NBD = {"threads": [*QEMU, "--aio=threads"], "io_uring": [*QEMU, "--aio=io_uring"]}
NBDKIT = {"nbdkit": ["nbdkit", "-f", "-U", "{socket}", "file"]}


def fio(mode: str, *, depth: int, size: str = "4k", jobs: int = 1, seconds: float = 2, cold: bool = False) -> Load:
    """Requests per second (or bytes, of large ones) by fio's NBD engine."""

    def load(server: Server) -> float:
        if cold:
            forget(server.image)
        command = ["fio", "--name=x", "--ioengine=nbd", f"--uri={server.uri}", f"--rw={mode}", f"--bs={size}"]
        command += [f"--iodepth={depth}", f"--numjobs={jobs}", "--group_reporting", "--output-format=json"]
        command += ["--time_based", f"--runtime={seconds}", "--randrepeat=0", "--norandommap", "--thread"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=server.socket.parent)
        if done.returncode:
            raise SystemExit(f"fio failed on {server.name}: {done.stderr[-500:]}")
        job = json.loads(done.stdout[done.stdout.index("{") :])["jobs"][0]
        return float(job["read"]["iops"] + job["write"]["iops"])

    return load


def bursts(depth: int = 64, seconds: float = 2) -> Load:
    """Reads of 4 KiB per second by a client that sends `depth` requests at once, and reads until all are answered."""

    def load(server: Server) -> float:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(server.socket))
            size = choose(client)
            chance = random.Random(3)
            requests = [
                b"".join(
                    p.REQUEST.pack(p.REQUEST_MAGIC, 0, p.CMD_READ, cookie, chance.randrange(size >> 12) << 12, 4096)
                    for cookie in range(depth)
                )
                for _ in range(200)
            ]
            answer = memoryview(bytearray(depth * (p.SIMPLE_REPLY.size + 4096)))
            started, count = time.perf_counter(), 0
            while time.perf_counter() - started < seconds:
                client.sendall(requests[count % len(requests)])
                count += 1
                got = 0
                while got < len(answer):
                    got += client.recv_into(answer[got:])
            return count * depth / (time.perf_counter() - started)

    return load


def choose(client: socket.socket) -> int:
    """Go through the handshake without extensions; the size of the disk."""
    receive(client, p.GREETING.size)
    client.sendall(p.CLIENT_FLAGS.pack(p.FIXED_NEWSTYLE | p.NO_ZEROES))
    client.sendall(p.OPTION.pack(p.OPTION_MAGIC, p.OPT_EXPORT_NAME, 0))
    return int(p.EXPORT_NAME_REPLY.unpack(receive(client, p.EXPORT_NAME_REPLY.size))[0])


def receive(client: socket.socket, length: int) -> bytes:
    return client.recv(length, socket.MSG_WAITALL)


def nbdcopy(server: Server) -> float:
    """Copies of the whole disk per second, thrown away."""
    started = time.perf_counter()
    subprocess.run(["nbdcopy", server.uri, "null:"], check=True)
    return 1 / (time.perf_counter() - started)


def forget(image: Path) -> None:
    """Drop the image from the page cache."""
    fd = os.open(image, os.O_RDWR)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def cache_in_pages(image: Path) -> None:
    """Have the image in the page cache as random reads leave it: each page by itself. Writing, or reading in a row,
    leaves large folios, of which the file system looks at every block at each write."""
    forget(image)
    with image.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        while file.read(PAGE):
            pass


class Bench:
    def __init__(self, folder: Path, rounds: int, seconds: float, size: int, only: str) -> None:
        self.folder = folder
        self.rounds = rounds
        self.seconds = seconds
        self.only = only
        self.images = {kind: folder / f"disk.{kind}" for kind in ("raw", "qcow2")}
        raw = self.images["raw"]
        with raw.open("wb") as file:
            for _ in range(size // MIB):
                file.write(random.randbytes(MIB))
        convert = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2"]
        subprocess.run([*convert, str(raw), str(self.images["qcow2"])], check=True)

    def rows(self) -> Iterator[str]:
        seconds = self.seconds
        for kind in ("raw", "qcow2"):
            for depth, demanded in ((1, 1.3), (16, 1.5), (64, 1.5)):
                load = fio("randread", depth=depth, seconds=seconds)
                yield from self.row(f"randread depth {depth}, {kind}", load, kind, QEMU_NBD, demanded)
        four = fio("randread", depth=16, jobs=4, seconds=seconds)
        yield from self.row("randread depth 16, 4 connections, raw, qemu-nbd", four, "raw", QEMU_NBD, 3)
        yield from self.row("randread depth 16, 4 connections, raw, nbdkit", four, "raw", NBDKIT, 1.1)
        for kind in ("raw", "qcow2"):
            for depth, demanded in ((1, 1.2), (16, 1.5)):
                load = fio("randwrite", depth=depth, seconds=seconds)
                yield from self.row(f"randwrite depth {depth}, {kind}", load, kind, QEMU_NBD, demanded)
            name = f"randwrite depth 16, {kind}, cached page by page"
            if self.only in name:
                cache_in_pages(self.images[kind])
            yield from self.row(name, fio("randwrite", depth=16, seconds=seconds), kind, QEMU_NBD, 1.5)
            yield from self.row(f"bursts of 64 reads, {kind}", bursts(seconds=seconds), kind, QEMU_NBD, 3.5)
            for mode in ("read", "write"):
                load = fio(mode, depth=1, size="1m", seconds=seconds)
                yield from self.row(f"1 MiB sequential {mode}, {kind}", load, kind, QEMU_NBD, 1.7)
            yield from self.row(f"nbdcopy, {kind}", nbdcopy, kind, QEMU_NBD, 1.7)
        cold = fio("randread", depth=64, seconds=seconds, cold=True)
        yield from self.row("cold randread depth 64, raw", cold, "raw", QEMU_NBD, 1.2)
        yield from self.starts("seconds from start to listening, qcow2")

    def starts(self, name: str) -> Iterator[str]:
        """How long clients have to wait for the server to be there: here less is better."""
        if self.only not in name:
            return
        seconds: dict[str, list[float]] = {}
        for _ in range(2 * self.rounds + 1):
            for label, command in {**OURS, "threads": QEMU_NBD["threads"]}.items():
                started = time.perf_counter()
                with Server(label, command, self.folder, self.images["qcow2"]) as server:
                    seconds.setdefault(label, []).append(time.perf_counter() - started)
                    # qemu-nbd does not hear a signal that comes before its first client.
                    subprocess.run(["nbdinfo", "--size", server.uri], stdout=subprocess.DEVNULL, check=True)
        ours, peer = (statistics.median(seconds[label]) for label in ("imgtools", "threads"))
        verdict = "ok" if ours <= STARTS_WITHIN else "OVER"
        yield f"| {name} | {peer:.2f} | {ours:.2f} | {ours / peer:.2f} | at most {STARTS_WITHIN} s {verdict} |"

    def row(self, name: str, load: Load, kind: str, peers: dict[str, list[str]], demanded: float) -> Iterator[str]:
        """Every server in turn, one at a time; of the peers the better one counts."""
        if self.only not in name:
            return
        figures: dict[str, list[float]] = {}
        for _ in range(self.rounds):
            for label, command in (OURS | peers).items():
                with Server(label, command, self.folder, self.images[kind]) as server:
                    figures.setdefault(label, []).append(load(server))
        medians = {label: statistics.median(values) for label, values in figures.items()}
        ours, (best, peer) = medians.pop("imgtools"), max(medians.items(), key=lambda item: item[1])
        verdict = "ok" if ours >= demanded * peer else "UNDER"
        yield f"| {name} | {_shown(peer)} ({best}) | {_shown(ours)} | {ours / peer:.2f} | {demanded} {verdict} |"


def _shown(rate: float) -> str:
    return f"{rate / 1000:.1f}k/s" if rate >= 1000 else f"{rate:.2f}/s" if rate < 100 else f"{rate:.0f}/s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smaller disk, and one short round")
    parser.add_argument("--only", default="", metavar="TEXT", help="only rows with TEXT in their name")
    arguments = parser.parse_args()
    rounds, seconds, size = (1, 1.0, 256 * MIB) if arguments.quick else (3, 3.0, 1024 * MIB)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="imgtools-bench-")))
        print(HEADER, flush=True)
        for row in Bench(folder, rounds, seconds, size, arguments.only).rows():
            print(row, flush=True)


if __name__ == "__main__":
    main()
