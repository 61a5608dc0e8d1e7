"""The images in tests/images, which other programs made, are read without them."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest

import imgtools
from tests.images.recipe import HERE, READ_ONLY, RECIPES
from tests.model import check_is_clean

MANIFEST = json.loads((HERE / "MANIFEST.json").read_text())


def unpack(name: str, folder: Path) -> Path:
    path = folder / name
    path.write_bytes(gzip.decompress((HERE / f"{name}.gz").read_bytes()))
    return path


def test_every_recipe_has_its_image() -> None:
    assert set(MANIFEST) == set(RECIPES) == {path.stem for path in HERE.glob("*.gz")}
    assert max(path.stat().st_size for path in HERE.glob("*.gz")) < 65_536


@pytest.mark.parametrize("name", MANIFEST)
def test_images_are_recognised_and_read(name: str, tmp_path: Path) -> None:
    path = unpack(name, tmp_path)
    with imgtools.open(str(path)) as node:
        assert node.driver == path.suffix[1:]
        content = node.read(0, node.size)
        assert hashlib.sha256(content).hexdigest() == MANIFEST[name]["content-sha256"]
        check_is_clean(node)


@pytest.mark.parametrize("name", [name for name in MANIFEST if name not in READ_ONLY])
def test_images_can_be_written_on(name: str, tmp_path: Path) -> None:
    path = unpack(name, tmp_path)
    with imgtools.open(str(path), writable=True) as node:
        before = bytearray(node.read(0, node.size))
        node.write(500_000, b"written" * 20_000)
    before[500_000:640_000] = b"written" * 20_000
    with imgtools.open(str(path)) as node:
        assert node.read(0, node.size) == before
        check_is_clean(node)
