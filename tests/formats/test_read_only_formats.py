"""qcow, QED and Parallels, which are read: what QEMU wrote, as QEMU reads it; and damaged images of them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

import imgtools
from imgtools.block.extent import DATA
from imgtools.block.node import Node, Storage
from imgtools.block.protocols.memory import MemoryNode
from imgtools.block.registry import find_format
from imgtools.block.structure import structures_of
from imgtools.errors import ImageError
from imgtools.operations.audit import audit
from imgtools.operations.explain import explain
from tests.conftest import Runner
from tests.model import MemoryContext, compare
from tests.mutate import extremes, flips, survives_mutations, truncations

MIB = 1 << 20
SIZE = 5 * MIB + 512
FORMATS = pytest.mark.parametrize("format", ["qcow", "qed", "parallels"])
BACKED = pytest.mark.parametrize("format", ["qcow", "qed"])


def written(
    path: Path, format: str, qemu_img: Runner, qemu_io: Runner, *, seed: int = 1, backing: bool = False
) -> None:
    """An image of QEMU's, with random writes."""
    more: list[str] = []
    if backing:
        base = path.with_name("base.raw")
        base.write_bytes(random.Random(9).randbytes(3 * MIB + 512))
        more = ["-b", base.name, "-F", "raw"]
    qemu_img("create", "-f", format, *more, path, SIZE)
    chance, commands = random.Random(seed), []
    for _ in range(12):
        offset = chance.randrange(SIZE // 512) * 512
        length = min(SIZE - offset, chance.choice([512, 4096, 65536, MIB]))
        commands.append(
            f"write {'-z' if chance.random() < 0.3 else f'-P {chance.randrange(1, 256)}'} {offset} {length}"
        )
    qemu_io(path, *commands, format=format)


def as_qemu_reads_it(path: Path, qemu_img: Runner) -> bytes:
    raw = path.with_suffix(".raw")
    qemu_img("convert", "-O", "raw", path, raw)
    return raw.read_bytes()


@FORMATS
@pytest.mark.parametrize("seed", range(3))
def test_the_disk_and_its_map_are_those_of_qemu(
    seed: int, format: str, tmp_path: Path, qemu_img: Runner, qemu_io: Runner
) -> None:
    path = tmp_path / f"disk.{format}"
    written(path, format, qemu_img, qemu_io, seed=seed)
    theirs = json.loads(qemu_img("map", "--output=json", path).stdout)
    with imgtools.open(str(path)) as node:
        assert node.driver == format
        compare(node.read(0, node.size), as_qemu_reads_it(path, qemu_img))
        ours = [(e.start, e.length, e.kind == DATA, e.offset) for e in node.extents(0, node.size)]
    assert ours == [(e["start"], e["length"], e["data"], e.get("offset")) for e in theirs]


@BACKED
def test_backing_files(format: str, tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    path = tmp_path / f"disk.{format}"
    written(path, format, qemu_img, qemu_io, backing=True)
    with imgtools.open(str(path)) as node:
        assert node.backing is not None and getattr(node, "backing_name", "") == "base.raw"
        compare(node.read(0, node.size), as_qemu_reads_it(path, qemu_img))


def test_compressed_clusters_of_qcow(tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    path = tmp_path / "disk.qcow"
    qemu_img("create", "-f", "qcow", path, MIB)
    qemu_io(path, *(f"write -c -P {byte} {byte * 8}k 4k" for byte in range(1, 9)), "write -P 9 100k 4k", format="qcow")
    with imgtools.open(str(path)) as node:
        assert "compressed" in {extent.kind for extent in node.extents(0, node.size)}
        compare(node.read(0, node.size), as_qemu_reads_it(path, qemu_img))
        assert node.read(8192 + 4000, 200) == b"\1" * 96 + bytes(104)


@pytest.mark.parametrize("table_size", [2, 4])
@pytest.mark.parametrize("cluster_size", [4096, 65536, MIB])
def test_other_geometries_of_qed(
    cluster_size: int, table_size: int, tmp_path: Path, qemu_img: Runner, qemu_io: Runner
) -> None:
    path = tmp_path / "disk.qed"
    qemu_img("create", "-f", "qed", "-o", f"cluster_size={cluster_size},table_size={table_size}", path, "9M")
    qemu_io(path, "write -P 5 1234k 3M", "write -z 8M 512k", format="qed")
    with imgtools.open(str(path)) as node:
        compare(node.read(0, node.size), as_qemu_reads_it(path, qemu_img))


def test_the_older_magic_of_parallels(tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    path = tmp_path / "disk.parallels"
    written(path, "parallels", qemu_img, qemu_io)
    content = bytearray(path.read_bytes())
    blocks = int.from_bytes(content[28:32], "little")
    content[:16] = b"WithoutFreeSpace"
    for at in range(64, 64 + 4 * int.from_bytes(content[32:36], "little"), 4):
        content[at : at + 4] = (int.from_bytes(content[at : at + 4], "little") * blocks).to_bytes(4, "little")
    path.write_bytes(content)
    with imgtools.open(str(path)) as node:
        compare(node.read(0, node.size), as_qemu_reads_it(path, qemu_img))


@FORMATS
def test_writing_is_refused(format: str, tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    path = tmp_path / f"disk.{format}"
    written(path, format, qemu_img, qemu_io)
    with pytest.raises(ImageError, match="No write support"):
        imgtools.open(str(path), writable=True)


@FORMATS
def test_what_no_table_reaches_is_not_looked_at_block_by_block(format: str, tmp_path: Path, qemu_img: Runner) -> None:
    """Else these disks would take from a minute to days."""
    path = tmp_path / f"disk.{format}"
    size = {"qcow": "256G", "qed": "64T", "parallels": "1M"}[format]
    qemu_img("create", "-f", format, path, size)
    if format == "parallels":
        content = bytearray(path.read_bytes())
        content[36:44] = (1 << 53).to_bytes(8, "little")
        path.write_bytes(content)
    with imgtools.open(str(path)) as node:
        assert node.size >= 256 << 30
        assert [extent.length for extent in node.extents(0, node.size)] == [node.size]


@FORMATS
def test_damaged_images_are_refused_or_read(format: str, tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    path = tmp_path / f"disk.{format}"
    qemu_img("create", "-f", format, *(["-o", "cluster_size=4k"] if format == "qed" else []), path, "1M")
    qemu_io(path, "write -P 1 100k 8k", format=format)
    content = path.read_bytes()

    def open(storage: Storage) -> Node:
        return find_format(format).open(storage, MemoryContext(backing=False))

    order = "big" if format == "qcow" else "little"
    fields = [(f"bytes at {at}", at, size, order) for size in (4, 8) for at in range(0, 80, size)]
    assert survives_mutations(open, extremes(content, fields)) > 20
    assert survives_mutations(open, flips(content, [(0, min(len(content), 8192))], count=150)) > 5
    assert survives_mutations(open, truncations(content, range(0, len(content), max(61, len(content) // 60)))) > 0
    assert open(MemoryNode("image", content)).size == MIB


@FORMATS
def test_their_structures_are_explained(format: str, tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    path = tmp_path / f"disk.{format}"
    written(path, format, qemu_img, qemu_io)
    with imgtools.open(str(path)) as node:
        place = next(extent.offset for extent in node.extents(0, node.size) if extent.kind == DATA)
        parts = list(explain(node))
        assert {structure.name for structure in structures_of(node)} == {part.structure.name for part in parts}
        assert format == "parallels" or place in {field.value for part in parts for field in part.fields}


@BACKED
def test_the_audit_tells_of_backing_files(format: str, tmp_path: Path, qemu_img: Runner) -> None:
    path = tmp_path / "disk"
    qemu_img("create", "-f", format, "-u", "-b", "/etc/passwd", "-F", "raw", path, "1M")
    [finding] = audit(str(path)).findings
    assert finding.rule == "outside-reference" and finding.offset is not None
    assert path.read_bytes()[finding.offset :].startswith(b"/etc/passwd")
