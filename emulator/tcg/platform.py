"""What a processor asks the machine around it: ports, the interrupt controller, the clock, its own identity.

A machine derives from `Platform` and overrides what it has. What a method raises leaves the interpreter and comes out
of `Processor.run`, as with devices in memory.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from emulator.x86.cpuid import SYSTEM_FEATURES, cpuid

from .core import Core

if TYPE_CHECKING:
    from .processor import Processor

OSXSAVE = 1 << 18  # CR4
RAX, RCX, RDX, RBX = range(4)
ALL_ONES = (1 << 64) - 1


class Platform:
    """A processor alone: no ports, no interrupts, a clock of 1 GHz."""

    features = frozenset(SYSTEM_FEATURES)
    clock_start: int | None = None
    """When `clock` was 0, in nanoseconds of the host's monotonic clock, where it does nothing but go with that."""

    def read_port(self, port: int, size: int) -> int:
        """The value of 1, 2 or 4 bytes."""
        return ALL_ONES

    def write_port(self, port: int, size: int, value: int) -> None:
        """Nothing is there."""

    def read_ports(self, port: int, size: int, count: int) -> bytes:
        """Elements of a string instruction, as many as a device gives at once; none: it gives each by `read_port`."""
        return b""

    def write_ports(self, port: int, size: int, data: bytes) -> int:
        """The same to write: how many bytes of it a device takes at once."""
        return 0

    def acknowledge(self) -> int:
        """The vector of the interrupt that the interrupt controller asks for."""
        return 0xFF

    def priority_changed(self, priority: int) -> None:
        """CR8 was written, the class of interrupts that the processor does not want: 0 to 15."""

    def clock(self) -> int:
        """The time stamp counter."""
        return time.perf_counter_ns()

    def noise(self) -> int:
        """64 random bits."""
        return int.from_bytes(os.urandom(8), "little")

    def read_msr(self, number: int) -> int | None:
        """An MSR that the processor does not hold itself; None raises #GP."""
        return None

    def write_msr(self, number: int, value: int) -> bool:
        """The same to write; False raises #GP."""
        return False


def connect(processor: Processor, platform: Platform) -> list[Any]:
    """Give a processor the functions of its platform; what is returned has to live as long as it does."""
    core = processor.core
    failed = partial(_failed, processor)

    def port_in(_: int, port: int, size: int) -> int:  # these two guard themselves: they are called most
        try:
            return platform.read_port(port, size)
        except BaseException as error:
            return failed(error, ALL_ONES)

    def port_out(_: int, port: int, size: int, value: int) -> None:
        try:
            platform.write_port(port, size, value)
        except BaseException as error:
            failed(error, None)

    def identify(_: int) -> None:
        registers = core.cpu.registers
        leaf, subleaf = registers[RAX] & 0xFFFFFFFF, registers[RCX] & 0xFFFFFFFF
        answer = cpuid(leaf, subleaf, platform.features, osxsave=bool(core.cpu.cr4 & OSXSAVE))
        registers[RAX], registers[RBX], registers[RCX], registers[RDX] = answer

    def read_ports(_: int, port: int, size: int, place: int, count: int) -> int:
        data = platform.read_ports(port, size, count)
        ctypes.memmove(place, data, len(data))
        return len(data) // size

    def write_ports(_: int, port: int, size: int, place: int, count: int) -> int:
        return platform.write_ports(port, size, ctypes.string_at(place, size * count)) // size

    def read_msr(_: int, number: int, out: int) -> int:
        value = platform.read_msr(number)
        if value is not None:
            ctypes.c_uint64.from_address(out).value = value
        return int(value is not None)

    functions: dict[str, tuple[Callable[..., Any], Any]] = {
        "ports_in": (read_ports, 0),
        "ports_out": (write_ports, 0),
        "acknowledge": (lambda _: platform.acknowledge(), 0),
        "priority_changed": (lambda _, priority: platform.priority_changed(priority), None),
        "identify": (identify, None),
        "clock": (lambda _: platform.clock() & ALL_ONES, 0),
        "noise": (lambda _: platform.noise() & ALL_ONES, 0),
        "read_msr": (read_msr, 0),
        "write_msr": (lambda _, number, value: int(platform.write_msr(number, value)), 0),
    }
    callbacks: dict[str, Callable[..., Any]] = {"port_in": port_in, "port_out": port_out}
    callbacks |= {name: _guarded(failed, *function) for name, function in functions.items()}
    kept = []
    for name, function in callbacks.items():
        callback = Core.fields[name](function)
        setattr(core, name, ctypes.cast(callback, ctypes.c_void_p).value)
        kept.append(callback)
    return kept


def _failed(processor: Processor, error: BaseException, otherwise: Any) -> Any:
    """Compiled code cannot pass exceptions on: keep the first one, and make the interpreter leave."""
    processor.space.failure = processor.space.failure or error
    processor.request_exit()
    return otherwise


def _guarded(failed: Callable[..., Any], function: Callable[..., Any], otherwise: Any) -> Callable[..., Any]:
    def guarded(*arguments: int) -> Any:
        try:
            return function(*arguments)
        except BaseException as error:
            return failed(error, otherwise)

    return guarded
