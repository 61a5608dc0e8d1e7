"""The translator of a processor: its room for machine code, and the functions that fill it."""

from __future__ import annotations

import ctypes
import mmap
import os
from functools import cache
from typing import TYPE_CHECKING, Any

from emulator.native import Export, RawIR, Unit, source_key, u64
from emulator.native.load import load
from emulator.softmmu.mmu import UNIT as SOFTMMU
from emulator.x86.host import available, host_features

from ..core import Core, Op
from ..forms import MAIN
from ..threaded import unit as interpreter
from .block import translate_block
from .doors import DOORS, status_to_words, words_to_status
from .plans import plans
from .stubs import make_doors

if TYPE_CHECKING:
    from ..processor import Processor

HOT = 32
"""How often a block is executed before it is translated."""

WORTH = 4
"""The way into translated code and out of it costs as much as so many handlers."""

ROOM = 16 << 20
PAGE = 4096


@cache
def unit() -> Unit:
    raw = RawIR(
        source_key(DOORS, Core, Op),
        lambda: DOORS,
        (words_to_status, status_to_words),
        (Export("t1_door", (), u64), Export("t1_left", (), u64)),
    )
    return Unit("t1", (translate_block, make_doors), uses=(SOFTMMU, interpreter(MAIN)), raw=raw)


class Room:
    """Memory for machine code, mapped twice: where it is written, and where it is executed."""

    def __init__(self, size: int) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        self._unmap = libc.munmap
        self._unmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        self.size = size
        self.writable = self.executable = 0
        file = os.memfd_create("translated code")
        try:
            os.ftruncate(file, size)
            for name, protection in (("writable", mmap.PROT_WRITE), ("executable", mmap.PROT_EXEC)):
                place = libc.mmap(None, size, mmap.PROT_READ | protection, mmap.MAP_SHARED, file, 0)
                if place in (None, ctypes.c_void_p(-1).value):
                    raise OSError(ctypes.get_errno(), f"no {name} memory for translated code")
                setattr(self, name, place)
        finally:
            os.close(file)

    def __del__(self) -> None:
        for place in (self.writable, self.executable):
            if place:
                self._unmap(place, self.size)


def attach(processor: Processor, hot: int) -> Any:
    """Let a processor translate what is executed `hot` times; what is returned has to live as long as it does.

    None where it cannot be: the host is another, or gives no memory for code.
    """
    if not available() or "LAHF" not in host_features():
        return None
    try:
        room = Room(ROOM)
    except OSError:
        return None
    core, code = processor.core, load(unit())
    numbers = plans()
    table = (ctypes.c_uint32 * len(numbers))(*numbers)
    core.plans = ctypes.addressof(table)
    core.code_start, core.code_end = room.writable, room.writable + room.size
    core.code_shift = room.executable - room.writable & (1 << 64) - 1
    code.make_doors(processor.address, code.t1_left())
    core.code_start = core.code_used
    core.code_door = code.t1_door()
    core.translate = code.address("translate_block")
    core.hot_after, core.worth = hot, WORTH
    return room, table
