"""The ladder's seventh rung: Debian's kernel on the network, by each card: a lease, files from the host and to it, a
connection that is refused, and a forwarded port behind which the guest serves.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from boot_command import boot
from linux_guests import initramfs, kernel

from tests.conftest import PATIENCE, hold_port

FILE = random.Random(1).randbytes(10 << 20)
UPLOADED = 4 << 20
MODULES = {"e1000": ("e1000", "af_packet"), "virtio": ("virtio_pci", "virtio_net", "af_packet")}
LEASE = b"""#!/bin/sh
[ $1 = bound ] || exit 0
ip addr add $ip/24 dev $interface
ip route add default via $router
echo LEASE $ip $router $dns
"""
SCRIPT = """
mkdir /www
ip link set lo up
ip link set eth0 up
udhcpc -i eth0 -s /lease -n -q -f
wget -q -O /tmp/file http://10.0.2.2:%(port)d/file
md5sum /tmp/file
busybox yes 0123456789abcde | head -c %(uploaded)d > /tmp/text
md5sum /tmp/text
wget -q -O - --post-file=/tmp/text http://10.0.2.2:%(port)d/
wget -O - http://10.0.2.2:%(closed)d/ 2>&1
busybox cp /tmp/file /www/file
busybox httpd -h /www
echo SERVING
while [ ! -e /www/done ]; do sleep 1; wget -q -O /www/done http://10.0.2.2:%(port)d/done || rm -f /www/done; done
poweroff -f
"""


class Handler(BaseHTTPRequestHandler):
    """Gives the file, says what it got, and knows when the guest may end."""

    may_end = False

    def do_GET(self) -> None:
        found = self.path == "/file" or Handler.may_end
        self.answer(200 if found else 404, FILE if self.path == "/file" else b"")

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200, f"GOT {len(data)} {hashlib.md5(data).hexdigest()}\n".encode())

    def answer(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[int]:
    """A web server on the host: its port."""
    Handler.may_end = False
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_port
        server.shutdown()


def fetch(url: str, results: list[bytes]) -> None:
    """What the guest serves, once it does; then the guest may end."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and not results:
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                results.append(answer.read())
        except (OSError, urllib.error.URLError):
            time.sleep(0.5)
    Handler.may_end = True


@pytest.mark.parametrize("card", ["e1000", "virtio"])
def test_network(card: str, server: int, tmp_path: Path) -> None:
    linux, ram_disk, fetched = kernel("amd64"), tmp_path / "initrd", []
    with hold_port() as nobody, hold_port() as held:
        closed, forwarded = (sock.getsockname()[1] for sock in (nobody, held))
        script = SCRIPT % {"port": server, "closed": closed, "uploaded": UPLOADED}
        ram_disk.write_bytes(initramfs(linux, MODULES[card], script, {"lease": LEASE}))
        client = threading.Thread(target=fetch, args=(f"http://127.0.0.1:{forwarded}/file", fetched))
        client.start()
        options = ["--kernel", linux.image, "--initrd", ram_disk, "--append", "console=ttyS0 quiet"]
        done = boot("--network", card, "--forward", f"{forwarded}:80", *options)
        client.join()
    lines = done.output.splitlines()
    assert done.status == 0 and "SERVING" in lines, done.output[-2000:] + done.errors
    assert "LEASE 10.0.2.15 10.0.2.2 10.0.2.3" in lines
    assert f"{hashlib.md5(FILE).hexdigest()}  /tmp/file" in lines
    text = (b"0123456789abcde\n" * (UPLOADED // 16))[:UPLOADED]
    assert f"GOT {UPLOADED} {hashlib.md5(text).hexdigest()}" in lines
    assert any("Connection refused" in line for line in lines)
    assert fetched == [FILE]
