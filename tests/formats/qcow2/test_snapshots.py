"""Internal snapshots: what each holds, the layout beside QEMU's, crashes, damage."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import imgtools
from imgtools.block.protocols.memory import MemoryNode
from imgtools.errors import BadOption, CorruptImage, ImageError, NotFound
from imgtools.formats.qcow2 import FORMAT, lanes
from imgtools.formats.qcow2.lanes import CountCodec
from imgtools.formats.qcow2.node import Qcow2Node
from imgtools.formats.qcow2.records import SNAPSHOT
from tests.conftest import Runner
from tests.crash import RecordingStorage
from tests.formats.qcow2.test_drivers import open_anything
from tests.model import MemoryContext, Subject, check_is_clean, compare, pattern, subject_of
from tests.mutate import extremes, fields_of, flips, survives_mutations

MIB = 1 << 20


def open_subject(subject: Subject, storage: MemoryNode) -> Qcow2Node:
    node = subject.open(storage)
    assert isinstance(node, Qcow2Node)
    return node


def at_snapshot(storage: MemoryNode, snapshot: str) -> bytes:
    """The disk as a snapshot has it."""
    node = FORMAT.open(storage, MemoryContext())
    assert isinstance(node, Qcow2Node)
    node.load_snapshot(snapshot)
    return node.read(0, node.size)


SUBJECTS = {
    "64k": subject_of("qcow2", size=2 * MIB, unit=65536, cluster_size=65536),
    "512": subject_of("qcow2", size=3 * MIB, unit=512, cluster_size=512),
    "4k-v2": subject_of("qcow2", size=MIB, unit=4096, cluster_size=4096, compat="v2"),
    "4k-4bit": subject_of("qcow2", size=MIB, unit=4096, cluster_size=4096, refcount_bits=4),
    "4k-64bit": subject_of("qcow2", size=MIB, unit=4096, cluster_size=4096, refcount_bits=64),
    "extended": subject_of("qcow2", size=2 * MIB, unit=2048, cluster_size=65536, extended_l2=True),
}
EACH = pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)


@EACH
@pytest.mark.parametrize("seed", [1, 2])
def test_snapshots_keep_what_the_disk_was(subject: Subject, seed: int) -> None:
    """A random sequence of writes, discards and actions, against a model of the disk and of each snapshot."""
    chance = random.Random(seed)
    storage = MemoryNode("image")
    subject.create(storage)
    node = open_subject(subject, storage)
    disk, kept = bytearray(subject.size), dict[str, bytes]()
    for number in range(40):
        action = chance.choice(["write", "write", "write", "zero", "create", "apply", "delete", "reopen"])
        offset = chance.randrange(subject.size // 512) * 512
        length = min(chance.choice([512, 4096, subject.unit * 3]), subject.size - offset)
        if action == "write":
            disk[offset : offset + length] = pattern(length, number)
            node.write(offset, disk[offset : offset + length])
        elif action == "zero":
            disk[offset : offset + length] = bytes(length)
            node.zero(offset, length)
        elif action == "create" and len(kept) < 5:
            kept[node.create_snapshot(f"after {number}").id] = bytes(disk)
        elif action == "apply" and kept:
            chosen = chance.choice(list(kept))
            node.apply_snapshot(chosen)
            disk[:] = kept[chosen]
        elif action == "delete" and kept:
            chosen = chance.choice(list(kept))
            node.delete_snapshot(chosen)
            del kept[chosen]
        elif action == "reopen":
            node.close()
            node = open_subject(subject, storage)
            check_is_clean(node)
        compare(node.read(0, node.size), disk)
    node.close()
    check_is_clean(open_subject(subject, storage))
    for id_, content in kept.items():
        compare(at_snapshot(storage, id_), content)


@EACH
def test_a_crash_at_any_write_leaves_the_image_before_or_after(subject: Subject) -> None:
    storage = RecordingStorage()
    subject.create(storage)
    node = open_subject(subject, storage)
    node.write(0, pattern(subject.unit * 5, 1))
    node.create_snapshot("one")
    node.write(subject.unit, pattern(subject.unit, 2))
    node.flush()
    storage.start_recording()
    states = [(0, node.read(0, node.size), ["one"])]

    def note() -> None:
        states.append((len(storage.log), node.read(0, node.size), [s.name for s in node.snapshots]))

    kept = {"one": at_snapshot(MemoryNode("image", storage.content), "one"), "two": states[0][1]}
    for action, name in (("create", "two"), ("apply", "one"), ("delete", "one"), ("apply", "two"), ("delete", "two")):
        getattr(node, f"{action}_snapshot")(name)
        note()
    crashes = 0
    for begun, how, content in storage.crashes():
        done = max(index for index, state in enumerate(states) if state[0] <= begun)
        possible = [state[1:] for state in states[max(0, done - 1) : done + 2]]
        left = MemoryNode("image", content)
        found = open_subject(subject, left)
        names = [snapshot.name for snapshot in found.snapshots]
        try:
            assert (found.read(0, found.size), names) in possible
            check_is_clean(found, leaks_allowed=True)
            for snapshot in names:
                compare(at_snapshot(left, snapshot), kept[snapshot])
            found.check(lambda finding: None, "leaks")
            check_is_clean(found)
        except (AssertionError, ImageError) as error:
            raise AssertionError(f"after {begun} events ({how}; last: {storage.log[begun - 1][:2]})") from error
        crashes += 1
    assert crashes > 30


def masked(path: Path) -> bytearray:
    """The file without what may differ: the dates of snapshots, and flags in tables that are not active."""
    content = bytearray(path.read_bytes())
    count, offset = int.from_bytes(content[60:64], "big"), int.from_bytes(content[64:72], "big")
    for _ in range(count):
        entry = SNAPSHOT.parse(content, offset)
        content[offset + 16 : offset + 24] = bytes(8)
        for position in range(entry.l1_table_offset, entry.l1_table_offset + 8 * entry.l1_size, 8):
            content[position] &= 0x7F
        offset += (SNAPSHOT.size + entry.extra_data_size + entry.id_size + entry.name_size + 7) // 8 * 8
    return content


@pytest.mark.parametrize("cluster", [4096, 65536])
def test_the_layout_is_that_of_qemu(cluster: int, tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    paths = ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for path in paths:
        qemu_img("create", "-q", "-f", "qcow2", "-o", f"cluster_size={cluster}", path, "4M")
    script = (
        f"write -P 1 0 1M|write -c -P 7 2M {cluster}|write -z 3M 64k|create s1|write -P 2 64k 128k|create s2|"
        "write -P 3 64k 128k|discard 2M 64k|apply s1|delete s1|write -P 9 512k 1M|apply s2|create s3|delete s2"
    )
    for step in script.split("|"):
        action, name = step.split(" ", 1)
        if action not in ("create", "apply", "delete"):
            for path in paths:
                qemu_io(path, step, format="qcow2")
            continue
        with imgtools.open(str(ours), writable=True) as node:
            assert isinstance(node, Qcow2Node)
            getattr(node, f"{action}_snapshot")(name)
        qemu_img("snapshot", f"-{action[0]}", name, theirs)
        compare(masked(ours), masked(theirs))
        qemu_img("check", ours)


def test_machine_state_goes_with_the_snapshot(tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    path = tmp_path / "disk.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, "1M")
    with imgtools.open(str(path), writable=True) as node:
        assert isinstance(node, Qcow2Node)
        node.write_vmstate(0, b"\7" * 99_840)
        node.write_vmstate(99_840, b"\x08" * 1024)
        node.create_snapshot("saved", vm_state_size=100_864, vm_clock=5_000_000_000, icount=77)
        assert not any(memory_of(node, 100_864))  # nothing of it is left in the active table
        check_is_clean(node)
        node.apply_snapshot("saved")
        assert memory_of(node, 100_864) == b"\7" * 99_840 + b"\x08" * 1024
    qemu_img("check", path)
    qemu_io(path, "read -b -P 7 0 99840", "read -b -P 8 99840 1024", format="qcow2")
    assert "98.5 KiB" in qemu_img("snapshot", "-l", path).stdout
    with imgtools.open(str(path), writable=True) as node:
        node.resize(2 << 30)  # type: ignore[attr-defined]
        assert not any(node.read(512 * MIB, 128 * 1024))
        check_is_clean(node)


def memory_of(node: Qcow2Node, length: int) -> bytes:
    buffer = bytearray(length)
    node.read_vmstate(0, memoryview(buffer))
    return bytes(buffer)


def test_what_cannot_be_done_changes_nothing() -> None:
    subject = subject_of("qcow2", size=MIB, unit=4096, cluster_size=4096, refcount_bits=1)
    storage = MemoryNode("image")
    subject.create(storage)
    node = open_subject(subject, storage)
    node.write(0, pattern(8192))
    node.flush()
    before = bytes(storage.content)
    with pytest.raises(CorruptImage, match=r"would leave its range 0\.\.1"):
        node.create_snapshot("one")
    for action in (node.apply_snapshot, node.delete_snapshot):
        with pytest.raises(NotFound):
            action("one")
    with pytest.raises(BadOption, match="longer than 255"):
        node.create_snapshot("x" * 256)
    with pytest.raises(BadOption, match="read-only"):
        open_subject(SUBJECTS["64k"], with_snapshot()).load_snapshot("one")
    node.close()
    assert bytes(storage.content) == before


def with_snapshot() -> MemoryNode:
    storage = MemoryNode("image")
    SUBJECTS["64k"].create(storage)
    node = open_subject(SUBJECTS["64k"], storage)
    node.write(65536, pattern(10_000))
    node.create_snapshot("one")
    node.write(65536, pattern(100, 2))
    node.close()
    return storage


def act_on_all(storage: MemoryNode) -> Qcow2Node:
    node = open_anything(storage)
    assert isinstance(node, Qcow2Node)
    for snapshot in list(node.snapshots):
        node.apply_snapshot(snapshot)
        node.create_snapshot("new")
        node.delete_snapshot(snapshot)
    return node


def test_damaged_tables_are_refused_or_read() -> None:
    content = bytes(with_snapshot().content)
    table = int.from_bytes(content[64:72], "big")
    l1 = SNAPSHOT.parse(content, table).l1_table_offset
    fields = [*fields_of(SNAPSHOT, table), ("count", 60, 4, "big"), ("offset", 64, 8, "big"), ("L1", l1, 8, "big")]
    assert survives_mutations(act_on_all, extremes(content, fields)) > 20  # type: ignore[arg-type]
    assert survives_mutations(act_on_all, flips(content, [(table, 80), (l1, 16)], count=100)) > 5  # type: ignore[arg-type]


@pytest.mark.parametrize("width", [1, 2, 4, 8, 16, 32, 64])
def test_lanes_are_what_counting_one_by_one_gives(width: int) -> None:
    chance, codec = random.Random(width), CountCodec(width)
    for _ in range(60):
        limit = chance.choice([1, 3, 100, 300, codec.maximum])
        counts = codec.decode(bytes(64 * max(8, width) // 8))[:64]
        for index in range(64):
            counts[index] = min(codec.maximum, chance.randrange(limit + 1))
        small = bytes(chance.choice([0, 0, 1, 2, chance.randrange(255)]) for _ in range(64))
        for sign in (1, -1):
            expected = [count + sign * change for count, change in zip(counts, small, strict=True)]
            found = lanes.add(counts, small, sign, codec.maximum)
            if found is not None:
                assert found.tolist() == expected
                assert 0 <= min(expected) <= max(expected) <= codec.maximum
            elif max(counts) < 64 and max(small) < 64:
                assert min(expected) < 0 or max(expected) > codec.maximum
        assert list(lanes.equal_to(counts, 1)) == [count == 1 for count in counts]


@pytest.mark.parametrize("options", ["cluster_size=4096", "cluster_size=65536,compat=0.10", "extended_l2=on"])
def test_both_take_turns(options: str, tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    """Writes and snapshots by either tool on one image; both find it sound, and all snapshots as they were."""
    path, size = tmp_path / "disk.qcow2", 2 * MIB
    qemu_img("create", "-q", "-f", "qcow2", "-o", options, path, size)
    chance = random.Random(options)
    disk, kept = bytearray(size), dict[str, bytes]()
    for number in range(24):
        ours, action = chance.random() < 0.5, chance.choice(["write", "write", "create", "apply", "delete"])
        offset, length = chance.randrange(size // 512 - 400) * 512, chance.choice([512, 70_144, 200_704])
        name = f"s{number}" if action == "create" else chance.choice([*kept, ""])
        if action == "write":
            disk[offset : offset + length] = bytes([number + 1]) * length
        elif not name:
            continue
        if not ours and action == "write":
            qemu_io(path, f"write -P {number + 1} {offset} {length}", format="qcow2")
        elif not ours:
            qemu_img("snapshot", f"-{action[0]}", name, path)
        else:
            with imgtools.open(str(path), writable=True) as node:
                assert isinstance(node, Qcow2Node)
                if action == "write":
                    node.write(offset, disk[offset : offset + length])
                else:
                    getattr(node, f"{action}_snapshot")(name)
        if action == "create":
            kept[name] = bytes(disk)
        elif action == "apply":
            disk[:] = kept[name]
        elif action == "delete":
            del kept[name]
    qemu_img("check", path)
    for name, content in [("", bytes(disk)), *kept.items()]:
        raw = tmp_path / "raw"
        qemu_img("convert", *(["-l", name] if name else []), "-O", "raw", path, raw)
        compare(raw.read_bytes(), content)
        with imgtools.open(str(path)) as node:
            assert isinstance(node, Qcow2Node)
            check_is_clean(node)
            if name:
                node.load_snapshot(name)
            compare(node.read(0, size), content)
