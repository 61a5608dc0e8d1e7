"""The emulated PC's network beside QEMU's user network: a guest fetches a file from the host by HTTP, and sends one.

    python -m benchmarks.network [--runs N] [--size MIB] [--card e1000|virtio]

Seconds between the lines that the guest prints before and after a transfer; runs alternate. Needs the kernels that
tests/emulator/boot/fetch_kernels.sh unpacks, and qemu-system-x86.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

from tests.emulator.boot.linux_guests import Kernel, initramfs, kernel

from .timing import HEADER, IMGTOOLS, Row

BOOT = (*IMGTOOLS, "boot", "--accel", "tcg")
MIB = 1 << 20
LIMIT = 1.0  # of QEMU's time
CARDS = {"e1000": ("e1000", "af_packet"), "virtio": ("virtio_pci", "virtio_net", "af_packet")}
QEMU = "qemu-system-x86_64 -accel tcg -m 512 -display none -serial stdio -monitor none -no-reboot -nodefaults"
SCRIPT = """
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
busybox yes | head -c {size} > /tmp/file
wget -q -O /dev/null http://10.0.2.2:{port}/1
echo MARK
wget -q -O /dev/null http://10.0.2.2:{port}/{size}
echo MARK
wget -q -O /dev/null --post-file=/tmp/file http://10.0.2.2:{port}/
echo MARK
poweroff -f
"""


class Handler(BaseHTTPRequestHandler):
    """Gives as many bytes as the path says, and takes any."""

    def do_GET(self) -> None:
        self._answer(bytes(int(self.path[1:])))

    def do_POST(self) -> None:
        left = int(self.headers["Content-Length"])
        while left and (data := self.rfile.read(min(left, MIB))):
            left -= len(data)
        self._answer(b"")

    def _answer(self, data: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def transfers(command: list[str]) -> list[float]:
    """Seconds between the marks that a guest prints."""
    marks = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == b"MARK":
                marks.append(time.perf_counter())
    if len(marks) != 3:
        raise SystemExit(f"{' '.join(command)}: the guest did not come to its end")
    return [after - before for before, after in pairwise(marks)]


def compare(linux: Kernel, card: str, port: int, size: int, runs: int) -> None:
    with tempfile.NamedTemporaryFile() as disk:
        Path(disk.name).write_bytes(initramfs(linux, CARDS[card], SCRIPT.format(size=size, port=port)))
        started = ["kernel", str(linux.image), "initrd", disk.name, "append", "console=ttyS0 quiet"]
        words = [f"-{word}" if place % 2 == 0 else word for place, word in enumerate(started)]
        model = "virtio-net-pci" if card == "virtio" else card
        theirs = [*QEMU.split(), *words, "-netdev", "user,id=n", "-device", f"{model},netdev=n"]
        ours = [*BOOT, "--network", card, *(f"-{word}" if word[0] == "-" else word for word in words)]
        samples: dict[str, list[list[float]]] = {"ours": [], "theirs": []}
        for _ in range(runs):
            samples["theirs"].append(transfers(theirs))
            samples["ours"].append(transfers(ours))
    for number, work in enumerate(("from the host", "to the host")):
        mine, peer = (statistics.median(run[number] for run in samples[who]) for who in ("ours", "theirs"))
        rate = size / MIB / mine
        print(Row(f"{card}, {size // MIB} MiB {work}", mine, peer, LIMIT, f"{rate:.0f} MiB/s"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--size", type=int, default=64, help="MiB")
    parser.add_argument("--card", choices=CARDS, action="append")
    options = parser.parse_args()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(HEADER)
        for card in options.card or CARDS:
            compare(kernel("amd64"), card, server.server_port, options.size * MIB, options.runs)
        server.shutdown()


if __name__ == "__main__":
    main()
