"""commit and rebase: on random chains the disk stays what it was, for both tools; and whatever write is the last."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import imgtools
from imgtools.block.graph import Context
from imgtools.block.node import Node
from imgtools.block.protocols.memory import MemoryNode
from imgtools.block.registry import find_format
from imgtools.errors import ImageError
from imgtools.formats.qcow2 import FORMAT
from imgtools.formats.qcow2.node import Qcow2Node
from imgtools.formats.raw import RawNode
from imgtools.formats.vmdk.node import VmdkNode
from imgtools.operations.chain import find_below
from imgtools.operations.commit import base_of, commit
from imgtools.operations.rebase import rebase
from tests.conftest import Runner
from tests.crash import Event, RecordingStorage, after_power_cut, replay
from tests.model import MemoryContext, check_is_clean, compare, pattern

KIB, MIB = 1 << 10, 1 << 20


def fill(name: Path, format: str, size: int, chance: random.Random, qemu_io: Runner) -> None:
    commands = []
    for _ in range(chance.randrange(2, 7)):
        length = chance.choice([512, 5 * KIB, 64 * KIB, 200 * KIB])
        start = chance.randrange((size - length) // 512) * 512
        what = chance.choice(
            ["write -z", f"write -P {chance.randrange(1, 255)}", f"write -P {chance.randrange(1, 255)}"]
        )
        commands.append(f"{what} {start} {length}")
    qemu_io(name, *commands, format=format)


def make_chain(folder: Path, seed: int, qemu_img: Runner, qemu_io: Runner) -> list[Path]:
    """base, middle and top: of random sizes and cluster sizes, holding random things."""
    chance = random.Random(seed)
    chain: list[Path] = []
    for name in ("base", "middle", "top"):
        format = chance.choice(["raw", "qcow2"]) if name == "base" else "qcow2"
        path, size = folder / f"{name}.{format}", chance.randrange(600, 3000) * KIB // 2
        options = ["-o", f"cluster_size={chance.choice(['4k', '64k', '256k'])}"] if format == "qcow2" else []
        below = ["-b", chain[-1].name, "-F", chain[-1].suffix[1:]] if chain else []
        if format == "qcow2" and chance.random() < 0.3:
            options[1] += ",compat=0.10"
        elif format == "qcow2" and chance.random() < 0.3:
            options[1] = "cluster_size=64k,extended_l2=on"
        qemu_img("create", "-q", "-f", format, *options, *below, path, size)
        fill(path, format, size, chance, qemu_io)
        chain.append(path)
    return chain


def content_of(path: Path, qemu_img: Runner) -> bytes:
    """What the peer reads."""
    raw = path.with_suffix(".content")
    qemu_img("convert", "-O", "raw", path, raw)
    return raw.read_bytes()


@pytest.mark.parametrize("seed", range(8))
def test_commit_leaves_the_disk_as_it_was(seed: int, tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    _, middle, top = make_chain(tmp_path, seed, qemu_img, qemu_io)
    expected, below = content_of(top, qemu_img), content_of(middle, qemu_img)
    with imgtools.open(str(top), writable=True) as node:
        commit(node)
        compare(node.read(0, node.size), expected)
        assert all(extent.depth for extent in node.extents(0, node.size) if extent.kind == "data")
    qemu_img("check", top)
    qemu_img("check", middle)
    compare(content_of(top, qemu_img), expected)
    compare(content_of(middle, qemu_img), expected + below[len(expected) :])


@pytest.mark.parametrize("seed", range(8, 14))
def test_commit_further_down(seed: int, tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    base, _, top = make_chain(tmp_path, seed, qemu_img, qemu_io)
    expected, below = content_of(top, qemu_img), content_of(base, qemu_img)
    with imgtools.open(str(top), writable=True) as node:
        commit(node, base_of(node, base.name))
    if base.suffix == ".qcow2":
        qemu_img("check", base)
    compare(content_of(base, qemu_img), expected + below[len(expected) :])
    compare(content_of(top, qemu_img), expected)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("where", ["other", "base", "none"])
@pytest.mark.parametrize("seed", range(14, 18))
def test_rebase_leaves_the_disk_as_it_was(
    seed: int, where: str, compress: bool, tmp_path: Path, qemu_img: Runner, qemu_io: Runner
) -> None:
    base, _, top = make_chain(tmp_path, seed, qemu_img, qemu_io)
    (tmp_path / "elsewhere").mkdir()
    other = make_chain(tmp_path / "elsewhere", seed + 100, qemu_img, qemu_io)[1]
    expected = content_of(top, qemu_img)
    name, format = {
        "other": (f"elsewhere/{other.name}", "qcow2"),
        "base": (base.name, base.suffix[1:]),
        "none": (None, None),
    }[where]
    with imgtools.open(str(top), writable=True) as node:
        rebase(node, name, format, compress=compress)
        compare(node.read(0, node.size), expected)
    qemu_img("check", top)
    compare(content_of(top, qemu_img), expected)
    with imgtools.open(str(top)) as node:
        assert (None if node.backing is None else node.backing.filename) == (name and str(tmp_path / name))


def test_rebase_copies_only_what_differs(tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    for name, value in (("one", 2), ("two", 3)):
        qemu_img("create", "-q", "-f", "raw", tmp_path / name, MIB)
        qemu_io(tmp_path / name, f"write -P {value} 300k 1k", "write -P 9 600k 200k", format="raw")
    top = tmp_path / "top"
    qemu_img("create", "-q", "-f", "qcow2", "-b", "one", "-F", "raw", top)
    with imgtools.open(str(top), writable=True) as node:
        rebase(node, "two", "raw")
        own = [(extent.start, extent.length) for extent in node.extents(0, MIB) if not extent.depth]
    assert own == [(256 * KIB, 64 * KIB)]


def test_an_image_in_the_chain_is_found_as_the_one_above_names_it(tmp_path: Path, qemu_img: Runner) -> None:
    (tmp_path / "sub").mkdir()
    qemu_img("create", "-q", "-f", "qcow2", tmp_path / "base", MIB)
    qemu_img("create", "-q", "-f", "qcow2", "-b", "base", "-F", "qcow2", tmp_path / "middle")
    qemu_img("create", "-q", "-f", "qcow2", "-b", "../middle", "-F", "qcow2", tmp_path / "sub" / "top")
    context: dict[str, Any] = {"gate": imgtools.PERMISSIVE}
    with imgtools.open(str(tmp_path / "sub" / "top"), **context) as top:
        assert find_below(top, "middle") is find_below(top, "../base") is find_below(top, "top") is None
        below = find_below(top, "../middle")
        assert below is top.backing is find_below(top, str(tmp_path / "middle"))
        assert below is not None and find_below(top, "base") is below.backing


def test_commit_into_a_vmdk_is_followed_by_its_child(tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    base, top = tmp_path / "base.vmdk", tmp_path / "top.vmdk"
    qemu_img("create", "-q", "-f", "vmdk", base, MIB)
    qemu_io(base, "write -P 1 0 256k", format="vmdk")
    qemu_img("create", "-q", "-f", "vmdk", "-b", base.name, "-F", "vmdk", top)
    qemu_io(top, "write -P 2 100k 300k", format="vmdk")
    expected = content_of(top, qemu_img)
    with imgtools.open(str(top), writable=True) as node:
        commit(node)
        compare(node.read(0, MIB), expected)
    compare(content_of(base, qemu_img), expected)
    compare(content_of(top, qemu_img), expected)


def test_a_base_that_cannot_grow_is_left_alone(tmp_path: Path, qemu_img: Runner) -> None:
    base, top = tmp_path / "base.vdi", tmp_path / "top"
    qemu_img("create", "-q", "-f", "vdi", base, MIB)
    qemu_img("create", "-q", "-f", "qcow2", "-b", base.name, "-F", "vdi", top, 2 * MIB)
    before = base.read_bytes()
    with imgtools.open(str(top), writable=True) as node, pytest.raises(ImageError, match="cannot grow"):
        commit(node)
    assert base.read_bytes() == before


# Cuts.

SIZE = MIB + 512


class OneLog(list[Event]):
    """The log of one of several files, which is told to the log of all of them, too."""

    def __init__(self, name: str, order: list[tuple[str, Event]]) -> None:
        super().__init__()
        self.name = name
        self.order = order

    def append(self, event: Event) -> None:
        super().append(event)
        self.order.append((self.name, event))


def record(files: dict[str, RecordingStorage]) -> list[tuple[str, Event]]:
    """From now on the order of what happens to several files is logged."""
    order: list[tuple[str, Event]] = []
    for name, storage in files.items():
        storage.start_recording()
        storage.log = OneLog(name, order)
    return order


def cuts(files: dict[str, RecordingStorage], order: list[tuple[str, Event]]) -> Iterator[dict[str, MemoryNode]]:
    """What is in the files after each event, and what a power cut may leave of them then."""
    chance = random.Random(1)
    for begun in range(len(order) + 1):
        events = {name: [event for file, event in order[:begun] if file == name] for name in files}
        for keep in (lambda events: events, lambda events: after_power_cut(events, chance)):
            state = {name: MemoryNode(name, storage.base) for name, storage in files.items()}
            for name, log in events.items():
                flushed = max((count for count, event in enumerate(log, 1) if event[0] == "flush"), default=0)
                replay(state[name], log[:flushed])
                replay(state[name], keep(log[flushed:]))
            yield state


def new_image(name: str, **options: Any) -> RecordingStorage:
    storage = RecordingStorage()
    FORMAT.create(name, SIZE, options, MemoryContext({name: storage}, writable=True))
    return storage


def open_over(storage: MemoryNode, below: Node | None) -> Qcow2Node:
    node = FORMAT.open(storage, Context(writable=True, backing=False))
    assert isinstance(node, Qcow2Node)
    if below is not None:
        node.children["backing"] = below
    return node


@pytest.mark.parametrize("digits", [8, 7], ids=["CIDs of eight digits", "CIDs of seven"])
def test_a_cut_commit_into_a_vmdk_leaves_the_disk_as_it_was(digits: int, tmp_path: Path) -> None:
    """Both images' content IDs change, in two files: in between the child takes its parent by either."""
    vmdk, files = find_format("vmdk"), {}
    imgtools.create_image(tmp_path / "base", MIB, format="vmdk")
    imgtools.create_image(tmp_path / "top", format="vmdk", backing_file="base", backing_format="vmdk")
    for name in ("base", "top"):
        content = (tmp_path / name).read_bytes()
        if digits == 7:  # as others write them: numbers without zeroes in front
            text = re.sub(rb"(?<=CID=)(?!f{8})\w+", b"abcdef5", content[512:1024])
            content = content[:512] + text.ljust(512, b"\0") + content[1024:]
        files[name] = RecordingStorage(content)

    def open_child(storages: dict[str, Any]) -> VmdkNode:
        base = vmdk.open(storages["base"], MemoryContext(storages, writable=True, backing=False))
        top = vmdk.open(storages["top"], MemoryContext(storages, writable=True, backing=False))
        top.children["backing"] = base
        assert isinstance(top, VmdkNode)
        return top

    top = open_child(dict(files))
    top.write(100_000, pattern(300_000, 2))
    top.flush()
    expected = top.read(0, MIB)
    order = record(files)
    commit(top)
    assert len(order) > 8
    notes = 0
    for state in cuts(files, order):
        node = open_child(dict(state))
        compare(node.read(0, MIB), expected)
        assert node.descriptor is not None
        notes += node.descriptor.noted_cid is not None
        commit(node)  # once more
        compare(node.read(0, MIB), expected)
        assert node.descriptor.noted_cid is None
        top_again = open_child(dict(state))
        assert top_again.parent_cid == getattr(top_again.backing, "cid", None)
    assert notes >= 3


@pytest.mark.parametrize("options", [{}, {"cluster_size": 4096}, {"compat": "0.10"}], ids=str)
def test_a_cut_commit_leaves_the_disk_as_it_was(options: dict[str, Any]) -> None:
    files = {"base": new_image("base", **options), "top": new_image("top", backing_file="base", **options)}
    base = open_over(files["base"], None)
    base.write(0, pattern(600_000, 1))
    base.flush()
    top = open_over(files["top"], base)
    top.write(100_000, pattern(300_000, 2))
    top.zero(700_000, 100_000)
    top.write(SIZE - 70_000, pattern(70_000, 3))
    top.flush()
    expected = top.read(0, SIZE)
    order = record(files)
    commit(top)
    top.close()
    emptied = set()
    for state in cuts(files, order):
        with open_over(state["top"], open_over(state["base"], None)) as node:
            compare(node.read(0, SIZE), expected)
            check_is_clean(node, leaks_allowed=True)
            assert node.backing is not None
            check_is_clean(node.backing, leaks_allowed=True)
            emptied.add(all(extent.depth for extent in node.extents(0, SIZE) if extent.kind == "data"))
    assert emptied == {False, True}


@pytest.mark.parametrize("name", ["new", "n" * 250])
@pytest.mark.parametrize("options", [{}, {"cluster_size": 4096}, {"compat": "0.10"}], ids=str)
def test_a_cut_rebase_leaves_the_disk_as_it_was(
    options: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = pattern(SIZE, 4)
    new = bytes(100_000) + old[100_000:300_000] + bytes(200_000) + pattern(900_000, 5)
    below = {"old": MemoryNode("old", old[:700_000], read_only=True), name: MemoryNode(name, new, read_only=True)}
    image = new_image("image", backing_file="old", backing_fmt="raw", **options)
    top = open_over(image, RawNode(below["old"]))
    top.write(200_000, pattern(50_000, 6))
    top.flush()
    expected = top.read(0, SIZE)
    order = record({"image": image})
    monkeypatch.setattr("imgtools.operations.rebase.open_new", lambda *words: RawNode(below[name]))
    rebase(top, name, "raw")
    compare(top.read(0, SIZE), expected)
    top.close()
    named = set()
    for state in cuts({"image": image}, order):
        with open_over(state["image"], None) as node:
            assert node.backing_name is not None
            named.add(node.backing_name)
            node.children["backing"] = RawNode(below[node.backing_name])
            compare(node.read(0, SIZE), expected)
            check_is_clean(node, leaks_allowed=True)
    assert named == {"old", name}


# A backing file that is gone.


@pytest.mark.parametrize(("format", "lost"), [("qcow2", "0x10000-0x80000, 0x90000-0x100000 (896 KiB)"), ("vmdk", None)])
def test_a_missing_parent_names_what_is_lost(
    format: str, lost: str | None, tmp_path: Path, qemu_img: Runner, qemu_io: Runner
) -> None:
    base, top = tmp_path / "base", tmp_path / "top"
    qemu_img("create", "-q", "-f", format, base, MIB)
    qemu_img("create", "-q", "-f", format, "-b", "base", "-F", format, top)
    qemu_io(top, "write 0 64k", "write 512k 64k", format=format)
    base.unlink()
    with pytest.raises(ImageError, match="Could not open backing file") as caught:
        imgtools.open(str(top))
    assert "these bytes of the disk" in str(caught.value.hint)
    assert lost is None or lost in str(caught.value.hint)


def test_an_image_that_holds_all_loses_nothing(tmp_path: Path, qemu_img: Runner) -> None:
    top = tmp_path / "top"
    qemu_img("create", "-q", "-f", "qcow2", "-u", "-b", "gone", "-F", "raw", top, MIB)
    with imgtools.open(str(top), writable=True, backing=False) as node:
        node.write(0, pattern(MIB))
    with pytest.raises(ImageError) as caught:
        imgtools.open(str(top))
    assert "holds all of its disk itself" in str(caught.value.hint)
