"""What is decided by the instruction behind an op: flags that nobody sees, and a comparison with its branch.

- An op whose flags the next instruction overwrites gets a handler that does not compute them. In between there may
  be instructions that neither use flags nor can raise an exception, as its frame would show them.
- A comparison and the conditional branch behind it become one handler. The branch keeps its op: the target and the
  link are there.

Both only choose handlers; an op that is executed alone (`blocks.decode_single`) never gets such a one.
"""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, function, table, u8, u32
from emulator.x86.flags import STATUS_MASK, flags_written
from emulator.x86.flat import NOTHING, Record
from emulator.x86.notation import Form
from emulator.x86.table import FORMS

from .core import Core, Op
from .predecode import BRANCH, CONDITIONAL, CONTINUE

# What a form does with the status flags
OVERWRITES, LEAVES, COUNTED, IN_MODRM = 1, 2, 4, 8
HARMLESS = frozenset(
    ("MOV", "MOVZX", "MOVSX", "MOVSXD", "LEA", "BSWAP", "XCHG", "CBW", "CWD", "NOT", "NOP", "ENDBR64", "ENDBR32")
)
DEFINING = frozenset(["ADD", "SUB", "AND", "OR", "XOR", "CMP", "TEST", "NEG", "SHL", "SHR", "SAR", "IMUL", "MUL"])
GENERAL = frozenset("EGIZM")
COUNT_MASK = 31


def effect(form: Form) -> int:
    methods = {code.method for code in form.operands if code.method != "fixed"}
    general = methods <= GENERAL
    fixed = {code.text for code in form.operands if code.method == "fixed"}
    flags = {
        OVERWRITES: form.mnemonic in DEFINING and general and "CL" not in fixed,
        LEAVES: form.mnemonic in HARMLESS and general and not fixed - {"AL", "rAX", "1"},
        COUNTED: "keep0" in form.marks,
        IN_MODRM: "E" in methods,
    }  # fmt: skip
    return sum(flag for flag, present in flags.items() if present)


EFFECTS = table(u8, [effect(form) for form in FORMS])
assert all(flags_written(form) == STATUS_MASK for form in FORMS if form.mnemonic in DEFINING)


@function
def look_back(core: Ptr[Core], record: Ptr[Record], op: Ptr[Op], properties: u32) -> None:
    """Behind `fill`: change the handlers of ops before this one, and remember what may be changed of it."""
    number = core.last_number
    effects = u32(EFFECTS[record.form])
    in_registers = not effects & IN_MODRM or record.rm != NOTHING
    if properties & CONDITIONAL and properties & BRANCH:
        fused = core.fused[core.previous_number]
        if fused:
            before = op - 1
            before.handler = core.handlers[fused + u32(record.opcode & 15)]
    overwrites = effects & OVERWRITES and (not effects & COUNTED or op.immediate & COUNT_MASK)
    if overwrites and in_registers and core.candidate:
        core.candidate.handler = core.handlers[core.candidate_number]
    if overwrites or not (effects & LEAVES and in_registers):
        core.candidate = op
        core.candidate_number = core.silent[number]
        if core.candidate_number == 0:
            core.candidate = Ptr[Op](0)
    core.previous_number = number


@function
def forget(core: Ptr[Core]) -> None:
    """At the begin of a block."""
    core.candidate = Ptr[Op](0)
    core.previous_number = CONTINUE
