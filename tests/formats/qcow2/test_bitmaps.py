"""Persistent bitmaps: what they record, beside QEMU's, after crashes, and damaged."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import imgtools
from imgtools.block.protocols.memory import MemoryNode
from imgtools.errors import BadOption, CorruptImage, ImageError, NotFound
from imgtools.formats.qcow2.node import Qcow2Node
from imgtools.formats.qcow2.records import BITMAP_ENTRY, BITMAPS_EXTENSION
from tests.conftest import Runner
from tests.crash import RecordingStorage
from tests.formats.qcow2.test_drivers import open_anything
from tests.formats.qcow2.test_snapshots import open_subject
from tests.model import check_is_clean, pattern, subject_of
from tests.mutate import extremes, fields_of, flips, survives_mutations

MIB = 1 << 20
SMALL = subject_of("qcow2", size=MIB, unit=4096, cluster_size=4096)


def open_qcow2(path: Path, *, writable: bool = False) -> Qcow2Node:
    node = imgtools.open(str(path), writable=writable)
    assert isinstance(node, Qcow2Node)
    return node


def ranges(node: Qcow2Node) -> dict[str, list[tuple[int, int]]]:
    return {bitmap.name: list(bitmap.dirty_ranges()) for bitmap in node.bitmaps}


@pytest.mark.parametrize("seed", range(4))
def test_marks_are_those_of_a_model(seed: int) -> None:
    """Random changes with clears, merges and reopening, against a set of granules for each bitmap."""
    chance = random.Random(seed)
    storage = MemoryNode("image")
    SMALL.create(storage)
    node = open_subject(SMALL, storage)
    granularities = {"fine": 512, "usual": 4096, "coarse": 1 << 17}
    model: dict[str, set[int]] = {name: set() for name in granularities}
    for name, granularity in granularities.items():
        node.bitmaps.add(name, granularity, enabled=name != "coarse")
    for number in range(40):
        action = chance.choice(["write", "write", "zero", "discard", "clear", "merge", "reopen"])
        offset = chance.randrange(MIB)
        length = min(MIB - offset, chance.choice([1, 512, 5000, 200_000]))
        if action in ("write", "zero", "discard"):
            node.write(offset, pattern(length, number)) if action == "write" else getattr(node, action)(offset, length)
            for name in ("fine", "usual"):
                granularity = granularities[name]
                model[name] |= set(range(offset // granularity, (offset + length - 1) // granularity + 1))
        elif action == "clear":
            node.bitmaps.clear(name := chance.choice(list(model)))
            model[name] = set()
        elif action == "merge":
            node.bitmaps.merge("coarse", node.bitmaps["fine"])
            model["coarse"] |= {granule * 512 >> 17 for granule in model["fine"]}
        else:
            node.close()
            check_is_clean(node := open_subject(SMALL, storage))
        for name, granularity in granularities.items():
            marked = {
                g for start, size in node.bitmaps[name].dirty_ranges() for g in granules(start, size, granularity)
            }
            assert marked == model[name]
            assert node.bitmaps[name].count == len(model[name]) * granularity
            assert node.bitmaps[name].is_dirty(offset) is (offset // granularity in model[name])


def granules(start: int, length: int, granularity: int) -> range:
    assert start % granularity == 0
    return range(start // granularity, (start + length - 1) // granularity + 1)


def test_both_record_the_same(tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    ours, theirs = tmp_path / "ours.qcow2", tmp_path / "theirs.qcow2"
    for path in (ours, theirs):
        qemu_img("create", "-q", "-f", "qcow2", path, "20M")
        for name, more in (("b0", []), ("small", ["-g", "512"]), ("large", ["-g", "1M"]), ("off", ["--disable"])):
            qemu_img("bitmap", "--add", *more, path, name)
    chance = random.Random(7)
    commands = []
    with open_qcow2(ours, writable=True) as node:
        for number in range(30):
            offset, length = chance.randrange(30_000) * 512, chance.choice([512, 65536, 300_032])
            verb = ("write", "write -z", "discard")[number % 3]
            commands.append(f"{verb} {offset} {length}")
            if verb == "write":
                node.write(offset, b"\xcd" * length)
            elif verb == "discard":
                node.discard(offset, length)
            else:
                node.zero(offset, length)
    qemu_io(theirs, *commands, format="qcow2")
    qemu_img("check", ours)
    with open_qcow2(ours) as left, open_qcow2(theirs) as right:
        assert ranges(left) == ranges(right)
        assert ranges(left)["small"] and not ranges(left)["off"]
    # What we wrote is what QEMU reads: it copies our bitmaps, and we look at the copy.
    copy = tmp_path / "copy.qcow2"
    qemu_img("convert", "--bitmaps", "-O", "qcow2", ours, copy)
    with open_qcow2(ours) as left, open_qcow2(copy) as right:
        assert ranges(left) == ranges(right)


def test_they_follow_the_size_of_the_disk(tmp_path: Path, qemu_img: Runner) -> None:
    path = tmp_path / "disk.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, "1M")
    with open_qcow2(path, writable=True) as node:
        node.bitmaps.add("b0", 512)
        node.write(MIB - 512, b"x" * 512)
        node.resize(3 << 30)
        node.write(2 << 30, b"x")
        node.resize(MIB * 2)
        node.resize(MIB * 4)
    qemu_img("check", path)
    with open_qcow2(path) as node:
        assert ranges(node) == {"b0": [(MIB - 512, 512)]}


def test_after_a_crash_a_bitmap_is_whole_or_says_that_it_is_not() -> None:
    storage = RecordingStorage()
    SMALL.create(storage)
    node = open_subject(SMALL, storage)
    node.bitmaps.add("b0", 4096)
    node.write(0, pattern(5000, 1))
    node.close()
    storage.start_recording()
    for number in range(3):
        node = open_subject(SMALL, storage)
        node.write(100_000 * number, pattern(50_000, number))
        node.bitmaps.add(f"new{number}", enabled=False)
        node.close()
    seen = set()
    for begun, how, content in storage.crashes():
        left = open_anything(MemoryNode("image", content, read_only=True))
        assert isinstance(left, Qcow2Node)
        try:
            check_is_clean(left, leaks_allowed=True)
            bitmap = left.bitmaps["b0"]
            seen.add(bitmap.inconsistent)
            for start in range(0, SMALL.size, 4096):
                changed = any(left.read(start, 4096))
                assert bitmap.inconsistent or bitmap.is_dirty(start) or not changed
        except (AssertionError, ImageError) as error:
            raise AssertionError(f"after {begun} events ({how})") from error
    assert seen == {True, False}


def test_an_inconsistent_bitmap_can_only_be_removed(tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    path = tmp_path / "disk.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, "1M")
    qemu_img("bitmap", "--add", path, "b0")
    qemu_io(path, "write 0 64k", "flush", "sigraise 9", format="qcow2", check=False)
    with open_qcow2(path, writable=True) as node:
        assert node.bitmaps["b0"].inconsistent
        for action in (node.bitmaps.clear, node.bitmaps.enable):
            with pytest.raises(CorruptImage, match="Bitmap 'b0' is inconsistent"):
                action("b0")
        with pytest.raises(CorruptImage, match="inconsistent"):
            node.resize(2 * MIB)
        node.write(MIB - 1, b"x")
    with open_qcow2(path, writable=True) as node:
        assert node.size == MIB
        assert node.bitmaps["b0"].inconsistent
        node.bitmaps.remove("b0")
        assert not len(node.bitmaps)
    assert "bitmaps" not in qemu_img("info", path).stdout
    qemu_img("check", path)


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    storage = MemoryNode("image")
    SMALL.create(storage)
    node = open_subject(SMALL, storage)
    node.bitmaps.add("b0")
    for name, granularity, why in (
        ("b0", None, "already exists"),
        ("b1", 1000, "power of 2"),
        ("b1", 256, "power of 2"),
        ("", None, "cannot be empty"),
        ("x" * 1024, None, "maximum"),
    ):
        with pytest.raises(BadOption, match=why):
            node.bitmaps.add(name, granularity)
    with pytest.raises(NotFound, match="Dirty bitmap 'b7' not found"):
        node.bitmaps.clear("b7")
    node.create_snapshot("s")
    with pytest.raises(ImageError, match="active dirty bitmaps"):
        node.apply_snapshot("s")


def use_all(storage: MemoryNode) -> Qcow2Node:
    node = open_anything(storage)
    assert isinstance(node, Qcow2Node)
    node.write(0, b"x")
    for bitmap in node.bitmaps:
        list(bitmap.dirty_ranges())
    return node


def test_damaged_directories_and_tables_are_refused_or_read() -> None:
    storage = MemoryNode("image")
    SMALL.create(storage)
    node = open_subject(SMALL, storage)
    node.bitmaps.add("b0", 512)
    node.write(70_000, pattern(3000))
    node.close()
    content = bytes(storage.content)
    extension = content.index((0x23852875).to_bytes(4, "big")) + 8
    directory = BITMAPS_EXTENSION.parse(content, extension).directory_offset
    table = BITMAP_ENTRY.parse(content, directory).table_offset
    fields = [*fields_of(BITMAPS_EXTENSION, extension), *fields_of(BITMAP_ENTRY, directory), ("table", table, 8, "big")]
    assert survives_mutations(use_all, extremes(content, fields)) > 3  # type: ignore[arg-type]
    damage = flips(content, [(extension, 24), (directory, 26), (table, 8)], count=100)
    assert survives_mutations(use_all, damage) > 3  # type: ignore[arg-type]
