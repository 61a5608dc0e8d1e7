"""The same operations by us and by QEMU's tools, on each other's images and on one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from imgtools.block.extent import COMPRESSED, HOLE, ZERO, merge
from imgtools.errors import ImageError
from imgtools.formats.vmdk.node import StreamNode, VmdkNode
from tests.conftest import Runner
from tests.formats.vmdk.support import assert_same_files, make, opened, option_text, random_ranges, twins

MIB, GIB = 1 << 20, 1 << 30
LARGE = 4 * GIB + 3 * MIB + 512
WRITABLE: list[dict[str, Any]] = [
    {"subformat": "monolithicSparse"},
    {"zeroed_grain": True},
    {"subformat": "monolithicFlat"},
    {"subformat": "twoGbMaxExtentSparse"},
    {"subformat": "twoGbMaxExtentSparse", "zeroed_grain": True},
    {"subformat": "twoGbMaxExtentFlat"},
]


def write_ranges(node: VmdkNode, ranges: list[tuple[int, int, int]]) -> None:
    for offset, length, value in ranges:
        node.write(offset, bytes([value]) * length)


def as_commands(ranges: list[tuple[int, int, int]]) -> list[str]:
    return [f"write -P {value} {offset} {length}" for offset, length, value in ranges]


def verify(node: VmdkNode, raw: Path) -> None:
    """The node reads as the raw file does; of a long range of zeroes the beginning and the end are looked at."""
    with raw.open("rb") as file:
        for extent in merge(node.extents(0, node.size)):
            end = extent.start + extent.length
            places = [(extent.start, extent.length)]
            if extent.kind in (ZERO, HOLE) and extent.length > MIB:
                places = [(extent.start, 65536), (end - 65536, 65536)]
            for start, length in places:
                file.seek(start)
                assert node.read(start, length) == file.read(length), f"{extent.kind} at {start:#x}"


@pytest.mark.parametrize("options", WRITABLE, ids=option_text)
def test_writes_make_the_same_files(options: dict[str, Any], tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    """Not only the disk is equal: so is every byte of the files, tables and redundant tables included."""
    ours, theirs = twins(tmp_path)
    ranges = random_ranges(7, LARGE, 40)
    make(ours / "disk.vmdk", LARGE, **options)
    with opened(ours / "disk.vmdk", writable=True) as node:
        write_ranges(node, ranges)
    qemu_img("create", "-f", "vmdk", "-o", option_text(options), theirs / "disk.vmdk", LARGE)
    qemu_io(theirs / "disk.vmdk", *as_commands(ranges), format="vmdk")
    if "Flat" in options.get("subformat", ""):
        (theirs / "disk.vmdk").write_bytes((theirs / "disk.vmdk").read_bytes().rstrip(b"\0"))  # QEMU pads it
    assert_same_files(ours, theirs)
    for name in sorted(path.name for path in ours.iterdir()):
        if "Sparse" in options.get("subformat", "Sparse") and name != "disk.vmdk":
            assert (ours / name).read_bytes() == (theirs / name).read_bytes()
    assert "Images are identical" in qemu_img("compare", ours / "disk.vmdk", theirs / "disk.vmdk").stdout
    assert "No errors" in qemu_img("check", ours / "disk.vmdk").stdout


@pytest.mark.parametrize("options", WRITABLE, ids=option_text)
@pytest.mark.parametrize("seed", [1, 2])
def test_turns_on_one_image(
    options: dict[str, Any], seed: int, tmp_path: Path, qemu_img: Runner, qemu_io: Runner
) -> None:
    """We and qemu-io take turns at writing and zeroing; a raw file that qemu-io also writes is the truth."""
    image, raw = tmp_path / "disk.vmdk", tmp_path / "disk.raw"
    make(image, LARGE, **options)
    qemu_img("create", "-f", "raw", raw, LARGE)
    for turn in range(4):
        ranges = random_ranges(seed * 10 + turn, LARGE, 12)
        zeroes = random_ranges(seed * 100 + turn, LARGE, 4) + ranges[:2]
        commands = as_commands(ranges) + [f"write -z {offset} {length}" for offset, length, _ in zeroes]
        qemu_io(raw, *commands)
        if turn % 2:
            qemu_io(image, *commands, format="vmdk")
            continue
        with opened(image, writable=True) as node:
            write_ranges(node, ranges)
            for number, (offset, length, _) in enumerate(zeroes):
                node.zero(offset, length, unmap=bool(number % 2))
            verify(node, raw)
    with opened(image) as node:
        verify(node, raw)
        outcome = node.check(lambda finding: None)
        assert outcome.corruptions == 0
    qemu_img("compare", "-f", "raw", "-F", "vmdk", raw, image)
    assert "No errors" in qemu_img("check", image).stdout


@pytest.mark.parametrize("zeroed_grain", [False, True])
def test_turns_on_a_child(zeroed_grain: bool, tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    size = 40 * MIB + 512
    parent, child, raw = (tmp_path / name for name in ("parent.vmdk", "child.vmdk", "disk.raw"))
    make(parent, size - 5 * MIB)
    with opened(parent, writable=True) as node:
        write_ranges(node, [r for r in random_ranges(3, size - 6 * MIB, 30) if r[0] + r[1] <= node.size])
    qemu_img("convert", "-O", "raw", parent, raw)
    qemu_img("resize", "-f", "raw", raw, size)
    make(child, size, backing_file="parent.vmdk", backing_fmt="vmdk", zeroed_grain=zeroed_grain)
    for turn in range(4):
        ranges, zeroes = random_ranges(turn, size, 8), random_ranges(turn + 50, size, 4)
        commands = as_commands(ranges) + [f"write -z {offset} {length}" for offset, length, _ in zeroes]
        qemu_io(raw, *commands)
        if turn % 2:
            qemu_io(child, *commands, format="vmdk")
            continue
        with opened(child, writable=True) as node:
            write_ranges(node, ranges)
            for offset, length, _ in zeroes:
                node.zero(offset, length)
            verify(node, raw)
    with opened(child) as node:
        assert (node.backing_name, node.backing_format) == ("parent.vmdk", "vmdk")
        verify(node, raw)
        assert node.check(lambda finding: None).corruptions == 0
    qemu_img("compare", "-f", "raw", "-F", "vmdk", raw, child)


@pytest.mark.parametrize("subformat", ["monolithicSparse", "twoGbMaxExtentFlat", "twoGbMaxExtentSparse"])
def test_maps_as_qemu_does(subformat: str, tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    image = tmp_path / "disk.vmdk"
    qemu_img("create", "-f", "vmdk", "-o", f"subformat={subformat}", image, LARGE)
    qemu_io(image, *as_commands(random_ranges(5, LARGE, 20)), format="vmdk")
    told = json.loads(qemu_img("map", "--output=json", image).stdout)
    with opened(image) as node:
        found = []
        for extent in merge(node.extents(0, node.size)):
            data = extent.kind not in (ZERO, HOLE)
            if found and not data and not found[-1][2] and found[-1][0] + found[-1][1] == extent.start:
                found[-1] = (found[-1][0], found[-1][1] + extent.length, False, None)
            else:
                found.append((extent.start, extent.length, data, extent.offset if data else None))
    expected: list[tuple[int, int, bool, int | None]] = []
    for entry in told:
        data = entry["data"] and not entry["zero"]
        if expected and not data and not expected[-1][2]:
            expected[-1] = (expected[-1][0], expected[-1][1] + entry["length"], False, None)
        else:
            expected.append((entry["start"], entry["length"], data, entry.get("offset") if data else None))
    assert found == expected


# Streams.


def write_stream(node: VmdkNode, raw: Path, level: int | None) -> None:
    """What convert does: every grain that is not zero, compressed, in order."""
    assert isinstance(node, StreamNode)
    unit, compress = node.compression_unit, node.compressor(level)
    with raw.open("rb") as file:
        for offset in range(0, node.size, unit):
            data = file.read(unit)
            if any(data):
                node.write_compressed(offset, len(data), compress(data))


@pytest.fixture
def raw_disk(tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> Path:
    """A raw disk whose content compresses in different ways, and whose last grain is short."""
    raw = tmp_path / "source.raw"
    size = 40 * MIB + 1536
    qemu_img("create", "-f", "raw", raw, size)
    qemu_io(raw, *as_commands(random_ranges(11, size, 25)), f"write -P 9 {size - 512} 512")
    with raw.open("r+b") as file:
        for place, value in ((3 * MIB + 5, 1), (30 * MIB, 77)):
            file.seek(place)
            state = value
            noise = bytearray()
            for _ in range(200_000):
                state = (state * 1103515245 + 12345) & 0x7FFFFFFF
                noise.append(state >> 16 & 0xFF)
            file.write(noise)
    return raw


def test_streams_are_the_same_files(raw_disk: Path, tmp_path: Path, qemu_img: Runner) -> None:
    """At zlib's own level 6 the whole file is QEMU's, byte for byte."""
    ours, theirs = twins(tmp_path)
    make(ours / "disk.vmdk", raw_disk.stat().st_size, subformat="streamOptimized")
    with opened(ours / "disk.vmdk", writable=True) as node:
        write_stream(node, raw_disk, 6)
    qemu_img("convert", "-O", "vmdk", "-o", "subformat=streamOptimized", raw_disk, theirs / "disk.vmdk")
    assert_same_files(ours, theirs)


@pytest.mark.parametrize("level", [None, 0, 1, 9])
def test_streams_of_any_level_are_read_by_qemu(
    level: int | None, raw_disk: Path, tmp_path: Path, qemu_img: Runner
) -> None:
    image = tmp_path / "disk.vmdk"
    make(image, raw_disk.stat().st_size, subformat="streamOptimized")
    with opened(image, writable=True) as node:
        write_stream(node, raw_disk, level)
        verify(node, raw_disk)
    qemu_img("compare", "-f", "raw", "-F", "vmdk", raw_disk, image)
    with opened(image) as node:
        assert {extent.kind for extent in node.extents(0, node.size)} == {COMPRESSED, HOLE}
        assert node.check(lambda finding: None).corruptions == 0


def test_reads_qemus_streams(raw_disk: Path, tmp_path: Path, qemu_img: Runner) -> None:
    image = tmp_path / "disk.vmdk"
    qemu_img("convert", "-O", "vmdk", "-o", "subformat=streamOptimized", raw_disk, image)
    with opened(image) as node:
        verify(node, raw_disk)
        with raw_disk.open("rb") as file:
            for offset in (3 * MIB - 100, 30 * MIB + 65536 - 7, node.size - 4096):
                file.seek(offset)
                assert node.read(offset, 4096) == file.read(4096)
        outcome = node.check(lambda finding: None)
        assert (outcome.corruptions, outcome.leaks) == (0, 0)


def test_a_grain_of_a_stream_is_written_once(tmp_path: Path) -> None:
    image = tmp_path / "disk.vmdk"
    make(image, 3 * 65536 + 512, subformat="streamOptimized")
    with opened(image, writable=True) as node:
        node.write(65536, b"a" * 65536)
        node.write(3 * 65536, b"b" * 512)
        with pytest.raises(ImageError, match="Could not write to allocated cluster for streamOptimized"):
            node.write(65536, b"c" * 65536)
        with pytest.raises(ImageError, match="whole grains"):
            node.write(0, b"c" * 512)
        with pytest.raises(ImageError, match="allocated"):
            node.zero(65536, 512)
        node.zero(0, 65536)
        assert node.read(0, node.size) == bytes(65536) + b"a" * 65536 + bytes(65536) + b"b" * 512
    assert image.stat().st_size % 512 == 0
