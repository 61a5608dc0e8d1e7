"""Reads into many buffers: the same bytes as a plain read gives, whatever an image has in the range."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

import imgtools
from imgtools import Node
from imgtools.block.filters.overlay import CLUSTER, Overlay
from imgtools.block.node import cut, spread
from imgtools.block.protocols.file import MAX_PIECES, create_file, open_file
from imgtools.errors import InputOutput, OutOfBounds
from tests.conftest import Runner
from tests.model import compare, pattern, read_in_pieces

MIB = 1 << 20


def test_cut_and_spread() -> None:
    chance = random.Random(1)
    for _ in range(300):
        lengths = [chance.choice((0, 1, 5, 16)) for _ in range(chance.randrange(8))]
        pieces = [memoryview(bytearray(length)) for length in lengths]
        data = chance.randbytes(sum(lengths))
        spread(memoryview(data), pieces)
        place = chance.randrange(len(data) + 3)
        head, tail = cut(pieces, place)
        assert (b"".join(head), b"".join(tail)) == (data[:place], data[place:])


def test_a_file_in_more_pieces_than_a_system_call_takes(tmp_path: Path) -> None:
    content = pattern(3 * MAX_PIECES + 5)
    with create_file(str(tmp_path / "file")) as file:
        file.write(0, content)
        compare(read_in_pieces(file, 0, len(content), (1,)), content)
        compare(read_in_pieces(file, 7, len(content) + 5000, (3, 2)), content[7:] + bytes(5007))
        compare(read_in_pieces(file, 9000, 100, (64,)), bytes(100))


def test_a_file_that_cannot_be_read() -> None:
    with open_file("/proc/self/mem") as memory, pytest.raises(InputOutput, match="could not read"):
        read_in_pieces(memory, 0, 100)


def test_memory_that_is_named_twice_has_what_came_last(tmp_path: Path) -> None:
    with create_file(str(tmp_path / "file")) as file:
        file.write(0, b"abcd")
        page = memoryview(bytearray(2))
        file.readv(0, 4, [page, page])
        assert page == b"cd"


@pytest.fixture
def images(tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> dict[str, Path]:
    """One content of 2 MiB and a bit in images that have it in many ways."""
    chance = random.Random(2)
    base = chance.randbytes(MIB) + bytes(MIB // 2)  # shorter than what stands on it
    (tmp_path / "base").write_bytes(base)
    top = tmp_path / "top.qcow2"
    qemu_img("create", "-f", "qcow2", "-b", tmp_path / "base", "-F", "raw", top, 2 * MIB + 1536)
    writes = ("write -P 1 70k 3k", "write -z 200k 100k", "write -P 2 250k 1k", "write -P 3 1M 130k", "write -P 4 2M 1k")
    qemu_io(top, *writes, "write -c -P 5 640k 64k", "write -c -P 6 704k 64k", format="qcow2")
    for number in (9, 7, 8):  # clusters that lie apart
        qemu_io(top, f"write -P {number} {64 * number}k 64k", format="qcow2")
    made = {"backing": top}
    for name, options in (
        ("raw", ["-O", "raw"]), ("plain", ["-O", "qcow2"]), ("compressed", ["-O", "qcow2", "-c"]),
        ("small", ["-O", "qcow2", "-o", "cluster_size=512"]), ("subclusters", ["-O", "qcow2", "-o", "extended_l2=on"]),
        ("vdi", ["-O", "vdi"]),
    ):  # fmt: skip
        made[name] = tmp_path / name
        qemu_img("convert", "-f", "qcow2", *options, top, made[name])
    return made


def opened(path: Path) -> Iterator[Node]:
    """The image; and below an overlay with clusters of its own."""
    with imgtools.open(str(path), format="raw" if path.name == "raw" else None) as node:
        yield node
        with Overlay(node) as overlay:
            overlay.write(CLUSTER + 100, pattern(CLUSTER))
            overlay.write(30 * CLUSTER, pattern(512))
            yield overlay


@pytest.mark.parametrize("name", ["backing", "raw", "plain", "compressed", "small", "subclusters", "vdi"])
def test_images(name: str, images: dict[str, Path]) -> None:
    chance = random.Random(3)
    for node in opened(images[name]):
        content = node.read(0, node.size)
        compare(read_in_pieces(node, 0, node.size, (4096,)), content)
        for _ in range(60):
            offset = chance.randrange(node.size)
            length = min(chance.choice((1, 512, 70_000, 300_000)), node.size - offset)
            sizes = [chance.choice((1, 3, 512, 4096, 4096, 100_000)) for _ in range(5)]
            compare(read_in_pieces(node, offset, length, sizes), content[offset : offset + length])
        with pytest.raises(OutOfBounds):
            read_in_pieces(node, node.size - 100, 200)
