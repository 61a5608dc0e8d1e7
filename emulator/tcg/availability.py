"""Which of x87, MMX and SSE an instruction belongs to, and when it raises #UD or #NM (Intel SDM Vol. 3, table 2-2 and
section 14.1.1; the exceptions of each instruction in Vol. 2).

CR0 and CR4 are part of a block's key, so the question is answered when an instruction is predecoded.
"""

from __future__ import annotations

from typing import NamedTuple

from emulator.x86.notation import Form

from .core import EMULATED, NO_SSE, NO_XSAVE, SWITCHED, WAIT_SWITCHED

INTEGER, X87, WAIT, MMX, SSE, FXSAVE, XSAVE = range(7)


class Condition(NamedTuple):
    """Bits of `Core.code_kind` with which the instructions of a unit raise #UD and #NM."""

    undefined: int
    unavailable: int


CONDITIONS = (
    Condition(0, 0),
    Condition(0, EMULATED | SWITCHED),
    Condition(0, WAIT_SWITCHED),
    Condition(EMULATED, SWITCHED),
    Condition(EMULATED | NO_SSE, SWITCHED),
    Condition(0, EMULATED | SWITCHED),
    Condition(NO_XSAVE, SWITCHED),
)
"""In the order of INTEGER, X87, WAIT, MMX, SSE, FXSAVE, XSAVE."""

BY_MNEMONIC = {"FXSAVE": FXSAVE, "FXRSTOR": FXSAVE, "FWAIT": WAIT, "EMMS": MMX, "LDMXCSR": SSE, "STMXCSR": SSE}
BY_MNEMONIC |= dict.fromkeys(("XSAVE", "XSAVEC", "XSAVEOPT", "XSAVES", "XRSTOR", "XRSTORS"), XSAVE)


def unit_of(form: Form) -> int:
    """The unit whose state an instruction uses."""
    if form.mnemonic in BY_MNEMONIC:
        return BY_MNEMONIC[form.mnemonic]
    methods = {code.method for code in form.operands}
    if methods & set("VWU"):
        return SSE
    if methods & set("PQN"):
        return MMX
    return X87 if form.mnemonic.startswith("F") else INTEGER
