"""Extended L2 entries beside QEMU: the same layout, the same disk and map after the same operations, the same verdict
on entries that contradict themselves."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import imgtools
from imgtools.align import round_up
from imgtools.block.extent import DATA
from imgtools.block.graph import Context
from imgtools.block.node import Node
from imgtools.errors import CorruptImage, ImageError
from imgtools.formats.qcow2 import FORMAT
from imgtools.formats.qcow2.node import Qcow2Node
from imgtools.formats.qcow2.subclusters import ALL_ZERO, SUBCLUSTERS, WRITTEN, pieces
from imgtools.operations.convert import convert
from imgtools.operations.map import map_
from tests.conftest import Runner
from tests.model import check_is_clean, compare, pattern
from tests.mutate import extremes, flips, survives_mutations

MIB = 1 << 20


def create(path: Path, size: int, **options: Any) -> None:
    FORMAT.create(str(path), size, {"extended_l2": True, **options}, Context())


def open_qcow2(path: Path, *, writable: bool = False) -> Qcow2Node:
    node = imgtools.open(str(path), writable=writable)
    assert isinstance(node, Qcow2Node)
    return node


LAYOUTS = [
    (size, {"cluster_size": cluster, **options})
    for cluster in (16384, 65536, 2 * MIB)
    for size in (0, 512, 10 * MIB + 512)
    for options in ({}, {"preallocation": "metadata"}, {"preallocation": "falloc"}, {"preallocation": "full"})
]


@pytest.mark.parametrize(("size", "options"), LAYOUTS, ids=str)
def test_new_images_have_the_same_bytes(size: int, options: dict[str, Any], tmp_path: Path, qemu_img: Runner) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    words = ",".join(f"{name}={value}" for name, value in options.items())
    qemu_img("create", "-q", "-f", "qcow2", "-o", f"extended_l2=on,{words}", theirs, size)
    create(ours, size, **options)
    compare(ours.read_bytes(), theirs.read_bytes())


@pytest.mark.parametrize("options", [{"compat": "v2"}, {"cluster_size": 8192}], ids=str)
def test_bad_options_are_refused_in_the_same_words(options: dict[str, Any], tmp_path: Path, qemu_img: Runner) -> None:
    words = ",".join(f"{name}={value}" for name, value in options.items())
    theirs = qemu_img(
        "create", "-q", "-f", "qcow2", "-o", f"extended_l2=on,{words}", tmp_path / "theirs", MIB, check=False
    )
    with pytest.raises(ImageError) as caught:
        create(tmp_path / "ours", MIB, **options)
    assert theirs.stderr == f"qemu-img: {tmp_path}/theirs: {caught.value.message}\n"


def test_a_bitmap_falls_into_its_runs() -> None:
    chance = random.Random(7)
    bitmaps = [0, WRITTEN, ALL_ZERO, 1, 1 << 31, 1 << 32, 1 << 63]
    for _ in range(200):
        kinds = chance.getrandbits(32)
        bitmaps.append((kinds & chance.getrandbits(32)) | (~kinds & chance.getrandbits(32)) << 32)
    for bitmap in bitmaps:
        runs = list(pieces(bitmap & ((1 << 64) - 1)))
        expanded = [kind for first, last, kind in runs for _ in range(first, last)]
        names = {0: "hole", 1: "data", 1 << SUBCLUSTERS: "zero"}
        assert expanded == [names[bitmap >> bit & (1 | 1 << SUBCLUSTERS)] for bit in range(SUBCLUSTERS)]
        assert all(left[2] != right[2] for left, right in pairwise(runs))


def extents_of(node: Node) -> list[tuple[int, int, bool, int | None]]:
    return [(e.start, e.length, e.kind == DATA, e.offset) for e in map_(node)]


@pytest.mark.parametrize("seed", range(8))
def test_the_same_operations_give_the_same_disk(seed: int, tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    chance = random.Random(seed)
    ours, theirs, base = tmp_path / "ours", tmp_path / "theirs", tmp_path / "base"
    cluster, size = chance.choice([16384, 65536]), 2 * MIB + 512
    options: dict[str, Any] = {"cluster_size": cluster}
    if chance.random() < 0.6:
        base.write_bytes(pattern(chance.choice([MIB, size, 3 * MIB])))
        options |= {"backing_file": "base", "backing_fmt": "raw"}
    if chance.random() < 0.3:
        options["preallocation"] = "metadata"
    create(ours, size, **options)
    words = ",".join(f"{name}={value}" for name, value in options.items())
    qemu_img("create", "-q", "-f", "qcow2", "-o", f"extended_l2=on,{words}", theirs, size)
    commands = []
    with open_qcow2(ours, writable=True) as node:
        for number in range(40):
            offset = chance.randrange(size // 512) * 512
            length = min(size - offset, chance.choice([512, 2048, 4096, 65536, 200_192]))
            verb = chance.choice(["write", "write", "write", "zero", "unmap", "discard"])
            if verb == "write":
                node.write(offset, bytes([number + 1]) * length)
                commands.append(f"write -P {number + 1} {offset} {length}")
            elif verb == "discard":
                offset = offset % (2 * MIB) // cluster * cluster  # a part of a cluster may be kept or zeroed
                node.discard(offset, cluster)
                commands.append(f"discard {offset} {cluster}")
            else:
                node.zero(offset, length, unmap=verb == "unmap")
                commands.append(f"write -z{'u' if verb == 'unmap' else ''} {offset} {length}")
    qemu_io(theirs, *commands, format="qcow2")
    qemu_img("compare", "-f", "qcow2", "-F", "qcow2", ours, theirs)
    qemu_img("check", ours)
    for path in (ours, theirs):
        # Of places behind the end of the file QEMU says that they are data and not reserved: let there be none.
        os.truncate(path, round_up(path.stat().st_size, cluster))
        with open_qcow2(path) as node:
            check_is_clean(node)
            found = json.loads(qemu_img("map", "--output=json", path).stdout)
            runs = [(run["start"], run["length"], run["data"], run.get("offset")) for run in found]
            assert runs == extents_of(node)
    with open_qcow2(ours) as left, open_qcow2(theirs) as right:
        compare(left.read(0, size), right.read(0, size))
        assert allocated(left) == allocated(right) > 0


def allocated(node: Qcow2Node) -> int:
    """Bytes of the guest that the image itself holds as data."""
    return sum(extent.length for extent in node.extents(0, node.size) if extent.kind == DATA and extent.depth == 0)


def test_compressed_clusters_are_replaced_in_part(tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    raw, path = tmp_path / "raw", tmp_path / "disk"
    content = bytearray(pattern(64, 1) * (MIB // 64))
    raw.write_bytes(content)
    create(path, MIB)
    with imgtools.open(str(raw), format="raw") as source, open_qcow2(path, writable=True) as target:
        convert([source], target, compress=True, target_is_zero=True)
    qemu_img("compare", "-f", "raw", "-F", "qcow2", raw, path)
    with open_qcow2(path, writable=True) as node:
        node.write(70_000, b"x" * 5000)
        content[70_000:75_000] = b"x" * 5000
        node.zero(131_072 + 2048, 4096)
        content[131_072 + 2048 : 131_072 + 6144] = bytes(4096)
        node.discard(200_000, 10_000)  # too little of a compressed cluster to matter
    with open_qcow2(path) as node:
        compare(node.read(0, MIB), content)
        check_is_clean(node)
    qemu_img("check", path)
    qemu_io(path, "read -P 120 70000 5000", format="qcow2")


def test_snapshots_keep_what_a_subcluster_was(tmp_path: Path, qemu_img: Runner) -> None:
    path = tmp_path / "disk"
    create(path, MIB)
    with open_qcow2(path, writable=True) as node:
        node.write(4096, pattern(8192))
        node.zero(65_536, 2048, unmap=False)
        node.create_snapshot("before")
        node.write(6144, b"y" * 512)
        node.zero(8192, 2048)
    before = bytes(4096) + pattern(8192) + bytes(MIB - 12_288)
    after = bytearray(before)
    after[6144:6656], after[8192:10_240] = b"y" * 512, bytes(2048)
    with open_qcow2(path) as node:
        compare(node.read(0, MIB), after)
        check_is_clean(node)
    qemu_img("check", path)
    qemu_img("snapshot", "-a", "before", path)
    with open_qcow2(path) as node:
        compare(node.read(0, MIB), before)


DAMAGE = {
    "data and zeroes": (1, (1 << 64) - 1),
    "data without a place": (31, 1),
    "a bitmap of a compressed cluster": (17, 1 << 32),
    "unaligned": (2, 0x8000_0000_0005_0200),
    "reserved bits": (2, 0x8000_0000_0005_0002),
    "the zero flag of usual entries": (2, 0x8000_0000_0005_0001),
    "shared": (2, 0x8000_0000_0005_0000),
}


@pytest.fixture
def image(tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> Path:
    """An image with whole, partial, zeroed and compressed clusters, 64 KiB each, made by QEMU."""
    path = tmp_path / "disk"
    qemu_img("create", "-q", "-f", "qcow2", "-o", "extended_l2=on", path, 2 * MIB)
    qemu_io(path, "write 0 256k", "write 300k 7k", "write -z 400k 10k", "write -c 512k 64k", format="qcow2")
    return path


@pytest.mark.parametrize("damage", DAMAGE)
def test_both_check_alike(damage: str, image: Path, qemu_img: Runner) -> None:
    half, value = DAMAGE[damage]
    content = bytearray(image.read_bytes())
    table = l2_offset(content)
    content[table + 8 * half : table + 8 * half + 8] = value.to_bytes(8, "big")
    image.write_bytes(content)
    theirs = qemu_img("check", "--output=json", image, check=False)
    facts = json.loads(theirs.stdout)
    findings: list[str] = []
    with open_qcow2(image) as node:
        result = node.check(lambda finding: findings.append(finding.message))
        assert sorted(findings) == sorted(line for line in theirs.stderr.splitlines() if line)
        assert (result.corruptions, result.leaks) == (facts.get("corruptions", 0), facts.get("leaks", 0))
        assert result.allocated_clusters == facts["allocated-clusters"]
        assert result.image_end_offset == facts["image-end-offset"]
        if "data" in damage:
            with pytest.raises(CorruptImage, match="Invalid cluster entry"):
                node.read(0, 2 * MIB)


def l2_offset(content: bytes | bytearray) -> int:
    l1 = int.from_bytes(content[40:48], "big")
    return int.from_bytes(content[l1 : l1 + 8], "big") & ((1 << 56) - 512)


def test_damaged_entries_are_refused_or_read(image: Path) -> None:
    content = image.read_bytes()
    table = l2_offset(content)
    halves = [(f"L2 half {half}", table + 8 * half, 8, "big") for half in (0, 1, 8, 9, 12, 13, 16, 17, 30, 31)]
    opener: Callable[..., Node] = lambda storage: FORMAT.open(storage, Context(writable=True))  # noqa: E731
    assert survives_mutations(opener, extremes(content, halves), write=True) > 50
    assert survives_mutations(opener, flips(content, [(table, 288)], count=200), write=True) > 50
