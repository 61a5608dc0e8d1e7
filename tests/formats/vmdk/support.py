"""What the VMDK tests share: making images, opening them, and comparing files but for their content IDs."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path
from typing import Any

from imgtools.block.graph import Context, open_image
from imgtools.formats.vmdk import FORMAT
from imgtools.formats.vmdk.node import VmdkNode
from imgtools.operations.create import options_for

SUBFORMATS = ("monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "streamOptimized")
CONTENT_ID = re.compile(rb"^CID=[0-9a-f]+\n", re.MULTILINE)


def make(path: Path, size: int, **options: Any) -> None:
    """Create an image; the options that are not given have their defaults."""
    values = {option.name: options.get(option.name, option.default) for option in options_for(FORMAT)}
    FORMAT.create(str(path), size, values, Context(writable=True))


def opened(path: Path, **how: Any) -> VmdkNode:
    node = open_image(str(path), format="vmdk", **how)
    assert isinstance(node, VmdkNode)
    return node


def without_cid(path: Path) -> bytes:
    """The first 4 MiB of a file with its own content ID taken out of the descriptor."""
    with path.open("rb") as file:
        content = file.read(4 << 20)
    start = 512 if content.startswith(b"KDMV") else 0
    area = content[start : start + 20 * 512]
    text, count = CONTENT_ID.subn(b"CID=\n", area.rstrip(b"\0"))
    return content[:start] + (text.ljust(len(area), b"\0") if count and start else text) + content[start + len(area) :]


def assert_same_files(ours: Path, theirs: Path) -> None:
    """Two directories hold the same files, byte for byte but for the content IDs (and holes, of which 4 MiB count)."""
    assert sorted(os.listdir(ours)) == sorted(os.listdir(theirs))
    for name in os.listdir(ours):
        if CONTENT_ID.search((ours / name).open("rb").read(1024)) is None or name.endswith(".raw"):
            assert (ours / name).stat().st_size == (theirs / name).stat().st_size, name
        assert without_cid(ours / name) == without_cid(theirs / name), name


def twins(tmp_path: Path) -> tuple[Path, Path]:
    """Two directories, so that what is made in both can have the same names."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    return ours, theirs


def option_text(options: dict[str, Any]) -> str:
    """`options` as qemu-img takes them."""
    shown = {key: {True: "on", False: "off"}.get(value, value) for key, value in options.items()}
    return ",".join(f"{key}={value}" for key, value in shown.items())


def random_ranges(seed: int, size: int, count: int) -> list[tuple[int, int, int]]:
    """(offset, length, pattern byte), sectors, many of them at the borders of grains and of 2 GiB extents."""
    chance = random.Random(seed)
    ranges = []
    for _ in range(count):
        if chance.random() < 0.3 and size > 2 << 30:
            offset = (2 << 30) - 512 * chance.randrange(256)
        else:
            offset = chance.randrange(0, size, 65536 if chance.random() < 0.4 else 512)
        length = min(size - offset, chance.choice([512, 4096, 65536, 65536 * 3, 65536 + 512, 1 << 20]))
        ranges.append((offset, length, chance.randrange(1, 256)))
    return ranges
