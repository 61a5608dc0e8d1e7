"""Firmware in Python: how a guest's software interrupt becomes a call of a method here.

Each vector leads to a stub in ROM that writes AL to a port of its own: `OUT port, AL; IRET` mostly. The port calls the
service, which sees the caller's registers and changes them, and the flags in the frame that INT pushed. A service
declares its functions by the numbers that callers know them by:

    class Console(Service):
        @call(0x10, 0x0E)
        def teletype(self) -> None:
            self.firmware.output(self.caller.al)

A stub of another kind is declared by its bytes. A service that has to wait sets the carry flag of the stub (`wait`):
the stub then halts until an interrupt comes, and calls again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from struct import pack, unpack
from typing import TYPE_CHECKING, Any

from emulator.hw.device import Device
from emulator.x86.instruction import CS, DS, ES, SS

if TYPE_CHECKING:
    from .machine import Machine

ROM, ROM_SIZE = 0xF0000, 0x10000
STUBS = 0xE000  # within the ROM
FIRST_PORT, LAST_PORT = 0x28, 0x3F  # no chip of a PC is there
CARRY, ZERO, INTERRUPTS = 1, 1 << 6, 1 << 9
RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI = range(8)

Method = Callable[[], Any]  # of a service
Number = tuple[int, int | None]  # a vector, and AH or AX
Assemble = Callable[[int], bytes]  # a stub's code, by its port


def plain(port: int) -> bytes:
    """OUT port, AL; IRET"""
    return bytes((0xE6, port, 0xCF))


def waiting(port: int) -> bytes:
    """again: OUT port, AL; JNC done; STI; HLT; CLI; JMP again; done: IRET"""
    return bytes((0xE6, port, 0x73, 5, 0xFB, 0xF4, 0xFA, 0xEB, 0xF7, 0xCF))


class Register:
    """A register of the caller, or a part of it."""

    def __init__(self, number: int, bits: int = 16, shift: int = 0) -> None:
        self.number, self.shift = number, shift
        self.mask = (1 << bits) - 1

    def __get__(self, caller: Caller, _: type) -> int:
        return int(caller.cpu.registers[self.number]) >> self.shift & self.mask

    def __set__(self, caller: Caller, value: int) -> None:
        kept = int(caller.cpu.registers[self.number]) & ~(self.mask << self.shift)
        caller.cpu.registers[self.number] = kept | (value & self.mask) << self.shift


class Caller:
    """The program that executed INT: its registers, its flags, and the addresses that it means."""

    eax, ecx, edx, ebx = (Register(number, 32) for number in (RAX, RCX, RDX, RBX))
    esi, edi = (Register(number, 32) for number in (RSI, RDI))
    ax, cx, dx, bx = (Register(number) for number in (RAX, RCX, RDX, RBX))
    sp, bp, si, di = (Register(number) for number in (RSP, RBP, RSI, RDI))
    al, cl, dl, bl = (Register(number, 8) for number in (RAX, RCX, RDX, RBX))
    ah, ch, dh, bh = (Register(number, 8, 8) for number in (RAX, RCX, RDX, RBX))

    def __init__(self, machine: Machine) -> None:
        self.space = machine.space
        self._processor = machine.processor

    @property
    def cpu(self) -> Any:
        return self._processor.cpu

    def es(self, offset: int) -> int:
        """A physical address."""
        return int(self.cpu.segments[ES].base) + (offset & 0xFFFF)

    def ds(self, offset: int) -> int:
        """A physical address."""
        return int(self.cpu.segments[DS].base) + (offset & 0xFFFF)

    def set_segment(self, number: int, selector: int) -> None:
        """As an instruction in real mode loads it."""
        segment = self.cpu.segments[number]
        segment.selector, segment.base = selector, selector << 4

    def _frame(self, offset: int) -> int:
        return int(self.cpu.segments[SS].base) + (self.sp + offset & 0xFFFF)

    def set_flag(self, flag: int, on: bool) -> None:
        """A flag that the caller will see."""
        flags = unpack("<H", self.space.read(self._frame(4), 2))[0]
        self.space.write(self._frame(4), pack("<H", flags | flag if on else flags & ~flag))

    def return_to(self, segment: int, offset: int) -> None:
        """Let IRET go somewhere else, with interrupts on."""
        self.space.write(self._frame(0), pack("<HHH", offset, segment, INTERRUPTS | 2))

    def wait(self, waits: bool) -> None:
        """The carry flag that a stub looks at."""
        self._processor.set_carry(waits)

    @property
    def in_firmware(self) -> bool:
        """Whether it is a stub that wrote to a port, and no program."""
        return bool(int(self.cpu.segments[CS].base) & 0xFFFFF == ROM)


def call(vector: int, *functions: int) -> Callable[[Any], Any]:
    """Declare a method to be what an interrupt does: for these AH, or AX above 255; for all others, without any."""

    def declare(method: Any) -> Any:
        method.answers = [*getattr(method, "answers", ()), *((vector, number) for number in functions or (None,))]
        return method

    return declare


class Service:
    """Functions of the firmware that belong together."""

    stubs: Mapping[int, Assemble] = {}  # of vectors whose stub is not `plain`

    def __init__(self, firmware: Firmware) -> None:
        self.firmware = firmware
        self.caller = firmware.caller
        self.space = firmware.space

    def calls(self) -> dict[Number, Method]:
        """The declared methods by vector and function."""
        found: dict[Number, Method] = {}
        for name in dir(type(self)):
            for key in getattr(getattr(type(self), name), "answers", ()):
                found[key] = getattr(self, name)
        return found

    def perform(self, method: Method) -> None:
        """Call one of the methods. Services whose methods return a status override this."""
        method()

    # Memory by physical address

    def get(self, address: int, size: int = 1) -> int:
        return int.from_bytes(self.space.read(address, size), "little")

    def put(self, address: int, value: int, size: int = 1) -> None:
        self.space.write(address, (value & (1 << 8 * size) - 1).to_bytes(size, "little"))


class Firmware(Device):
    """The services of one machine, and the ROM with their stubs."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.space = machine.space
        self.caller = Caller(machine)
        self.rom = bytearray(b"\xf4" * ROM_SIZE)  # HLT
        self.entries: dict[int, int] = {}  # where in the ROM a vector's stub is
        self._calls: dict[Number, tuple[Service, Method]] = {}
        self.vectors: list[int] = []
        self._end = STUBS

    def install(self, services: Iterable[Service]) -> None:
        """Make the stubs of all services, and put the chip on the bus."""
        stubs: dict[int, Assemble] = {}
        for service in services:
            for key, method in service.calls().items():
                self._calls[key] = service, method
                stubs.setdefault(key[0], plain)
            stubs.update(service.stubs)
        for vector, assemble in sorted(stubs.items()):
            port = FIRST_PORT + len(self.vectors)
            assert port <= LAST_PORT, "too many vectors"
            self.vectors.append(vector)
            self.entries[vector] = self.add_code(assemble(port))
        self.ports = range(FIRST_PORT, FIRST_PORT + len(self.vectors))
        self.machine.bus.add(self)

    @property
    def numbers(self) -> Iterable[Number]:
        """What can be called: vectors, and their functions."""
        return self._calls

    def add_code(self, code: bytes) -> int:
        """Put code or data into the ROM: its offset."""
        place = self._end
        self.rom[place : place + len(code)] = code
        self._end = place + len(code) + 15 & ~15
        return place

    def write_vectors(self, default: int, others: Mapping[int, int]) -> None:
        """The table of interrupt vectors; what has no service goes to an offset in the ROM."""
        table = [ROM << 12 | self.entries.get(vector, others.get(vector, default)) for vector in range(256)]
        self.space.write(0, pack("<256I", *table))

    def write(self, port: int, value: int) -> None:
        """What a stub calls."""
        if not self.caller.in_firmware:
            return
        vector, ax = self.vectors[port - FIRST_PORT], self.caller.ax
        keys = [(vector, ax)] * (ax > 0xFF) + [(vector, ax >> 8), (vector, None)]
        found = next((self._calls[key] for key in keys if key in self._calls), None)
        self.caller.wait(False)
        if found is not None:
            service, method = found
            service.perform(method)

    def out(self, port: int, *values: int) -> None:
        """Write bytes to a port, as the firmware's own code."""
        for value in values:
            self.machine.bus.write(port, 1, value)

    def input(self, port: int) -> int:
        return self.machine.bus.read(port, 1)
