"""Options trees from Python, what an image may not say, and drivers that third parties add. The command line's
side is compared with qemu-img's in tests/cli/option_trees.py."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import imgtools
from imgtools.block import registry
from imgtools.block.driver import Child, Driver, Option
from imgtools.block.filters.readonly import ReadOnlyFilter
from imgtools.block.graph import Context
from imgtools.block.node import Node
from imgtools.block.options import Options
from imgtools.block.protocols.memory import MemoryNode
from imgtools.errors import AccessDenied, BadOption, ImageError, ReadOnly
from tests.conftest import Runner
from tests.model import pattern

SIZE = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> str:
    """A qcow2 image of SIZE bytes that holds a pattern."""
    path = str(tmp_path / "disk.qcow2")
    imgtools.create_image(path, SIZE, format="qcow2")
    with imgtools.open(path, writable=True) as node:
        node.write(0, pattern(SIZE))
    return path


def trees_for(path: str) -> list[Any]:
    nested = {"driver": "qcow2", "file": {"driver": "file", "filename": path}}
    flat = {"driver": "qcow2", "file.driver": "file", "file.filename": path}
    return [path, nested, flat, {"file": {"filename": path}}, f"json:{json.dumps(nested)}", f"json:{json.dumps(flat)}"]


@pytest.mark.parametrize("which", range(6))
def test_one_disk_by_many_names(which: int, disk: str) -> None:
    with imgtools.open(trees_for(disk)[which]) as node:
        assert (node.driver, node.shown_name, node.read(0, SIZE)) == ("qcow2", disk, pattern(SIZE))


def test_the_name_that_is_shown_leads_back(disk: str) -> None:
    tree = {"driver": "raw", "offset": 512, "size": "1k", "file": {"driver": "qcow2", "file.filename": disk}}
    with imgtools.open(tree) as node:
        name, content = node.shown_name, node.read(0, 1024)
    assert name.startswith("json:") and content == pattern(SIZE)[512:1536]
    with imgtools.open(name) as node:
        assert (node.shown_name, node.read(0, 1024)) == (name, content)


def test_a_format_inside_a_disk_of_another_format(tmp_path: Path) -> None:
    outer = str(tmp_path / "outer.qcow2")
    imgtools.create_image(outer, 4 << 20, format="qcow2")
    inner = str(tmp_path / "inner.qcow2")
    imgtools.create_image(inner, SIZE, format="qcow2")
    with imgtools.open(outer, writable=True) as node:
        node.write(0, Path(inner).read_bytes())
    tree = {"driver": "qcow2", "file": {"driver": "qcow2", "file": {"filename": outer}}}
    with imgtools.open(tree, writable=True) as node:
        node.write(0, pattern(SIZE))
    with imgtools.open(tree) as node:
        assert node.read(0, SIZE) == pattern(SIZE)


def test_an_open_node_may_stand_for_its_options(disk: str) -> None:
    with imgtools.open({"driver": "qcow2", "file": MemoryNode(content=Path(disk).read_bytes())}) as node:
        assert node.read(0, SIZE) == pattern(SIZE)


def test_backing_files_that_the_user_puts_in_place(disk: str, tmp_path: Path) -> None:
    top, other = str(tmp_path / "top.qcow2"), tmp_path / "elsewhere" / "other.raw"
    other.parent.mkdir()
    other.write_bytes(b"o" * SIZE)
    imgtools.create_image(top, format="qcow2", backing_file="disk.qcow2", backing_format="qcow2")
    expected: list[tuple[Any, bytes]] = [
        ({}, pattern(SIZE)),
        ({"backing": None}, bytes(SIZE)),
        ({"backing": {"driver": "raw", "file.filename": str(other)}}, b"o" * SIZE),
        ({"backing": {"node-name": "below"}}, pattern(SIZE)),
    ]
    for said, content in expected:
        with imgtools.open({"driver": "qcow2", "file.filename": top, **said}) as node:
            assert node.read(0, SIZE) == content, said


@pytest.mark.parametrize(
    "name", ["json:{}", "blkdebug::secret", "blkverify:secret:secret", "file:secret", "null-co://"]
)
def test_what_an_image_names_is_no_tree(name: str, tmp_path: Path, qemu_img: Runner) -> None:
    (tmp_path / "secret").write_bytes(b"s" * 512)
    name = name.replace("{}", '{"driver": "raw", "file.filename": "secret"}')
    qemu_img("create", "-u", "-f", "qcow2", "-b", name, "-F", "raw", tmp_path / "disk", "1M")
    before = set(os.listdir("/proc/self/fd"))
    for gate in (imgtools.SAME_DIRECTORY, imgtools.PERMISSIVE):
        with pytest.raises(AccessDenied, match="only plain file names"):
            imgtools.open(str(tmp_path / "disk"), gate=gate)
    assert set(os.listdir("/proc/self/fd")) == before, "files were left open"


@pytest.mark.parametrize(
    "said",
    [
        {"nonsense": 1},
        {"lazy-refcounts": "maybe"},
        {"backing.file.filename": "/nowhere"},
        {"file.nonsense": 1},
        {"l2-cache-entry-size": 3},
        {"driver": "quorum", "vote-threshold": 1},
    ],
)
def test_a_tree_that_is_refused_leaves_nothing_open(said: dict[str, Any], disk: str) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(ImageError):
        imgtools.open({"driver": "qcow2", "file.filename": disk, **said})
    assert set(os.listdir("/proc/self/fd")) == before


def test_json_that_is_none() -> None:
    for name, complaint in (
        ("json:{", "Could not parse the JSON options"),
        ("json:" + "[" * 100_000, "Could not parse the JSON options"),
        ("json:5", "Invalid JSON object given"),
        ("json:{}", "Must specify either driver or file"),
    ):
        with pytest.raises(BadOption, match=complaint):
            imgtools.open(name)


def test_read_only_nodes_take_no_writers(disk: str) -> None:
    with pytest.raises(ReadOnly, match="Block node is read-only"):
        imgtools.open(disk, writable=True, options={"read-only": True})


@pytest.mark.parametrize(("said", "kinds"), [("off", ["data"]), ("on", ["zero"]), ("unmap", ["zero"])])
def test_detect_zeroes(said: str, kinds: list[str], disk: str) -> None:
    """What is marked keeps its place with "on", as under QEMU, and loses it with "unmap"."""
    options = {"detect-zeroes": said, "discard": "unmap"}
    with imgtools.open(disk, writable=True, options=options) as node:
        node.write(0, bytes(SIZE))
        node.write(65536, bytes(65535) + b"x")
        assert node.read(0, SIZE) == bytes(131071) + b"x" + bytes(SIZE - 131072)
    with imgtools.open(disk) as node:
        assert [extent.kind for extent in node.extents(0, 65536)] == kinds
        assert [extent.offset is None for extent in node.extents(0, 65536)] == [said == "unmap"]


def test_a_flat_tree_is_taken_apart_again() -> None:
    options = Options.of({"driver": "quorum", "children": [{"file": {"filename": "a"}}, {"driver": "raw"}]})
    assert options == {"driver": "quorum", "children.0.file.filename": "a", "children.1.driver": "raw"}
    assert options.take_below("children.0") == {"file.filename": "a"}
    assert options.has_below("children") and not options.has_below("child")


class Locked(Driver):
    """A third party's filter."""

    name = "toy-lock"
    children = (Child("file", by_name="what"),)
    open_options = (Option("key", "int", "the key"),)

    def parse_name(self, name: str) -> dict[str, Any]:
        return {"what": name.removeprefix("toy:")}

    def open_node(self, children: dict[str, Node], context: Context) -> Node:
        assert context.options.get("key", 7) == 7
        return ReadOnlyFilter(children["file"])


def test_a_driver_of_a_third_party(disk: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    monkeypatch.setattr(registry, "PREFIXES", dict(registry.PREFIXES))
    registry.register(Locked(), prefixes=("toy",))
    assert "toy-lock" in registry.driver_names() and "toy-lock" not in registry.format_names()
    with imgtools.open(f"toy:{disk}") as node:
        assert node.driver == "qcow2" and isinstance(node.children["file"], ReadOnlyFilter)
    with imgtools.open({"driver": "qcow2", "file": {"driver": "toy-lock", "key": 7, "file.filename": disk}}) as node:
        assert node.read(0, 512) == pattern(SIZE)[:512]
    with pytest.raises(BadOption, match="does not support the option 'lock'"):
        imgtools.open({"driver": "toy-lock", "lock": 7, "file.filename": disk})
    with pytest.raises(BadOption, match="Unknown driver 'toy-lock'"):
        registry.find_format("toy-lock")


def test_every_declared_driver_is_there_and_says_what_it_takes() -> None:
    for name in registry.DRIVERS:
        driver = registry.find_driver(name)
        assert driver.name == name
        assert all(option.help for option in driver.open_options)
    assert set(registry.PREFIXES.values()) <= {*registry.DRIVERS, *registry.BUILT_IN}


@pytest.mark.parametrize("name", ["blkdebug", "blkverify", "preallocate", "quorum", "trace", "qcow2", "raw"])
def test_every_option_is_documented(name: str) -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "filters.md").read_text()
    assert name in registry.BUILT_IN or f"### {name}\n" in page
    for option in registry.find_driver(name).open_options:
        if not option.name.startswith(("x-", "overlap-check.")):
            assert option.name.rpartition("*.")[2] in page, f"{name}: {option.name}"
