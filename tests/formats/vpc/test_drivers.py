"""VHD through the drivers that every format passes: model, crash at each write, mutation."""

from __future__ import annotations

import pytest

from imgtools.block.protocols.memory import MemoryNode
from imgtools.formats.vpc.header import checksum
from imgtools.formats.vpc.records import DYNAMIC_HEADER, FOOTER
from tests.crash import survives_crashes
from tests.model import Subject, check_against_model, pattern, script, subject_of
from tests.mutate import Mutant, extremes, fields_of, flips, survives_mutations, truncations

BLOCK = 2 << 20
DYNAMIC = subject_of("vpc", size=2 * BLOCK + 512, unit=BLOCK, force_size=True)
FIXED = subject_of("vpc", size=BLOCK + 1024, unit=1 << 20, force_size=True, subformat="fixed")
SUBJECTS = pytest.mark.parametrize("subject", [DYNAMIC, FIXED], ids=["dynamic", "fixed"])
SUM = FOOTER.offset_of("checksum")


@SUBJECTS
def test_behaves_as_a_bytearray(subject: Subject) -> None:
    check_against_model(subject, max_examples=25)


@SUBJECTS
def test_holds_flushed_bytes_after_any_crash(subject: Subject) -> None:
    assert survives_crashes(subject, script(subject, seed=3, count=12)) > 10


def small_image() -> bytes:
    """A valid image of 2 MiB and a sector, of which only the sector exists; its block is cut to that."""
    storage = MemoryNode("image")
    DYNAMIC.create(storage)
    node = DYNAMIC.open(storage)
    node.write(2 * BLOCK, pattern(512))
    node.close()
    return bytes(storage.content)


def signed(mutant: Mutant) -> Mutant:
    """The same with the footer's checksum made right, so that what is behind it is looked at."""
    label, content = mutant
    content[SUM : SUM + 4] = checksum(bytes(content[:512]), SUM).to_bytes(4, "big")
    return label, content


def test_damaged_headers_and_tables_are_refused_or_read() -> None:
    content = small_image()
    fields = [
        *fields_of(FOOTER),
        *fields_of(DYNAMIC_HEADER, 512),
        *((f"entry {i}", 1536 + 4 * i, 4, "big") for i in range(3)),
    ]
    numbers = [field for field in fields if field[2] <= 8]
    assert survives_mutations(DYNAMIC.open, map(signed, extremes(content, numbers)), write=True) > 20
    ranges = [(0, 0x60), (512, 0x40), (1536, 12)]
    assert survives_mutations(DYNAMIC.open, map(signed, flips(content, ranges, count=60)), write=True) > 5


def test_truncated_files_are_refused_or_read() -> None:
    content = small_image()
    lengths = [*range(0, 2600, 7), *range(2600, len(content), 262_143)]
    assert survives_mutations(DYNAMIC.open, truncations(content, lengths)) > 0
