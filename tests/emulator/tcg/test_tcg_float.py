"""Floating-point instructions against the host's processor, with unusual operands and control words.

In CI a few cases of every row, with a fixed seed. The long run, of CI's size a seed:

    TCG_SEEDS=200 pytest -n auto tests/emulator/tcg/test_tcg_float.py
"""

from __future__ import annotations

import struct
from random import Random

import pytest
from float_cases import ROUNDED_UP, TRANSCENDENTAL, as_host, hardened, in_domain, ulps, usual
from tcg_cases import Interpreter
from test_tcg_oracle import SEEDS, cases_of, differences

from emulator.tcg.softfloat.number import INEXACT
from emulator.x86.generate import State, executable, random_case
from emulator.x86.host import available
from emulator.x86.hostcpu import Host
from emulator.x86.instruction import Register
from emulator.x86.notation import Form
from emulator.x86.table import ENCODINGS
from tests.conftest import cannot_run

CASES_PER_ROW = 6
FLOAT_TYPES = ("ps", "pd", "ss", "sd")


def computes_floats(form: Form) -> bool:
    """x87, and SSE with floating-point operands."""
    floats = any(code.type in FLOAT_TYPES for code in form.operands)
    return floats or form.mnemonic.startswith(("F", "CVT"))


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize(("mode", "translate"), [(64, False), (64, True), (32, False), (32, True)])
def test_host(mode: int, translate: bool, seed: int) -> None:
    """Translated code computes itself only while MXCSR controls nothing unusual, so that it mostly does here."""
    if not available():
        cannot_run("the host is not an x86-64 Linux")
    random = Random(f"hard {mode} {translate} {seed}")
    cases = [hardened(case, random) for case in cases_of("float", mode, seed, CASES_PER_ROW, computes_floats)]
    if translate:
        cases = [usual(case) if random.random() < 0.8 else case for case in cases]
    with Host() as host:
        expected = host.run(cases)
    outcomes = [as_host(outcome) for outcome in Interpreter(mode, translate=translate).run(cases)]
    assert differences(cases, outcomes, expected, mode) == []


def test_reference() -> None:
    """Machine code and Python agree, transcendental functions included."""
    random = Random("hard reference")
    cases = [hardened(case, random) for case in cases_of("float", 64, 0, 1, computes_floats)]
    rows = [row for row in ENCODINGS if row.form.mnemonic in TRANSCENDENTAL]
    cases += [random_case(row, random) for row in rows for _ in range(2)]
    native, python = Interpreter(64).run(cases), Interpreter(64, native=False).run(cases)
    assert native == python


@pytest.mark.parametrize("name", ("RCPPS", "RCPSS", "RSQRTPS", "RSQRTSS"))
def test_approximation(name: str) -> None:
    """RCP and RSQRT have a relative error of at most 1.5 * 2**-12 (SDM Vol. 2); special operands are exact."""
    if not available():
        cannot_run("the host is not an x86-64 Linux")
    row = next(row for row in ENCODINGS if row.form.mnemonic == name and executable(row))
    random = Random(name)
    cases = [hardened(random_case(row, random), random) for _ in range(200)]
    with Host() as host:
        expected = host.run(cases)
    for case, ours, theirs in zip(cases, Interpreter(64).run(cases), expected, strict=True):
        target = case.instruction.operands[0]
        assert isinstance(target, Register)
        ours_, theirs_ = (outcome.xmm[target.number].to_bytes(16, "little") for outcome in (ours, theirs))  # type: ignore[union-attr]
        for a, b in zip(struct.unpack("<4f", ours_), struct.unpack("<4f", theirs_), strict=True):
            assert struct.pack("<f", a) == struct.pack("<f", b) or abs(a - b) <= abs(b) * 3 * 2**-12


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("name", TRANSCENDENTAL)
def test_transcendental(name: str, seed: int) -> None:
    """To within a unit of the last place; special operands, exceptions and the stack exactly.

    C1 follows from the last bit. A logarithm of a power of 2 is exact here, and need not be there.
    """
    if not available():
        cannot_run("the host is not an x86-64 Linux")
    row = next(row for row in ENCODINGS if row.form.mnemonic == name)
    random = Random(f"{name} {seed}")
    cases = [random_case(row, random) for _ in range(100)]
    cases = [case for case in cases + [hardened(case, random) for case in cases] if in_domain(case)]
    ignored = ROUNDED_UP | (INEXACT if name == "FYL2X" else 0)
    with Host() as host:
        expected = host.run(cases)
    for case, ours, theirs in zip(cases, Interpreter(64).run(cases), expected, strict=True):
        assert isinstance(ours, State) and isinstance(theirs, State)
        shown = [f"{value:020x}" for value in case.state.x87[:2]]
        assert max(map(ulps, ours.x87, theirs.x87)) <= 1, shown
        assert ours.tags == theirs.tags and (ours.status ^ theirs.status) & ~ignored == 0, shown
