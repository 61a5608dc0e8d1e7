"""VHD beside QEMU's: the same bytes in new images, the same sizes and words, and each reads what the other wrote."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

import imgtools
from imgtools.block.graph import Context
from imgtools.errors import ImageError
from imgtools.formats.vpc import FORMAT
from imgtools.formats.vpc.header import checksum
from imgtools.formats.vpc.records import FOOTER
from imgtools.operations.create import options_for
from tests.conftest import Runner
from tests.model import compare

BLOCK = 2 << 20
GIB = 1 << 30
CHANGING = ("timestamp", "uuid", "checksum")


def create(path: Path, size: int, **options: Any) -> None:
    FORMAT.create(str(path), size, options, Context(writable=True))


def masked(content: bytearray, offset: int) -> bytearray:
    """A file's content without what differs between any two footers."""
    for name in CHANGING:
        start = offset + FOOTER.offset_of(name)
        length = 16 if name == "uuid" else 4
        content[start : start + length] = bytes(length)
    return content


@pytest.mark.parametrize(
    "size", [0, 1, 511, 68 << 10, 1_000_000, 10 << 20, 504 << 20, GIB, 33 * GIB, 127 * GIB, 128 * GIB, 2040 * GIB]
)
@pytest.mark.parametrize("options", [{}, {"force_size": True}, {"subformat": "fixed"}], ids=["chs", "exact", "fixed"])
def test_new_images_have_the_same_bytes(size: int, options: dict[str, Any], tmp_path: Path, qemu_img: Runner) -> None:
    ours, theirs = tmp_path / "ours.vpc", tmp_path / "theirs.vpc"
    create(ours, size, **options)
    words = [f"{name}={'on' if value is True else value}" for name, value in options.items()]
    qemu_img("create", "-f", "vpc", *(["-o", ",".join(words)] if words else []), theirs, size)
    assert ours.stat().st_size == theirs.stat().st_size
    contents = []
    for path in (ours, theirs):
        with path.open("rb") as file:
            head = bytearray(file.read(1 << 20))
            file.seek(-512, 2)
            tail = masked(bytearray(file.read()), 0)
        if "subformat" not in options:
            head = masked(head, 0)
            if path.stat().st_size <= len(head):
                head[-512:] = tail
        contents.append(bytes(head[: path.stat().st_size - 512] + tail))
    compare(*contents)
    with imgtools.open(str(ours), format="vpc") as node:
        found = qemu_img(
            "info", "-f", "vpc", "--output=json", theirs, check=size > 0
        )  # a lone footer is not read by it
        assert not size or node.size == json.loads(found.stdout)["virtual-size"]


@pytest.mark.parametrize(
    "options", [{"force_size": True}, {"force_size": True, "subformat": "fixed"}], ids=["dynamic", "fixed"]
)
@pytest.mark.parametrize("seed", range(3))
def test_the_same_operations_give_the_same_disk(
    seed: int, options: dict[str, Any], tmp_path: Path, qemu_img: Runner, qemu_io: Runner
) -> None:
    ours, theirs, size = tmp_path / "ours.vpc", tmp_path / "theirs.vpc", 4 * BLOCK + 512
    create(ours, size, **options)
    create(theirs, size, **options)
    chance, commands = random.Random(seed), []
    with imgtools.open(str(ours), format="vpc", writable=True) as node:
        for _ in range(10):
            offset = chance.randrange(size // 512) * 512
            length = min(size - offset, chance.choice([512, 4096, 65536, BLOCK, 2 * BLOCK]))
            byte = chance.randrange(0, 256)
            node.write(offset, bytes([byte]) * length)
            commands.append(f"write -P {byte} {offset} {length}")
    qemu_io(theirs, *commands, format="vpc")
    qemu_img("compare", "-f", "vpc", "-F", "vpc", ours, theirs)
    with imgtools.open(str(theirs), format="vpc") as left, imgtools.open(str(ours), format="vpc") as right:
        compare(left.read(0, size), right.read(0, size))


def test_each_writes_on_in_the_others_image(tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    path = tmp_path / "disk.vpc"
    qemu_img("create", "-f", "vpc", "-o", "force_size", path, "10M")
    for number, byte in enumerate((1, 2, 3, 4)):
        if number % 2:
            qemu_io(path, f"write -P {byte} {2 * number}M 2M", format="vpc")
        else:
            with imgtools.open(str(path), writable=True) as node:
                node.write(number * BLOCK, bytes([byte]) * BLOCK)
    qemu_io(path, *(f"read -P {byte} {2 * n}M 2M" for n, byte in enumerate((1, 2, 3, 4, 0))), format="vpc")
    theirs = json.loads(qemu_img("map", "--output=json", path).stdout)
    with imgtools.open(str(path)) as node:
        ours = [(e.start, e.length, e.kind == "data", e.offset) for e in node.extents(0, node.size)]
    assert ours == [(e["start"], e["length"], e["data"], e.get("offset")) for e in theirs]


@pytest.mark.parametrize(
    ("creator", "geometry"),
    [(b"vpc ", (20, 4, 17)), (b"vs  ", (20, 4, 17)), (b"win ", (20, 4, 17)), (b"d2v ", (1, 1, 1)),
     (b"tap\0", (1, 1, 1)), (b"CTXS", (1, 1, 1)), (b"vbox", (20, 4, 17)), (b"vpc ", (65535, 16, 255))],
)  # fmt: skip
def test_the_size_is_what_qemu_takes_it_for(
    creator: bytes, geometry: tuple[int, int, int], tmp_path: Path, qemu_img: Runner
) -> None:
    path = tmp_path / "disk.vpc"
    create(path, BLOCK)
    content = bytearray(path.read_bytes())
    fields = {**vars(FOOTER.parse(content)), "creator_application": creator}
    fields |= dict(zip(("cylinders", "heads", "sectors"), geometry, strict=True))
    footer = FOOTER.build(**fields)
    fields["checksum"] = checksum(footer, FOOTER.offset_of("checksum"))
    content[:512] = FOOTER.build(**fields)
    path.write_bytes(content)
    with imgtools.open(str(path)) as node:
        assert node.size == json.loads(qemu_img("info", "--output=json", path).stdout)["virtual-size"]


@pytest.mark.parametrize(
    ("offset", "data"),
    [
        (0, b"x"),
        (64, b"\1"),
        (512, b"x"),
        (540, b"\0\0\0\1"),
        (544, b"\0\0\0\0"),
        (544, b"\0\0\2\1"),
        (544, b"\0\1\0\0"),
    ],
)
def test_bad_headers_are_refused_in_the_same_words(offset: int, data: bytes, tmp_path: Path, qemu_img: Runner) -> None:
    path = tmp_path / "disk.vpc"
    create(path, 10 << 20)
    content = bytearray(path.read_bytes())
    content[offset : offset + len(data)] = data
    if not offset:
        content[-512] = 0
    path.write_bytes(content)
    with pytest.raises(ImageError) as caught:
        imgtools.open(str(path), format="vpc")
    theirs = qemu_img("info", "-f", "vpc", path, check=False).stderr
    assert theirs == f"qemu-img: Could not open '{path}': {caught.value.message}\n"


def test_differencing_images_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "disk.vpc"
    create(path, 10 << 20)
    content = bytearray(path.read_bytes())
    fields = {**vars(FOOTER.parse(content)), "disk_type": 4}
    fields["checksum"] = checksum(FOOTER.build(**fields), FOOTER.offset_of("checksum"))
    path.write_bytes(FOOTER.build(**fields) + content[512:])
    with pytest.raises(ImageError, match="differencing"):
        imgtools.open(str(path))


def test_help_of_create_options(qemu_img: Runner) -> None:
    lines = qemu_img("create", "-f", "vpc", "-o", "help", "x").stdout.splitlines()[1:]
    theirs = {line.split("=")[0].strip(): line.split(" - ", 1)[1] for line in lines}
    assert {option.name: option.help for option in options_for(FORMAT)} == theirs
