"""Interpreter and translator against the host's processor, and machine code against the same handlers run as Python.

In CI a few cases of every form that is executed, with a fixed seed. The long run, of CI's size a seed:

    TCG_SEEDS=200 pytest -n auto tests/emulator/tcg/test_tcg_oracle.py
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
from float_cases import TRANSCENDENTAL
from tcg_cases import Interpreter

from emulator.tcg.forms import covered
from emulator.x86.disasm import text
from emulator.x86.generate import Case, executable, random_case
from emulator.x86.host import available, host_features
from emulator.x86.hostcpu import Fault, Host, Outcome
from emulator.x86.notation import Form
from emulator.x86.table import ENCODINGS, FORMS
from tests.conftest import cannot_run

SEEDS = int(os.environ.get("TCG_SEEDS", "1"))
CASES_PER_ROW = 10
APPROXIMATE = ("RCPPS", "RCPSS", "RSQRTPS", "RSQRTSS", *TRANSCENDENTAL)  # test_tcg_float.py has them


def cases_of(
    name: str, mode: int, seed: int, per_row: int, wanted: Callable[[Form], bool] = lambda form: True
) -> list[Case]:
    """Cases of the rows that are executed, of those whose form is `wanted`."""
    random = Random(f"{name} {mode} {seed}")
    features = host_features() | {"base"}
    executed = covered()
    exact = [form for form in FORMS if form.mnemonic not in APPROXIMATE and wanted(form)]
    names = {form.name for form in exact if form.name in executed}
    rows = [row for row in ENCODINGS if executable(row, mode) and row.form.feature in features]
    return [random_case(row, random, mode) for row in rows if row.form.name in names for _ in range(per_row)]


def comparable(outcome: Outcome, case: Case, mode: int) -> Outcome:
    """Without undefined flags, and without the registers that 32-bit mode does not have."""
    if isinstance(outcome, Fault):
        return outcome
    return replace(outcome, flags=outcome.flags & ~case.undefined, xmm=outcome.xmm[: 16 if mode == 64 else 8])


def differences(cases: list[Case], one: list[Outcome], other: list[Outcome], mode: int) -> list[str]:
    return [
        f"{text(case.instruction)}  {case.code.hex()}"
        for case, a, b in zip(cases, one, other, strict=True)
        if comparable(a, case, mode) != comparable(b, case, mode)
    ]


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize(("mode", "translate"), [(64, False), (64, True), (32, False), (32, True)])
def test_host(mode: int, translate: bool, seed: int) -> None:
    if not available():
        cannot_run("the host is not an x86-64 Linux")
    cases = cases_of("host", mode, seed, CASES_PER_ROW)
    with Host() as host:
        expected = host.run(cases)
    assert differences(cases, Interpreter(mode, translate=translate).run(cases), expected, mode) == []


@pytest.mark.parametrize("mode", [64, 32])
def test_reference(mode: int) -> None:
    """Machine code and Python agree, undefined flags included."""
    cases = cases_of("reference", mode, 0, 1)
    native, python = Interpreter(mode).run(cases), Interpreter(mode, native=False).run(cases)
    assert [text(case.instruction) for case, a, b in zip(cases, native, python, strict=True) if a != b] == []
