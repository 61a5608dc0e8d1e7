"""VHDX through the drivers that every format passes: model, crash at each write, mutation."""

from __future__ import annotations

import pytest

from imgtools.block.protocols.memory import MemoryNode
from imgtools.formats.vhdx.checksum import crc32c, sealed
from imgtools.formats.vhdx.header import HEADERS
from imgtools.formats.vhdx.records import HEADER, METADATA_ENTRY
from tests.crash import survives_crashes
from tests.model import Subject, check_against_model, pattern, script, subject_of
from tests.mutate import Mutant, extremes, fields_of, flips, survives_mutations, truncations

BLOCK = 1 << 20
DYNAMIC = subject_of("vhdx", size=3 * BLOCK + 512, unit=BLOCK, block_size=BLOCK)
FIXED = subject_of("vhdx", size=BLOCK + 1024, unit=BLOCK, block_size=BLOCK, subformat="fixed", block_state_zero=False)
SUBJECTS = pytest.mark.parametrize("subject", [DYNAMIC, FIXED], ids=["dynamic", "fixed"])


def test_checksum_of_the_standard() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # RFC 3720's check value


@SUBJECTS
def test_behaves_as_a_bytearray(subject: Subject) -> None:
    check_against_model(subject, max_examples=12)


@SUBJECTS
def test_holds_flushed_bytes_after_any_crash(subject: Subject) -> None:
    assert survives_crashes(subject, script(subject, seed=3, count=10)) > 6


def small_image() -> bytes:
    storage = MemoryNode("image")
    DYNAMIC.create(storage)
    node = DYNAMIC.open(storage)
    node.write(3 * BLOCK, pattern(512))
    node.close()
    return bytes(storage.content)


def signed(mutant: Mutant) -> Mutant:
    """The same with the headers' checksums made right, so that what they say is looked at."""
    label, content = mutant
    for offset in HEADERS:
        content[offset : offset + HEADER.size] = sealed(bytes(content[offset : offset + HEADER.size]))
    return label, content


def test_damaged_headers_and_tables_are_refused_or_read() -> None:
    content = small_image()
    header = [field for field in fields_of(HEADER, HEADERS[0], order="little") if field[2] <= 8]
    assert survives_mutations(DYNAMIC.open, map(signed, extremes(content, header)), write=True) > 5
    numbers = [(f"entry {i}", 2 * BLOCK + 8 * i, 8, "little") for i in range(4)]
    for index in range(5):
        numbers += fields_of(METADATA_ENTRY, 3 * BLOCK + 32 + index * METADATA_ENTRY.size, order="little")[1:4]
    numbers += [(f"item at {at}", 3 * BLOCK + 65536 + at, 4, "little") for at in (0, 4, 8, 12, 32, 36)]
    assert survives_mutations(DYNAMIC.open, extremes(content, numbers), write=True) > 20
    assert survives_mutations(DYNAMIC.open, flips(content, [(2 * BLOCK, 32), (3 * BLOCK, 200)], count=60), write=True)


def test_truncated_files_are_refused_or_read() -> None:
    content = small_image()
    assert survives_mutations(DYNAMIC.open, truncations(content, range(0, len(content), 262_139))) > 0
