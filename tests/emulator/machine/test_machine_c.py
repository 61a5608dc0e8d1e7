"""C programs: the checksums of the bare machine are those of the same code run natively."""

from __future__ import annotations

from pathlib import Path

import pytest
from guest_programs import GUESTS, build, run_here, run_natively

FREESTANDING = (
    "-O2 -ffreestanding -fno-pic -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables "
    "-fno-reorder-functions -fno-tree-loop-distribute-patterns -fno-math-errno"
)
VARIANTS = [(64, ""), (32, "-mfpmath=sse -msse2"), (32, "-mfpmath=387")]


@pytest.mark.parametrize(("bits", "options"), VARIANTS, ids=["64", "32-sse", "32-x87"])
@pytest.mark.parametrize("name", ["integers.c", "floats.c"])
def test_checksums(name: str, bits: int, options: str, tmp_path: Path) -> None:
    options = f"{FREESTANDING} {options}"
    program = build(name, tmp_path / "program", bits, options)
    expected = run_natively([GUESTS / name, GUESTS / f"native{bits}.S"], tmp_path / "native", bits, options)
    assert run_here(program).output == expected
