"""Which handler executes which form: the table that predecoding looks up, and the coverage of the opcode table.

A handler is found by form, operand size and whether the ModRM operand is in memory. A form without one raises #UD.
"""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from emulator.native import Function
from emulator.x86.notation import Form
from emulator.x86.table import ENCODINGS, FORMS

from .fixed import FIXED
from .semantics import MODULES

SIZES = (16, 32, 64)
MAKERS = {mnemonic: (maker, module) for module in MODULES for mnemonic, maker in module.HANDLERS.items()}
MAIN = "main"


class Handlers(NamedTuple):
    """The handlers by number, their numbers by form * 8 + size * 2 + memory, and the unit that each is compiled in."""

    functions: list[Function]
    variants: list[int]
    units: list[str]


@cache
def handlers() -> Handlers:
    numbers = {function: number for number, function in enumerate(FIXED)}
    units = [MAIN] * len(FIXED)
    variants = [0] * (len(FORMS) * 8)
    modes = {}
    for encoding in ENCODINGS:
        modes.setdefault(encoding.form.name, set()).update(encoding.modes)
    for index, form in enumerate(FORMS):
        for number, size in enumerate(SIZES):
            if size == 64 and 64 not in modes[form.name]:
                continue
            for memory in (False, True):
                made = make(form, size, memory)
                if made is None:
                    continue
                family = made if isinstance(made, list) else [made]
                for function in family:
                    if function not in numbers:
                        numbers[function] = len(numbers)
                        units.append(unit_name(form))
                variants[index * 8 + number * 2 + memory] = numbers[family[0]]
    return Handlers(list(numbers), variants, units)


def unit_name(form: Form) -> str:
    """The unit that the handlers of a mnemonic are compiled in: `UNIT` of the module that makes them."""
    return getattr(MAKERS[form.mnemonic][1], "UNIT", MAIN)


def make(form: Form, size: int, memory: bool) -> Function | list[Function] | None:
    """The handler of a form; one for each of its 16 conditions, numbered one after another; None if it is not there."""
    if form.mnemonic not in MAKERS:
        return None
    if not memory and any(code.method == "M" for code in form.operands):
        return None
    return MAKERS[form.mnemonic][0](form, size, memory)


def covered() -> set[str]:
    """The names of the forms that are executed."""
    variants = handlers().variants
    return {form.name for index, form in enumerate(FORMS) if any(variants[index * 8 : index * 8 + 8])}
