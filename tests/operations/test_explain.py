"""Explaining: what is shown is what is in the file, at the place that is given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import imgtools
from imgtools.cli.program import main
from imgtools.errors import UnsupportedFeature
from imgtools.operations.create import create_image
from imgtools.operations.explain import explain

SIZE = 3 << 20


@pytest.mark.parametrize("format", ["qcow2", "vdi", "vmdk", "vhdx", "vpc"])
def test_fields_lie_where_it_is_said(format: str, tmp_path: Path) -> None:
    path = tmp_path / "disk"
    create_image(str(path), SIZE, format=format)
    with imgtools.open(str(path), writable=True) as node:
        node.write(1 << 20, b"x" * 512)
    content, seen = path.read_bytes(), 0
    with imgtools.open(str(path)) as node:
        for part in explain(node):
            for field in part.fields:
                if field.offset is None or not isinstance(field.value, int):
                    continue
                stored = content[field.offset : field.offset + (field.size or 0)]
                order = "big" if format in ("qcow2", "vpc") else "little"
                assert int.from_bytes(stored, order) == field.value, (part.name, field.name)  # type: ignore[arg-type]
                seen += 1
    assert seen > 10


def test_raw_has_nothing_to_explain(tmp_path: Path) -> None:
    create_image(str(tmp_path / "disk"), SIZE, format="raw")
    with imgtools.open(str(tmp_path / "disk"), format="raw") as node, pytest.raises(UnsupportedFeature):
        list(explain(node))


def test_json_has_all_that_the_text_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "disk")
    create_image(path, SIZE, format="vdi")
    assert main(["imgtools", "explain", "--output=json", path]) == 0
    [header] = json.loads(capsys.readouterr().out)["structures"]
    assert main(["imgtools", "explain", path]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(header["fields"]) == len(lines) - 1
    size = next(field for field in header["fields"] if field["name"] == "disk_size")
    assert size == {"name": "disk_size", "offset": 0x170, "size": 8, "value": SIZE, "meaning": "bytes of the disk"}


def test_files_that_an_image_names_are_not_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "disk.vmdk")
    create_image(path, SIZE, format="vmdk", options={"subformat": "monolithicFlat"})
    assert main(["imgtools", "explain", path]) == 1
    assert "one by one" in capsys.readouterr().err
