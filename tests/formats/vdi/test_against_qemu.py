"""VDI beside QEMU's: the same layout, the same words, and each reads what the other wrote."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path
from typing import Any

import pytest

import imgtools
from imgtools.block.format import Finding
from imgtools.block.graph import Context
from imgtools.errors import ImageError
from imgtools.formats.vdi import FORMAT
from imgtools.formats.vdi.node import VdiNode
from imgtools.formats.vdi.records import HEADER
from imgtools.operations.create import options_for
from tests.conftest import Runner
from tests.model import compare, pattern

BLOCK = 1 << 20
UUIDS = slice(0x188, 0x1A8)


def create(path: Path, size: int, **options: Any) -> None:
    FORMAT.create(str(path), size, options, Context(writable=True))


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("size", [0, 1, 511, 513, 1_000_000, BLOCK, BLOCK + 1, 300 * BLOCK, 1 << 40])
def test_new_images_have_the_same_bytes(size: int, static: bool, tmp_path: Path, qemu_img: Runner) -> None:
    ours, theirs = tmp_path / "ours.vdi", tmp_path / "theirs.vdi"
    create(ours, size, static=static)
    qemu_img("create", "-f", "vdi", "-o", f"static={'on' if static else 'off'}", theirs, size)
    assert ours.stat().st_size == theirs.stat().st_size
    contents = []
    for path in (ours, theirs):
        with path.open("rb") as file:
            contents.append(bytearray(file.read(512 + 4 * -(-size // BLOCK) + 4096)))
        contents[-1][UUIDS] = bytes(32)
    compare(*contents)
    with imgtools.open(str(ours)) as node:
        assert node.size == json.loads(qemu_img("info", "--output=json", theirs).stdout)["virtual-size"]


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_the_same_operations_give_the_same_disk(
    seed: int, static: bool, tmp_path: Path, qemu_img: Runner, qemu_io: Runner
) -> None:
    ours, theirs, size = tmp_path / "ours.vdi", tmp_path / "theirs.vdi", 6 * BLOCK + 512
    create(ours, size, static=static)
    qemu_img("create", "-f", "vdi", "-o", f"static={'on' if static else 'off'}", theirs, size)
    chance, commands = random.Random(seed), []
    with imgtools.open(str(ours), writable=True) as node:
        for _ in range(12):
            offset = chance.randrange(size // 512) * 512
            length = min(size - offset, chance.choice([512, 4096, 65536, BLOCK, 2 * BLOCK]))
            if chance.random() < 0.3:
                node.zero(offset, length)
                commands.append(f"write -z {offset} {length}")
            else:
                byte = chance.randrange(1, 256)
                node.write(offset, bytes([byte]) * length)
                commands.append(f"write -P {byte} {offset} {length}")
        node.flush()
    qemu_io(theirs, *commands, format="vdi")
    qemu_img("compare", ours, theirs)
    qemu_img("check", ours)
    with imgtools.open(str(theirs)) as left, imgtools.open(str(ours)) as right:
        compare(left.read(0, size), right.read(0, size))


def test_each_writes_on_in_the_others_image(tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    path = tmp_path / "disk.vdi"
    qemu_img("create", "-f", "vdi", path, "5M")
    for number, byte in enumerate((1, 2, 3, 4)):
        if number % 2:
            qemu_io(path, f"write -P {byte} {number}M 1M", format="vdi")
        else:
            with imgtools.open(str(path), writable=True) as node:
                node.write(number * BLOCK, bytes([byte]) * BLOCK)
        qemu_img("check", path)
    qemu_io(path, *(f"read -P {byte} {number}M 1M" for number, byte in enumerate((1, 2, 3, 4, 0))), format="vdi")


def test_the_map_is_the_same(tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    path = tmp_path / "disk.vdi"
    qemu_img("create", "-f", "vdi", path, "9M")
    qemu_io(path, "write 3M 2M", "write 0 1M", "write 1M 4k", "write 7M 1k", format="vdi")
    theirs = json.loads(qemu_img("map", "--output=json", path).stdout)
    with imgtools.open(str(path)) as node:
        ours = [(e.start, e.length, e.kind == "data", e.offset) for e in node.extents(0, node.size)]
    assert ours == [(e["start"], e["length"], e["data"], e.get("offset")) for e in theirs]


BAD_HEADERS = [
    {"signature": 0x11},
    {"version": 0x10002},
    {"offset_bmap": 0x201},
    {"offset_data": 0x401},
    {"sector_size": 4096},
    {"disk_size": 11 * BLOCK},
    {"disk_size": 1 << 62},
    {"block_size": 65537},
    {"block_size": 0},
    {"blocks_in_image": 9},
    {"blocks_in_image": 0x1FFFFF81},
    {"uuid_link": b"\1" * 16},
    {"uuid_parent": b"\1" * 16},
]


@pytest.mark.parametrize("fields", BAD_HEADERS, ids=lambda fields: "-".join(fields))
def test_bad_headers_are_refused_in_the_same_words(fields: dict[str, Any], tmp_path: Path, qemu_img: Runner) -> None:
    path = tmp_path / "disk.vdi"
    create(path, 10 * BLOCK)
    content = path.read_bytes()
    path.write_bytes(HEADER.build(**{**vars(HEADER.parse(content)), **fields}) + content[512:])
    with pytest.raises(ImageError) as caught:
        imgtools.open(str(path), format="vdi")
    assert caught.value.structure == "header" and caught.value.path == str(path)
    theirs = qemu_img("info", "-f", "vdi", path, check=False).stderr
    assert theirs == f"qemu-img: Could not open '{path}': {caught.value.message}\n"


@pytest.mark.parametrize(
    ("entries", "allocated"),
    [
        ([1, 0, 2], 3),
        ([1, 1, 2], 3),
        ([1, 1, 1, 1], 4),
        ([0, 100, 2], 3),
        ([0, 100, 101, 9, 3000000000], 1),
        ([9, 10, 11, 0], 4),
        ([0], 0),
    ],
)
def test_check_says_the_same(entries: list[int], allocated: int, tmp_path: Path, qemu_img: Runner) -> None:
    path = tmp_path / "disk.vdi"
    create(path, 10 * BLOCK)
    content = bytearray(path.read_bytes())
    content[512 : 512 + 4 * len(entries)] = struct.pack(f"<{len(entries)}I", *entries)
    content[0x184:0x188] = allocated.to_bytes(4, "little")
    path.write_bytes(content)
    with path.open("r+b") as file:
        file.truncate(1024 + 10 * BLOCK)
    findings: list[Finding] = []
    with imgtools.open(str(path), format="vdi") as node:
        assert isinstance(node, VdiNode)
        result = node.check(findings.append)
    theirs = qemu_img("check", "--output=json", path, check=False)
    said = json.loads(theirs.stdout)
    extra = [finding for finding in findings if "given away" in finding.message]
    assert [f.message for f in findings if f not in extra] == theirs.stderr.splitlines()
    assert result.corruptions + min(result.leaks, 1) - len(extra) == said.get("corruptions", 0)


def test_help_of_create_options(qemu_img: Runner) -> None:
    lines = qemu_img("create", "-f", "vdi", "-o", "help", "x").stdout.splitlines()[1:]
    theirs = {line.split("=")[0].strip(): line.split(" - ", 1)[1] for line in lines}
    assert {option.name: option.help for option in options_for(FORMAT)} == theirs


def test_measure_is_refused_in_the_same_words(qemu_img: Runner) -> None:
    with pytest.raises(ImageError) as caught:
        FORMAT.measure(None, BLOCK, {})
    theirs = qemu_img("measure", "-O", "vdi", "--size", "1M", check=False)
    assert theirs.stderr == f"qemu-img: {caught.value.message}\n"


def test_conversions_of_both_agree(tmp_path: Path, qemu_img: Runner) -> None:
    raw, vdi, back = tmp_path / "disk.raw", tmp_path / "disk.vdi", tmp_path / "back.raw"
    content = pattern(BLOCK) + bytes(3 * BLOCK) + pattern(700_416, 2)
    raw.write_bytes(content)
    qemu_img("convert", "-f", "raw", "-O", "vdi", raw, vdi)
    with imgtools.open(str(vdi)) as node:
        compare(node.read(0, node.size), content)
    create(vdi, len(content))
    with imgtools.open(str(vdi), writable=True) as node:
        node.write(0, content[:BLOCK])
        node.write(4 * BLOCK, content[4 * BLOCK :])
    qemu_img("convert", "-f", "vdi", "-O", "raw", vdi, back)
    compare(back.read_bytes(), content)
