"""Disks with files on them for Linux, and what it says of them."""

from __future__ import annotations

import hashlib
import random
import threading
from pathlib import Path

import imgtools
from emulator.machine.config import PcConfig
from emulator.machine.pc import Pc
from imgtools import Node, create_image
from tests.conftest import PATIENCE, require_tool, run

SIZE, FILES, FILE_SIZE = 96 << 20, 8, 2 << 20
LATE = 99  # exit status


def make_files(place: Path) -> Path:
    """A folder of files for a disk."""
    folder = place / "files"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"file{number}").write_bytes(random.Random(number).randbytes(FILE_SIZE))
    return folder


def disk(folder: Path, path: Path, format: str) -> Node:
    """An image with a file system of the folder's files."""
    raw = path.with_suffix(".raw")
    with raw.open("wb") as file:
        file.truncate(SIZE)
    run(require_tool("mkfs.ext4"), "-q", "-d", folder, raw)
    create_image(path, SIZE, format=format)
    with imgtools.open(path, format=format, writable=True) as node, raw.open("rb") as file:
        for place in range(0, SIZE, 1 << 20):
            piece = file.read(1 << 20)
            if any(piece):
                node.write(place, piece)
    return imgtools.open(path, format=format, writable=True)


def lines_of(config: PcConfig, said: bytearray) -> list[str]:
    with Pc(config) as machine:
        timer = threading.Timer(PATIENCE, lambda: machine.end(LATE))
        timer.start()
        machine.power_on()
        status = machine.run()
        timer.cancel()
    text = said.decode("latin-1")
    assert status == 0, text[-2000:]
    return text.splitlines()


def digest(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()
