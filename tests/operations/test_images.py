"""create_image, info, map_, measure, resize, check: the library behind the verbs."""

from __future__ import annotations

from pathlib import Path

import pytest

import imgtools
from imgtools.errors import AccessDenied, BadOption, CorruptImage, ImageError, NotFound, UnsupportedFeature
from imgtools.operations.check import NotCheckable
from imgtools.operations.create import NewImage, plan_image
from imgtools.operations.resize import ShrinkRefused

MIB = 1 << 20


@pytest.fixture(autouse=True)
def in_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_public_name_is_there() -> None:
    for name in imgtools.__all__:
        assert getattr(imgtools, name) is not None
        assert name in dir(imgtools)
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        imgtools.nothing_of_the_kind  # noqa: B018


@pytest.mark.parametrize("format", ["raw", "qcow2", "vdi", "vmdk"])
def test_create_and_look(format: str) -> None:
    imgtools.create_image("disk", MIB, format=format)
    facts = imgtools.info("disk")
    assert (facts.filename, facts.format, facts.virtual_size) == ("disk", format, MIB)
    assert facts.backing_filename is None
    assert facts.as_dict()["virtual-size"] == MIB


def test_secrets_are_given_by_name() -> None:
    given = {"key-secret": "pw", "iter-time": "1"}
    imgtools.create_image("safe", MIB, format="luks", options=given, objects={"pw": b"swordfish"})
    opened = imgtools.open("safe", format="luks", options={"key-secret": "pw"}, objects={"pw": b"swordfish"})
    with opened as disk:
        assert disk.size == MIB
    with pytest.raises(NotFound, match="No secret with id 'pw'"):
        imgtools.create_image("other", MIB, format="luks", options=given)


@pytest.mark.parametrize(
    ("format", "options", "own"),
    [
        ("raw", {}, {}),
        ("vdi", {}, {}),
        ("vmdk", {}, {"write-zeroes-alignment": 65536}),
        ("qcow2", {"cluster_size": "4k"}, {"write-zeroes-alignment": 4096, "discard-alignment": 4096}),
        (
            "qcow2",
            {"cluster_size": "64k", "extended_l2": "on"},
            {"write-zeroes-alignment": 2048, "discard-alignment": 65536},
        ),
    ],
)
def test_limits(format: str, options: dict[str, str], own: dict[str, int]) -> None:
    imgtools.create_image("disk", MIB, format=format, options=options)
    common = {"request-alignment": 1, "max-iov": 1024, "min-mem-alignment": 1, "opt-mem-alignment": 4096}
    assert imgtools.info("disk", format=format).limits == common | own


def test_planning_makes_nothing() -> None:
    new = plan_image("disk", MIB, format="qcow2", options={"cluster_size": "4k", "lazy_refcounts": "yes"})
    assert new.size == MIB
    assert new.values["cluster_size"] == 4096
    assert "cluster_size=4096" in new.summary()
    assert "lazy_refcounts=yes" in new.summary()
    assert not Path("disk").exists()
    new.create()
    assert imgtools.info("disk").cluster_size == 4096


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"format": "foo", "size": 1}, "Unknown file format 'foo'"),
        ({"format": "raw"}, "Image creation needs a size parameter"),
        ({"format": "raw", "size": 1, "options": {"size": "1"}}, "The image size must be specified only once"),
        ({"format": "raw", "size": 1, "options": {"foo": "1"}}, "Invalid parameter 'foo'"),
        ({"format": "raw", "size": 1, "backing_file": "x"}, "Backing file not supported for file format 'raw'"),
        ({"format": "qcow2", "size": 1, "backing_file": ""}, "Expected backing file name, got empty string"),
        ({"format": "qcow2", "size": 1, "backing_file": "disk"}, "same filename as the backing file"),
        ({"format": "qcow2", "size": 1, "backing_file": "x", "open_backing": False}, "without backing format"),
        ({"format": "qcow2", "size": 1, "backing_format": "raw"}, "Backing format cannot be used without"),
        ({"format": "raw", "size": 1, "options": {"preallocation": "metadata"}}, "Unsupported preallocation mode"),
    ],
)
def test_refused(request_: dict[str, object], text: str) -> None:
    with pytest.raises(BadOption, match=text):
        imgtools.create_image("disk", **request_)  # type: ignore[arg-type]
    assert not Path("disk").exists()


def test_too_large_says_so() -> None:
    with pytest.raises(ImageError, match=r"The image size is too large for file format 'qcow2' \(try using a larger"):
        imgtools.create_image("disk", 7 << 60, format="qcow2")


def test_backing_file_gives_the_size() -> None:
    imgtools.create_image("base", MIB, format="qcow2")
    imgtools.create_image("top", format="qcow2", backing_file="base", backing_format="qcow2")
    facts = imgtools.info("top")
    assert (facts.virtual_size, facts.backing_filename, facts.backing_format) == (MIB, "base", "qcow2")
    assert [each.filename for each in imgtools.info_chain("top")] == ["top", "base"]


def test_chain_through_the_gate_only() -> None:
    Path("images").mkdir()
    imgtools.create_image("base", MIB, format="qcow2")
    imgtools.create_image("images/top", format="qcow2", backing_file="../base", backing_format="qcow2")
    assert imgtools.info("images/top").full_backing_filename == "images/../base"
    with pytest.raises(AccessDenied):
        list(imgtools.info_chain("images/top"))
    assert len(list(imgtools.info_chain("images/top", gate=imgtools.PERMISSIVE))) == 2


def test_chain_that_comes_back() -> None:
    new = plan_image("loop", MIB, format="qcow2", backing_file="./loop", backing_format="qcow2", open_backing=False)
    new.create()
    with pytest.raises(CorruptImage, match="infinite loop"):
        list(imgtools.info_chain("./loop"))


def test_map() -> None:
    imgtools.create_image("disk", MIB, format="qcow2")
    with imgtools.open("disk", writable=True) as disk:
        disk.write(65536, b"x" * 65536)
        disk.write(131072, b"y" * 65536)
        kinds = [(extent.start, extent.length, extent.kind) for extent in imgtools.map_(disk)]
        assert kinds == [(0, 65536, "hole"), (65536, 131072, "data"), (196608, MIB - 196608, "hole")]
        assert [extent.length for extent in imgtools.map_(disk, 70000, 10)] == [10]
        assert list(imgtools.map_(disk, MIB)) == []
        assert list(imgtools.map_(disk, 0, 0)) == []


def test_measure() -> None:
    assert imgtools.measure(size=MIB).required == MIB
    assert imgtools.measure(size=MIB, format="qcow2", options={"preallocation": "full"}).required > MIB
    with pytest.raises(UnsupportedFeature, match="Block driver 'vdi' does not support size measurement"):
        imgtools.measure(size=MIB, format="vdi")


def test_resize() -> None:
    imgtools.create_image("disk", MIB, format="qcow2")
    with imgtools.open("disk", writable=True) as disk:
        imgtools.resize(disk, 2 * MIB)
        with pytest.raises(ShrinkRefused):
            imgtools.resize(disk, MIB)
        with pytest.raises(BadOption, match="only be used for growing"):
            imgtools.resize(disk, 2 * MIB, preallocation="full")
        imgtools.resize(disk, MIB, shrink=True)
        assert disk.size == MIB
    imgtools.create_image("disk.vdi", MIB, format="vdi")
    with (
        imgtools.open("disk.vdi", writable=True) as disk,
        pytest.raises(UnsupportedFeature, match="does not support resize"),
    ):
        imgtools.resize(disk, 2 * MIB)


def test_check() -> None:
    imgtools.create_image("disk", MIB, format="qcow2")
    with imgtools.open("disk") as disk:
        result = imgtools.check(disk)
        assert (result.corruptions, result.leaks, result.total_clusters) == (0, 0, 16)
    imgtools.create_image("disk.raw", MIB)
    with imgtools.open("disk.raw") as disk, pytest.raises(NotCheckable):
        imgtools.check(disk)


def test_new_images_are_files() -> None:
    from imgtools.block.registry import find_format

    assert NewImage("file:disk", find_format("raw"), {}).path == "disk"
    with pytest.raises(BadOption, match="Unknown protocol 'smoke'"):
        NewImage("smoke:disk", find_format("raw"), {})


def test_names_may_be_paths(tmp_path: Path) -> None:
    path = tmp_path / "nbd:disk.qcow2"  # a prefix means nothing in a path
    (tmp_path / "base.raw").write_bytes(b"base" * 256)
    imgtools.create_image(tmp_path / "disk.qcow2", format="qcow2", backing_file="base.raw", backing_format="raw")
    (tmp_path / "disk.qcow2").rename(path)
    with imgtools.open(path) as disk:
        assert disk.read(0, 4) == b"base"
    assert [facts.format for facts in imgtools.info_chain(path)] == ["qcow2", "raw"]
