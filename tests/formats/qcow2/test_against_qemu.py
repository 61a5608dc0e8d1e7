"""qcow2 beside QEMU's: the same layout, the same words, and each reads what the other wrote."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

import imgtools
from imgtools.block.extent import COMPRESSED, DATA
from imgtools.block.graph import Context
from imgtools.errors import ImageError
from imgtools.formats.qcow2 import FORMAT
from imgtools.formats.qcow2.node import Qcow2Node
from imgtools.operations.convert import convert
from tests.conftest import Runner
from tests.model import check_is_clean, compare, pattern

MIB = 1 << 20


def create(path: Path, size: int, **options: Any) -> None:
    FORMAT.create(str(path), size, options, Context())


def as_text(options: dict[str, Any]) -> str:
    return ",".join(f"{name}={value}" for name, value in options.items())


LAYOUTS = [
    (size, {"cluster_size": cluster, **options})
    for cluster in (512, 4096, 65536, 2 * MIB)
    for size in (0, 512, 10 * MIB + 512, 10 << 30)
    for options in ({"compat": "v2"}, {"compat": "v3"}, {"refcount_bits": 1}, {"refcount_bits": 64})
]
LAYOUTS += [
    (size, {"cluster_size": cluster, "preallocation": mode, "compat": compat})
    for cluster in (4096, 65536, 2 * MIB)
    for size in (0, 512, 33 * MIB)
    for mode in ("metadata", "falloc", "full")
    for compat in ("v2", "v3")
]
LAYOUTS += [
    (10 * MIB, {"compression_type": "zstd"}),
    (1 << 45, {"compat": "v3"}),
    (300 << 30, {"preallocation": "metadata"}),
]


@pytest.mark.parametrize(
    ("size", "options"), LAYOUTS, ids=lambda value: as_text(value) if isinstance(value, dict) else str(value)
)
def test_new_images_have_the_same_bytes(size: int, options: dict[str, Any], tmp_path: Path, qemu_img: Runner) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    qemu_img("create", "-q", "-f", "qcow2", "-o", as_text(options), theirs, str(size))
    create(ours, size, **options)
    assert ours.stat().st_size == theirs.stat().st_size
    with ours.open("rb") as left, theirs.open("rb") as right:
        while piece := right.read(16 * MIB):
            compare(left.read(16 * MIB), piece)
            if left.tell() > 256 * MIB:  # the rest of a large image is holes
                break
    qemu_img("check", ours)


def test_new_overlays_have_the_same_bytes(tmp_path: Path, qemu_img: Runner) -> None:
    base, ours, theirs = tmp_path / "base", tmp_path / "ours", tmp_path / "theirs"
    create(base, 10 * MIB)
    qemu_img("create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", theirs)
    create(ours, 10 * MIB, backing_file=str(base), backing_fmt="qcow2")
    compare(ours.read_bytes(), theirs.read_bytes())


REFUSED = [
    {"cluster_size": 1000},
    {"cluster_size": 256},
    {"cluster_size": 4 * MIB},
    {"refcount_bits": 3},
    {"refcount_bits": 128},
    {"compat": "v2", "refcount_bits": 8},
    {"compat": "v2", "lazy_refcounts": "on"},
    {"compat": "v2", "compression_type": "zstd"},
]


@pytest.mark.parametrize("options", REFUSED, ids=as_text)
def test_bad_options_are_refused_in_the_same_words(options: dict[str, Any], tmp_path: Path, qemu_img: Runner) -> None:
    theirs = qemu_img("create", "-q", "-f", "qcow2", "-o", as_text(options), tmp_path / "theirs", "10M", check=False)
    with pytest.raises(ImageError) as caught:
        create(tmp_path / "ours", 10 * MIB, **options)
    assert theirs.stderr == f"qemu-img: {tmp_path}/theirs: {caught.value.message}\n"
    assert not (tmp_path / "ours").exists()


FIELDS = {
    "version": (4, 4, 7),
    "backing_file_offset": (8, 8, 1 << 40),
    "cluster_bits": (20, 4, 30),
    "crypt_method": (32, 4, 9),
    "l1_size": (36, 4, 1 << 31),
    "l1_table_offset": (40, 8, 12345),
    "refcount_table_offset": (48, 8, 777),
    "refcount_table_clusters": (56, 4, 1 << 30),
    "no_refcount_table": (56, 4, 0),
    "snapshots_offset": (60, 12, (5 << 64) | 33),
    "unknown_feature": (72, 8, 1 << 40),
    "unnamed_features": (72, 8, (1 << 40) | (1 << 63)),
    "compression_bit": (72, 8, 8),
    "refcount_order": (96, 4, 9),
    "header_length": (100, 4, 40),
    "long_header": (100, 4, 1 << 20),
    "compression_type": (104, 1, 9),
}


@pytest.mark.parametrize("field", FIELDS)
def test_bad_headers_are_refused_in_the_same_words(field: str, tmp_path: Path, qemu_img: Runner) -> None:
    path = tmp_path / "disk.qcow2"
    create(path, 10 * MIB)
    offset, length, value = FIELDS[field]
    content = bytearray(path.read_bytes())
    content[offset : offset + length] = value.to_bytes(length, "big")
    path.write_bytes(content)
    with pytest.raises(ImageError) as caught:
        imgtools.open(str(path), format="qcow2")
    theirs = qemu_img("info", "-f", "qcow2", path, check=False).stderr
    assert theirs == f"qemu-img: Could not open '{path}': {caught.value.message}\n"
    assert caught.value.path == str(path)


@pytest.mark.parametrize("compat", ["v2", "v3"])
def test_files_cut_short_are_refused_in_the_same_words(compat: str, tmp_path: Path, qemu_img: Runner) -> None:
    whole, path = tmp_path / "whole", tmp_path / "cut"
    create(whole, MIB, compat=compat)
    content = whole.read_bytes()
    for length in (0, 3, 4, 8, 71, 72, 103, 104, 112, 65535):
        path.write_bytes(content[:length])
        theirs = qemu_img("info", "-f", "qcow2", path, check=False).stderr
        try:
            imgtools.open(str(path), format="qcow2").close()
            said = ""
        except ImageError as error:
            said = f"qemu-img: Could not open '{path}': {error.message}\n"
        assert said == theirs, length


@pytest.mark.parametrize("seed", range(8))
def test_the_same_operations_give_the_same_disk(seed: int, tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    chance = random.Random(seed)
    options = {"cluster_size": chance.choice([512, 4096, 65536]), "compat": chance.choice(["v2", "v3"])}
    ours, theirs, base = tmp_path / "ours", tmp_path / "theirs", tmp_path / "base"
    size = 3 * MIB + 512
    if chance.random() < 0.6:
        base.write_bytes(pattern(chance.choice([MIB, size, 4 * MIB])))
        options |= {"backing_file": "base", "backing_fmt": "raw"}
    create(ours, size, **options)
    qemu_img("create", "-q", "-f", "qcow2", "-o", as_text(options), theirs, size)
    commands = []
    with imgtools.open(str(ours), writable=True) as node:
        for _ in range(30):
            offset = chance.randrange(size // 512) * 512
            length = min(size - offset, chance.choice([512, 4096, 65536, MIB]))
            verb = chance.choice(["write", "write", "write", "zero", "unmap", "discard"])
            if verb == "write":
                byte = chance.randrange(1, 256)
                node.write(offset, bytes([byte]) * length)
                commands.append(f"write -P {byte} {offset} {length}")
            elif verb == "discard":
                cluster = options["cluster_size"]
                offset, length = offset - offset % cluster, cluster  # a part of a cluster may be kept or zeroed
                if offset + length <= size:
                    node.discard(offset, length)
                    commands.append(f"discard {offset} {length}")
            else:
                node.zero(offset, length, unmap=verb == "unmap")
                commands.append(f"write -z{'u' if verb == 'unmap' else ''} {offset} {length}")
    qemu_io(theirs, *commands, format="qcow2")
    qemu_img("compare", "-f", "qcow2", "-F", "qcow2", ours, theirs)
    qemu_img("check", ours)
    with imgtools.open(str(ours)) as left, imgtools.open(str(theirs)) as right:
        compare(right.read(0, size), left.read(0, size))
        check_is_clean(right)


def test_the_map_is_the_same(tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    base, path = tmp_path / "base.qcow2", tmp_path / "disk.qcow2"
    create(base, 6 * MIB)
    qemu_io(base, "write 1M 3M", "write -z 5M 64k", format="qcow2")
    create(path, 8 * MIB, backing_file="base.qcow2", backing_fmt="qcow2")
    qemu_io(path, "write 0 1M", "write -z 2M 1M", "write 6M 1M", "write -c 3M 64k", format="qcow2")
    theirs = json.loads(qemu_img("map", "--output=json", path).stdout)
    with imgtools.open(str(path)) as node:
        ours = [
            (e.start, e.length, e.depth, e.kind in (DATA, COMPRESSED), e.offset) for e in node.extents(0, node.size)
        ]
    assert ours == [(e["start"], e["length"], e["depth"], e["data"], e.get("offset")) for e in theirs]


def test_zeroes_that_keep_their_place_are_mapped_there(tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    path = tmp_path / "disk.qcow2"
    create(path, MIB)
    qemu_io(path, "write 0 640k", "write -z 64k 192k", "write -zu 320k 64k", "write -z 448k 64k", format="qcow2")
    theirs = json.loads(qemu_img("map", "--output=json", path).stdout)
    with imgtools.open(str(path)) as node:
        ours = [(e.start, e.length, e.kind == DATA, e.offset) for e in node.extents(0, node.size)]
    assert ours == [(e["start"], e["length"], e["data"], e.get("offset")) for e in theirs]


@pytest.mark.parametrize("method", ["zlib", "zstd"])
@pytest.mark.parametrize("cluster", [4096, 65536, MIB])
def test_compressed_images_are_read_by_both(method: str, cluster: int, tmp_path: Path, qemu_img: Runner) -> None:
    raw, ours, theirs = tmp_path / "raw", tmp_path / "ours", tmp_path / "theirs"
    chance = random.Random(cluster)
    words = [chance.randbytes(5) for _ in range(200)]
    text = b"".join(chance.choice(words) for _ in range(300_000))
    raw.write_bytes(text[:1_400_320] + bytes(MIB) + chance.randbytes(MIB) + text[:77_824])
    options = {"cluster_size": cluster, "compression_type": method}
    with imgtools.open(str(raw), format="raw") as source:
        create(ours, source.size, **options)
        with imgtools.open(str(ours), writable=True) as target:
            convert([source], target, compress=True, target_is_zero=True)
    qemu_img("compare", "-f", "raw", "-F", "qcow2", raw, ours)
    qemu_img("check", ours)
    qemu_img("convert", "-c", "-O", "qcow2", "-o", as_text(options), raw, theirs)
    with imgtools.open(str(theirs)) as node:
        compare(node.read(0, node.size), raw.read_bytes())
        check_is_clean(node)
    assert ours.stat().st_size < theirs.stat().st_size * 1.06


def test_snapshots_survive_our_writes(tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    path = tmp_path / "disk.qcow2"
    create(path, 8 * MIB)
    qemu_io(path, "write -P 1 0 4M", format="qcow2")
    qemu_img("snapshot", "-c", "before", path)
    with imgtools.open(str(path), writable=True) as node:
        assert isinstance(node, Qcow2Node)
        assert [snapshot.name for snapshot in node.snapshots] == ["before"]
        node.write(MIB + 5, pattern(2 * MIB))
        node.discard(0, MIB)
        node.write(6 * MIB, pattern(MIB))
    qemu_img("check", path)
    with imgtools.open(str(path)) as node:
        compare(node.read(MIB + 5, 2 * MIB), pattern(2 * MIB))
        check_is_clean(node)
    qemu_img("snapshot", "-a", "before", path)
    qemu_io(path, "read -P 1 0 4M", "read -P 0 4M 4M", format="qcow2")
    qemu_img("check", path)


def test_bitmaps_are_listed(tmp_path: Path, qemu_img: Runner) -> None:
    path = tmp_path / "disk.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, "8M")
    qemu_img("bitmap", "--add", path, "b0")
    before = path.read_bytes()
    with imgtools.open(str(path)) as node:
        assert node.details()["bitmaps"] == [{"flags": ["auto"], "name": "b0", "granularity": 65536}]
    assert path.read_bytes() == before


@pytest.mark.parametrize("seed", range(6))
def test_both_check_alike(seed: int, tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    """Images with random damage to reference counts and table entries get the same verdict from both."""
    chance = random.Random(seed)
    path = tmp_path / "disk.qcow2"
    create(path, 4 * MIB, cluster_size=4096)
    qemu_io(path, "write 0 1M", "write 2M 128k", "write -z 3M 64k", "write -c 3500k 4k", format="qcow2")
    content = bytearray(path.read_bytes())
    l1 = int.from_bytes(content[40:48], "big")
    l2 = int.from_bytes(content[l1 : l1 + 8], "big") & ((1 << 56) - 512)
    block = int.from_bytes(content[4096:4104], "big")
    for _ in range(3):
        kind = chance.randrange(3)
        if kind == 0:
            at = block + 2 * chance.randrange(8, 260)
            content[at : at + 2] = chance.choice([0, 1, 2, 9]).to_bytes(2, "big")
        elif kind == 1:
            content[l2 + 8 * chance.randrange(200)] ^= 0x80
        else:
            at = l2 + 8 * chance.randrange(200)
            content[at : at + 8] = content[l2 : l2 + 8]
    path.write_bytes(content)
    theirs = qemu_img("check", "--output=json", path, check=False)
    facts = json.loads(theirs.stdout)
    findings: list[str] = []
    with imgtools.open(str(path)) as node:
        assert isinstance(node, Qcow2Node)
        result = node.check(lambda finding: findings.append(finding.message))
    assert sorted(findings) == sorted(line for line in theirs.stderr.splitlines() if line)
    assert result.corruptions == facts.get("corruptions", 0)
    assert result.leaks == facts.get("leaks", 0)
    assert result.allocated_clusters == facts.get("allocated-clusters", 0)
    assert result.fragmented_clusters == facts.get("fragmented-clusters", 0)
    assert result.image_end_offset == facts["image-end-offset"]


def test_a_repaired_image_is_clean_for_both(tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    path = tmp_path / "disk.qcow2"
    create(path, 4 * MIB)
    qemu_io(path, "write -P 5 0 1M", format="qcow2")
    content = bytearray(path.read_bytes())
    content[131072 + 2 * 6 : 131072 + 2 * 7] = b"\0\0"  # a count too low
    content[131072 + 2 * 40 : 131072 + 2 * 41] = b"\0\3"  # a leak
    content[72:80] = (2).to_bytes(8, "big")  # marked corrupt
    path.write_bytes(content)
    with pytest.raises(ImageError, match="Image is corrupt"):
        imgtools.open(str(path), writable=True)
    node = FORMAT.open(Context(writable=True).open_storage(str(path)), Context(writable=True, checking=True))
    assert isinstance(node, Qcow2Node)
    result = node.check(lambda finding: None, "all")
    node.close()
    assert (result.corruptions_fixed, result.leaks_fixed) == (result.corruptions, result.leaks) == (1, 1)
    qemu_img("check", path)
    qemu_io(path, "read -P 5 0 1M", format="qcow2")


def test_dirty_images_are_repaired_before_writing(tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    path = tmp_path / "disk.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-o", "lazy_refcounts=on", path, "4M")
    qemu_io(path, "write -P 5 0 1M", "flush", "sigraise 9", format="qcow2", check=False)
    assert qemu_img("check", path, check=False).returncode != 0
    with imgtools.open(str(path), writable=True) as node:
        node.write(2 * MIB, pattern(MIB))
    qemu_img("check", path)
    qemu_io(path, "read -P 5 0 1M", format="qcow2")
