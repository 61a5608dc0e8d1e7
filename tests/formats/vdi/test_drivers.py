"""VDI through the drivers that every format passes: model, crash at each write, mutation."""

from __future__ import annotations

import pytest

from imgtools.block.protocols.memory import MemoryNode
from imgtools.formats.vdi.records import HEADER
from tests.crash import survives_crashes
from tests.model import Subject, check_against_model, pattern, script, subject_of
from tests.mutate import extremes, fields_of, flips, survives_mutations, truncations

BLOCK = 1 << 20
DYNAMIC = subject_of("vdi", size=3 * BLOCK + 512, unit=BLOCK)
STATIC = subject_of("vdi", size=2 * BLOCK + 1024, unit=BLOCK, static=True)
SUBJECTS = pytest.mark.parametrize("subject", [DYNAMIC, STATIC], ids=["dynamic", "static"])


@SUBJECTS
def test_behaves_as_a_bytearray(subject: Subject) -> None:
    check_against_model(subject, max_examples=40)


@SUBJECTS
def test_holds_flushed_bytes_after_any_crash(subject: Subject) -> None:
    assert survives_crashes(subject, script(subject, seed=3, count=16)) > 15


def small_image() -> bytes:
    """A valid image of two disk blocks of 512 bytes each: any byte of it can be damaged in little time."""
    storage = MemoryNode("image")
    DYNAMIC.create(storage)
    node = DYNAMIC.open(storage)
    node.write(BLOCK, pattern(512))
    node.close()
    return bytes(storage.content)


def test_damaged_headers_and_maps_are_refused_or_read() -> None:
    content = small_image()
    metadata = fields_of(HEADER, order="little") + [(f"entry {i}", 512 + 4 * i, 4, "little") for i in range(5)]
    numbers = [field for field in metadata if field[2] <= 8]
    assert survives_mutations(DYNAMIC.open, extremes(content, numbers), write=True) > 20
    ranges = [(0x40, 0x18), (0x150, 0x80), (512, 20)]
    assert survives_mutations(DYNAMIC.open, flips(content, ranges, count=300), write=True) > 20


def test_truncated_files_are_refused_or_read() -> None:
    content = small_image()
    lengths = [*range(1100), *range(1100, len(content), 65521)]
    assert survives_mutations(DYNAMIC.open, truncations(content, lengths)) > 0
