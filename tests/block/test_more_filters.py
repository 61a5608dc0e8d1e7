"""blkverify, compress, copy-on-read, preallocate, quorum, throttle and trace."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

import imgtools
from imgtools.block.filters.blkdebug import BlkDebug
from imgtools.block.filters.blkverify import BlkVerify
from imgtools.block.filters.fault_rules import InjectError
from imgtools.block.filters.preallocate import Preallocate
from imgtools.block.filters.quorum import Quorum
from imgtools.block.filters.throttle import Bucket, ThrottleGroup, make_group
from imgtools.block.node import Node, Storage
from imgtools.block.protocols.memory import MemoryNode
from imgtools.errors import BadOption, CorruptImage, ImageError, ReadOnly
from imgtools.formats.raw import RawNode
from tests.conftest import Runner
from tests.model import Subject, check_against_model, pattern

SIZE = 1 << 20
CLUSTER = 65536


def create(path: Path, **options: Any) -> str:
    imgtools.create_image(str(path), SIZE, format="qcow2", **options)
    return str(path)


# blkverify


def test_blkverify_names_the_byte_that_differs(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(bytes(SIZE))
    tested = create(tmp_path / "tested")
    name = f"blkverify:{tmp_path}/raw:{tested}"
    with imgtools.open(name, format="raw", writable=True) as disk:
        disk.write(1000, pattern(CLUSTER))
        assert disk.read(1000, CLUSTER) == pattern(CLUSTER)
        disk.zero(2000, 5000)
        assert not any(disk.read(2000, 5000))
    with imgtools.open(tested, writable=True) as disk:
        disk.write(70000, b"\xff")
    with imgtools.open(name, format="raw") as disk:
        disk.read(0, 70000)
        with pytest.raises(CorruptImage, match=r"contents mismatch at offset 70000: 0x00 in .*, 0xff in") as caught:
            disk.read(65536, 65536)
        assert caught.value.offset == 70000


def test_blkverify_behaves_as_a_bytearray() -> None:
    def nothing(storage: Storage) -> None:
        storage.truncate(SIZE)

    def open(storage: Storage) -> Node:
        return BlkVerify(MemoryNode(content=storage.read(0, SIZE)), RawNode(storage))

    check_against_model(Subject(nothing, open, SIZE, 4096), max_examples=20)


# compress


def test_compress_makes_compressed_clusters(tmp_path: Path, qemu_img: Runner) -> None:
    path, content = create(tmp_path / "disk"), b"a" * CLUSTER + b"b" * 1000
    tree = {"driver": "compress", "file": {"driver": "qcow2", "file.filename": path}}
    with imgtools.open(tree, writable=True) as disk:
        disk.write(CLUSTER // 2, content)
        disk.write(0, b"first")  # into a cluster that is compressed: now it no longer is
        expected = bytearray(SIZE)
        expected[CLUSTER // 2 : CLUSTER // 2 + len(content)] = content
        expected[:5] = b"first"
        assert disk.read(0, SIZE) == expected
    qemu_img("check", path)
    (tmp_path / "raw").write_bytes(expected)
    qemu_img("compare", "-f", "qcow2", "-F", "raw", path, tmp_path / "raw")
    with imgtools.open(path) as disk:
        assert [extent.kind for extent in disk.extents(0, 2 * CLUSTER)] == ["data", "compressed"]


def test_compress_needs_a_format_that_can(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(bytes(512))
    with pytest.raises(BadOption, match="Compression is not supported for underlying format: file"):
        imgtools.open({"driver": "compress", "file.filename": str(tmp_path / "disk")}, writable=True)


# copy-on-read


def test_copy_on_read_keeps_what_it_read(tmp_path: Path, qemu_img: Runner) -> None:
    with imgtools.open(create(tmp_path / "base"), writable=True) as base:
        base.write(0, pattern(4 * CLUSTER))
    top = create(tmp_path / "top", backing_file="base", backing_format="qcow2")
    tree = {"driver": "copy-on-read", "file": {"driver": "qcow2", "file.filename": top}}
    with imgtools.open(tree, writable=True) as disk:
        disk.write(2 * CLUSTER, b"new")
        assert disk.read(CLUSTER + 5, 10) == pattern(4 * CLUSTER)[CLUSTER + 5 : CLUSTER + 15]
        assert disk.read(2 * CLUSTER, 3) == b"new"
        assert [extent.depth for extent in disk.extents(0, 4 * CLUSTER)] == [1, 0, 0, 1]
    qemu_img("check", top)
    with pytest.raises(ReadOnly, match="Block node is read-only"):
        imgtools.open(tree)


# preallocate


def test_preallocate_reserves_and_gives_back() -> None:
    below = MemoryNode()
    file = Preallocate(below, alignment=4096, amount=10000)
    file.write(0, b"x" * 100)
    assert (file.size, below.size) == (100, 12288)
    file.write(12000, b"y")
    assert (file.size, below.size) == (12001, 12288)
    file.close()
    assert below.size == 12001


def test_preallocate_below_a_format(tmp_path: Path, qemu_img: Runner) -> None:
    path = create(tmp_path / "disk")
    tree = {"driver": "qcow2", "file": {"driver": "preallocate", "prealloc-size": "2M", "file.filename": path}}
    with imgtools.open(tree, writable=True) as disk:
        disk.write(0, pattern(CLUSTER))
        assert Path(path).stat().st_size >= 2 << 20
    assert Path(path).stat().st_size < SIZE
    qemu_img("check", path)


# quorum


def copies_of(*contents: bytes) -> list[Node]:
    return [RawNode(MemoryNode(content=content)) for content in contents]


def test_quorum_believes_the_majority_and_mends_the_rest() -> None:
    good, bad = pattern(4096), pattern(4096, 1)
    copies = copies_of(good, bad, good)
    assert Quorum(copies, 2).read(0, 4096) == good
    assert copies[1].read(0, 4096) == bad
    Quorum(copies, 2, mend=True).read(512, 512)
    assert copies[1].read(512, 512) == good[512:1024] and copies[1].read(0, 512) == bad[:512]
    with pytest.raises(CorruptImage, match="copies disagree at offset 0"):
        Quorum(copies, 3).read(0, 4096)
    assert Quorum(copies[1:], 1, fifo=True).read(0, 512) == bad[:512]


def test_quorum_goes_on_without_a_copy_that_fails() -> None:
    broken = BlkDebug(MemoryNode(content=bytes(4096)), [InjectError({"event": "none"})])
    copies = [broken, *copies_of(bytes(4096), bytes(4096))]
    disk = Quorum(copies, 2)
    disk.write(0, b"x" * 512)
    disk.flush()
    assert disk.read(0, 512) == b"x" * 512
    assert Quorum(copies, 2, fifo=True).read(0, 512) == b"x" * 512
    with pytest.raises(ImageError, match="Input/output error"):
        Quorum(copies, 3).write(0, b"y")


def test_quorum_of_different_sizes() -> None:
    with pytest.raises(BadOption, match="not of one size: 512, 1024 bytes"):
        Quorum(copies_of(bytes(512), bytes(1024)), 1)


def test_quorum_behaves_as_a_bytearray() -> None:
    def nothing(storage: Storage) -> None:
        storage.truncate(SIZE)

    def open(storage: Storage) -> Node:
        return Quorum([RawNode(storage), RawNode(MemoryNode(content=storage.read(0, SIZE)))], 2)

    check_against_model(Subject(nothing, open, SIZE, 4096), max_examples=20)


# throttle


def test_a_bucket_lets_a_tenth_of_a_second_through_and_leaks_at_its_rate() -> None:
    bucket = Bucket(1000)
    assert bucket.pour(100, now=50.0) == 0
    assert bucket.pour(100, now=50.0) == pytest.approx(0.1)
    assert bucket.pour(100, now=50.2) == pytest.approx(0.0)
    assert bucket.pour(500, now=60.0) == pytest.approx(0.4)


def test_a_burst_holds_what_its_rate_gives_in_its_time() -> None:
    bucket = Bucket(100, burst=500, length=2)
    assert bucket.pour(1000, now=1.0) == 0
    assert bucket.pour(100, now=1.0) == pytest.approx(1.0)


def test_throttled_disks_share_the_limits_of_their_group(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(bytes(SIZE))
    below = {"driver": "raw", "file.filename": str(tmp_path / "disk")}
    objects: dict[str, Any] = {}
    first = {"driver": "throttle", "throttle-group": "g", "limits": {"bps-total": "1M"}, "file": below}
    second = {"driver": "throttle", "throttle-group": "g", "file": below}
    with imgtools.open(first, objects=objects) as one, imgtools.open(second, objects=objects) as other:
        assert isinstance(objects["g"], ThrottleGroup)
        begun = time.monotonic()
        for disk in (one, other, one):
            disk.read(0, 100 << 10)
        assert time.monotonic() - begun >= 0.15  # 300 KiB at 1 MiB/s, of which 0.1 s worth at once
    with pytest.raises(BadOption, match="Throttle group 'g' does not exist"):
        imgtools.open(second)


@pytest.mark.parametrize(
    ("limits", "complaint"),
    [
        ({"bps-total": 5, "bps-read": 5}, "cannot be used at the same time"),
        ({"iops-read": 5, "iops-read-max": 4}, "cannot be lower"),
        ({"iops-read-max": 4}, "require corresponding"),
        ({"bps-total": 5, "bps-total-max-length": 4}, "burst length"),
        ({"bps-total": 5, "bps-total-max": 6, "bps-total-max-length": 0}, "burst length cannot be 0"),
    ],
)
def test_limits_that_make_no_sense(limits: dict[str, int], complaint: str) -> None:
    with pytest.raises(BadOption, match=complaint):
        make_group(limits)


def test_large_requests_count_as_several() -> None:
    group = make_group({"iops-write": 10, "iops-size": 4096})
    group.wait("write", 4096)
    group.wait("read", 1 << 30)
    assert group.buckets["iops-write"].level == 1


# trace


def test_trace_tells_each_request_on_a_line(tmp_path: Path) -> None:
    path, log = create(tmp_path / "disk"), tmp_path / "log"
    tree = {"driver": "trace", "log": str(log), "file": {"driver": "qcow2", "file.filename": path}}
    with imgtools.open(tree, writable=True) as disk:
        disk.write(512, b"x" * 100)
        disk.read(0, 4096)
        disk.flush()
        with pytest.raises(ImageError):
            disk.write(SIZE, b"x")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    told = [(line["verb"], line.get("offset"), line.get("length"), line.get("error")) for line in lines]
    assert told[:3] == [("write", 512, 100, None), ("read", 0, 4096, None), ("flush", None, None, None)]
    assert told[3][:3] == ("write", SIZE, 1) and "outside the disk" in str(told[3][3])
    assert all(line["seconds"] >= 0 and line["time"] > 1e9 for line in lines)
