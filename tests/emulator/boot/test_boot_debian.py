"""The sixth and seventh rung: a Debian on a partitioned disk, from the BIOS through GRUB and systemd to its login,
commands, the network, and a clean end.

`debian_disk.sh` makes the disk; some of all combinations run, and LADDER=all runs every one.
"""

from __future__ import annotations

import hashlib
import os
import random
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path

import pytest
from boot_command import boot, convert

import imgtools
from tests.conftest import cannot_run, require_tool, run

DISK = Path(os.environ.get("IMGTOOLS_DEBIAN_DISK", "/var/lib/imgtools-tests/debian.raw"))
FIRST_SECTOR = 2048  # of the file system
SEABIOS = "/usr/share/seabios/bios-256k.bin"
CARDS, FORMATS, FIRMWARE = ("virtio", "ide"), ("raw", "qcow2", "vdi", "vmdk"), ("built-in", "seabios")
SOME = [("ide", "qcow2", "built-in")]
CASES = list(product(CARDS, FORMATS, FIRMWARE)) if os.environ.get("LADDER") == "all" else SOME
LOGIN = (
    "--expect", "login: ", "--send", r"root\n", "--expect", "assword: ", "--send", r"imgtools\n", "--expect", ":~# ",
)  # fmt: skip
FETCHED = 10 << 20


def debian(folder: Path, format: str) -> Path:
    if not DISK.exists():
        cannot_run(f"{DISK} is missing (tests/emulator/boot/debian_disk.sh makes it)")
    return convert(DISK, "raw", folder / f"debian.{format}", format)


@pytest.mark.parametrize(("card", "format", "firmware"), CASES)
def test_login(card: str, format: str, firmware: str, tmp_path: Path) -> None:
    path = debian(tmp_path, format)
    bios = [] if firmware == "built-in" else ["--bios", SEABIOS]
    commands = r"uname -s; seq 1000 > /root/numbers; systemctl is-system-running; poweroff\n"
    done = boot("--write", "-f", format, "--if", card, *bios, path, *LOGIN, "--send", commands)
    assert done.status == 0, done.output[-2000:] + done.errors
    assert "Linux\r\n" in done.output and "reboot: Power down" in done.output
    if format != "raw":
        run(require_tool("qemu-img"), "check", "-f", format, path)
    left = tmp_path / "left"
    with imgtools.open(path, format=format) as disk, left.open("wb") as file:
        start = FIRST_SECTOR * 512
        for place in range(start, disk.size, 1 << 20):
            file.write(disk.read(place, min(1 << 20, disk.size - place)))
    run(require_tool("e2fsck"), "-fn", left)
    shown = run(require_tool("debugfs"), "-R", "cat /root/numbers", left).stdout
    assert shown.split() == [str(number) for number in range(1, 1001)]


def test_network(tmp_path: Path) -> None:
    """The guest fetches a file from a web server of the host; nothing that it writes is kept."""
    path = debian(tmp_path, "qcow2")
    before = path.stat().st_mtime_ns
    served = tmp_path / "www"
    served.mkdir()
    content = random.Random(1).randbytes(FETCHED)
    (served / "file").write_bytes(content)

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *words: object) -> None:
            super().__init__(*words, directory=str(served))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://10.0.2.2:{server.server_port}/file"
        commands = rf"dhclient eth0; wget -qO- {url} | md5sum\n"
        digest = hashlib.md5(content).hexdigest()
        options = ["--if", "virtio", "--network", "virtio", path]
        done = boot(*options, *LOGIN, "--send", commands, "--expect", digest)
        server.shutdown()
    assert done.status == 0, done.output[-2000:] + done.errors
    assert path.stat().st_mtime_ns == before
