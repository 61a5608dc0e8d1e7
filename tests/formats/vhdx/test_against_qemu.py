"""VHDX beside QEMU's: the same layout, and each reads, checks and writes on in what the other wrote."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import imgtools
from imgtools.block.graph import Context
from imgtools.errors import ImageError
from imgtools.formats.vhdx import FORMAT
from imgtools.formats.vhdx.checksum import sealed
from imgtools.formats.vhdx.header import HEADERS
from imgtools.formats.vhdx.records import DATA_DESCRIPTOR, HEADER, LOG_ENTRY
from imgtools.operations.create import options_for
from tests.cli.launch import run_in_process
from tests.conftest import Runner
from tests.model import check_is_clean, compare

MIB = 1 << 20
GIB = 1 << 30


def create(path: Path, size: int, **options: Any) -> None:
    given = {option.name: options.get(option.name, option.default) for option in options_for(FORMAT)}
    FORMAT.create(str(path), size, given, Context(writable=True))


def masked(content: bytearray) -> bytearray:
    """A file's first bytes without its random numbers: the headers', and the disk's identifier."""
    for offset in HEADERS:
        content[offset + 4 : offset + 16] = bytes(12)
        content[offset + 16 : offset + 48] = bytes(32)
    place = content.index(b"metadata") + 65536 + 16
    content[place : place + 16] = bytes(16)
    return content


OPTIONS: list[dict[str, Any]] = [
    {},
    {"block_size": MIB, "log_size": 5 * MIB},
    {"block_state_zero": False},
    {"subformat": "fixed"},
    {"subformat": "fixed", "block_state_zero": False},
]


@pytest.mark.parametrize("size", [512, 40 * MIB, GIB + MIB, 33 * GIB, 101 * GIB])
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(options) or "plain")
def test_new_images_have_the_same_bytes(size: int, options: dict[str, Any], tmp_path: Path, qemu_img: Runner) -> None:
    ours, theirs = tmp_path / "ours.vhdx", tmp_path / "theirs.vhdx"
    create(ours, size, **options)
    words = [f"{name}={'off' if value is False else value}" for name, value in options.items()]
    qemu_img("create", "-f", "vhdx", *(["-o", ",".join(words)] if words else []), theirs, size)
    assert ours.stat().st_size == theirs.stat().st_size
    contents = []
    for path in (ours, theirs):
        with path.open("rb") as file:
            contents.append(bytes(masked(bytearray(file.read(8 * MIB)))))
    compare(*contents)
    qemu_img("check", ours)


@pytest.mark.parametrize("options", [{}, {"subformat": "fixed"}, {"block_state_zero": False, "block_size": MIB}])
@pytest.mark.parametrize("seed", range(2))
def test_the_same_operations_give_the_same_disk(
    seed: int, options: dict[str, Any], tmp_path: Path, qemu_img: Runner, qemu_io: Runner
) -> None:
    ours, theirs, size = tmp_path / "ours.vhdx", tmp_path / "theirs.vhdx", 20 * MIB + 512
    create(ours, size, **options)
    create(theirs, size, **options)
    chance, commands = random.Random(seed), []
    with imgtools.open(str(ours), writable=True) as node:
        for _ in range(8):
            offset = chance.randrange(size // 512) * 512
            length = min(size - offset, chance.choice([512, 65536, MIB, 2 * MIB]))
            byte = chance.randrange(0, 256)
            node.write(offset, bytes([byte]) * length)
            commands.append(f"write -P {byte} {offset} {length}")
    qemu_io(theirs, *commands, format="vhdx")
    qemu_img("compare", ours, theirs)
    qemu_img("check", ours)
    with imgtools.open(str(theirs)) as left, imgtools.open(str(ours)) as right:
        compare(left.read(0, size), right.read(0, size))
        check_is_clean(left)
        check_is_clean(right)


def test_each_writes_on_in_the_others_image(tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    path = tmp_path / "disk.vhdx"
    qemu_img("create", "-f", "vhdx", path, "50M")
    for number, byte in enumerate((1, 2, 3, 4)):
        if number % 2:
            qemu_io(path, f"write -P {byte} {9 * number}M 1M", format="vhdx")
        else:
            with imgtools.open(str(path), writable=True) as node:
                node.write(9 * number * MIB, bytes([byte]) * MIB)
        qemu_img("check", path)
    qemu_io(path, *(f"read -P {byte} {9 * n}M 1M" for n, byte in enumerate((1, 2, 3, 4, 0))), format="vhdx")


def log_entry(guid: bytes, sequence: int, sector: bytes, file_offset: int, size: int, tail: int) -> bytes:
    """A log entry that writes one sector of 4 KiB."""
    fields = {"signature": b"loge", "entry_length": 8192, "tail": tail, "sequence_number": sequence}
    fields |= {"descriptor_count": 1, "log_guid": guid, "flushed_file_offset": size, "last_file_offset": size}
    head = LOG_ENTRY.build(**fields)
    head += DATA_DESCRIPTOR.build(
        signature=b"desc",
        leading_bytes=sector[:8],
        trailing_bytes=sector[-4:],
        file_offset=file_offset,
        sequence_number=sequence,
    )
    low, high = sequence.to_bytes(8, "little")[:4], sequence.to_bytes(8, "little")[4:]
    return sealed(head.ljust(4096, b"\0") + b"data" + high + sector[8:-4] + low)


def with_log(path: Path) -> None:
    """An image whose table exists in its log only, in the second of two entries; the first one is older."""
    create(path, 40 * MIB)
    with imgtools.open(str(path), writable=True) as node:
        node.write(9 * MIB, b"\7" * MIB)
    content = bytearray(path.read_bytes())
    table, guid = bytes(content[2 * MIB : 2 * MIB + 4096]), b"the log's number"
    content[2 * MIB : 2 * MIB + 4096] = bytes(4096)
    older = log_entry(guid, 7, b"\xff" * 4096, 2 * MIB, len(content), 0)
    newer = log_entry(guid, 8, table, 2 * MIB, len(content), 0)
    content[MIB : MIB + 16384] = older + newer
    for offset in HEADERS:
        fields = {**vars(HEADER.parse(content, offset)), "log_guid": guid}
        content[offset : offset + HEADER.size] = sealed(HEADER.build(**fields))
    path.write_bytes(content)


def test_a_log_is_replayed_in_memory_to_read_and_on_disk_to_write(
    tmp_path: Path, qemu_img: Runner, qemu_io: Runner
) -> None:
    path, other = tmp_path / "disk.vhdx", tmp_path / "other.vhdx"
    with_log(path)
    other.write_bytes(path.read_bytes())
    before = path.read_bytes()
    with imgtools.open(str(path)) as node:
        assert node.read(9 * MIB, MIB) == b"\7" * MIB and not any(node.read(0, MIB))
    assert path.read_bytes() == before
    qemu_img("check", "-r", "all", other)  # replays it
    with imgtools.open(str(path), writable=True) as node:
        assert node.read(9 * MIB, MIB) == b"\7" * MIB
    qemu_img("check", path)
    qemu_img("compare", path, other)


def test_a_log_without_a_complete_series_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "disk.vhdx"
    with_log(path)
    content = bytearray(path.read_bytes())
    content[MIB + 100] ^= 1
    content[MIB + 8192 + 100] ^= 1
    path.write_bytes(content)
    with pytest.raises(ImageError, match="no complete series"):
        imgtools.open(str(path))


def test_a_repair_replays_the_log_and_finds_nothing_else(tmp_path: Path, qemu_img: Runner) -> None:
    path = tmp_path / "disk.vhdx"
    with_log(path)
    assert run_in_process(["check", "-r", "all", str(path)]) == (0, "No errors were found on the image.\n", "")
    qemu_img("check", path)


def test_an_image_of_a_writer_that_was_killed_is_clean(tmp_path: Path, qemu_img: Runner) -> None:
    path = tmp_path / "disk.vhdx"
    create(path, 40 * MIB)
    code = (
        "import imgtools, os, signal, sys\n"
        "node = imgtools.open(sys.argv[1], writable=True)\n"
        "node.write(9 << 20, b'x' * (20 << 20)); node.flush()\n"
        "node.write(29 << 20, b'y' * (5 << 20)); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -9
    qemu_img("check", path)
    with imgtools.open(str(path)) as node:
        assert node.read(9 * MIB, 20 * MIB) == b"x" * (20 * MIB)


def test_the_second_header_serves_where_the_first_is_damaged(tmp_path: Path, qemu_img: Runner) -> None:
    path = tmp_path / "disk.vhdx"
    create(path, 40 * MIB)
    content = bytearray(path.read_bytes())
    content[HEADERS[1] + 20] ^= 1
    path.write_bytes(content)
    with imgtools.open(str(path), writable=True) as node:
        node.write(0, b"x" * 512)
    qemu_img("check", path)
    assert json.loads(qemu_img("info", "--output=json", path).stdout)["virtual-size"] == 40 * MIB
    content = bytearray(path.read_bytes())
    content[192 << 10] ^= 1
    path.write_bytes(content)
    with imgtools.open(str(path)) as node:  # the second region table serves, too
        assert node.read(0, 512) == b"x" * 512


def test_help_of_create_options(qemu_img: Runner) -> None:
    lines = qemu_img("create", "-f", "vhdx", "-o", "help", "x").stdout.splitlines()[1:]
    theirs = {line.split("=")[0].strip(): line.split(" - ", 1)[1] for line in lines}
    assert {option.name: option.help for option in options_for(FORMAT)} == theirs
