"""Persistent bitmaps of a disk, as clients are told of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import imgtools
from imgtools.formats.qcow2.node import Qcow2Node
from tests.conftest import require_tool, run
from tests.nbd.serving import Server

MIB = 1 << 20


@pytest.mark.parametrize("offset", [0, 65536])
def test_bitmaps_are_told(offset: int, tmp_path: Path, serve: Callable[..., Server]) -> None:
    nbdinfo = require_tool("nbdinfo")
    path = tmp_path / "disk.qcow2"
    imgtools.create_image(str(path), 8 * MIB, format="qcow2")
    with imgtools.open(str(path), writable=True) as node:
        assert isinstance(node, Qcow2Node)
        node.bitmaps.add("b0")
        node.write(MIB, b"x" * 100_000)
        node.zero(5 * MIB, MIB)
    server = serve(path, "--read-only", "-B", "b0", f"--offset={offset}")
    said = json.loads(run(nbdinfo, "--json", "--map=qemu:dirty-bitmap:b0", server.uri).stdout)
    dirty = [(each["offset"] + offset, each["length"]) for each in said if each["type"] == 1]
    assert dirty == [(MIB, 131_072), (5 * MIB, MIB)]
    assert sum(each["length"] for each in said) == 8 * MIB - offset
