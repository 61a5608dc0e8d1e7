"""The register stack of the x87 unit: its top, its tags, and pending exceptions (Intel SDM Vol. 1, section 8.1)."""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, function

from ...core import Core

# The status word (SDM Vol. 1, figure 8-4)
C0, C1, C2, C3 = 1 << 8, 1 << 9, 1 << 10, 1 << 14
TOP_SHIFT, TOP_MASK = 11, 7 << 11
SUMMARY, STACK_FAULT = 1 << 7, 1 << 6
BUSY = 1 << 15
NUMERIC_ERROR = 1 << 5  # CR0.NE


@function(inline="always")
def error_pending(core: Ptr[Core]) -> bool:
    """Whether an x87 exception is to be delivered now as #MF; without CR0.NE it goes to the interrupt controller."""
    return core.cpu.x87_status & SUMMARY != 0 and report_error(core)


@function(inline="never")
def report_error(core: Ptr[Core]) -> bool:
    if core.cpu.cr0 & NUMERIC_ERROR:
        return True
    core.float_error = 1
    return False
