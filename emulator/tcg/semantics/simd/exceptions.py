"""SIMD floating-point exceptions (Intel SDM Vol. 1, sections 11.5 and E.4).

The flags of all lanes are collected in `Core.float_flags` and committed once: an unmasked exception raises #XM, or #UD
without CR4.OSXMMEXCPT, and nothing but MXCSR changes.
"""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, function, u32

from ...control import raised
from ...core import UD, XM, Core, Op
from ...softfloat.number import DENORMAL, INEXACT, INVALID, OVERFLOW, UNDERFLOW, ZERO_DIVIDE, Context

# MXCSR (SDM Vol. 1, section 10.2.3)
ALL_FLAGS = 0x3F
MASK_SHIFT = 7
MODE_SHIFT = 13
DENORMALS_ARE_ZEROS = 1 << 6
FLUSH_TO_ZERO = 1 << 15
INEXACT_MASKED = INEXACT << MASK_SHIFT
OSXMMEXCPT = 1 << 10  # CR4

BEFORE_COMPUTATION = INVALID | DENORMAL | ZERO_DIVIDE


@function(inline="always")
def quick(core: Ptr[Core]) -> bool:
    """Whether an inexact result to nearest changes nothing: the host may compute what raises no other exception."""
    return core.cpu.mxcsr & (INEXACT | INEXACT_MASKED | 3 << MODE_SHIFT) == INEXACT | INEXACT_MASKED


@function
def begin(core: Ptr[Core], context: Ptr[Context]) -> None:
    """Rounding as MXCSR says; the format is the caller's."""
    mxcsr = core.cpu.mxcsr
    context.mode = mxcsr >> MODE_SHIFT & 3
    context.unmasked = ~(mxcsr >> MASK_SHIFT) & (OVERFLOW | UNDERFLOW)
    context.flush = mxcsr & FLUSH_TO_ZERO
    context.ignore_denormals = mxcsr & DENORMALS_ARE_ZEROS


@function
def commit(core: Ptr[Core]) -> bool:
    """Note the exceptions of an instruction; false if one of them is raised.

    An unmasked one that operands cause comes before those that results cause.
    """
    flags = core.float_flags
    unmasked = ~(core.cpu.mxcsr >> MASK_SHIFT) & ALL_FLAGS
    if flags & unmasked & BEFORE_COMPUTATION:
        flags &= BEFORE_COMPUTATION
    core.cpu.mxcsr |= flags
    return flags & unmasked == 0


@function(inline="never")
def raise_exception(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    return raised(core, op, XM if core.cpu.cr4 & OSXMMEXCPT else u32(UD), 0)
