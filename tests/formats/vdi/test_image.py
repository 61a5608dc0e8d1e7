"""VDI images of all kinds, made by hand: layouts, limits, damage, check and repair."""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imgtools.block.extent import DATA, RESERVED, ZERO
from imgtools.block.format import CheckResult
from imgtools.block.protocols.file import open_file
from imgtools.block.protocols.memory import MemoryNode
from imgtools.errors import CorruptImage, ImageError, OutOfBounds, ReadOnly, UnsupportedFeature
from imgtools.formats.vdi import FORMAT
from imgtools.formats.vdi.node import VdiNode
from imgtools.formats.vdi.records import HEADER
from tests.crash import RecordingStorage
from tests.model import MemoryContext, compare, pattern, subject_of

BLOCK = 1 << 20
SUBJECT = subject_of("vdi", size=4 * BLOCK + 512, unit=BLOCK)
MAP = 512
FREE, DISCARDED = 0xFFFFFFFF, 0xFFFFFFFE


def new_storage(**header: int | bytes) -> MemoryNode:
    """A new image of five blocks, with fields of its header changed."""
    storage = MemoryNode("image")
    SUBJECT.create(storage)
    change(storage, **header)
    return storage


def change(storage: MemoryNode, **header: int | bytes) -> None:
    fields = vars(HEADER.parse(storage.read(0, 512)))
    storage.write(0, HEADER.build(**{**fields, **header}))


def set_map(storage: MemoryNode, *entries: int, allocated: int | None = None, room: int | None = None) -> None:
    """Set the first entries of the map, the count of blocks, and the length of the file in blocks."""
    mapped = [entry for entry in entries if entry < DISCARDED]
    storage.write(MAP, struct.pack(f"<{len(entries)}I", *entries))
    change(storage, blocks_allocated=len(mapped) if allocated is None else allocated)
    storage.truncate(1024 + BLOCK * (max(mapped, default=-1) + 1 if room is None else room))


def check(storage: MemoryNode, repair: str | None = None) -> tuple[CheckResult, list[str]]:
    findings: list[str] = []
    with VdiNode(storage, writable=repair is not None, checking=True) as node:
        result = node.check(lambda finding: findings.append(f"{finding.severity}: {finding.message}"), repair)
    return result, findings


def test_new_blocks_lie_behind_each_other_and_the_map_is_written_behind_a_barrier() -> None:
    storage = RecordingStorage(new_storage().content)
    node = SUBJECT.open(storage)
    node.write(2 * BLOCK, pattern(2 * BLOCK))
    node.write(4 * BLOCK, b"x")
    node.flush()
    calls = [(verb, offset, len(data)) for verb, offset, data in storage.log if verb != "truncate"]
    assert calls == [
        ("write", 1024, 2 * BLOCK),
        ("write", 0x184, 4),
        ("write", 1024 + 2 * BLOCK, 1),
        ("write", 0x184, 4),
        ("flush", 0, 0),
        ("write", MAP + 8, 12),
        ("flush", 0, 0),
    ]
    assert [tuple(e)[:3] for e in node.extents(0, node.size)] == [
        (0, 2 * BLOCK, ZERO),
        (2 * BLOCK, 2 * BLOCK + 512, DATA),
    ]


def test_what_a_crash_left_behind_the_last_block_does_not_show_through() -> None:
    storage = new_storage()
    storage.write(1024, b"stale" * 300_000)
    node = SUBJECT.open(storage)
    node.write(BLOCK + 100, b"new")
    compare(node.read(BLOCK, BLOCK), bytes(100) + b"new" + bytes(BLOCK - 103))
    node.write(3 * BLOCK + 100, b"new")
    compare(node.read(3 * BLOCK, BLOCK), bytes(100) + b"new" + bytes(BLOCK - 103))


def test_a_count_that_is_too_low_does_not_give_a_block_away_twice() -> None:
    storage = new_storage()
    set_map(storage, 1, 0, allocated=0)
    storage.write(1024, b"first".ljust(BLOCK, b".") + b"second")
    with SUBJECT.open(storage) as node:
        node.write(4 * BLOCK, b"third")
        assert [node.read(block * BLOCK, 5) for block in (0, 1, 4)] == [b"secon", b"first", b"third"]
    assert check(storage)[1] == []


def test_discarded_entries_read_as_zeroes_and_can_be_written() -> None:
    storage = new_storage()
    set_map(storage, DISCARDED, FREE, 0)
    with SUBJECT.open(storage) as node:
        assert not any(node.read(0, 2 * BLOCK))
        node.write(0, b"x")
        assert node.read(0, 2) == b"x\0"
    assert check(storage)[1] == []


def test_map_and_data_may_lie_elsewhere() -> None:
    storage = new_storage(offset_bmap=4096, offset_data=2 * BLOCK)
    storage.write(4096, b"\xff" * 20)
    with SUBJECT.open(storage) as node:
        node.write(3 * BLOCK + 5, b"here")
    assert storage.read(4096, 20) == b"\xff" * 12 + bytes(4) + b"\xff" * 4
    assert storage.read(2 * BLOCK + 5, 4) == b"here" and storage.size == 3 * BLOCK


@pytest.mark.parametrize("block_size", [4096, 1 << 16, 1 << 21])
def test_other_block_sizes(block_size: int) -> None:
    blocks = -(-SUBJECT.size // block_size)
    map_end = -(-(512 + 4 * blocks) // 512) * 512
    storage = new_storage(block_size=block_size, blocks_in_image=blocks, offset_data=map_end)
    storage.write(512, b"\xff" * (4 * blocks))
    with SUBJECT.open(storage) as node:
        data = pattern(BLOCK)
        node.write(BLOCK - 512, data)
        compare(node.read(BLOCK - 512, BLOCK), data)
    assert check(storage)[1] == []


def test_extra_bytes_before_each_block_are_passed_over_and_never_written() -> None:
    storage = new_storage(block_extra=512)
    set_map(storage, 0, 1)
    storage.write(1024, b"extra".ljust(512) + b"A" * BLOCK + b"extra".ljust(512) + b"B" * BLOCK)
    node = VdiNode(storage, writable=False)
    compare(node.read(0, 2 * BLOCK), b"A" * BLOCK + b"B" * BLOCK)
    assert [(e.length, e.offset) for e in node.extents(0, 2 * BLOCK)] == [(BLOCK, 1536), (BLOCK, 2048 + BLOCK)]
    with pytest.raises(UnsupportedFeature, match="512 extra bytes"):
        VdiNode(storage, writable=True)


@pytest.mark.parametrize(("image_type", "name"), [(3, "undo image"), (4, "differencing image"), (7, "image type 7")])
def test_images_that_need_a_parent_are_refused_by_name(image_type: int, name: str) -> None:
    with pytest.raises(UnsupportedFeature, match=rf"unsupported VDI image \({name}\)"):
        VdiNode(new_storage(image_type=image_type), writable=False)


@pytest.mark.parametrize("fields", [{"offset_bmap": 0}, {"offset_data": 512}, {"offset_data": 0}])
def test_no_write_can_land_on_metadata(fields: dict[str, int]) -> None:
    storage = new_storage(**fields)
    assert VdiNode(storage, writable=False).size == SUBJECT.size
    with pytest.raises(CorruptImage, match="cannot be written"):
        VdiNode(storage, writable=True)
    assert check(storage)[0].corruptions > 0


def test_blocks_outside_the_file_are_an_error_and_not_zeroes() -> None:
    storage = new_storage()
    set_map(storage, 0, 1, room=1)
    node = VdiNode(storage, writable=False)
    assert not any(node.read(0, BLOCK))
    with pytest.raises(CorruptImage, match="block at 1048576 of the disk") as caught:
        node.read(BLOCK, 1)
    assert (caught.value.structure, caught.value.offset) == ("block map", MAP + 4)
    assert check(storage)[1] == ["error: ERROR: block index 1 lies past the end of the file"]
    set_map(storage, 77)
    node = VdiNode(storage, writable=False)
    assert list(node.extents(0, BLOCK)) == [(0, BLOCK, DATA, 0, None, None)]
    with pytest.raises(CorruptImage, match="block at 0 of the disk"):
        node.read(0, 1)


def test_a_map_outside_the_file_is_refused_before_it_is_read() -> None:
    storage = new_storage(blocks_in_image=1 << 28)
    with pytest.raises(CorruptImage, match="past the end of the file"):
        VdiNode(storage, writable=False)


def test_writes_to_a_read_only_image_are_refused() -> None:
    node = VdiNode(new_storage(), writable=False)
    for verb in (lambda: node.write(0, b"x"), lambda: node.zero(0, 1), lambda: node.discard(0, 1)):
        with pytest.raises(ReadOnly):
            verb()
    with pytest.raises(ReadOnly):
        node.check(lambda finding: None, "all")


def test_a_range_outside_the_disk_is_refused() -> None:
    node = SUBJECT.open(new_storage())
    for verb in (node.zero, node.discard, node.read, node.prefetch, lambda o, n: list(node.extents(o, n))):
        with pytest.raises(OutOfBounds):
            verb(SUBJECT.size - 1, 2)


def test_a_disk_that_is_too_large_is_not_created() -> None:
    with pytest.raises(UnsupportedFeature, match=r"size is 0x2580000000000, max supported is 0x1fffff8000000"):
        FORMAT.create("x", 600 << 40, {}, MemoryContext())


def test_static_images_show_the_holes_of_their_file(tmp_path: Path) -> None:
    path = tmp_path / "static.vdi"
    subject = subject_of("vdi", size=3 * BLOCK, unit=BLOCK, static=True)
    storage = MemoryNode("image")
    subject.create(storage)
    path.write_bytes(storage.content[:1024])
    with open_file(str(path), writable=True) as file:
        file.truncate(storage.size)
        node = VdiNode(file, writable=True)
        node.write(BLOCK, b"x" * 8192)
        kinds = [extent.kind for extent in node.extents(0, node.size)]
    assert kinds[-1] == RESERVED and DATA in kinds


def test_leaks_are_mended_and_gaps_closed() -> None:
    storage = new_storage()
    set_map(storage, FREE, 3, 1, allocated=4)
    storage.write(1024 + BLOCK, b"one".ljust(BLOCK, b"1") + b"two".ljust(BLOCK, b"2") + b"3" * BLOCK)
    result, found = check(storage)
    assert (result.leaks, result.corruptions) == (2, 0)
    assert found == ["leak: ERROR: allocated blocks mismatch, is 2, should be 4"]
    result, _ = check(storage, "leaks")
    assert (result.leaks, result.leaks_fixed) == (0, 2)
    assert check(storage)[1] == [] and storage.size == 1024 + 2 * BLOCK
    with SUBJECT.open(storage) as node:
        assert [node.read(block * BLOCK, 3) for block in range(3)] == [bytes(3), b"333", b"one"]


def test_a_repair_can_be_interrupted_anywhere() -> None:
    storage = RecordingStorage()
    SUBJECT.create(storage)
    set_map(storage, 4, FREE, 3, 1, allocated=5)
    storage.write(1024 + BLOCK, b"".join(bytes([letter]) * BLOCK for letter in b"1234"))
    storage.start_recording()
    check(storage, "leaks")
    states = [MemoryNode("image", content) for _, _, content in storage.crashes()]
    assert len(states) > 6
    for state in states:
        assert check(state)[0].corruptions == 0
        check(state, "leaks")
        assert check(state)[1] == []
        with SUBJECT.open(state) as node:
            assert [node.read((block + 1) * BLOCK - 1, 1) for block in range(4)] == [b"4", b"\0", b"3", b"1"]


def test_a_count_that_is_too_low_is_mended_by_repair_all_only() -> None:
    storage = new_storage()
    set_map(storage, 0, 2, allocated=2)
    result, found = check(storage, "leaks")
    assert result.corruptions == 1 and found == ["error: ERROR: block index 2 will be given away a second time"]
    assert check(storage, "all")[0].corruptions_fixed == 1
    assert check(storage)[1] == []


def test_damaged_maps_are_reported_and_left_alone() -> None:
    storage = new_storage()
    set_map(storage, 1, FREE, 1, 88, allocated=9)
    before = bytes(storage.content)
    result, found = check(storage, "all")
    assert found == [
        "error: ERROR: block index 1 also used by 1",
        "error: ERROR: block index 3 too large, is 88",
        "leak: ERROR: allocated blocks mismatch, is 2, should be 9",
    ]
    assert (result.corruptions, result.corruptions_fixed, result.leaks_fixed) == (2, 0, 0)
    assert storage.content == before


def test_a_full_map_with_leaks_refuses_to_grow() -> None:
    storage = new_storage()
    set_map(storage, 4, FREE, FREE, FREE, FREE)
    with SUBJECT.open(storage) as node, pytest.raises(CorruptImage, match="all block numbers are given away") as caught:
        node.write(BLOCK, b"x")
    assert "check -r leaks" in (caught.value.hint or "")


@pytest.mark.usefixtures("busy_threads")
def test_threads_share_an_image() -> None:
    """Neighbouring pieces of small blocks, so that threads meet at the same one."""
    storage = new_storage(block_size=4096, blocks_in_image=1025, offset_data=8192)
    storage.write(512, b"\xff" * 4100)
    node = SUBJECT.open(storage)
    pieces = [(offset, pattern(1024, offset)) for offset in range(0, 2 * BLOCK, 1024)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda piece: node.write(*piece), pieces))
        assert all(pool.map(lambda piece: node.read(piece[0], 1024) == piece[1], pieces))
    node.close()
    assert check(storage)[1] == []


def test_a_failed_write_leaves_the_image_as_it_was() -> None:
    storage = new_storage()
    node = SUBJECT.open(storage)
    original = storage.write

    def full(offset: int, data: bytes) -> None:
        if offset >= 1024:
            raise ImageError("No space left on device")
        original(offset, data)

    storage.write = full  # type: ignore[method-assign]
    with pytest.raises(ImageError, match="No space"):
        node.write(0, bytes(BLOCK))
    storage.write = original  # type: ignore[method-assign]
    node.write(BLOCK, b"later")
    node.close()
    assert check(storage)[1] == []
