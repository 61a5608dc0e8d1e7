"""The disks that the benchmarks work on, made in a moment and the same each time."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

from imgtools.formats.qcow2.header import Header

MIB = 1 << 20
CLUSTER = 65536
COPIED = 1 << 63


def mixed(path: Path, size: int, seed: int = 1) -> None:
    """A raw disk of 40 % data (text-like, compresses about 1.4 to 1), 30 % written zeroes, 30 % holes."""
    chance = random.Random(seed)
    words = [chance.randbytes(chance.randrange(3, 12)) for _ in range(500)]
    text = bytearray()
    while len(text) < 8 * MIB:
        text += chance.choice(words) if chance.random() < 0.7 else chance.randbytes(6)
    with path.open("wb") as file:
        file.truncate(size)
        for start in range(0, size, MIB):
            kind = chance.random()
            file.seek(start)
            if kind < 0.4:
                first = chance.randrange(7 * MIB)
                file.write(text[first : first + MIB])
            elif kind < 0.7:
                file.write(bytes(MIB))


def qcow2_of(path: Path, size: int, hosts: np.ndarray) -> None:
    """A qcow2 image of 64 KiB clusters in which guest cluster i lies in data cluster hosts[i] (-1: nowhere).

    Only metadata are written; the data are holes in the file. Data clusters are numbered from 0.
    """
    entries = CLUSTER // 8
    tables = -(-len(hosts) // entries)
    l1_clusters = -(-tables * 8 // CLUSTER)
    data_clusters = int(hosts.max()) + 1
    fixed = 1 + l1_clusters + tables
    blocks = 1
    while blocks * (CLUSTER // 2) < fixed + 1 + blocks + data_clusters:
        blocks += 1
    first_data = fixed + 1 + blocks
    header = Header(3, 16, size)
    header.l1_size, header.l1_table_offset = tables, CLUSTER
    header.refcount_table_offset, header.refcount_table_clusters = fixed * CLUSTER, 1
    l2 = np.zeros(tables * entries, dtype=">u8")
    used = hosts >= 0
    l2[: len(hosts)][used] = ((hosts[used] + first_data) * CLUSTER).astype(np.uint64) | np.uint64(COPIED)
    counts = np.zeros(blocks * CLUSTER // 2, dtype=">u2")
    counts[:first_data] = 1
    counts[hosts[used] + first_data] = 1
    l1 = (np.arange(tables, dtype=np.uint64) + np.uint64(1 + l1_clusters)) * np.uint64(CLUSTER) | np.uint64(COPIED)
    table = (np.arange(blocks, dtype=np.uint64) + np.uint64(fixed + 1)) * np.uint64(CLUSTER)
    with path.open("wb") as file:
        for start, content in (
            (0, header.build()),
            (CLUSTER, l1.astype(">u8").tobytes()),
            ((1 + l1_clusters) * CLUSTER, l2.tobytes()),
            (fixed * CLUSTER, table.astype(">u8").tobytes()),
            ((fixed + 1) * CLUSTER, counts.tobytes()),
        ):
            file.seek(start)
            file.write(content)
        file.truncate((first_data + data_clusters) * CLUSTER)


def scattered(path: Path, size: int) -> None:
    """Every cluster of the disk allocated, at a random place of the file."""
    qcow2_of(path, size, np.random.default_rng(1).permutation(size // CLUSTER))


def alternating(path: Path, extents: int) -> None:
    """A disk of `extents` extents: a cluster of data, a hole, a cluster of data, ..."""
    hosts = np.full(extents, -1, dtype=np.int64)
    hosts[::2] = np.random.default_rng(1).permutation(extents // 2)
    qcow2_of(path, extents * CLUSTER, hosts)
