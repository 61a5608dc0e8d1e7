"""External data files beside QEMU: the same bytes in both files, the same answers, the same refusals."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

import imgtools
from imgtools.block.extent import DATA
from imgtools.block.graph import Context
from imgtools.errors import AccessDenied, ImageError
from imgtools.formats.qcow2 import FORMAT
from imgtools.formats.qcow2.node import Qcow2Node
from imgtools.operations.convert import convert
from tests.conftest import Runner
from tests.model import check_is_clean, compare, pattern

MIB = 1 << 20


def create(path: Path, size: int, **options: Any) -> None:
    """A new image with its data beside it. By its full path: QEMU takes others as relative to where it is called."""
    FORMAT.create(str(path), size, {"data_file": str(path.parent / "data"), **options}, Context())


def open_qcow2(path: Path, *, writable: bool = False) -> Qcow2Node:
    node = imgtools.open(str(path), writable=writable)
    assert isinstance(node, Qcow2Node)
    return node


LAYOUTS = [
    (size, options)
    for size in (0, 10 * MIB, 33 * MIB)
    for options in (
        {},
        {"data_file_raw": True},
        {"preallocation": "metadata"},
        {"preallocation": "falloc"},
        {"preallocation": "full", "cluster_size": 4096},
    )
]


@pytest.mark.parametrize(("size", "options"), LAYOUTS, ids=str)
def test_new_images_have_the_same_bytes(
    size: int, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qemu_img: Runner
) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    for folder in (theirs, ours):
        folder.mkdir()
    words = ["data_file=data"] + [f"{name}={'on' if value is True else value}" for name, value in options.items()]
    monkeypatch.chdir(theirs)  # QEMU makes the data file where it is called
    qemu_img("create", "-q", "-f", "qcow2", "-o", ",".join(words), "disk", size)
    create(ours / "disk", size, data_file="data", **options)
    monkeypatch.chdir(ours)
    for name in ("disk", "data"):
        compare((ours / name).read_bytes(), (theirs / name).read_bytes())
        taken = [(folder / name).stat().st_blocks * 512 for folder in (ours, theirs)]
        assert abs(taken[0] - taken[1]) <= 4096, "space of the data file is reserved by one and not by the other"
    qemu_img("check", ours / "disk")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"data_file": None, "data_file_raw": True}, "data_file_raw=on"),
    ({"data_file_raw": True, "backing_file": "base"}, "data_file=data,data_file_raw=on,backing_file=base"),
    ({"compat": "v2"}, "data_file=data,compat=v2"),
    ({"data_file": "no/such/folder"}, "data_file=no/such/folder"),
    ({"data_file": "json:{}"}, "data_file=json:{}"),
]


@pytest.mark.parametrize(("options", "words"), REFUSED, ids=str)
def test_bad_options_are_refused_in_the_same_words(
    options: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qemu_img: Runner
) -> None:
    monkeypatch.chdir(tmp_path)
    theirs = qemu_img("create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-o", words, "theirs", "10M", check=False)
    if "backing_file" not in options:
        theirs = qemu_img("create", "-q", "-f", "qcow2", "-o", words, "theirs", "10M", check=False)
    with pytest.raises(ImageError) as caught:
        create(Path("ours"), 10 * MIB, **options)
    assert theirs.stderr == f"qemu-img: theirs: {caught.value.message}\n"
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize("raw", [False, True], ids=["mapped", "raw"])
@pytest.mark.parametrize("seed", range(3))
def test_the_same_operations_give_the_same_disk(
    seed: int, raw: bool, tmp_path: Path, qemu_img: Runner, qemu_io: Runner
) -> None:
    chance = random.Random(seed)
    size, cluster = 2 * MIB + 512, 65536
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    for folder in (theirs, ours):
        folder.mkdir()
    words = f"data_file={theirs / 'data'},data_file_raw={'on' if raw else 'off'}"
    qemu_img("create", "-q", "-f", "qcow2", "-o", words, theirs / "disk", size)
    create(ours / "disk", size, data_file_raw=raw)
    commands = []
    with open_qcow2(ours / "disk", writable=True) as node:
        for number in range(30):
            offset = chance.randrange(size // 512) * 512
            length = min(size - offset, chance.choice([512, 4096, 65536, 300_032]))
            verb = chance.choice(["write", "write", "zero", "unmap", "discard"])
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
    qemu_io(theirs / "disk", *commands, format="qcow2")
    qemu_img("compare", ours / "disk", theirs / "disk")
    maps = [json.loads(qemu_img("map", "--output=json", folder / "disk").stdout) for folder in (ours, theirs)]
    places = [[(run["start"], run["length"], run["offset"]) for run in found if run["data"]] for found in maps]
    assert places[0] == places[1]
    qemu_img("check", ours / "disk")
    assert (ours / "data").stat().st_size == size, "the data file is as large as the disk"
    with open_qcow2(ours / "disk") as node, open_qcow2(theirs / "disk") as other:
        compare(node.read(0, size), other.read(0, size))
        check_is_clean(node)
        if raw:
            compare((ours / "data").read_bytes(), node.read(0, size))
        for extent in node.extents(0, size):
            assert extent.kind != DATA or (extent.storage is node.data and extent.offset == extent.start)


@pytest.mark.parametrize("raw", [False, True], ids=["mapped", "raw"])
def test_resizing_brings_the_data_file_to_the_same_size(raw: bool, tmp_path: Path, qemu_img: Runner) -> None:
    path, data, cut = tmp_path / "disk", tmp_path / "data", 500 * 1024
    create(path, MIB, data_file_raw=raw)
    with open_qcow2(path, writable=True) as node:
        node.write(0, pattern(MIB))
        node.resize(cut)
        assert data.stat().st_size == cut
        node.resize(2 * MIB)
        node.resize(3 * MIB, "falloc")
        assert not any(node.read(cut, 3 * MIB - cut))
        compare(node.read(0, cut), pattern(MIB)[:cut])
    assert data.stat().st_size == 3 * MIB
    qemu_img("check", path)
    if raw:
        assert not any(data.read_bytes()[cut:])


def test_a_disk_can_be_converted_to_and_from_a_data_file(tmp_path: Path, qemu_img: Runner) -> None:
    raw, path = tmp_path / "raw", tmp_path / "disk"
    raw.write_bytes(pattern(MIB) + bytes(MIB) + pattern(MIB, 2))
    create(path, 3 * MIB)
    with imgtools.open(str(raw), format="raw") as source, open_qcow2(path, writable=True) as target:
        with pytest.raises(ImageError, match="cannot be compressed"):
            convert([source], target, compress=True, target_is_zero=True)
        convert([source], target, target_is_zero=True)
    qemu_img("compare", "-f", "raw", "-F", "qcow2", raw, path)


def test_a_missing_replaced_or_forbidden_data_file_is_named(tmp_path: Path) -> None:
    path, data = tmp_path / "disk", tmp_path / "data"
    create(path, MIB, data_file_raw=True)
    data.write_bytes(b"short")
    warnings: list[str] = []
    with imgtools.open(str(path), warn=warnings.append):
        assert len(warnings) == 1 and str(data) in warnings[0] and "cut or replaced" in warnings[0]
    data.unlink()
    with pytest.raises(ImageError, match=f"Could not open '{data}': No such file"):
        imgtools.open(str(path))
    data.symlink_to(path)
    with pytest.raises(ImageError, match="names itself"):
        imgtools.open(str(path), writable=True)
    data.unlink()
    create(path, MIB, data_file=str(tmp_path.parent / f"{tmp_path.name}-outside"))
    with pytest.raises(AccessDenied, match="data file"):
        imgtools.open(str(path), writable=True)


def test_the_user_may_name_the_data_file(tmp_path: Path, qemu_img: Runner) -> None:
    path, data, moved = tmp_path / "disk", tmp_path / "data", tmp_path / "moved"
    create(path, MIB)
    with open_qcow2(path, writable=True) as node:
        node.write(0, pattern(MIB))
    data.rename(moved)
    tree = {"driver": "qcow2", "file": {"filename": str(path)}, "data-file": {"filename": str(moved)}}
    with imgtools.open(tree) as node:
        compare(node.read(0, MIB), pattern(MIB))
    FORMAT.create(str(path), MIB, {}, Context())
    with pytest.raises(ImageError, match="'data-file' can only be set for images with an external data file"):
        imgtools.open(tree)
