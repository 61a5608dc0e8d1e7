"""Classes of exceptions (Intel SDM Vol. 3, tables 6-1, 6-4 and 6-5)."""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import function, u32

from ..core import DE, GP, NP, PF, SS_FAULT, TS
from ..core import DF as DOUBLE_FAULT

BENIGN, CONTRIBUTORY, PAGE = range(3)
SHUTDOWN = 0xFFFE


@function
def class_of(vector: u32) -> u32:
    if vector == PF:
        return PAGE
    return CONTRIBUTORY if vector in (DE, TS, NP, SS_FAULT, GP) else BENIGN


@function
def combined(first: u32, second: u32) -> u32:
    """What becomes of an exception during the delivery of another one."""
    if class_of(second) == BENIGN:
        return second
    if first == DOUBLE_FAULT:
        return SHUTDOWN
    if class_of(first) == PAGE or (class_of(first) == CONTRIBUTORY and class_of(second) == CONTRIBUTORY):
        return DOUBLE_FAULT
    return second


@function
def has_error_code(vector: u32) -> bool:
    return vector in (8, 10, 11, 12, 13, 14, 17, 21)
