"""amend beside qemu-img, and cut at every write."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

import imgtools
from imgtools.block.graph import Context
from imgtools.block.protocols.memory import MemoryNode
from imgtools.errors import ImageError
from imgtools.formats.qcow2 import FORMAT
from imgtools.formats.qcow2.amend import replace_header
from imgtools.formats.qcow2.header import parse
from imgtools.formats.qcow2.node import Qcow2Node
from imgtools.formats.raw import RawNode
from imgtools.operations.amend import amend
from tests.conftest import Runner
from tests.crash import RecordingStorage
from tests.model import MemoryContext, check_is_clean, compare, pattern

MIB = 1 << 20
SIZE = MIB + 512


def open_node(path: Path, *, writable: bool = False) -> Qcow2Node:
    node = imgtools.open(str(path), writable=writable)
    assert isinstance(node, Qcow2Node)
    return node


def change(path: Path, text: str) -> None:
    with open_node(path, writable=True) as node:
        amend(node, dict(pair.split("=") for pair in text.split(",")))


CHANGES = [
    ("compat=0.10", ""),
    ("compat=1.1", "compat=0.10"),
    ("lazy_refcounts=on", ""),
    ("lazy_refcounts=off", "lazy_refcounts=on"),
    ("compat=0.10", "lazy_refcounts=on"),
    ("compat=0.10,refcount_bits=16", "refcount_bits=1"),
    ("compat=1.1,refcount_bits=8,lazy_refcounts=on", "compat=0.10"),
    ("size=4M", ""),
    ("size=512k", ""),
    *((f"refcount_bits={bits}", "") for bits in (1, 2, 4, 8, 32, 64)),
    *(("refcount_bits=16", f"refcount_bits={bits}") for bits in (1, 8, 64)),
    ("refcount_bits=2", "refcount_bits=4"),
    ("refcount_bits=64", "refcount_bits=1"),
]
SMALL = "cluster_size=4096"
"""qemu-img visits every count that the table has room for: with larger clusters that takes it half a minute."""


@pytest.mark.parametrize(("text", "made"), CHANGES)
def test_the_image_becomes_what_qemu_makes_of_it(
    text: str, made: str, tmp_path: Path, qemu_img: Runner, qemu_io: Runner
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    qemu_img("create", "-q", "-f", "qcow2", "-o", ",".join(filter(None, [SMALL, made])), ours, 2 * MIB)
    qemu_io(ours, "write -P 3 100k 700k", "write -z 256k 128k", "write -c 1M 4k", format="qcow2")
    theirs.write_bytes(ours.read_bytes())
    qemu_img("amend", "-o", text, theirs)
    change(ours, text)
    qemu_img("compare", ours, theirs)
    qemu_img("check", ours)
    facts = [json.loads(qemu_img("info", "--output=json", path).stdout) for path in (ours, theirs)]
    assert facts[0]["format-specific"] == facts[1]["format-specific"]
    assert facts[0]["virtual-size"] == facts[1]["virtual-size"]
    with open_node(ours, writable=True) as node:  # and it can be used as before
        check_is_clean(node)
        node.write(0, pattern(300_000))
        node.flush()
    qemu_img("check", ours)


@pytest.mark.parametrize("made", ["", "compat=0.10"], ids=["down", "up"])
def test_headers_have_the_same_bytes(made: str, tmp_path: Path, qemu_img: Runner) -> None:
    base, ours, theirs = tmp_path / "base", tmp_path / "ours", tmp_path / "theirs"
    qemu_img("create", "-q", "-f", "qcow2", base, MIB)
    words = ["-o", made] if made else []
    qemu_img("create", "-q", "-f", "qcow2", *words, "-b", base, "-F", "qcow2", ours, MIB)
    theirs.write_bytes(ours.read_bytes())
    text = "compat=1.1" if made else "compat=0.10"
    qemu_img("amend", "-o", text, theirs)
    change(ours, text)
    compare(ours.read_bytes(), theirs.read_bytes())


def test_zeroes_hide_the_backing_file_in_version_2_too(tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    base, path = tmp_path / "base", tmp_path / "disk"
    base.write_bytes(pattern(MIB))
    qemu_img("create", "-q", "-f", "qcow2", "-b", "base", "-F", "raw", path, 2 * MIB)
    qemu_io(path, "write 0 128k", "write -z 64k 256k", "write -z 900k 700k", format="qcow2")
    with open_node(path) as node:
        before = node.read(0, 2 * MIB)
    change(path, "compat=0.10")
    with open_node(path) as node:
        assert node.header.version == 2
        compare(node.read(0, 2 * MIB), before)
    qemu_img("check", path)


REFUSED = [
    ("compat=9", ""),
    ("compat=0.10,lazy_refcounts=on", ""),
    ("lazy_refcounts=on", "compat=0.10"),
    ("refcount_bits=3", ""),
    ("refcount_bits=128", ""),
    ("refcount_bits=8", "compat=0.10"),
    ("compat=0.10,refcount_bits=8", ""),
    ("compat=0.10", "refcount_bits=1"),
    ("compat=0.10", "extended_l2=on"),
    ("data_file=x", ""),
    ("data_file_raw=on", ""),
    ("backing_file=x", ""),
    ("backing_fmt=raw", ""),
    ("nonsense=1", ""),
    ("cluster_size=128k", ""),
    ("preallocation=full", ""),
    ("compression_type=zlib", ""),
    ("size=1000", ""),
    ("lazy_refcounts=maybe", ""),
    ("refcount_bits=x", ""),
    ("encrypt.state=active", ""),
]


@pytest.mark.parametrize(("text", "made"), REFUSED)
def test_what_cannot_be_is_refused_in_the_same_words(text: str, made: str, tmp_path: Path, qemu_img: Runner) -> None:
    path = tmp_path / "disk"
    qemu_img("create", "-q", "-f", "qcow2", *(["-o", made] if made else []), path, MIB)
    before = path.read_bytes()
    theirs = qemu_img("amend", "-o", text, path, check=False)
    with pytest.raises(ImageError) as caught:
        change(path, text)
    message = caught.value.message + (f"\n{caught.value.hint}" if caught.value.hint else "")
    assert theirs.stderr == f"qemu-img: {message}\n"
    assert path.read_bytes() == before


def test_counts_that_do_not_fit_are_named(tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    path = tmp_path / "disk"
    qemu_img("create", "-q", "-f", "qcow2", "-o", SMALL, path, MIB)
    qemu_io(path, "write 0 128k", format="qcow2")
    qemu_img("snapshot", "-c", "one", path)
    for bits in (1, 8):
        if bits == 8:
            with open_node(path, writable=True) as node:
                for number in range(260):
                    node.create_snapshot(str(number))
        theirs = qemu_img("amend", "-o", f"refcount_bits={bits}", path, check=False)
        with pytest.raises(ImageError, match="Cannot decrease refcount entry width") as caught:
            change(path, f"refcount_bits={bits}")
        assert theirs.stderr == f"qemu-img: {caught.value.message}\n"
        qemu_img("check", path)


def test_a_data_file_is_renamed_and_set_free(tmp_path: Path, qemu_img: Runner) -> None:
    path, data, moved = tmp_path / "disk", tmp_path / "data", tmp_path / "moved"
    FORMAT.create(str(path), MIB, {"data_file": str(data), "data_file_raw": True}, Context())
    with open_node(path, writable=True) as node:
        node.write(0, pattern(MIB))
    change(path, f"data_file={moved},data_file_raw=off")
    data.rename(moved)
    facts = json.loads(qemu_img("info", "--output=json", path).stdout)["format-specific"]["data"]
    assert (facts["data-file"], facts["data-file-raw"]) == (str(moved), False)
    with open_node(path) as node:
        compare(node.read(0, MIB), pattern(MIB))
        check_is_clean(node)
    with pytest.raises(ImageError, match="Cannot downgrade an image with a data file"):
        change(path, "compat=0.10")


def test_bitmaps_are_not_lost_by_going_down(tmp_path: Path, qemu_img: Runner) -> None:
    """QEMU drops them without a word, and leaks their clusters."""
    path = tmp_path / "disk"
    qemu_img("create", "-q", "-f", "qcow2", path, MIB)
    qemu_img("bitmap", "--add", path, "b")
    with pytest.raises(ImageError, match="Cannot downgrade an image with persistent bitmaps"):
        change(path, "compat=0.10")
    told = json.loads(qemu_img("info", "--output=json", path).stdout)["format-specific"]["data"]
    assert [bitmap["name"] for bitmap in told["bitmaps"]] == ["b"]
    qemu_img("bitmap", "--remove", path, "b")
    change(path, "compat=0.10")
    qemu_img("check", path)


BELOW = pattern(SIZE, 99)
CUTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"compat": "0.10"}, {}),
    ({"compat": "0.10"}, {"backing_file": "below", "backing_fmt": "raw"}),
    ({"compat": "1.1"}, {"compat": "0.10"}),
    ({"compat": "1.1"}, {"compat": "0.10", "backing_file": "below", "backing_fmt": "raw"}),
    ({"refcount_bits": 64}, {}),
    ({"refcount_bits": 1}, {"refcount_bits": 32, "cluster_size": 512}),
    ({"refcount_bits": 8, "lazy_refcounts": True}, {"cluster_size": 4096}),
    ({"lazy_refcounts": False}, {"lazy_refcounts": True, "cluster_size": 4096}),
    ({"compat": "0.10", "refcount_bits": 16}, {"refcount_bits": 8, "backing_file": "b" * 250, "backing_fmt": "raw"}),
    # Clusters of two sectors, so that a torn write of the header is one of half of it.
    ({"compat": "1.1"}, {"compat": "0.10", "cluster_size": 1024, "backing_file": "b" * 400, "backing_fmt": "raw"}),
    ({"compat": "0.10"}, {"cluster_size": 1024, "backing_file": "b" * 400, "backing_fmt": "raw"}),
]


@pytest.mark.parametrize(("options", "made"), CUTS, ids=str)
def test_a_cut_leaves_the_image_as_before_or_as_after(options: dict[str, Any], made: dict[str, Any]) -> None:
    storage = RecordingStorage()
    FORMAT.create("image", SIZE, made, MemoryContext({"image": storage}, writable=True))
    node = open_over(storage, made)
    node.write(70_000, pattern(300_000))
    node.zero(131_072, 131_072, unmap=False)
    node.zero(524_288, 65_536)
    node.close()
    storage.start_recording()
    content, before = node.read(0, SIZE), header_of(storage)
    node = open_over(storage, made)
    node.amend(options)
    node.close()
    after = header_of(storage)
    assert before != after
    seen = set()
    for begun, how, state in storage.crashes():
        cut = MemoryNode("image", state)
        seen.add(header_of(cut))
        assert header_of(cut) in (before, after), f"neither nor, after {begun} events ({how})"
        with open_over(cut, made) as node:
            compare(node.read(0, SIZE), content)
            check_is_clean(node, leaks_allowed=True)
    assert seen == {before, after}


def test_a_longer_header_takes_the_place_of_another_at_once() -> None:
    """Both have more than a sector, and other bytes behind it."""
    storage = RecordingStorage()
    made = {"backing_file": "below" * 20, "backing_fmt": "raw"}
    FORMAT.create("image", SIZE, made, MemoryContext({"image": storage}, writable=True))
    with open_over(storage, made) as node:
        storage.start_recording()
        wanted = copy.deepcopy(node.header)
        wanted.set_extension(0x12345678, b"of a length that moves the name")
        replace_header(node, wanted)
    found = set()
    for _, _, state in storage.crashes():
        header = parse(MemoryNode("image", state))
        assert header.backing_name == wanted.backing_name
        found.add(header.extension(0x12345678))
    assert found == {None, b"of a length that moves the name"}


def open_over(storage: MemoryNode, made: dict[str, Any]) -> Qcow2Node:
    node = FORMAT.open(storage, Context(writable=True, backing=False))
    assert isinstance(node, Qcow2Node)
    if "backing_file" in made:
        node.children["backing"] = RawNode(MemoryNode("below", BELOW, read_only=True))
    return node


def header_of(storage: MemoryNode) -> tuple[Any, ...]:
    """What can be amended, as the header says it."""
    header = parse(storage)
    return (header.version, header.refcount_order, header.compatible, header.backing_name, header.backing_format)


def test_progress_goes_from_nothing_to_all(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    FORMAT.create(str(path), 4 * MIB, {"cluster_size": 512}, Context())
    with open_node(path, writable=True) as node:
        node.write(0, pattern(4 * MIB))
        found: list[tuple[int, int]] = []
        node.amend({"refcount_bits": 64}, lambda done, total: found.append((done, total)))
    shares = [done / total for done, total in found]
    assert shares[0] == 0 and shares[-1] == 1 and shares == sorted(shares) and len(shares) > 10


def test_snapshots_go_down_with_the_image(tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    path = tmp_path / "disk"
    qemu_img("create", "-q", "-f", "qcow2", path, MIB)
    qemu_io(path, "write -P 4 0 128k", "write -z 128k 128k", format="qcow2")
    qemu_img("snapshot", "-c", "one", path)
    qemu_io(path, "write -P 5 64k 128k", "write -z 0 64k", format="qcow2")
    change(path, "compat=0.10")
    qemu_img("check", path)
    qemu_io(path, "read -P 0 0 64k", "read -P 5 64k 128k", "read -P 0 192k 832k", format="qcow2")
    qemu_img("snapshot", "-a", "one", path)
    qemu_io(path, "read -P 4 0 128k", "read -P 0 128k 896k", format="qcow2")
    qemu_io(path, "write -P 4 0 128k", format="qcow2")
    qemu_img("amend", "-o", "compat=1.1", path)
    qemu_io(path, "write -z 0 64k", format="qcow2")
    qemu_img("snapshot", "-c", "two", path)
    with pytest.raises(ImageError, match="Internal snapshots prevent downgrade"):
        change(path, "compat=0.10")
