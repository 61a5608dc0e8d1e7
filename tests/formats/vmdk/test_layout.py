"""New VMDKs are laid out as QEMU's are, and what is refused is refused in its words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from imgtools.errors import BadOption, ImageError
from imgtools.formats.vmdk import FORMAT
from imgtools.formats.vmdk.records import SPARSE_HEADER
from imgtools.operations.create import options_for
from tests.conftest import Runner
from tests.formats.vmdk.support import SUBFORMATS, assert_same_files, make, opened, option_text, twins

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40


@pytest.mark.parametrize("size", [512, MIB, 1_000_001, 33 * MIB + 512, 3 * GIB, 4 * GIB])
@pytest.mark.parametrize("subformat", SUBFORMATS)
def test_new_images_are_byte_for_byte_the_same(subformat: str, size: int, tmp_path: Path, qemu_img: Runner) -> None:
    ours, theirs = twins(tmp_path)
    make(ours / "disk.vmdk", size, subformat=subformat)
    qemu_img("create", "-f", "vmdk", "-o", f"subformat={subformat}", theirs / "disk.vmdk", size)
    assert_same_files(ours, theirs)


@pytest.mark.parametrize(
    "options",
    [
        {"adapter_type": "lsilogic"},
        {"adapter_type": "buslogic", "subformat": "monolithicFlat"},
        {"adapter_type": "legacyESX", "subformat": "twoGbMaxExtentSparse"},
        {"compat6": True},
        {"hwversion": "10", "toolsversion": "10304"},
        {"hwversion": "undefined"},
        {"zeroed_grain": True},
        {"zeroed_grain": True, "subformat": "twoGbMaxExtentSparse"},
        {"zeroed_grain": True, "subformat": "streamOptimized"},
        {"zeroed_grain": False, "compat6": False},
    ],
    ids=option_text,
)
def test_every_option_is_laid_out_the_same(options: dict[str, Any], tmp_path: Path, qemu_img: Runner) -> None:
    ours, theirs = twins(tmp_path)
    make(ours / "disk", 20 * MIB, **options)
    qemu_img("create", "-f", "vmdk", "-o", option_text(options), theirs / "disk", 20 * MIB)
    assert_same_files(ours, theirs)


def test_a_huge_disk_is_laid_out_the_same(tmp_path: Path, qemu_img: Runner) -> None:
    ours, theirs = twins(tmp_path)
    make(ours / "disk.vmdk", 5 * TIB)
    qemu_img("create", "-f", "vmdk", theirs / "disk.vmdk", "5T")
    assert_same_files(ours, theirs)
    node, peer = opened(ours / "disk.vmdk", writable=True), opened(theirs / "disk.vmdk", writable=True)
    for disk in (node, peer):
        disk.write(5 * TIB - 512, b"x" * 512)
        disk.close()
    assert (ours / "disk.vmdk").stat().st_size == (theirs / "disk.vmdk").stat().st_size


def test_children_name_their_parents_alike(tmp_path: Path, qemu_img: Runner) -> None:
    ours, theirs = twins(tmp_path)
    qemu_img("create", "-f", "vmdk", tmp_path / "parent.vmdk", MIB)
    for subformat in ("monolithicSparse", "twoGbMaxExtentSparse", "streamOptimized"):
        options = {"backing_file": "../parent.vmdk", "subformat": subformat}
        make(ours / f"{subformat}.vmdk", MIB, backing_fmt="vmdk", **options)
        text = option_text({"backing_fmt": "vmdk", **options})
        qemu_img("create", "-f", "vmdk", "-o", text, theirs / f"{subformat}.vmdk", MIB)
    assert_same_files(ours, theirs)


def test_preallocation_takes_the_space(tmp_path: Path) -> None:
    for mode in ("falloc", "full"):
        make(tmp_path / f"{mode}.vmdk", MIB, subformat="monolithicFlat", preallocation=mode)
        assert (tmp_path / f"{mode}-flat.vmdk").stat().st_blocks * 512 >= MIB


def test_an_empty_disk_is_a_disk(tmp_path: Path) -> None:
    for subformat in SUBFORMATS:
        make(tmp_path / f"{subformat}.vmdk", 0, subformat=subformat)
        with opened(tmp_path / f"{subformat}.vmdk", writable=True) as node:
            assert node.size == 0 and node.read(0, 0) == b"" and list(node.extents(0, 0)) == []
            node.write(0, b"")


@pytest.mark.parametrize(
    "options",
    [
        {"adapter_type": "scsi"},
        {"subformat": "vmfs"},
        {"compat6": True, "hwversion": "7"},
        {"subformat": "monolithicFlat", "zeroed_grain": True},
        {"subformat": "twoGbMaxExtentFlat", "backing_file": "parent.vmdk", "backing_fmt": "vmdk"},
        {"backing_file": "other.qcow2", "backing_fmt": "qcow2"},
    ],
    ids=option_text,
)
def test_refuses_options_in_the_same_words(options: dict[str, Any], tmp_path: Path, qemu_img: Runner) -> None:
    qemu_img("create", "-f", "vmdk", tmp_path / "parent.vmdk", MIB)
    qemu_img("create", "-f", "qcow2", tmp_path / "other.qcow2", MIB)
    path = tmp_path / "disk.vmdk"
    done = qemu_img("create", "-f", "vmdk", "-o", option_text(options), path, MIB, check=False)
    said = done.stderr.strip().removeprefix(f"qemu-img: {path}: ")
    with pytest.raises(BadOption) as refusal:
        make(path, MIB, **options)
    assert refusal.value.message == said


def test_refuses_texts_that_would_forge_lines_of_the_descriptor(tmp_path: Path) -> None:
    for options in (
        {"hwversion": '4"\nRW 1 FLAT "/etc/passwd" 0'},
        {"toolsversion": "1\n"},
        {"adapter_type": "ide\n"},
    ):
        with pytest.raises(BadOption):
            make(tmp_path / "disk.vmdk", MIB, **options)
    with pytest.raises(BadOption, match="too long"):
        make(tmp_path / "disk.vmdk", MIB, toolsversion="9" * 12000)
    with pytest.raises(BadOption, match="quotation"):
        make(tmp_path / 'a"b.vmdk', MIB, subformat="monolithicFlat")


HEADERS = {
    "version 3": {"version": 3},
    "version 4": {"version": 4},
    "table entries": {"gtes_per_gt": 513},
    "no table entries": {"gtes_per_gt": 0},
    "no grain": {"grain_size": 0},
    "large grain": {"grain_size": 0x200001},
    "overhead": {"overhead": 1 << 31},
    "footer": {"gd_offset": (1 << 64) - 1},
}


@pytest.mark.parametrize("case", HEADERS)
def test_refuses_headers_in_the_same_words(case: str, tmp_path: Path, qemu_io: Runner) -> None:
    path = tmp_path / "disk.vmdk"
    make(path, MIB)
    with path.open("r+b") as file:
        fields = vars(SPARSE_HEADER.parse(file.read(512))) | HEADERS[case]
        file.seek(0)
        file.write(SPARSE_HEADER.build(**fields))
    done = qemu_io(path, "read 0 512", format="vmdk", check=False)
    with pytest.raises(ImageError) as refusal:
        opened(path, writable=True)
    assert done.stderr.strip() == f"qemu-io: can't open device {path}: {refusal.value.message}"
    assert refusal.value.path == str(path)


def test_version_3_can_be_read(tmp_path: Path) -> None:
    make(tmp_path / "disk.vmdk", MIB)
    with (tmp_path / "disk.vmdk").open("r+b") as file:
        file.seek(4)
        file.write(b"\3")
    with opened(tmp_path / "disk.vmdk") as node:
        assert node.read(0, 512) == bytes(512)


@pytest.mark.parametrize("subformat", SUBFORMATS)
def test_tells_the_same_details(subformat: str, tmp_path: Path, qemu_img: Runner) -> None:
    path = tmp_path / "disk.vmdk"
    make(path, 3 * GIB, subformat=subformat)
    told = json.loads(qemu_img("info", "--output=json", path).stdout)
    with opened(path) as node:
        assert node.details() == told["format-specific"]["data"]
        assert node.size == told["virtual-size"]
        assert node.cluster_size == told.get("cluster-size")
        assert node.requires_compression == (subformat == "streamOptimized")


def test_options_have_the_same_help(qemu_img: Runner) -> None:
    said = qemu_img("create", "-f", "vmdk", "-o", "help", "x.vmdk").stdout.splitlines()[1:]
    told = {line.split("=")[0].strip(): line.split(" - ", 1)[1] for line in said}
    assert {option.name: option.help for option in options_for(FORMAT)} == told
