"""Code out of line: the ways out of a block that are rarely taken, and where all ways out end.

To leave to an op is to execute its handler, in the threaded interpreter: R14 is the op, R15 the handler.
"""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, function, u32, u64
from emulator.x86.state import Cpu

from ..core import Core, Op
from .assembler import (
    EQUAL,
    GROUP_1_BYTE,
    GROUP_5,
    LOAD,
    MAP_0F,
    MOVE_IMMEDIATE,
    STORE,
    TO_CMP,
    TO_JUMP,
    jump,
    jump_if,
    number,
    patch,
    put,
    with_core,
    with_memory,
    with_register,
)
from .layout import (
    ADDRESS,
    HOST,
    IN_CORE,
    LEAVES,
    R13,
    RBP,
    STATUS,
    VALUE,
    Translation,
)
from .registers import save_flags

CODE = Op.offset("code")
HANDLER = Op.offset("handler")
STATUS_FIELD, TARGET = Core.offset("status"), Core.offset("target")
MXCSR, FLOATS = Cpu.offset("mxcsr"), Core.offset("floats")
MXCSR_GROUP, TO_LOAD, TO_STORE = MAP_0F | 0xAE, 2, 3  # LDMXCSR, STMXCSR
HOST_RBP = Core.offset("host_rbp")  # `preserve_none` leaves RSP and RBP as they are
OP = R13  # of a handler


@function
def leave_if(t: Ptr[Translation], condition: u32) -> None:
    """On a condition of EFLAGS leave to the current op."""
    jump_if(t, condition)
    add_stub(t, LEAVES)


@function
def add_stub(t: Ptr[Translation], kind: u32) -> None:
    """The jump that was just emitted leads to a stub of the current op."""
    stub = t.stubs[t.stub_count]
    t.stub_count += 1
    stub.place = t.out
    stub.op = t.op
    stub.kind = kind
    stub.flags = t.flags


@function
def leave(t: Ptr[Translation]) -> None:
    """To the current op."""
    save_flags(t)
    leave_to(t, t.op.handler)


@function
def leave_to(t: Ptr[Translation], handler: u64) -> None:
    """To a handler of the current op."""
    number(t, ADDRESS, u64(t.op))
    number(t, VALUE, handler)
    jump(t, t.core.code_leave)


# -- the ways in and out, once for all blocks -----------------------------------------------------------------


@function
def give_back_floats(t: Ptr[Translation]) -> None:
    """If MXCSR was the guest's, it has the exceptions that were found; see `vectors.begin_floats`."""
    with_core(t, GROUP_1_BYTE, 32, TO_CMP, FLOATS)
    put(t, 0, 1)
    jump_if(t, EQUAL)
    none = t.out
    with_core(t, MXCSR_GROUP, 32, TO_STORE, MXCSR)
    with_core(t, MOVE_IMMEDIATE, 32, 0, FLOATS)
    put(t, 0, 4)
    patch(none, t.out)


@function
def make_doors(core: Ptr[Core], left: u64) -> None:
    """At the begin of the room for code: from translated code to `left`, and from `doors` to translated code."""
    t = Translation()
    t.core = core
    t.out = core.code_start
    core.code_leave_op = u64(t.out) + core.code_shift
    with_memory(t, LOAD, 64, VALUE, ADDRESS, HANDLER)
    core.code_leave = t.out
    give_back_floats(t)
    for guest in range(16):
        if HOST[guest] != IN_CORE:
            with_core(t, STORE, 64, u32(HOST[guest]), guest * 8)
    with_core(t, LOAD, 64, RBP, HOST_RBP)
    with_core(t, STORE, 32, STATUS, STATUS_FIELD)
    with_core(t, STORE, 64, VALUE, TARGET)
    with_register(t, LOAD, 64, OP, ADDRESS)
    number(t, VALUE, left)
    with_register(t, GROUP_5, 32, TO_JUMP, VALUE)
    core.code_load = u64(t.out) + core.code_shift
    with_core(t, STORE, 64, RBP, HOST_RBP)
    with_core(t, LOAD, 32, STATUS, STATUS_FIELD)
    with_memory(t, LOAD, 64, ADDRESS, OP, CODE)
    for guest in range(16):
        if HOST[guest] != IN_CORE:
            with_core(t, LOAD, 64, u32(HOST[guest]), guest * 8)
    with_register(t, GROUP_5, 32, TO_JUMP, ADDRESS)
    core.code_used = t.out
