"""What check finds: each kind of damage made by hand, told once and with its place, and repaired where it can be."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imgtools.block.format import CheckResult, Finding
from imgtools.errors import CorruptImage, ImageError, ReadOnly
from imgtools.formats.vmdk.node import VmdkNode
from imgtools.formats.vmdk.records import SPARSE_HEADER
from tests.conftest import Runner
from tests.formats.vmdk.support import make, opened
from tests.model import pattern

GRAIN, MIB = 65536, 1 << 20
SIZE = 70 * MIB
"""Three grain tables."""


class Disk:
    """A sparse image with data in the first and the last grain table, open to damage."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path
        make(path, SIZE, **options)
        with opened(path, writable=True) as node:
            for grain in (0, 1, 5):
                node.write(grain * GRAIN, pattern(GRAIN, grain + 1))
            node.write(SIZE - GRAIN, pattern(GRAIN, 9))
            self.content = node.read(0, SIZE)
        self.header = SPARSE_HEADER.parse(path.read_bytes())

    def peek(self, offset: int) -> int:
        return int(struct.unpack_from("<I", self.path.read_bytes(), offset)[0])

    def poke(self, offset: int, value: int, size: int = 4) -> None:
        with self.path.open("r+b") as file:
            file.seek(offset)
            file.write(value.to_bytes(size, "little"))

    def directory(self, index: int, *, redundant: bool = False) -> int:
        """The place of a grain directory entry."""
        return (self.header.rgd_offset if redundant else self.header.gd_offset) * 512 + index * 4

    def entry(self, grain: int, *, redundant: bool = False) -> int:
        """The place of a grain table entry."""
        return self.peek(self.directory(grain // 512, redundant=redundant)) * 512 + grain % 512 * 4

    def check(self, repair: str | None = None) -> tuple[CheckResult, list[Finding]]:
        findings: list[Finding] = []
        with opened(self.path, writable=repair is not None) as node:
            return node.check(findings.append, repair), findings

    def is_intact(self) -> None:
        outcome, findings = self.check()
        assert (outcome.corruptions, outcome.leaks, findings) == (0, 0, [])
        with opened(self.path) as node:
            assert node.read(0, SIZE) == self.content


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    disk = Disk(tmp_path / "disk.vmdk")
    disk.is_intact()
    return disk


def wild_entry(disk: Disk) -> int:
    disk.poke(disk.entry(5), 0x7FFFFFF)
    return disk.entry(5)


def entry_in_metadata(disk: Disk) -> int:
    disk.poke(disk.entry(5), 22)
    return disk.entry(5)


def entry_one_without_zeroed_grains(disk: Disk) -> int:
    disk.poke(disk.entry(5), 1)
    return disk.entry(5)


def wild_table(disk: Disk) -> int:
    disk.poke(disk.directory(0), 0x7FFFFFF)
    return 0x7FFFFFF * 512


@pytest.mark.parametrize(
    "damage", [wild_entry, entry_in_metadata, entry_one_without_zeroed_grains, wild_table], ids=lambda d: d.__name__
)
def test_damage_is_found_and_mended_from_the_redundant_table(damage: Callable[[Disk], int], disk: Disk) -> None:
    where = damage(disk)
    outcome, findings = disk.check()
    assert (outcome.corruptions, outcome.leaks) == (1, 0)
    assert findings[0].severity == "error" and findings[0].offset == where
    assert "redundant copy is intact" in findings[0].message
    with opened(disk.path, writable=True) as node:
        if damage is not entry_in_metadata:
            with pytest.raises(CorruptImage) as refusal:
                node.read(5 * GRAIN, 512)
            assert refusal.value.path == str(disk.path) and refusal.value.offset == where
        with pytest.raises(ImageError):
            node.write(5 * GRAIN, b"x")
    outcome, _ = disk.check("leaks")
    assert outcome.corruptions == 1
    outcome, _ = disk.check("all")
    assert (outcome.corruptions, outcome.corruptions_fixed) == (0, 1)
    disk.is_intact()


def test_two_grains_in_one_place(disk: Disk) -> None:
    for redundant in (False, True):
        disk.poke(disk.entry(5, redundant=redundant), disk.peek(disk.entry(1)))
    outcome, findings = disk.check()
    assert outcome.corruptions == 1 and "one place" in findings[0].message
    assert findings[0].offset == disk.peek(disk.entry(1)) * 512
    before = disk.path.read_bytes()
    disk.check("all")
    assert disk.path.read_bytes() == before  # nothing that could be the lost grain was taken for unused


def test_a_stale_redundant_table_is_brought_up_to_date(disk: Disk) -> None:
    disk.poke(disk.entry(5, redundant=True), 0)
    outcome, findings = disk.check()
    assert (outcome.corruptions, outcome.leaks) == (0, 1) and "out of date" in findings[0].message
    outcome, _ = disk.check("leaks")
    assert outcome.leaks_fixed == 1
    disk.is_intact()
    assert disk.peek(disk.entry(5, redundant=True)) == disk.peek(disk.entry(5))


def test_a_wild_redundant_table_is_an_error(disk: Disk) -> None:
    disk.poke(disk.directory(1, redundant=True), 0x7FFFFFF)
    outcome, _ = disk.check()
    assert outcome.corruptions == 1
    with opened(disk.path) as node:
        assert node.read(0, SIZE) == disk.content


def test_overlapping_tables_forbid_writing(disk: Disk) -> None:
    disk.poke(disk.directory(1), disk.peek(disk.directory(0)))
    outcome, findings = disk.check()
    assert outcome.corruptions == 1 and "overlap" in findings[0].message
    with opened(disk.path, writable=True) as node, pytest.raises(CorruptImage, match="overlap"):
        node.write(0, b"x")


def test_leaks_in_the_middle_and_at_the_end(disk: Disk) -> None:
    for redundant in (False, True):
        disk.poke(disk.entry(1, redundant=redundant), 0)
    disk.content = disk.content[:GRAIN] + bytes(GRAIN) + disk.content[2 * GRAIN :]
    size = disk.path.stat().st_size
    with disk.path.open("ab") as file:
        file.write(b"x" * 3 * GRAIN)
    outcome, findings = disk.check()
    assert (outcome.corruptions, outcome.leaks, len(findings)) == (0, 4, 2)
    outcome, _ = disk.check("leaks")
    assert (outcome.leaks, outcome.leaks_fixed) == (0, 4)
    assert disk.path.stat().st_size == size
    disk.is_intact()


def test_an_image_that_was_not_closed(disk: Disk) -> None:
    disk.poke(SPARSE_HEADER.offset_of("unclean_shutdown"), 1, 1)
    outcome, findings = disk.check()
    assert outcome.leaks == 1 and "not closed" in findings[0].message
    assert disk.check("leaks")[0].leaks_fixed == 1
    disk.is_intact()


def test_a_transfer_as_text(disk: Disk) -> None:
    disk.poke(SPARSE_HEADER.offset_of("newline_test"), 0x0A0A0D20)
    assert disk.check()[0].corruptions == 1


def test_a_descriptor_that_does_not_fit(disk: Disk) -> None:
    content = disk.path.read_bytes()
    disk.path.write_bytes(content.replace(b"RW 143360 SPARSE", b"RW 143361 SPARSE"))
    outcome, findings = disk.check()
    assert outcome.corruptions == 1 and "143361" in findings[0].message


def test_a_flat_file_that_is_too_short(tmp_path: Path) -> None:
    make(tmp_path / "disk.vmdk", MIB, subformat="monolithicFlat")
    (tmp_path / "disk-flat.vmdk").write_bytes(b"x" * 512)
    with opened(tmp_path / "disk.vmdk") as node:
        assert node.check(lambda finding: None).corruptions == 1


def test_a_repair_needs_writing(disk: Disk) -> None:
    with opened(disk.path) as node, pytest.raises(ReadOnly):
        node.check(lambda finding: None, "leaks")


def test_compressed_grains_are_looked_into(tmp_path: Path, qemu_img: Runner) -> None:
    raw, image = tmp_path / "disk.raw", tmp_path / "disk.vmdk"
    raw.write_bytes(pattern(4 * GRAIN))
    qemu_img("convert", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, image)
    content = image.read_bytes()
    header = SPARSE_HEADER.parse(content)
    table = struct.unpack_from("<I", content, header.gd_offset * 512)[0] * 512
    grain = struct.unpack_from("<I", content, table + 8)[0] * 512
    for offset, value, message in ((0, 7, "marker"), (8, 1 << 30, "bytes long"), (8, 0, "bytes long")):
        image.write_bytes(content[: grain + offset] + struct.pack("<I", value) + content[grain + offset + 4 :])
        with opened(image) as node:
            findings: list[Finding] = []
            outcome = node.check(findings.append)
            assert outcome.corruptions == 1 and message in findings[0].message and findings[0].offset == grain
            with pytest.raises(CorruptImage, match=message):
                node.read(0, node.size)
    image.write_bytes(content[: grain + 20] + b"\0\0\0\0" + content[grain + 24 :])
    with opened(image) as node, pytest.raises(CorruptImage, match="compressed grain 2"):
        node.read(2 * GRAIN, GRAIN)


def test_a_compressed_bomb_stays_small(tmp_path: Path) -> None:
    import zlib

    image = tmp_path / "disk.vmdk"
    make(image, 4 * GRAIN, subformat="streamOptimized")
    with opened(image, writable=True) as node:
        node.write_compressed(0, GRAIN, zlib.compress(bytes(64 * MIB)))  # type: ignore[attr-defined]
        node.write_compressed(GRAIN, GRAIN, zlib.compress(bytes(100)))  # type: ignore[attr-defined]
    with opened(image) as node:
        with pytest.raises(CorruptImage, match="inflates past a grain"):
            node.read(0, 512)
        with pytest.raises(CorruptImage, match="shorter than a grain"):
            node.read(GRAIN, 512)


# Several threads.


def test_writers_and_readers_in_several_threads(tmp_path: Path, qemu_img: Runner) -> None:
    image = tmp_path / "disk.vmdk"
    make(image, SIZE)
    grains = SIZE // GRAIN
    failures: list[BaseException] = []

    def work(node: VmdkNode, number: int) -> None:
        """Every fourth half grain, so that two threads meet in each grain."""
        try:
            for half in range(number, grains * 2, 4):
                data = pattern(GRAIN // 2, half + 1)
                node.write(half * (GRAIN // 2), data)
                assert node.read(half * (GRAIN // 2), GRAIN // 2) == data
                if half % 97 == 0:
                    node.flush()
        except BaseException as error:
            failures.append(error)

    with opened(image, writable=True, cache="unsafe") as node:
        threads = [threading.Thread(target=work, args=(node, number)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
    with opened(image) as node:
        for half in range(grains * 2):
            assert node.read(half * (GRAIN // 2), GRAIN // 2) == pattern(GRAIN // 2, half + 1)
        outcome = node.check(lambda finding: None)
        assert (outcome.corruptions, outcome.leaks) == (0, 0)
    qemu_img("check", image)


def test_more_tables_than_are_held(tmp_path: Path) -> None:
    """Dirty tables are written back, and clean ones let go of, when there are too many."""
    image = tmp_path / "disk.vmdk"
    make(image, 64 << 30)
    places = [(number * 7919 % 2048) * (32 * MIB) + number * 512 for number in range(300)]
    with opened(image, writable=True, cache="unsafe") as node:
        node.disk_extents[0].max_tables = 32  # type: ignore[attr-defined]
        for number, place in enumerate(places):
            node.write(place, pattern(512, number))
            assert len(node.disk_extents[0].tables) <= 64  # type: ignore[attr-defined]
        for number, place in enumerate(places):
            assert node.read(place, 512) == pattern(512, number)
    with opened(image) as node:
        for number, place in enumerate(places):
            assert node.read(place, 512) == pattern(512, number)
        assert node.check(lambda finding: None).corruptions == 0
