"""The checks of QED and Parallels images, beside QEMU's: the same verdict on damaged tables, repairs that suit both."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

import imgtools
from imgtools.block.format import Finding
from imgtools.block.graph import Context, open_tree
from imgtools.formats.parallels.records import HEADER as PARALLELS_HEADER
from imgtools.formats.qed.records import HEADER as QED_HEADER
from tests.cli.launch import install, run
from tests.conftest import Runner

SIZE = 8 << 20
FORMATS = pytest.mark.parametrize("format", ["qed", "parallels"])
QED_CLUSTER, PARALLELS_BLOCK = 65536, 1 << 20


@pytest.fixture
def path(format: str, tmp_path: Path, qemu_img: Runner, qemu_io: Runner) -> Path:
    image = tmp_path / f"disk.{format}"
    qemu_img("create", "-f", format, image, SIZE)
    qemu_io(image, "write -P 1 1M 256k", "write -P 2 5M 64k", "write -P 3 0 64k", format=format)
    return image


def tables(path: Path, format: str) -> list[int]:
    """Where the entries lie that lead to clusters, and for QED to an L2 table."""
    content = path.read_bytes()
    if format == "parallels":
        first = PARALLELS_HEADER.size
        return [first + 4 * block for block in range(PARALLELS_HEADER.parse(content).bat_entries)]
    l1 = QED_HEADER.parse(content).l1_table_offset
    l2 = int.from_bytes(content[l1 : l1 + 8], "little")
    return [l1, *(l2 + 8 * cluster for cluster in range(SIZE // QED_CLUSTER))]


def put(path: Path, offset: int, number: int, size: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(number.to_bytes(size, "little"))


def damage(path: Path, format: str, seed: int) -> None:
    """Let some entries lead elsewhere: outside of the file; for QED also into the header, or another's cluster."""
    chance = random.Random(seed)
    places = tables(path, format)
    for _ in range(chance.randrange(1, 4)):
        if format == "parallels":
            put(path, chance.choice(places), chance.choice([0, 9, 1000, 0xFFFFFFFF]), 4)
        else:
            clusters = path.stat().st_size // QED_CLUSTER
            number = chance.choice([0, 1, 512, QED_CLUSTER, clusters * QED_CLUSTER, 6 * QED_CLUSTER, 1 << 62])
            put(path, chance.choice(places), number, 8)
    if chance.random() < 0.3:
        with path.open("ab") as file:
            file.truncate(path.stat().st_size + chance.choice([PARALLELS_BLOCK, 3 * PARALLELS_BLOCK]))


@FORMATS
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("words", [["check"], ["check", "-r", "all"], ["check", "--output=json"]])
def test_the_verdict_is_that_of_qemu(
    words: list[str], seed: int, path: Path, format: str, tmp_path: Path, qemu_img: Runner
) -> None:
    damage(path, format, seed)
    ours = path.with_suffix(".ours")
    shutil.copy(path, ours)
    theirs = qemu_img(*words, "-f", format, path, check=False)
    done = run(install(tmp_path) / "qemu-img", *words, "-f", format, str(ours), cwd=tmp_path)
    assert done.stdout.decode().replace(str(ours), str(path)) == theirs.stdout
    assert done.returncode == theirs.returncode
    if "-r" in words:
        mended = ours.read_bytes()  # QEMU lets Parallels' file grow to where the wrong entries pointed
        assert path.read_bytes()[: len(mended)] == mended
    if format == "parallels":
        assert done.stderr.decode() == theirs.stderr


def checked(path: Path, format: str, repair: str | None = None) -> tuple[Any, list[Finding]]:
    findings: list[Finding] = []
    context = Context(writable=repair is not None, checking=True)
    with open_tree(str(path), format, context) as node:
        return imgtools.check(node, repair=repair, report=findings.append), findings


@FORMATS
def test_an_image_that_was_not_closed(format: str, path: Path, qemu_img: Runner, qemu_io: Runner) -> None:
    """QED marks it at the first write, and calls it sound; Parallels calls it corrupt."""
    qemu_io(path, "write -P 4 3M 64k", "sigraise 9", format=format, check=False)
    assert imgtools.info(str(path)).dirty
    repair = "leaks" if format == "qed" else "all"
    result, findings = checked(path, format, repair)
    told = ["Repairing image was not closed correctly", "Repairing space leaked at the end of the image 134217728"]
    assert [finding.message for finding in findings] == ([] if format == "qed" else told)
    assert result.corruptions == result.corruptions_fixed
    assert result.leaks == result.leaks_fixed
    assert not imgtools.info(str(path)).dirty
    assert json.loads(qemu_img("check", "--output=json", path).stdout)["check-errors"] == 0


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "ERROR cluster 7 lies where another one does"),
        (4, "ERROR cluster 7 is in the image only in part"),
    ],
)
@pytest.mark.parametrize("format", ["parallels"])
def test_more_than_qemu_finds_in_a_table(number: int, text: str, path: Path, format: str) -> None:
    with path.open("ab") as file:
        file.truncate(4 * PARALLELS_BLOCK + 512)
    put(path, tables(path, format)[7], number, 4)
    before = path.read_bytes()
    result, findings = checked(path, format, "all")
    assert result.corruptions == 1 and result.corruptions_fixed == 0
    assert text in [finding.message for finding in findings]
    assert path.read_bytes()[:512] == before[:512]


def test_blocks_over_the_table_of_the_older_magic(tmp_path: Path, qemu_img: Runner) -> None:
    path = tmp_path / "disk.parallels"
    qemu_img("create", "-f", "parallels", path, SIZE)
    put(path, 0, int.from_bytes(b"WithoutFreeSpace", "little"), 16)
    put(path, tables(path, "parallels")[2], 1, 4)
    result, findings = checked(path, "parallels")
    assert "ERROR cluster 2 lies over the block table" in [finding.message for finding in findings]
    assert result.corruptions == 1


@FORMATS
def test_a_repair_needs_a_file_that_can_be_written(format: str, path: Path) -> None:
    with (
        open_tree(str(path), format, Context(checking=True)) as node,
        pytest.raises(imgtools.ImageError, match="read-only"),
    ):
        imgtools.check(node, repair="all")
