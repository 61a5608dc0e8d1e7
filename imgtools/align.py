"""Rounding to multiples. All arguments and results are whole numbers of whatever unit the caller counts in."""

from __future__ import annotations


def round_down(value: int, multiple: int) -> int:
    """The largest multiple that is not above `value`."""
    return value - value % multiple


def round_up(value: int, multiple: int) -> int:
    """The smallest multiple that is not below `value`."""
    return value + -value % multiple


def div_up(value: int, divisor: int) -> int:
    """How many pieces of `divisor` it takes to hold `value`."""
    return -(-value // divisor)


def is_power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0
