"""raw: model, crash, windows, resizing, preallocation, and qemu-img beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import imgtools
from imgtools.block.extent import DATA, ZERO
from imgtools.block.format import Resizable
from imgtools.block.graph import Context
from imgtools.block.node import Node
from imgtools.block.protocols.memory import MemoryNode
from imgtools.errors import BadOption, ImageError, OutOfBounds, ReadOnly
from imgtools.formats.raw import FORMAT, RawNode
from tests.conftest import Runner
from tests.crash import survives_crashes
from tests.model import check_against_model, compare, pattern, script, subject_of
from tests.mutate import flips, survives_mutations, truncations

MIB = 1 << 20
SUBJECT = subject_of("raw", size=(1 << 18) + 512, unit=4096)


def create(path: Path, size: int, **options: Any) -> None:
    FORMAT.create(str(path), size, options, Context(writable=True))


def resize(disk: Node, size: int, preallocation: str = "off") -> None:
    assert isinstance(disk, Resizable)
    disk.resize(size, preallocation)


def test_behaves_as_a_bytearray() -> None:
    check_against_model(SUBJECT)


def test_holds_flushed_bytes_after_any_crash() -> None:
    assert survives_crashes(SUBJECT, script(SUBJECT, seed=1)) > 20


def test_every_file_is_a_disk() -> None:
    content = pattern(2000)
    assert survives_mutations(SUBJECT.open, flips(content, [(0, 2000)], count=50), write=True) == 50
    assert survives_mutations(SUBJECT.open, truncations(content, range(0, 2000, 7)), write=True) == 286


def test_a_file_is_rounded_up_to_a_sector() -> None:
    disk = RawNode(MemoryNode(content=pattern(700)))
    assert disk.size == 1024
    compare(disk.read(0, 1024), pattern(700) + bytes(324))
    assert [extent.kind for extent in disk.extents(0, 1024)] == [DATA, ZERO]
    disk.write(1000, b"x")
    assert disk.read(1000, 1) == b"x"


@pytest.mark.parametrize(
    ("options", "start", "size"),
    [({"offset": "1k"}, 1024, 3072), ({"size": "512"}, 0, 512), ({"offset": "0x200", "size": "1k"}, 512, 1024)],
)
def test_a_window_of_a_file(options: dict[str, str], start: int, size: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(pattern(4096))
    with imgtools.open(str(path), format="raw", writable=True, options=options) as disk:
        assert disk.size == size
        compare(disk.read(0, size), pattern(4096)[start : start + size])
        disk.write(size - 1, b"\0")
        with pytest.raises(OutOfBounds):
            disk.write(size, b"x")
        assert next(disk.extents(0, size)).offset == start
        with pytest.raises(BadOption, match="Cannot resize fixed-size raw disks"):
            resize(disk, 512)
    assert path.read_bytes()[start + size - 1] == 0


@pytest.mark.parametrize(
    "options",
    [{"offset": "4097"}, {"size": "5k"}, {"offset": "1k", "size": "4k"}, {"offset": "5k", "size": "5"}, {"size": "5"}],
)
def test_a_window_that_cannot_be_is_refused_in_qemus_words(
    options: dict[str, str], tmp_path: Path, qemu_img: Runner
) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(4096))
    with pytest.raises(ImageError) as caught:
        imgtools.open(str(path), format="raw", options=options)
    said = ",".join(f"{name}={value}" for name, value in options.items())
    theirs = qemu_img("info", "--image-opts", f"driver=raw,file.filename={path},{said}", check=False).stderr
    assert theirs.split("': ", 1)[1] == caught.value.message + "\n"


@pytest.mark.parametrize("preallocation", ["off", "falloc", "full"])
@pytest.mark.parametrize("size", [0, 1, 512, 1000, MIB])
def test_new_files_are_as_long_and_as_full(size: int, preallocation: str, tmp_path: Path, qemu_img: Runner) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    create(ours, size, preallocation=preallocation)
    qemu_img("create", "-f", "raw", "-o", f"preallocation={preallocation}", theirs, size)
    assert ours.read_bytes() == theirs.read_bytes()
    if size == MIB:
        assert ours.stat().st_blocks == theirs.stat().st_blocks == (8 if preallocation == "off" else MIB // 512)


@pytest.mark.parametrize("preallocation", ["off", "falloc", "full"])
def test_resizing(preallocation: str, tmp_path: Path) -> None:
    path = tmp_path / "disk"
    create(path, MIB)
    with imgtools.open(str(path), format="raw", writable=True) as disk:
        disk.write(0, pattern(MIB))
        resize(disk, 3 * MIB, preallocation)
        assert disk.size == path.stat().st_size == 3 * MIB
        compare(disk.read(0, 3 * MIB), pattern(MIB) + bytes(2 * MIB))
        assert (path.stat().st_blocks * 512 >= 3 * MIB) == (preallocation != "off")
        if preallocation != "off":
            with pytest.raises(BadOption, match="Preallocation can't be used for shrinking files"):
                resize(disk, MIB, preallocation)
        resize(disk, 512)
        assert path.stat().st_size == 512


def test_the_map_is_the_same(tmp_path: Path, qemu_img: Runner) -> None:
    path = tmp_path / "disk"
    create(path, 9 * MIB)
    with imgtools.open(str(path), format="raw", writable=True) as disk:
        for offset, length in ((0, 4096), (3 * MIB, MIB), (9 * MIB - 4096, 4096)):
            disk.write(offset, pattern(length))
        ours = [(e.start, e.length, e.kind == DATA, e.kind == ZERO, e.offset) for e in disk.extents(0, disk.size)]
    theirs = json.loads(qemu_img("map", "--output=json", "-f", "raw", path).stdout)
    assert ours == [(e["start"], e["length"], e["data"], e["zero"], e["offset"]) for e in theirs]


def test_measure_is_the_same(tmp_path: Path, qemu_img: Runner) -> None:
    path = tmp_path / "disk"
    create(path, 5 * MIB)
    with imgtools.open(str(path), format="raw", writable=True) as disk:
        disk.write(MIB, pattern(2 * MIB))
        for source, size, options, command in (
            (disk, 0, {}, (path,)),
            (None, 1000, {}, ("--size", "1000")),
            (disk, 0, {"preallocation": "full"}, ("-o", "preallocation=full", path)),
        ):
            theirs = json.loads(qemu_img("measure", "-U", "--output=json", "-O", "raw", *command).stdout)
            ours = FORMAT.measure(source, size, options)
            assert (ours.required, ours.fully_allocated) == (theirs["required"], theirs["fully-allocated"]), command


def test_writes_to_a_read_only_disk_are_refused() -> None:
    disk = RawNode(MemoryNode(content=bytes(512), read_only=True))
    for verb in (lambda: disk.write(0, b"x"), lambda: disk.zero(0, 1), lambda: disk.discard(0, 1)):
        with pytest.raises(ReadOnly):
            verb()


def test_a_range_outside_the_disk_is_refused() -> None:
    disk = RawNode(MemoryNode(content=bytes(512)))
    for verb in (disk.zero, disk.discard, disk.read, lambda o, n: list(disk.extents(o, n))):
        for offset, length in ((-1, 1), (0, 513), (512, 1)):
            with pytest.raises(OutOfBounds):
                verb(offset, length)
    with pytest.raises(ImageError):
        disk.write(511, b"xy")
