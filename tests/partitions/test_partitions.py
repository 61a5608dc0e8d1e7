"""Partition tables made by sfdisk and read back; damaged and hostile ones, which may hide partitions but not raise."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import imgtools
from imgtools.block.protocols.memory import MemoryNode
from imgtools.partitions import read_partitions
from imgtools.partitions.records import GPT_ENTRY, GPT_HEADER, MBR_ENTRY
from tests.conftest import require_tool, run

SIZE, SECTOR = 10 << 20, 512

LAYOUTS = {
    "mbr": "label: dos\n,1M,83,*\n,1M,c\n,,5\n,1M,83\n,1M,82\n",
    "gpt": "label: gpt\nsize=2M,name=boot\nsize=1M,type=swap\nname=häuser\n",
    "gpt-few": "label: gpt\ntable-length: 4\nsize=2M\n",
}


def divide(path: Path, layout: str) -> list[dict[str, int]]:
    """Make a disk with that layout; what sfdisk itself says of it, in bytes."""
    sfdisk = require_tool("sfdisk")
    path.write_bytes(b"")
    with path.open("r+b") as file:
        file.truncate(SIZE)
    run(sfdisk, "--quiet", path, stdin=LAYOUTS[layout])
    table = json.loads(run(sfdisk, "--json", path).stdout)["partitiontable"]
    return [
        {
            "number": int(entry["node"].removeprefix(str(path))),
            "start": entry["start"] * SECTOR,
            "size": entry["size"] * SECTOR,
        }
        for entry in table["partitions"]
    ]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_partitions_are_where_sfdisk_made_them(layout: str, tmp_path: Path) -> None:
    path = tmp_path / "disk"
    expected = divide(path, layout)
    with imgtools.open(str(path), format="raw") as disk:
        found = read_partitions(disk)
    assert [{"number": part.number, "start": part.start, "size": part.size} for part in found] == expected


def test_types_and_names(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    divide(path, "gpt")
    with imgtools.open(str(path), format="raw") as disk:
        found = read_partitions(disk)
    assert [part.name for part in found] == ["boot", "", "häuser"]
    assert found[1].type == "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"
    divide(path, "mbr")
    with imgtools.open(str(path), format="raw") as disk:
        assert [part.type for part in read_partitions(disk)] == ["83", "0c", "05", "83", "82"]


@pytest.mark.parametrize("damaged", [512, 1024])
def test_the_copy_serves_where_the_first_table_is_damaged(damaged: int, tmp_path: Path) -> None:
    path = tmp_path / "disk"
    expected = divide(path, "gpt")
    with path.open("r+b") as file:
        file.seek(damaged)
        file.write(bytes(64))
    with imgtools.open(str(path), format="raw") as disk:
        assert len(read_partitions(disk)) == len(expected)


def test_a_table_in_sectors_of_4096_bytes() -> None:
    content = bytearray(1 << 20)
    protective = MBR_ENTRY.build(type=0xEE, first_lba=1, sectors=255)
    entry = GPT_ENTRY.build(type_guid=bytes(range(16)), first_lba=10, last_lba=19)
    header = {
        "signature": b"EFI PART",
        "header_size": GPT_HEADER.size,
        "my_lba": 1,
        "entries_lba": 2,
        "entries": 1,
        "entry_size": GPT_ENTRY.size,
        "entries_crc32": zlib.crc32(entry),
    }
    header["header_crc32"] = zlib.crc32(GPT_HEADER.build(**header))
    content[446:462], content[510:512] = protective, b"\x55\xaa"
    content[4096 : 4096 + GPT_HEADER.size] = GPT_HEADER.build(**header)
    content[8192 : 8192 + len(entry)] = entry
    (part,) = read_partitions(MemoryNode(content=content))
    assert (part.number, part.start, part.size) == (1, 40960, 40960)
    assert part.type == "03020100-0504-0706-0809-0a0b0c0d0e0f"


def test_a_chain_of_logical_partitions_that_loops_comes_to_an_end() -> None:
    content = bytearray(1 << 20)
    extended = bytes([0, 0, 0, 0, 5, 0, 0, 0]) + (1).to_bytes(4, "little") + (100).to_bytes(4, "little")
    logical = bytes([0, 0, 0, 0, 0x83, 0, 0, 0]) + (2).to_bytes(4, "little") + (4).to_bytes(4, "little")
    onward = bytes([0, 0, 0, 0, 5, 0, 0, 0]) + (7).to_bytes(4, "little") + (1).to_bytes(4, "little")
    content[446:462], content[510:512] = extended, b"\x55\xaa"
    for sector in (1, 8):
        at = sector * 512
        content[at + 446 : at + 478], content[at + 510 : at + 512] = logical + onward, b"\x55\xaa"
    assert len(read_partitions(MemoryNode(content=content))) == 1 + 128


@pytest.mark.parametrize("size", [0, 511, 512, 1024])
def test_a_disk_too_small_for_a_table_has_none(size: int) -> None:
    assert read_partitions(MemoryNode(content=bytes(size))) == []


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    path = tmp_path_factory.mktemp("tables") / "disk"
    found = []
    for layout in LAYOUTS:
        divide(path, layout)
        found.append(path.read_bytes())
    return found


OFFSETS = [*range(446, 512), *range(512, 604), *range(1024, 1280)]


@given(data=st.data())
def test_whatever_a_table_says_partitions_lie_on_the_disk(data: st.DataObject, tables: list[bytes]) -> None:
    content = bytearray(data.draw(st.sampled_from(tables)))
    for at in data.draw(st.lists(st.sampled_from(OFFSETS), max_size=8)):
        content[at] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):  # a table that lies with care has its sums right
        entries = int.from_bytes(content[592:596], "little") * int.from_bytes(content[596:600], "little")
        content[600:604] = zlib.crc32(content[1024 : 1024 + entries]).to_bytes(4, "little")
        content[528:532] = bytes(4)
        content[528:532] = zlib.crc32(content[512:604]).to_bytes(4, "little")
    disk = MemoryNode(content=content)
    for part in read_partitions(disk):
        assert 0 <= part.start < part.start + part.size <= disk.size
