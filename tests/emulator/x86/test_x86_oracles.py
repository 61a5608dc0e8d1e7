"""The generator of cases and the flag columns of the opcode table against the host's processor, and Unicorn against it.

In CI a few cases of every row with a fixed seed. The long run, 1500 cases a seed and test:

    X86_SEEDS=200 pytest -n auto tests/emulator/x86/test_x86_oracles.py
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest

from emulator.x86.decode import decode
from emulator.x86.disasm import text
from emulator.x86.flags import STATUS_MASK, flags_tested, flags_written, mask
from emulator.x86.generate import (
    AREA,
    AREA_SIZE,
    CODE,
    EXCLUDED_MNEMONICS,
    TARGETS,
    Case,
    State,
    effective_address,
    executable,
    random_case,
)
from emulator.x86.host import available, host_features
from emulator.x86.hostcpu import Fault, Host, Outcome
from emulator.x86.instruction import Memory, Register
from emulator.x86.table import ENCODINGS, FORMS
from tests.conftest import cannot_run

SEEDS = int(os.environ.get("X86_SEEDS", "1"))
CASES_PER_ROW = {64: 2, 32: 1}
# All that a flag must not reach unless it is tested
REST = ("registers", "xmm", "x87", "control", "status", "tags", "memory")


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    if not available():
        cannot_run("the host is not an x86-64 Linux")
    with Host() as opened:
        yield opened


def cases_of(name: str, mode: int, seed: int) -> list[Case]:
    """Cases of every row that the host's processor has."""
    random = Random(f"{name} {mode} {seed}")
    features = host_features() | {"base"}
    rows = [row for row in ENCODINGS if executable(row, mode) and row.form.feature in features]
    return [random_case(row, random, mode) for row in rows for _ in range(CASES_PER_ROW[mode])]


def with_flags(case: Case, flags: int) -> Case:
    return replace(case, state=replace(case.state, flags=flags))


def violations(case: Case, before: int, after: State) -> str:
    """What the flags of an outcome say against the columns of the table."""
    form = case.instruction.form
    if (before ^ after.flags) & STATUS_MASK & ~flags_written(form):
        return "changes a flag that is not written"
    if "keep0" in form.marks:
        return ""
    if after.flags & mask(form.cleared) or ~after.flags & mask(form.set):
        return "does not clear or set its flags"
    return ""


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("mode", [64, 32])
def test_flags_written(host: Host, mode: int, seed: int) -> None:
    cases = cases_of("written", mode, seed)
    for case, outcome in zip(cases, host.run(cases), strict=True):
        if isinstance(outcome, State):
            assert not violations(case, case.state.flags, outcome), text(case.instruction)


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("mode", [64, 32])
def test_flags_tested(host: Host, mode: int, seed: int) -> None:
    """An instruction does the same whatever the flags are that it does not test."""
    cases = [case for case in cases_of("tested", mode, seed) if "keep0" not in case.instruction.form.marks]
    untested = [STATUS_MASK & ~flags_tested(case.instruction.form, case.instruction.opcode) for case in cases]
    flipped = [with_flags(case, case.state.flags ^ flags) for case, flags in zip(cases, untested, strict=True)]
    for case, one, other in zip(cases, host.run(cases), host.run(flipped), strict=True):
        if isinstance(one, Fault) or isinstance(other, Fault):
            assert one == other, text(case.instruction)
            continue
        defined = flags_written(case.instruction.form) & ~case.undefined
        assert not (one.flags ^ other.flags) & defined, text(case.instruction)
        for name in REST:
            assert getattr(one, name) == getattr(other, name), (name, text(case.instruction))


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("mode", [64, 32])
def test_unicorn_agrees_with_the_host(host: Host, mode: int, seed: int) -> None:
    """Two processors that know nothing of each other do the same with what the generator made."""
    unicorn = pytest.importorskip("x86_unicorn", reason="unicorn is not installed", exc_type=ImportError)
    cases = [case for case in cases_of("unicorn", mode, seed) if not unicorn.shortcoming(case)]
    assert len(cases) > 500
    outcomes = zip(cases, host.run(cases), unicorn.Unicorn(mode).run(cases), strict=True)
    found = [(case, differences(case, one, other)) for case, one, other in outcomes]
    assert not [(case.code.hex(), text(case.instruction), names) for case, names in found if names]


def differences(case: Case, one: Outcome, other: Outcome) -> list[str]:
    """The names of what differs, of that which Unicorn computes exactly."""
    if isinstance(one, Fault) or isinstance(other, Fault):
        return [] if one == other else ["fault"]
    found = [name for name in ("registers", "xmm", "memory") if getattr(one, name) != getattr(other, name)]
    if (one.flags ^ other.flags) & STATUS_MASK & ~case.undefined:
        found.append("flags")
    if case.instruction.form.feature == "X87":
        if one.x87[:6] != other.x87[:6] or (one.status ^ other.status) >> 11 & 7:
            found.append("x87")
    elif mmx_registers(one) != mmx_registers(other):
        found.append("mmx")
    return found


def mmx_registers(state: State) -> list[int]:
    top = state.status >> 11 & 7
    return [state.x87[(number - top) % 8] & (1 << 64) - 1 for number in range(8)]


def test_an_outcome_in_full(host: Host) -> None:
    """ADD AL,[RSI] by hand: what it changes, and nothing else."""
    random = Random(1)
    base = random_case(next(row for row in ENCODINGS if row.form.name == "ADD_Gb_Eb"), random)
    memory = bytes(16) + b"\x01" + bytes(AREA_SIZE - 17)
    registers = (0x11FF, 2, 3, 4, AREA + 256, 6, AREA + 16, *range(8, 17))
    state = replace(base.state, registers=registers, memory=memory, flags=0x202)
    code = bytes.fromhex("0206")
    outcome = host.run([Case(code, decode(code, 64), state, 0)])[0]
    assert outcome == replace(state, registers=(0x1100, *registers[1:]), flags=0x202 | mask("CZAP"))


FAULTING = {"31c0 f7f0": 0, "0f0b": 6, "a1 0000000000000000 00": 13, "f4": 13}


def test_vex_fields_in_32_bit_mode(host: Host) -> None:
    """VEX.W, VEX.B and the top bit of VEX.vvvv are ignored: ANDN computes with the registers that we decode."""
    if "BMI1" not in host_features():
        cannot_run("the host's processor has no BMI1")
    random = Random("vex")
    andn = next(row for row in ENCODINGS if row.form.name == "ANDN_Gy_By_Ey")
    cases = [case for case in (random_case(andn, random, 32) for _ in range(100)) if case.instruction.rm >= 0]
    for case, outcome in zip(cases, host.run(cases), strict=True):
        assert isinstance(outcome, State)
        result, inverted, source = (operand.number for operand in registers_of(case))
        before = case.state.registers
        assert outcome.registers[result] == ~before[inverted] & before[source], case.code.hex()


def registers_of(case: Case) -> list[Register]:
    return [operand for operand in case.instruction.operands if isinstance(operand, Register)]


def test_faults_are_outcomes(host: Host) -> None:
    """A fault ends the child and no more: the cases after it run."""
    state = random_case(next(row for row in ENCODINGS if row.form.name == "CLC"), Random(1)).state
    codes = [bytes.fromhex(code) for code in (*FAULTING, "f8")]
    outcomes = host.run([Case(code, decode(b"\xf8", 64), state, 0) for code in codes])
    assert outcomes[:-1] == [Fault(vector) for vector in FAULTING.values()]
    assert isinstance(outcomes[-1], State)
    assert outcomes[-1].flags == state.flags & ~1


def test_most_forms_have_cases() -> None:
    made = {row.form.name for row in ENCODINGS if executable(row) or executable(row, 32)}
    assert len(made) > 750
    assert {form.mnemonic for form in FORMS} >= EXCLUDED_MNEMONICS


@pytest.mark.parametrize("mode", [64, 32])
def test_cases_stay_in_the_area(mode: int) -> None:
    for case in cases_of("area", mode, 0):
        instruction = case.instruction
        assert decode(case.code, mode) == instruction
        for operand in instruction.operands:
            if isinstance(operand, Memory) and instruction.form.mnemonic not in ("LEA", "NOP"):
                address = effective_address(operand, case.state.registers, CODE + instruction.length)
                assert address in TARGETS, text(instruction)
