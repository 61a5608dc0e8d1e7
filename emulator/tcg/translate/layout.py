"""Where translated code keeps what: the guest's registers in the host's, and what a translation knows while it is made.

Invariants of translated code:

- R12 is `Core` (as in handlers), RSP the host's stack, and eleven of the guest's registers are in `HOST`; the other
  five stay in `Core`. R14 and R15 are scratch: the address of an operand, and one value.
- The status flags are in AX, as LAHF and SETO AL leave them, wherever a block begins; within one they may be in the
  host's EFLAGS instead.
- Nothing of an instruction has happened when it is left to its handler.
"""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Array, Ptr, struct, table, u8, u32

from ..core import MAX_BLOCK, Core, Op

RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 = range(16)
CORE = R12
ADDRESS = R14  # of a memory operand; the op that is jumped to
VALUE = R15
STATUS = RAX
NO_REGISTER = 16
IN_CORE = 16
HOST = table(u8, (R13, RCX, RDX, RBX, R11, RBP, RSI, RDI, R8, R9, IN_CORE, IN_CORE, R10, IN_CORE, IN_CORE, IN_CORE))
"""By the guest's number. RCX and RDX are what shifts, multiplications and divisions name."""

# Where the flags are
IN_FLAGS, IN_STATUS, IN_BOTH = range(3)

MAX_STUBS = 5 * MAX_BLOCK
LEAVES, BRANCHES, ATTENDS = range(3)  # Stub.kind


@struct
class Stub:
    """Code out of line: to leave to an op's handler, to go to the target of a branch, to see what there is to do."""

    place: Ptr[u8]  # behind the jump to it
    op: Ptr[Op]
    kind: u32
    flags: u32  # where they are


@struct
class Translation:
    """A block being translated."""

    core: Ptr[Core]
    out: Ptr[u8]  # where the next byte goes
    entry: Ptr[u8]  # where its first instruction is translated, or null
    entry_op: Ptr[Op]
    op: Ptr[Op]  # the current one
    code: Ptr[u8]  # its bytes
    flags: u32
    floats: u32  # whether the host's MXCSR is known to be the guest's
    bits: u32  # 64 or 32: of the code, of addresses on the stack and of branch targets
    stub_count: u32
    stubs: Array[Stub, MAX_STUBS]
