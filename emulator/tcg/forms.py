"""Which handler executes which form: the table that predecoding looks up, and the coverage of the opcode table.

A handler is found by form, operand size and whether the ModRM operand is in memory. A form without one raises #UD.
"""

# mypy: ignore-errors

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from emulator.native import Function
from emulator.x86.notation import Form
from emulator.x86.table import ENCODINGS, FORMS

from .fixed import FIXED
from .flags import CONDITIONS
from .semantics import MODULES
from .semantics.shortcuts import FUSIBLE, INDEXED_HANDLERS, NEAR_HANDLERS, SILENT, with_branch

SIZES = (16, 32, 64)
MAIN, SHORTCUTS = "main", "shortcuts"


class Maker(NamedTuple):
    """A function of `semantics` that makes handlers of a mnemonic, if the form is one of its own, and their unit."""

    make: Callable[[Form, int, bool], Function | list[Function] | None]
    unit: str


MAKERS: dict[str, list[Maker]] = {}
for module in MODULES:
    for mnemonic, made in module.HANDLERS.items():
        MAKERS.setdefault(mnemonic, []).append(Maker(made, getattr(module, "UNIT", MAIN)))


class Handlers(NamedTuple):
    """The handlers by number, their numbers by form * 8 + size * 2 + memory, and the unit that each is compiled in."""

    functions: list[Function]
    variants: list[int]
    units: list[str]
    near: list[int]  # by number: the handler for 64-bit mode and an address without index, 0 if there is none
    indexed: list[int]  # and with one
    silent: list[int]  # by number: the handler that leaves the flags, 0 if there is none
    fused: list[int]  # by number: the first of the 16 handlers with a conditional branch behind, 0 if there is none


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
                family, unit = make(form, size, memory)
                for function in family:
                    if function not in numbers:
                        numbers[function] = len(numbers)
                        units.append(unit)
                if not family:
                    continue
                variants[index * 8 + number * 2 + memory] = numbers[family[0]]
    near, indexed, silent, fused = {}, {}, {}, {}
    for plain in list(numbers):
        for found, shorter in ((near, NEAR_HANDLERS), (indexed, INDEXED_HANDLERS)):
            if plain in shorter:
                found[numbers[plain]] = numbers.setdefault(shorter[plain], len(numbers))
    for plain in list(numbers):
        if plain in SILENT:
            silent[numbers[plain]] = numbers.setdefault(SILENT[plain], len(numbers))
        if plain in FUSIBLE:
            fused[numbers[plain]] = len(numbers)
            for condition in CONDITIONS:
                numbers[with_branch(plain, condition)] = len(numbers)
    count = len(numbers)
    units += [SHORTCUTS] * (count - len(units))
    return Handlers(
        list(numbers),
        variants,
        units,
        *([found.get(number, 0) for number in range(count)] for found in (near, indexed, silent, fused)),
    )


def make(form: Form, size: int, memory: bool) -> tuple[list[Function], str]:
    """The handler of a form, or one for each of its 16 conditions, and their unit; none if it is not executed."""
    if memory or not any(code.method == "M" for code in form.operands):
        for maker in MAKERS.get(form.mnemonic, ()):
            made = maker.make(form, size, memory)
            if made is not None:
                return made if isinstance(made, list) else [made], maker.unit
    return [], MAIN


def covered() -> set[str]:
    """The names of the forms that are executed."""
    variants = handlers().variants
    return {form.name for index, form in enumerate(FORMS) if any(variants[index * 8 : index * 8 + 8])}
