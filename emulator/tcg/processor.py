"""One processor, as Python sees it: its state, its memory, and `run`."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Sequence
from typing import Any

from emulator.softmmu.mmu import SoftMmu
from emulator.softmmu.space import AddressSpace
from emulator.softmmu.structs import PAGE_SIZE, READ, SUPERVISOR, TlbEntry
from emulator.x86.instruction import CS
from emulator.x86.state import reset

from . import flags
from .core import NO_VECTOR, RUNNING, Block, Core, Op
from .forms import MAIN, handlers
from .platform import Platform, connect
from .predecode import STOP
from .threaded import load, unit
from .translate.translator import HOT, attach

STATUS = flags.STATUS
CARRY = 1 << 63  # CF in `Core.carry`
EXCEPTIONS = {
    0: "#DE", 1: "#DB", 3: "#BP", 4: "#OF", 5: "#BR", 6: "#UD", 7: "#NM", 8: "#DF", 10: "#TS", 11: "#NP", 12: "#SS",
    13: "#GP", 14: "#PF", 16: "#MF", 17: "#AC", 19: "#XM",
}  # fmt: skip


class Processor:
    """A processor over an address space. With `native=False` all runs as Python: slow, and the reference.

    What is executed `hot` times is translated, where the host is one that it is translated for, unless `translate` is
    false.
    """

    def __init__(
        self,
        space: AddressSpace,
        platform: Platform | None = None,
        *,
        native: bool = True,
        ops: int = 1 << 20,
        translate: bool = True,
        hot: int = HOT,
        stop_on_exceptions: bool = False,
        counting: bool = False,
    ) -> None:
        self.space = space
        self.mmu = SoftMmu(space, native=native)
        self.core = Core()
        self.core.counting = counting
        self.cpu = self.core.cpu
        self.address = ctypes.addressof(self.core)
        self._keep: list[Any] = []
        self._functions = handlers().functions
        self.native = native
        self.code: Any
        self.code, table = load() if native else (unit(MAIN).reference(), range(len(self._functions)))
        self._allocate(ops, table)
        self._keep += connect(self, platform or Platform())
        self._use_native_clock((platform or Platform()).clock_start)
        self._translator = attach(self, hot) if native and translate and not counting else None
        self.core.stop_on_exceptions = stop_on_exceptions
        self.core.mmu = self.mmu.address
        self.mmu.state.cpu = self.address
        if native:
            self.mmu.state.on_code_write = self.code.address("code_written")
        else:
            self.mmu.on_code_write(lambda address, size: self.code.code_written(self.address, address, size))
        self.reset()

    def _allocate(self, ops: int, addresses: Sequence[int]) -> None:
        """The tables, and room for predecoded code."""
        made = handlers()
        core = self.core
        table = (ctypes.c_uint64 * len(addresses))(*addresses)
        self._keep.append(table)
        core.handlers = ctypes.addressof(table)
        for field in ("variants", "near", "indexed", "silent", "fused"):
            numbers = getattr(made, field)
            array = (ctypes.c_uint16 * len(numbers))(*numbers)
            self._keep.append(array)
            setattr(core, field, ctypes.addressof(array))
        core.ops, core.op_limit = self._room(ops * Op.size), ops
        core.blocks, core.block_limit = self._room(ops // 4 * Block.size), ops // 4
        core.stop.handler = table[STOP]

    def _use_native_clock(self, start: int | None) -> None:
        """Tell the time without a way through Python, where the clock is the host's or counts instructions."""
        libc = ctypes.CDLL(None)
        if not self.native or start is None or not hasattr(libc, "clock_gettime"):
            return
        self.core.clock_gettime = ctypes.cast(libc.clock_gettime, ctypes.c_void_p).value
        self.core.clock_start = start
        self.core.clock = self.code.address("time_now")

    def _room(self, size: int) -> int:
        """The address of memory that costs nothing until it is used."""
        room = mmap.mmap(-1, size)
        self._keep.append(room)
        return ctypes.addressof(ctypes.c_char.from_buffer(room))

    def reset(self) -> None:
        reset(self.core.cpu)
        self.core.fault_vector = NO_VECTOR
        self.rflags = self.core.cpu.rflags
        self.state_changed()

    def state_changed(self) -> None:
        """Python changed segments, control registers or RFLAGS: take over what follows from them."""
        self.code.update_mode(self.address)
        self.mmu.flush()
        self.code.flush_jumps(self.address)

    @property
    def rflags(self) -> int:
        return int(self.code.get_rflags(self.address))

    @rflags.setter
    def rflags(self, value: int) -> None:
        self.core.cpu.rflags = value & ~STATUS | 2
        self.code.set_status(self.address, value)

    @property
    def code_bits(self) -> int:
        return int(self.core.code_bits)

    @property
    def cpl(self) -> int:
        return int(self.core.cpl)

    @property
    def interrupt_asked(self) -> bool:
        return bool(self.core.interrupt_line)

    def set_priority(self, priority: int) -> None:
        """CR8, by the interrupt controller's register."""
        self.cpu.cr8 = priority

    def set_carry(self, on: bool) -> None:
        """CF, while a function of the platform is called (see `flags`)."""
        self.core.carry = CARRY if on else 0

    def trouble(self) -> str:
        """In words, what led to a triple fault."""
        vector = self.core.first_vector
        return f"{EXCEPTIONS.get(vector, f'interrupt {vector}')} could not be delivered"

    def close(self) -> None:
        """Nothing is held that the end of the program does not release."""

    def linear_rip(self) -> int:
        """The linear address of the next instruction."""
        cpu = self.core.cpu
        return int(cpu.rip if self.core.code_bits == 64 else cpu.segments[CS].base + cpu.rip & 0xFFFFFFFF)

    def read_linear(self, address: int, size: int) -> bytes | None:
        """Memory as a debugger sees it, by linear address; short at a page that is not mapped, None at the first."""
        data = b""
        while len(data) < size:
            place = address + len(data)
            entry = self.mmu.code.translate(self.mmu.address, READ, SUPERVISOR, place)
            self.mmu.state.fault = 0
            if not entry:
                return data or None
            inside = place % PAGE_SIZE
            physical = TlbEntry.ctype.from_address(entry).physical // PAGE_SIZE * PAGE_SIZE + inside
            data += self.space.read(physical, min(size - len(data), PAGE_SIZE - inside))
        return data

    def run(self) -> int:
        """Execute until something stops it: the reason.

        With `stop_on_exceptions`, `core.fault_vector` and `core.fault_code` say which exception it was.
        """
        core = self.core
        core.fault_vector = NO_VECTOR
        core.stop_reason = RUNNING
        core.exit_flag = 1
        op = self.code.enter(self.address)
        if self.native:
            self.code.t0_run(self.address, op)
        else:
            self._run_reference(op)
        self.space.check()
        return int(core.stop_reason)

    def _run_reference(self, address: int) -> None:
        """The threading, as Python: a handler's number instead of its address."""
        stop = self.address + Core.offset("stop")
        while address != stop:
            handler = ctypes.c_uint64.from_address(address).value
            address = self._functions[handler](self.address, address)

    def request_exit(self) -> None:
        """From any thread: make `run` return soon."""
        self.core.exit_request = 1
        self.core.exit_flag = 1

    def forget_request(self) -> None:
        """What `request_exit` was called for has been attended to."""
        self.core.exit_request = 0

    def set_a20(self, enabled: bool) -> None:
        """The A20 gate: while it is closed, bit 20 of physical addresses is zero."""
        self.mmu.set_a20(enabled)
        self.code.flush_jumps(self.address)

    def interrupt_unmaskable(self) -> None:
        """An NMI."""
        self.core.nmi_request = 1
        self.core.exit_flag = 1

    def set_interrupt(self, asserted: bool) -> None:
        """The line of the interrupt controller, from any thread."""
        self.core.interrupt_line = asserted
        if asserted:
            self.core.exit_flag = 1
