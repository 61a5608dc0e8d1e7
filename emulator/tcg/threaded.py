"""The threaded interpreter: every handler as a function that jumps to the next one.

A handler `f(core, op) -> next` becomes

    void f(core, op) { next = f(core, op); musttail next->handler(core, next) }

in LLVM IR, with the handler inlined. The calling convention `preserve_none` keeps `core` and `op` in registers over
calls of C functions, and saves nothing. The op `Core.stop` has a handler that returns. With `native=False` the same
handlers run as Python, one after another.

Handlers that belong together are a unit of their own, so that units are compiled at the same time: integer instructions
and the interpreter itself, SSE and MMX, x87.
"""

from __future__ import annotations

import ctypes
from functools import cache, partial
from pathlib import Path

from emulator.native import Export, Ptr, RawIR, Unit, source_key, u64
from emulator.native.keys import recall_keys
from emulator.native.load import Library, load_all
from emulator.softmmu.mmu import UNIT as SOFTMMU

from . import blocks, clock, control, flags, operands, state
from .core import Core, Op
from .forms import MAIN, handlers
from .predecode import STOP
from .protection import delivery
from .softfloat.unit import unit as softfloat

THREAD = """
define internal preserve_nonecc void @"t0.{number}"(ptr %core, ptr %op) nounwind {{
  %next = call ptr @"{symbol}"(ptr %core, ptr %op)
  %handler = load ptr, ptr %next
  musttail call preserve_nonecc void %handler(ptr %core, ptr %next)
  ret void
}}
"""
STOPPED = 'define internal preserve_nonecc void @"t0.{number}"(ptr %core, ptr %op) nounwind {{\n  ret void\n}}\n'
TABLE = """
@"t0.table" = internal constant [{count} x ptr] [{table}]
define i64 @t0_table_{name}() nounwind {{
  ret i64 ptrtoint (ptr @"t0.table" to i64)
}}
"""
RUN = """
define void @t0_run(ptr %core, ptr %op) nounwind {
  %handler = load ptr, ptr %op
  call preserve_nonecc void %handler(ptr %core, ptr %op)
  ret void
}
"""

# What Python calls
ENTRIES = (
    control.enter,
    blocks.code_written,
    blocks.flush_blocks,
    state.flush_jumps,
    flags.get_rflags,
    flags.set_status,
    state.update_mode,
    clock.time_now,
)
# What the handlers of other units call in the main one
SHARED = (
    control.branch_slow,
    control.faulted,
    control.interrupted,
    control.jump_slow,
    control.raised,
    control.resume,
    delivery.deliver,
    delivery.deliver_fault,
    flags.get_status,
    operands.memory_fault,
    operands.checked_address,
    operands.deposit,
    operands.fetch,
    operands.modify_place_slow,
    operands.peek_slow,
    operands.read_place_slow,
    operands.store_slow,
)


def thread_text(name: str) -> str:
    """The IR of the handlers of a unit, and the table of their addresses."""
    numbers = members(name)
    functions = handlers().functions
    parts = [
        (STOPPED if number == STOP else THREAD).format(number=number, symbol=functions[number].symbol)
        for number in numbers
    ]
    table = ", ".join(f'ptr @"t0.{number}"' for number in numbers)
    parts.append(TABLE.format(name=name, count=len(numbers), table=table))
    return "\n".join([*parts, RUN] if name == MAIN else parts)


def members(name: str) -> list[int]:
    """The numbers of a unit's handlers."""
    return [number for number, unit in enumerate(handlers().units) if unit == name]


@cache
def unit(name: str) -> Unit:
    """The handlers of one unit; the main one has the interpreter around them."""
    functions = tuple(handlers().functions[number] for number in members(name))
    key = source_key(THREAD, STOPPED, TABLE, RUN, [function.symbol for function in functions], Core, Op)
    exports = [Export(f"t0_table_{name}", (), u64)]
    if name == MAIN:
        exports.append(Export("t0_run", (Ptr[Core], Ptr[Op])))
    raw = RawIR(key, partial(thread_text, name), functions, tuple(exports))
    if name == MAIN:
        return Unit("t0", (*ENTRIES, *SHARED), uses=(SOFTMMU,), raw=raw)
    return Unit(f"t0-{name}", uses=(SOFTMMU, unit(MAIN), softfloat()), raw=raw)


def names() -> list[str]:
    """The units, the main one first."""
    return list(dict.fromkeys(handlers().units))


def load() -> tuple[Library, list[int]]:
    """The main unit as a library, and the machine code's addresses by the handlers' numbers. Builds what is missing."""
    from .translate.translator import unit as translator  # which uses this one

    units = [unit(name) for name in names()]
    recall_keys([*units, translator()], Path(__file__).parents[1])
    libraries = load_all([*units, translator()])
    addresses = [0] * len(handlers().functions)
    for name, library in zip(names(), libraries, strict=False):
        numbers = members(name)
        table = getattr(library, f"t0_table_{name}")()
        found = (ctypes.c_uint64 * len(numbers)).from_address(table)
        for number, address in zip(numbers, found, strict=True):
            addresses[number] = address
    return libraries[0], addresses
