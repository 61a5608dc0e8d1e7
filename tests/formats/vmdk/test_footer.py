"""Streams as VMware's own tools write them: the directory at the end, found through the footer."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from imgtools.block.node import Node, Storage
from imgtools.errors import CorruptImage, ImageError, UnsupportedFeature
from imgtools.formats.vmdk import FORMAT
from imgtools.formats.vmdk.records import METADATA_MARKER, SPARSE_HEADER
from tests.conftest import Runner
from tests.formats.vmdk.support import opened
from tests.model import MemoryContext, compare, pattern
from tests.mutate import extremes, fields_of, flips, survives_mutations, truncations

GRAIN = 65536
DESCRIPTOR = b"""# Disk DescriptorFile
version=1
CID=7e57ab1e
parentCID=ffffffff
createType="streamOptimized"

# Extent description
RW 1100 SPARSE "disk.vmdk"

# The Disk Data Base
#DDB

ddb.adapterType = "lsilogic"
"""
PLACES = {0: pattern(GRAIN, 1), 3: b"text " * 13107 + b"!", 8: pattern(76 * 512, 3)}


def stream_with_footer(places: dict[int, bytes]) -> bytes:
    """Header, descriptor, grains, grain table, grain directory, footer, end of stream."""
    fields = {
        "magic": b"KDMV",
        "version": 3,
        "flags": 0x30001,
        "capacity": 1100,
        "grain_size": 128,
        "descriptor_offset": 1,
        "descriptor_size": 2,
        "gtes_per_gt": 512,
        "overhead": 128,
        "newline_test": b"\n \r\n",
        "compress_algorithm": 1,
    }
    content = bytearray(SPARSE_HEADER.build(**fields, gd_offset=(1 << 64) - 1))
    content += DESCRIPTOR.ljust(128 * 512 - 512, b"\0")
    table = [0] * 512
    for grain, data in places.items():
        table[grain] = len(content) // 512
        stream = zlib.compress(data)
        piece = struct.pack("<QI", grain * 128, len(stream)) + stream
        content += piece + bytes(-len(piece) % 512)
    content += METADATA_MARKER.build(sectors=4, type=1)
    table_sector = len(content) // 512
    content += struct.pack("<512I", *table)
    content += METADATA_MARKER.build(sectors=1, type=2)
    directory = len(content) // 512
    content += struct.pack("<I", table_sector).ljust(512, b"\0")
    content += METADATA_MARKER.build(sectors=1, type=3)
    content += SPARSE_HEADER.build(**fields, gd_offset=directory)
    content += METADATA_MARKER.build()
    return bytes(content)


def test_is_read_as_qemu_reads_it(tmp_path: Path, qemu_img: Runner) -> None:
    image = tmp_path / "disk.vmdk"
    image.write_bytes(stream_with_footer(PLACES))
    qemu_img("convert", "-f", "vmdk", "-O", "raw", image, tmp_path / "disk.raw")
    with opened(image) as node:
        compare(node.read(0, node.size), (tmp_path / "disk.raw").read_bytes())
        assert node.read(3 * GRAIN, GRAIN) == PLACES[3]
        assert node.create_type == "streamOptimized" and node.cid == 0x7E57AB1E
        outcome = node.check(lambda finding: None)
        assert (outcome.corruptions, outcome.leaks) == (0, 0)


def test_is_not_written(tmp_path: Path) -> None:
    image = tmp_path / "disk.vmdk"
    image.write_bytes(stream_with_footer(PLACES))
    with pytest.raises(UnsupportedFeature, match="footer"):
        opened(image, writable=True)


@pytest.mark.parametrize("damage", [lambda c: c[:-512], lambda c: c[:-1024] + bytes(1024), lambda c: c + b"x" * 512])
def test_a_stream_that_was_cut_short_is_refused(
    damage: Callable[[bytes], bytes], tmp_path: Path, qemu_img: Runner
) -> None:
    image = tmp_path / "disk.vmdk"
    image.write_bytes(damage(stream_with_footer(PLACES)))
    with pytest.raises(CorruptImage, match=r"^Invalid footer$"):
        opened(image)
    assert "Invalid footer" in qemu_img("info", image, check=False).stderr


def test_survives_any_damage() -> None:
    content = stream_with_footer(PLACES)

    def open(storage: Storage) -> Node:
        return FORMAT.open(storage, MemoryContext({"image": storage}))

    footer = len(content) - 1024
    fields = fields_of(SPARSE_HEADER, footer, order="little")[:-1]
    assert survives_mutations(open, extremes(content, fields)) > 20
    tail = (footer - 512 * 8, 512 * 10)
    survives_mutations(open, flips(content, [(0, 512), tail, (128 * 512, 40), (footer, 80)], count=300))
    survives_mutations(open, truncations(content, range(0, len(content), 997)))


def test_compressed_grains_without_markers(tmp_path: Path) -> None:
    """Flag 17 off: the stream begins at once, and only itself says where it ends."""
    content = bytearray(stream_with_footer(PLACES))
    for header in (0, len(content) - 1024):
        struct.pack_into("<I", content, header + 8, 0x10001)
    table_end = len(content) - 5 * 512
    table = struct.unpack_from("<512I", content, table_end - 2048)
    for grain in PLACES:
        start = table[grain] * 512
        size = struct.unpack_from("<I", content, start + 8)[0]
        content[start : start + size] = content[start + 12 : start + 12 + size]
    image = tmp_path / "disk.vmdk"
    image.write_bytes(content)
    with opened(image) as node:
        assert node.read(3 * GRAIN, GRAIN) == PLACES[3]
        with pytest.raises(ImageError):
            node.write(0, b"x" * GRAIN)
