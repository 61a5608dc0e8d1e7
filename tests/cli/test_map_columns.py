"""The lines of many extents at once are those of one after the other; and qemu-img's."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

import imgtools
from imgtools.block.extent import Columns, Extent
from imgtools.cli.map import write_json
from imgtools.formats.qcow2 import extents
from imgtools.formats.qcow2.irregular import KINDS
from imgtools.operations.map import map_columns
from tests.conftest import Runner


def test_lines_of_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(1)
    kinds = [chance.randrange(len(KINDS)) for _ in range(20_000)]
    offsets = [chance.choice((-1, 0, chance.getrandbits(chance.randrange(1, 50)))) for _ in kinds]
    lengths = [1 << chance.randrange(9, 40) for _ in kinds]
    starts = [index * 1000 for index in range(len(kinds))]
    with imgtools.open("null-co://") as storage:
        arrays = (np.array(values, np.int64) for values in (starts, lengths, kinds, offsets))
        write_json([Columns(*arrays, KINDS, storage)], 0)
        fast = capsys.readouterr().out
        rows = zip(starts, lengths, kinds, offsets, strict=True)
        write_json(
            [Extent(s, n, KINDS[k], 0, storage, None if place < 0 else place) for s, n, k, place in rows],
            0,
        )
        assert fast == capsys.readouterr().out


@pytest.mark.parametrize("cluster_size", [512, 4096, 65536])
def test_irregular_tables_as_qemu_img_maps_them(
    cluster_size: int,
    tmp_path: Path,
    qemu_img: Runner,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(extents, "LINES_WITHOUT_NUMPY", 0)
    chance = random.Random(cluster_size)
    path = str(tmp_path / "disk.qcow2")
    options = {"cluster_size": str(cluster_size)}
    imgtools.create_image(path, 3000 * cluster_size, format="qcow2", options=options)
    with imgtools.open(path, writable=True) as disk:
        for _ in range(700):
            start = chance.randrange(2990) * cluster_size
            length = chance.randrange(1, 4) * cluster_size
            if chance.random() < 0.7:
                disk.write(start, chance.randbytes(length))
            else:
                disk.zero(start, length, unmap=chance.random() < 0.5)
    with imgtools.open(path) as disk:
        items = list(map_columns(disk))
        assert any(isinstance(item, Columns) for item in items) or cluster_size == 65536  # one table, and not whole
        write_json(items, 0)
    assert capsys.readouterr().out == qemu_img("map", "--output=json", path).stdout
