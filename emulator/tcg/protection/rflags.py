"""RFLAGS as programs load and store it (Intel SDM Vol. 1, section 3.4.3; Vol. 3, section 2.3)."""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, function, u64

from ..core import Core
from ..flags import STATUS, get_rflags, set_status

TF, IF, DF, IOPL, NT, RF, VM, AC, VIF, VIP, ID = (
    1 << 8, 1 << 9, 1 << 10, 3 << 12, 1 << 14, 1 << 16, 1 << 17, 1 << 18, 1 << 19, 1 << 20, 1 << 21
)  # fmt: skip
ALWAYS_SET = 2
SYSTEM = TF | IF | DF | IOPL | NT | RF | VM | AC | VIF | VIP | ID
ALL = STATUS | SYSTEM


@function
def change_flags(core: Ptr[Core], image: u64, mask: u64) -> None:
    """Load the flags of a mask. RF is for breakpoints: without any it would be cleared by the next instruction."""
    flags = get_rflags(core) & ~mask | image & mask
    set_status(core, flags)
    if not core.debugging:
        flags &= ~u64(RF)
    core.cpu.rflags = flags & SYSTEM | ALWAYS_SET


@function
def loadable(core: Ptr[Core]) -> u64:
    """What POPF and IRET may change at this privilege level."""
    mask: u64 = STATUS | TF | DF | NT | AC | ID
    if core.cpl <= core.cpu.rflags >> 12 & 3:
        mask |= IF
    if core.cpl == 0:
        mask |= IOPL
    return mask
