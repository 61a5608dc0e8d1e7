"""One processor's MMU, as Python sees it: its struct, its compiled functions, and its connection to memory."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from emulator.native import Unit

from . import access, physical, tlb, walk
from .space import AddressSpace, Region
from .structs import DIRTY, WATCHES, Mmu

PHYSICAL_BITS = 40
"""MAXPHYADDR, as CPUID announces it."""

UNIT = Unit(
    "softmmu",
    [
        access.read_slow,
        access.write_slow,
        access.can_access,
        access.read_block,
        access.write_block,
        access.read_slow_u128,
        access.write_slow_u128,
        physical.physical_read,
        physical.physical_write,
        tlb.translate,
        tlb.flush_all,
        tlb.flush_nonglobal,
        tlb.flush_page,
        tlb.flush_pcid,
        tlb.flush_writes,
        tlb.flush_writes_to,
        tlb.mark_code,
        tlb.unmark_code,
        walk.walk,
        walk.load_pdptes,
    ],
)

ON_CODE_WRITE: Any = Mmu.fields["on_code_write"]
CodeWritten = Callable[[int, int], None]


class SoftMmu:
    """The MMU of one processor over an address space.

    `state` is the `Mmu` struct; compiled code gets its `address`.  With `native=False` all runs as Python.
    """

    def __init__(self, space: AddressSpace, *, native: bool = True) -> None:
        self.space = space
        self.state = Mmu()
        self.address = ctypes.addressof(self.state)
        self.code: Any = UNIT.load() if native else UNIT.reference()
        self.state.linear_mask = (1 << 32) - 1
        self.state.physical_mask = (1 << 64) - 1
        self.state.reserved_bits = (1 << 52) - (1 << PHYSICAL_BITS)
        self._callback: Any = None
        self.on_code_write(lambda address, size: None)
        space.listeners.append(self.memory_changed)
        space.code_listeners.append(self.code_written)
        self.memory_changed()

    def memory_changed(self) -> None:
        """Take over the flat view of physical memory."""
        self.state.ranges = ctypes.addressof(self.space.ranges)
        self.state.range_count = self.space.count
        self.state.recent = 0
        self.flush()

    def flush(self) -> None:
        self.code.flush_all(self.address)

    def set_a20(self, enabled: bool) -> None:
        """The A20 gate: while it is closed, bit 20 of physical addresses is zero."""
        mask = (1 << 64) - 1
        self.state.physical_mask = mask if enabled else mask & ~(1 << 20)
        self.flush()

    def on_code_write(self, function: CodeWritten) -> None:
        """Call `function(physical address, size)` after a write to a page that holds translated code.

        A compiled function is set directly: `state.on_code_write = library.address(...)`.
        """
        self._callback = ON_CODE_WRITE(lambda _, address, size: function(address, size))
        self.state.on_code_write = ctypes.cast(self._callback, ctypes.c_void_p).value

    def code_written(self, address: int, size: int) -> None:
        """A device wrote to a page that holds translated code."""
        ON_CODE_WRITE.prototype(self.state.on_code_write)(self.state.cpu, address, size)

    def watch(self, index: int, address: int, length: int, kind: int) -> None:
        """Set a data breakpoint, or with `length` 0 remove it."""
        entry = self.state.watches[index]
        entry.address, entry.length, entry.kind = address, length, kind
        self.state.watching = any(self.state.watches[i].length for i in range(WATCHES))
        self.flush()

    # -- pages ----------------------------------------------------------------------------------------------

    def take_dirty(self, region: Region) -> list[int]:
        """The pages of a RAM region that were written since the last call, by number."""
        dirty = [page for page, flags in enumerate(bytes(region.flags)) if flags & DIRTY]
        for page in dirty:
            region.flags[page] &= ~DIRTY
        self.code.flush_writes(self.address)
        return dirty
