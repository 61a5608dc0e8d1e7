"""The registry: a third party's format, registered by a call or found by its entry point."""

from __future__ import annotations

from pathlib import Path

import pytest

import imgtools
from imgtools.block import registry
from imgtools.block.filters.window import Window
from imgtools.block.format import Format
from imgtools.block.graph import Context
from imgtools.block.node import Node, Storage
from imgtools.errors import BadOption, UnsupportedFeature

MAGIC = b"TOYDISK\n"


class Toy(Format):
    """Eight bytes of magic, and behind them the disk."""

    name = "toy"

    def open(self, storage: Storage, context: Context) -> Node:
        return Window(storage, len(MAGIC))


@pytest.fixture(autouse=True)
def leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    monkeypatch.setattr(registry, "MAGIC", registry.MAGIC)


def test_a_registered_format_is_probed_and_opened(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(MAGIC + b"content")
    registry.register(Toy(), (0, MAGIC))
    with imgtools.open(str(path)) as disk:
        assert (disk.size, disk.read(0, 7)) == (7, b"content")
    assert "toy" in registry.format_names()


def test_a_format_is_found_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site"
    (package / "toy_disks-1.dist-info").mkdir(parents=True)
    (package / "toy_disks-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-disks\nVersion: 1\n")
    (package / "toy_disks-1.dist-info" / "entry_points.txt").write_text("[imgtools.formats]\ntoy = toy_disks:FORMAT\n")
    (package / "toy_disks.py").write_text("from tests.block.test_registry import Toy\nFORMAT = Toy()\n")
    monkeypatch.syspath_prepend(str(package))
    (tmp_path / "disk").write_bytes(MAGIC + b"content")
    with imgtools.open(str(tmp_path / "disk"), format="toy") as disk:
        assert disk.read(0, 7) == b"content"


def test_an_unknown_format_lists_the_known_ones() -> None:
    with pytest.raises(BadOption, match="Unknown driver 'zip'") as caught:
        registry.find_format("zip")
    assert "qcow2, qed, raw, vdi, vhdx, vmdk, vpc" in (caught.value.hint or "")


def test_what_a_format_does_not_do_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedFeature, match="Format driver 'toy' does not support image creation"):
        Toy().create("x", 1, {}, Context())
    with pytest.raises(UnsupportedFeature, match="'toy' does not support size measurement"):
        Toy().measure(None, 1, {})


def test_built_in_names_and_magic_agree() -> None:
    assert {name for name, _, _ in registry.MAGIC} <= set(registry.BUILT_IN)
    assert all(offset + len(magic) <= registry.PROBE_LENGTH for _, offset, magic in registry.MAGIC)
    assert registry.probe(b"") == registry.probe(bytes(2048)) == "raw"
