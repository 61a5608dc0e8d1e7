"""The threaded interpreter: every handler as a function that jumps to the next one.

A handler `f(core, op) -> next` becomes

    void f(core, op) { next = f(core, op); musttail next->handler(core, next) }

in LLVM IR, with the handler inlined. The calling convention `preserve_none` keeps `core` and `op` in registers over
calls of C functions, and saves nothing. The op `Core.stop` has a handler that returns. With `native=False` the same
handlers run as Python, one after another.
"""

from __future__ import annotations

from functools import cache

from emulator.native import Export, Ptr, RawIR, Unit, source_key, u64
from emulator.softmmu.mmu import UNIT as SOFTMMU

from . import blocks, control, flags, state
from .core import Core, Op
from .forms import handlers
from .predecode import STOP

THREAD = """
define internal preserve_nonecc void @"t0.{number}"(ptr %core, ptr %op) nounwind {{
  %next = call ptr @"{symbol}"(ptr %core, ptr %op)
  %handler = load ptr, ptr %next
  musttail call preserve_nonecc void %handler(ptr %core, ptr %next)
  ret void
}}
"""
STOPPED = 'define internal preserve_nonecc void @"t0.{number}"(ptr %core, ptr %op) nounwind {{\n  ret void\n}}\n'
ENTRY = """
@"t0.table" = constant [{count} x ptr] [{table}]
define void @t0_run(ptr %core, ptr %op) nounwind {{
  %handler = load ptr, ptr %op
  call preserve_nonecc void %handler(ptr %core, ptr %op)
  ret void
}}
define i64 @t0_table() nounwind {{
  ret i64 ptrtoint (ptr @"t0.table" to i64)
}}
"""


def thread_text() -> str:
    """The IR of all handlers."""
    functions = handlers().functions
    parts = [
        (STOPPED if number == STOP else THREAD).format(number=number, symbol=function.symbol)
        for number, function in enumerate(functions)
    ]
    table = ", ".join(f'ptr @"t0.{number}"' for number in range(len(functions)))
    return "\n".join([*parts, ENTRY.format(count=len(functions), table=table)])


EXPORTED = (
    control.enter,
    blocks.code_written,
    blocks.flush_blocks,
    blocks.flush_jumps,
    flags.get_rflags,
    flags.set_status,
    state.update_mode,
)


@cache
def unit() -> Unit:
    """The interpreter as one unit."""
    functions = tuple(handlers().functions)
    key = source_key(THREAD, STOPPED, ENTRY, [function.symbol for function in functions], Core, Op)
    exports = (Export("t0_run", (Ptr[Core], Ptr[Op])), Export("t0_table", (), u64))
    return Unit("t0", EXPORTED, uses=(SOFTMMU,), raw=RawIR(key, thread_text, functions, exports))
