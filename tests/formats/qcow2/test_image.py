"""qcow2 images made by hand: damage that a writer must notice, and the details of reading."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

import imgtools
from imgtools.block.graph import Context
from imgtools.block.protocols.memory import MemoryNode
from imgtools.errors import CorruptImage, ImageError, OutOfBounds, ReadOnly
from imgtools.formats.qcow2 import FORMAT
from imgtools.formats.qcow2.lanes import CountCodec
from imgtools.formats.qcow2.node import Qcow2Node
from tests.model import MemoryContext, check_is_clean, compare, pattern

CLUSTER = 4096
SIZE = 1 << 20


def new_image(**options: object) -> MemoryNode:
    storage = MemoryNode("image")
    FORMAT.create("image", SIZE, {"cluster_size": CLUSTER, **options}, MemoryContext({"image": storage}))
    return storage


def open_image(storage: MemoryNode) -> Qcow2Node:
    node = FORMAT.open(storage, Context(writable=True))
    assert isinstance(node, Qcow2Node)
    return node


def set_entry(storage: MemoryNode, cluster: int, entry: int) -> None:
    """Overwrite the L2 entry of a guest cluster."""
    l1 = int.from_bytes(storage.content[40:48], "big")
    l2 = int.from_bytes(storage.content[l1 : l1 + 8], "big") & 0xFF_FFFF_FFFF_FE00
    storage.write(l2 + 8 * cluster, entry.to_bytes(8, "big"))


@pytest.mark.parametrize("target", [1, 2, 3, 4], ids=["reftable", "refblock", "l1", "l2"])
def test_a_guest_write_never_lands_on_metadata(target: int) -> None:
    storage = new_image()
    with open_image(storage) as node:
        node.write(0, pattern(CLUSTER))
    set_entry(storage, 0, (target * CLUSTER) | 1 << 63)
    before = bytes(storage.content[target * CLUSTER : (target + 1) * CLUSTER])
    node = open_image(storage)
    with pytest.raises(CorruptImage):
        node.write(512, b"x" * 512)
    assert node.corrupt and storage.content[72 + 7] & 2, "the image is not marked corrupt"
    with pytest.raises(CorruptImage):
        node.write(65536, b"x" * 512)
    compare(bytes(storage.content[target * CLUSTER : (target + 1) * CLUSTER]), before)


def test_a_free_count_of_metadata_does_not_give_it_away() -> None:
    storage = new_image()
    storage.write(2 * CLUSTER + 2 * 3, b"\0\0")  # the L1 table's cluster is said to be free
    node = open_image(storage)
    with pytest.raises(CorruptImage, match="metadata"):
        node.write(0, pattern(CLUSTER))
    assert node.corrupt


def test_ranges_and_modes_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "disk.qcow2"
    FORMAT.create(str(path), SIZE, {}, Context())
    with imgtools.open(str(path)) as node:
        with pytest.raises(ReadOnly):
            node.write(0, b"x")
        for offset, length in ((SIZE, 1), (-1, 1), (0, SIZE + 1)):
            with pytest.raises(OutOfBounds):
                node.read(offset, length)
    with imgtools.open(str(path), writable=True) as node, pytest.raises(OutOfBounds):
        node.write(SIZE - 1, b"xy")


@pytest.mark.parametrize("width", [1, 2, 4, 8, 16, 32, 64])
def test_counts_of_every_width_keep_their_values(width: int) -> None:
    codec = CountCodec(width)
    data = pattern(512, width)
    counts = codec.decode(data)
    assert len(counts) == 512 * 8 // width and max(counts) <= codec.maximum
    assert codec.encode(counts) == data
    if width < 8:
        assert counts[0] == data[0] & codec.maximum and counts[1] == data[0] >> width & codec.maximum


def test_unaligned_entries_are_corruption() -> None:
    storage = new_image()
    with open_image(storage) as node:
        node.write(0, pattern(CLUSTER))
    set_entry(storage, 0, (5 * CLUSTER + 512) | 1 << 63)
    with open_image(storage) as node, pytest.raises(CorruptImage, match="unaligned"):
        node.read(0, 512)


def test_several_threads_write_at_once() -> None:
    storage = new_image()
    node = open_image(storage)
    content = pattern(SIZE)

    def write_every_fourth(first: int) -> None:
        for start in range(first * 3000, SIZE, 12_000):
            node.write(start, content[start : start + 3000])

    threads = [threading.Thread(target=write_every_fourth, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    node.close()
    with open_image(storage) as node:
        compare(node.read(0, SIZE), content)
        check_is_clean(node)


@pytest.mark.parametrize("size", [0, 512, 65536, SIZE + 512, 40 << 20])
def test_resized_disks_keep_what_stays(size: int) -> None:
    storage = new_image()
    content = bytearray(pattern(SIZE))
    with open_image(storage) as node:
        node.write(0, content)
        node.resize(size)
    with open_image(storage) as node:
        assert node.size == size
        compare(node.read(0, min(size, SIZE)), content[:size])
        assert not any(node.read(min(size, SIZE), max(0, size - SIZE)))
        check_is_clean(node)
        node.resize(2 * SIZE)  # what was cut does not come back
        assert not any(node.read(min(size, SIZE), 2 * SIZE - min(size, SIZE)))


def test_more_tables_than_the_cache_holds() -> None:
    """With 512-byte clusters a table covers 32 KiB; the cache is made to hold eight."""
    storage = MemoryNode("image")
    FORMAT.create("image", 4 << 20, {"cluster_size": 512}, MemoryContext({"image": storage}))
    content = pattern(4 << 20)
    with open_image(storage) as node:
        node.mapping.max_tables = 8
        for start in range(0, 4 << 20, 10_000):
            node.write(start, content[start : start + 10_000])
        assert len(node.mapping.tables) <= 10
        compare(node.read(0, 4 << 20), content)
    with open_image(storage) as node:
        compare(node.read(0, 4 << 20), content)
        check_is_clean(node)


def test_a_bomb_does_not_inflate() -> None:
    """A stream that would become 64 MiB fails, and takes no such memory on the way."""
    import tracemalloc
    import zlib

    storage = new_image()
    packer = zlib.compressobj(9, zlib.DEFLATED, -12)
    stream = packer.compress(bytes(64 << 20)) + packer.flush()
    with open_image(storage) as node:
        node.write_compressed(0, CLUSTER, stream[: CLUSTER - 1])
    with open_image(storage) as node:
        tracemalloc.start()
        try:
            node.read(0, CLUSTER)
        except ImageError:
            pass
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
        tracemalloc.stop()


def test_a_refcount_table_that_moves_for_lazy_counts_leaks_nothing() -> None:
    """The counts, and with them a larger table, are written when the image is closed."""
    storage = new_image(cluster_size=512, lazy_refcounts=True, refcount_bits=64)
    before = bytes(storage.content[48:56])
    with open_image(storage) as node:
        node.write(68608, pattern(61441))
    assert storage.content[48:56] != before, "the table did not move"
    with open_image(storage) as node:
        check_is_clean(node)


def test_lazy_counts_are_written_when_the_image_is_closed() -> None:
    storage = new_image(lazy_refcounts=True)
    block = bytes(storage.content[2 * CLUSTER : 3 * CLUSTER])
    node = open_image(storage)
    node.write(0, pattern(4 * CLUSTER))
    node.flush()
    assert storage.content[72 + 7] & 1, "the image is not marked dirty while counts are missing"
    assert storage.content[2 * CLUSTER : 3 * CLUSTER] == block
    crashed = MemoryNode("image", bytes(storage.content))
    node.close()
    assert not storage.content[72 + 7] & 1
    assert storage.content[2 * CLUSTER : 3 * CLUSTER] != block
    with open_image(crashed) as node:
        compare(node.read(0, 4 * CLUSTER), pattern(4 * CLUSTER))
        check_is_clean(node)


def test_a_repair_gives_no_cluster_out_that_is_in_use() -> None:
    """Lost blocks of counts are made anew: behind all clusters, none of which is known to be free by then."""
    storage = MemoryNode("image")
    size = 2 << 20
    FORMAT.create("image", size, {"cluster_size": 512, "lazy_refcounts": True}, MemoryContext({"image": storage}))
    node = open_image(storage)
    node.write(0, pattern(size))
    node.flush()  # and no more: not a single block of counts was written
    with open_image(MemoryNode("image", bytes(storage.content))) as node:
        compare(node.read(0, size), pattern(size))
        check_is_clean(node)


def test_lazy_counts_can_be_asked_for_or_declined_when_opening() -> None:
    for made, asked, dirty in ((False, True, True), (True, False, False)):
        storage = new_image(lazy_refcounts=made)
        node = FORMAT.open(storage, Context(writable=True, options={"lazy-refcounts": asked}))
        node.write(0, pattern(CLUSTER))
        node.flush()
        assert bool(storage.content[72 + 7] & 1) == dirty
        node.close()
        assert not storage.content[72 + 7] & 1


@pytest.mark.parametrize("method", ["zlib", "zstd"])
@pytest.mark.parametrize("seed", range(3))
def test_streams_in_any_order_are_read_together(seed: int, method: str) -> None:
    """Neighbours, streams far apart and behind each other, plain clusters and holes in between."""
    chance, storage, clusters = random.Random(seed), new_image(compression_type=method), SIZE // CLUSTER
    content = bytearray(SIZE)
    with open_image(storage) as node:
        compress = node.compressor()
        for cluster in chance.sample(range(clusters), clusters * 3 // 4):
            data = pattern(CLUSTER // 4, cluster) * 4
            content[cluster * CLUSTER : (cluster + 1) * CLUSTER] = data
            if chance.random() < 0.2:
                node.write(cluster * CLUSTER, data)
            else:
                stream = compress(data)
                assert stream is not None
                node.write_compressed(cluster * CLUSTER, CLUSTER, stream)
    with open_image(storage) as node:
        compare(node.read(0, SIZE), content)
        for _ in range(50):
            start = chance.randrange(SIZE)
            length = min(SIZE - start, chance.choice([1, 512, 3 * CLUSTER, 100_000]))
            compare(node.read(start, length), content[start : start + length])


def test_a_damaged_stream_among_others_is_named() -> None:
    storage = new_image()
    with open_image(storage) as node:
        compress = node.compressor()
        for cluster in range(4):
            stream = compress(pattern(CLUSTER // 4, cluster) * 4)
            assert stream is not None
            node.write_compressed(cluster * CLUSTER, CLUSTER, b"\xff" * 64 if cluster == 2 else stream)
    place = storage.content.index(b"\xff" * 64)
    with open_image(storage) as node, pytest.raises(CorruptImage, match="guest offset 0x2000") as caught:
        node.read(0, 4 * CLUSTER)
    assert caught.value.offset == place
