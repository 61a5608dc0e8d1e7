"""The host's processor as one more oracle: instructions of real mode do the same under KVM as in the interpreter.

A KVM that is not the hardware's executes them by an emulator in the kernel, with mistakes of its own: what it lacks is
left out, what it does wrong is in `EXCUSED`.
"""

from __future__ import annotations

from dataclasses import replace

from real_mode import Case, Outcome, RealMode, cases

from emulator.kvm.processor import KvmProcessor
from emulator.tcg.processor import Processor
from emulator.x86.disasm import text
from emulator.x86.flags import STATUS_MASK

PER_ROW = 4
EXCUSED = {
    "SZP are those of AX instead of AL": ("AAM", "AAD"),
    "with an operand size of 32 bits the frame has 12 bytes instead of 6": ("INT", "INT3", "INTO"),
    "with an operand size of 32 bits a selector is stored with zeros above it": ("PUSH",),
}
FLAGS, WIDE, SELECTOR = EXCUSED.values()
SOURCES = ("ES", "CS", "SS", "DS", "FS", "GS")


def is_excused(case: Case) -> bool:
    form = case.instruction.form
    pushes_selector = form.mnemonic in SELECTOR and form.operands[0].text in SOURCES
    return case.instruction.operand_size == 32 and (form.mnemonic in WIDE or pushes_selector)


def comparable(case: Case, outcome: Outcome) -> Outcome:
    """Without undefined flags."""
    ignored = case.undefined | (STATUS_MASK if case.instruction.form.mnemonic in FLAGS else 0)
    return replace(outcome, flags=outcome.flags & ~ignored)


def test_real_mode() -> None:
    here = RealMode(lambda space, platform: Processor(space, platform, translate=False))
    there = RealMode(KvmProcessor)
    chosen = [case for case in cases(1, PER_ROW) if not is_excused(case)]
    compared, different = 0, []
    for case in chosen:
        one, other = here.run(case), there.run(case)
        assert one is not None
        if other is not None:
            compared += 1
            if comparable(case, one) != comparable(case, other):
                different.append(f"{text(case.instruction)}  {case.code.hex()}")
    there.close()
    assert not different
    assert compared > len(chosen) * 3 // 4
