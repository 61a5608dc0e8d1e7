"""ESX's own sparse extents: made here entry by entry, read by us and by QEMU alike."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest

from imgtools.block.extent import DATA, HOLE, ZERO
from imgtools.block.node import Node, Storage
from imgtools.block.protocols.memory import MemoryNode
from imgtools.errors import ImageError, UnsupportedFeature
from imgtools.formats.vmdk import FORMAT
from imgtools.formats.vmdk.records import COWD_HEADER, SESPARSE_HEADER, SESPARSE_VOLATILE_HEADER
from tests.conftest import Runner
from tests.formats.vmdk.support import opened
from tests.formats.vmdk.test_chain import descriptor_file
from tests.model import MemoryContext, compare, pattern
from tests.mutate import extremes, fields_of, flips, survives_mutations, truncations


def cowd(sectors: int, grain: int, places: dict[int, bytes]) -> bytes:
    """A COWD extent that has the grains in `places`."""
    tables = -(-sectors // (4096 * grain))
    directory, first_table = 4, 4 + -(-tables * 4 // 512)
    end = first_table + tables * 32
    content = bytearray(end * 512)
    content[0:44] = COWD_HEADER.build(
        magic=b"COWD", version=1, flags=3, capacity=sectors, grain_size=grain, gd_offset=directory, gd_entries=tables
    )
    used = {number // 4096 for number in places}
    entries = array("I", [first_table + 32 * table if table in used else 0 for table in range(tables)])
    content[directory * 512 : directory * 512 + len(entries) * 4] = entries.tobytes()
    for number, data in places.items():
        at = first_table * 512 + number * 4
        content[at : at + 4] = (len(content) // 512).to_bytes(4, "little")
        content += data.ljust(grain * 512, b"\0")
    return bytes(content)


def sesparse(sectors: int, places: dict[int, bytes | int]) -> bytes:
    """A SESPARSE extent: grain number to its bytes, or to an entry."""
    tables = -(-sectors // (4096 * 8))
    volatile, directory, first_table = 1, 2, 8
    grains = first_table + tables * 64
    used = sorted({number // 4096 for number in places})
    content = bytearray(grains * 512)
    content[:512] = SESPARSE_HEADER.build(
        magic=0xCAFEBABE,
        version=0x200000001,
        capacity=sectors,
        grain_size=8,
        grain_table_size=64,
        volatile_header_offset=volatile,
        volatile_header_size=1,
        gd_offset=directory,
        gd_size=-(-tables * 8 // 512),
        grain_tables_offset=first_table,
        grain_tables_size=tables * 64,
        grains_offset=grains,
    )
    content[512:1024] = SESPARSE_VOLATILE_HEADER.build(magic=0xCAFECAFE)
    for slot, table in enumerate(used):
        entry = (1 << 60 | slot).to_bytes(8, "little")
        content[directory * 512 + table * 8 : directory * 512 + table * 8 + 8] = entry
    for number, data in places.items():
        at = first_table * 512 + used.index(number // 4096) * 32768 + number % 4096 * 8
        if isinstance(data, bytes):
            index = (len(content) - grains * 512) // 4096
            content += data.ljust(4096, b"\0")
            data = 3 << 60 | (index & 0xFFF) << 48 | index >> 12
        content[at : at + 8] = data.to_bytes(8, "little")
    return bytes(content)


COWD_PLACES = {0: pattern(512, 1), 1: pattern(512, 2), 4095: pattern(512, 3), 9000: pattern(512, 4)}
SESPARSE_PLACES: dict[int, bytes | int] = {
    0: pattern(4096, 1),
    1: pattern(4096, 2),
    2: 1 << 60,
    3: 2 << 60,
    4100: pattern(4096, 5),
    8191: pattern(4096, 6),
}


def test_reads_cowd_as_qemu_does(tmp_path: Path, qemu_img: Runner) -> None:
    (tmp_path / "disk-delta.vmdk").write_bytes(cowd(12001, 1, COWD_PLACES))
    image = descriptor_file(tmp_path / "disk.vmdk", "vmfsSparse", 'RW 12001 VMFSSPARSE "disk-delta.vmdk"')
    qemu_img("convert", "-f", "vmdk", "-O", "raw", image, tmp_path / "disk.raw")
    with opened(image) as node:
        compare(node.read(0, node.size), (tmp_path / "disk.raw").read_bytes())
        kinds = [(extent.start // 512, extent.length // 512, extent.kind) for extent in node.extents(0, node.size)]
        assert kinds[:3] == [(0, 2, DATA), (2, 4093, HOLE), (4095, 1, DATA)]
        assert node.check(lambda finding: None).corruptions == 0
        assert node.details()["extents"][0]["format"] == "VMFSSPARSE"
    with pytest.raises(UnsupportedFeature, match="No write support"):
        opened(image, writable=True)


def test_reads_a_bare_cowd_extent(tmp_path: Path) -> None:
    path = tmp_path / "disk-delta.vmdk"
    path.write_bytes(cowd(12001, 1, COWD_PLACES))
    with opened(path) as node:
        assert node.read(9000 * 512, 512) == COWD_PLACES[9000]
    with pytest.raises(UnsupportedFeature):
        opened(path, writable=True)


def test_reads_sesparse_as_qemu_does(tmp_path: Path, qemu_img: Runner) -> None:
    sectors = 3 * 32768 + 5
    (tmp_path / "disk-sesparse.vmdk").write_bytes(sesparse(sectors, SESPARSE_PLACES))
    image = descriptor_file(tmp_path / "disk.vmdk", "seSparse", f'RW {sectors} SESPARSE "disk-sesparse.vmdk"')
    qemu_img("convert", "-f", "vmdk", "-O", "raw", image, tmp_path / "disk.raw")
    with opened(image) as node:
        compare(node.read(0, node.size), (tmp_path / "disk.raw").read_bytes())
        kinds = [extent.kind for extent in node.extents(0, 5 * 4096)]
        assert kinds == [DATA, ZERO, HOLE]
        assert node.check(lambda finding: None).corruptions == 0
    with pytest.raises(UnsupportedFeature, match="No write support for seSparse images available"):
        opened(image, writable=True)


def test_the_grain_number_of_sesparse_is_rotated() -> None:
    """Grain 4097 of the file, whose number has bits on both sides of the rotation."""
    places: dict[int, bytes | int] = dict.fromkeys(range(4097), b"")
    places[4097] = pattern(4096, 7)
    node = FORMAT.open(*in_memory("seSparse", "SESPARSE", 3 * 32768, sesparse(3 * 32768, places)))
    assert node.read(4097 * 4096, 4096) == places[4097]


SESPARSE_FAULTS = {
    "magic": "Bad const header magic",
    "version": "Unsupported version",
    "grain_size": "Unsupported grain size",
    "grain_table_size": "Unsupported grain table size",
    "flags": "Unsupported flags",
    "reserved": "Unsupported reserved bits",
    "padding": "Unsupported non-zero const header padding",
}


@pytest.mark.parametrize("field", SESPARSE_FAULTS)
def test_refuses_unknown_sesparse_in_the_same_words(field: str, tmp_path: Path, qemu_img: Runner) -> None:
    content = bytearray(sesparse(32768, {}))
    content[SESPARSE_HEADER.offset_of(field)] ^= 1
    (tmp_path / "disk-sesparse.vmdk").write_bytes(content)
    image = descriptor_file(tmp_path / "disk.vmdk", "seSparse", 'RW 32768 SESPARSE "disk-sesparse.vmdk"')
    with pytest.raises(ImageError, match=SESPARSE_FAULTS[field]) as refusal:
        opened(image)
    said = qemu_img("info", image, check=False).stderr
    assert said.strip() == f"qemu-img: Could not open '{image}': {refusal.value.message}"


def in_memory(create_type: str, kind: str, sectors: int, content: bytes) -> tuple[MemoryNode, MemoryContext]:
    text = f'# Disk DescriptorFile\nCID=1\nparentCID=ffffffff\ncreateType="{create_type}"\nRW {sectors} {kind} "x"\n'
    image = MemoryNode("descriptor", text.encode())
    return image, MemoryContext({"image": image, "x": MemoryNode("x", content)})


@pytest.mark.parametrize("kind", ["VMFSSPARSE", "SESPARSE"])
def test_survives_any_damage(kind: str) -> None:
    sectors, create_type = 3 * 32768, {"VMFSSPARSE": "vmfsSparse", "SESPARSE": "seSparse"}[kind]
    if kind == "SESPARSE":
        content = sesparse(sectors, SESPARSE_PLACES | {2000: 3 << 60})
        fields = fields_of(SESPARSE_HEADER, order="little")[:-1] + fields_of(SESPARSE_VOLATILE_HEADER, 512)[:-1]
        tables = [(1024, 16), (8 * 512, 64), (8 * 512 + 32768 - 16, 16)]
    else:
        content = cowd(sectors, 1, COWD_PLACES)
        fields = fields_of(COWD_HEADER, order="little")
        tables = [(2048, 20), (2560, 64), (2560 + 4095 * 4, 4)]

    def open(storage: Storage) -> Node:
        image, context = in_memory(create_type, kind, sectors, b"")
        context.files["x"] = storage
        return FORMAT.open(image, context)

    assert survives_mutations(open, extremes(content, fields)) > 10
    survives_mutations(open, flips(content, [(0, 160), *tables], count=300))
    survives_mutations(open, truncations(content, (*range(0, 3000, 101), *range(3000, len(content), 7001))))
