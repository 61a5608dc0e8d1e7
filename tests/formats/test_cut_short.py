"""Images in blocks that are cut short: who reads what is missing is told, whichever way it is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import imgtools
from imgtools.block.extent import DATA, READS_ZERO
from imgtools.errors import CorruptImage, InputOutput
from imgtools.operations.convert import convert
from imgtools.operations.create import create_image
from tests.model import pattern

MIB = 1 << 20


@pytest.mark.parametrize("format", ["vdi", "vpc", "vhdx"])
def test_missing_blocks_are_never_zeroes(format: str, tmp_path: Path) -> None:
    path, copy = str(tmp_path / "disk"), str(tmp_path / "copy")
    create_image(path, 64 * MIB, format=format)
    with imgtools.open(path, format=format, writable=True) as disk:
        disk.write(0, pattern(40 * MIB))
    with imgtools.open(path, format=format) as disk:
        *_, last = (extent for extent in disk.extents(0, disk.size) if extent.kind == DATA)
        assert last.offset is not None
        end = last.offset + last.length
    os.truncate(path, end - 4 * MIB)
    create_image(copy, 64 * MIB)
    with imgtools.open(path, format=format) as disk, imgtools.open(copy, format="raw", writable=True) as target:
        where = last.start + last.length - MIB
        with pytest.raises(CorruptImage, match="not in the file") as caught:
            disk.read(where, 512)
        assert caught.value.offset is not None
        (extent,) = disk.extents(where, 512)
        assert extent.kind not in READS_ZERO
        assert extent.storage is None, "who takes the bytes from there would not be told"
        with pytest.raises(InputOutput, match="not in the file"):
            convert([disk], target)
