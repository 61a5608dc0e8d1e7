"""Images broken by a seeded mutator: both tools find the same, and what imgtools mends, qemu-img finds sound.

Only reference counts and table entries are broken, one to four of them, so that the image still opens.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

import imgtools
from imgtools.block.format import Finding
from imgtools.block.graph import Context, open_tree
from imgtools.operations.check import check
from tests.conftest import Runner

CLUSTER = 65536
COPIED = 1 << 63
IMAGES = 60


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An image with data in disorder, and a zero cluster."""
    path = tmp_path_factory.mktemp("sound") / "disk"
    from imgtools.operations.create import create_image

    create_image(str(path), 4 << 20, format="qcow2")
    chance = random.Random(1)
    with imgtools.open(str(path), writable=True) as node:
        for cluster in chance.sample(range(64), 24):
            node.write(cluster * CLUSTER, bytes([cluster + 1]) * CLUSTER)
        node.zero(5 * CLUSTER, CLUSTER, unmap=False)
    return path.read_bytes()


def broken(sound: bytes, seed: int) -> bytearray:
    """A few counts that are off, entries that are gone, doubled, without their flag, or point past the end."""
    chance, image = random.Random(seed), bytearray(sound)

    def field(offset: int) -> int:
        return int.from_bytes(image[offset : offset + 8], "big")

    table = field(field(40)) & ~COPIED
    counts = field(field(48))
    used = [table + 8 * index for index in range(64) if field(table + 8 * index) & ~COPIED & ~1]
    for _ in range(chance.randint(1, 4)):
        at = chance.choice(used)
        what = chance.choice(["count", "gone", "doubled", "past the end", "unaligned"])
        if what == "count":
            cluster = chance.randrange(5, len(image) // CLUSTER)
            image[counts + 2 * cluster + 1] = chance.randrange(4)
        elif what == "gone":
            image[at : at + 8] = bytes(8)
        elif what == "doubled":
            other = chance.choice(used)
            image[at : at + 8] = image[other : other + 8]
        elif what == "past the end":
            image[at : at + 8] = (COPIED | (len(image) + 3 * CLUSTER)).to_bytes(8, "big")
        else:
            image[at + 6 : at + 8] = b"\x02\x00"
    return image


@pytest.mark.parametrize("first", range(0, IMAGES, 10))
def test_same_verdict(first: int, sound: bytes, tmp_path: Path, qemu_img: Runner) -> None:
    path = tmp_path / "disk"
    for seed in range(first, first + 10):
        path.write_bytes(broken(sound, seed))
        done = qemu_img("check", "--output=json", "-f", "qcow2", path, check=False)
        theirs = json.loads(done.stdout)
        findings: list[Finding] = []
        with open_tree(str(path), "qcow2", Context(checking=True)) as node:
            ours = check(node, report=findings.append)
        said = [finding.message for finding in findings]
        assert counts_told(said) == counts_told(done.stderr.splitlines()), seed
        assert ours.leaks == theirs.get("leaks", 0), (seed, said)
        assert ours.allocated_clusters == theirs.get("allocated-clusters", 0), (seed, said)
        # A flag that disagrees with a count which is too high is an error of its own to the peer only.
        if any("OFLAG_COPIED" not in line for line in done.stderr.splitlines() if line.startswith("ERROR")):
            assert done.returncode == 2 and ours.corruptions, (seed, said)
        else:
            assert not ours.corruptions or done.returncode == 2, (seed, said)


def counts_told(lines: list[str]) -> list[str]:
    """What is said of reference counts, in order."""
    return [line for line in lines if "reference=" in line]


@pytest.mark.parametrize("first", range(0, IMAGES, 10))
def test_what_is_mended_is_sound_to_the_peer(first: int, sound: bytes, tmp_path: Path, qemu_img: Runner) -> None:
    path, mended = tmp_path / "disk", 0
    for seed in range(first, first + 10):
        path.write_bytes(broken(sound, seed))
        with open_tree(str(path), "qcow2", Context(checking=True, writable=True)) as node:
            result = check(node, repair="all")
        if result.corruptions == result.corruptions_fixed:
            mended += 1
            qemu_img("check", "-f", "qcow2", path)
    assert mended


def test_a_plan_is_what_a_repair_does(sound: bytes, tmp_path: Path) -> None:
    path = tmp_path / "disk"
    for seed in range(IMAGES):
        image = broken(sound, seed)
        path.write_bytes(image)
        planned: list[Finding] = []
        with open_tree(str(path), "qcow2", Context(checking=True)) as node:
            check(node, report=planned.append)
        assert path.read_bytes() == image
        for repair in ("leaks", "all"):
            path.write_bytes(image)
            with open_tree(str(path), "qcow2", Context(checking=True, writable=True)) as node:
                check(node, repair=repair)
            left: list[Finding] = []
            with open_tree(str(path), "qcow2", Context(checking=True)) as node:
                check(node, report=left.append)
            expected = [finding for finding in planned if finding.repair not in ("leaks", repair)]
            assert bool(left) == bool(expected), (
                seed,
                repair,
                [f.message for f in left],
                [f.message for f in expected],
            )
