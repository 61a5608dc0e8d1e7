"""Which modes of the processor the host's KVM can run: one tiny program for each, in a virtual machine of their own.

A KVM that is no hardware's need not have all of them, or executes them by an emulator that has not all instructions. So
the programs do what every system does and such an emulator may lack: they call an interrupt.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable
from contextlib import ExitStack
from ctypes import addressof, c_char
from struct import pack
from typing import Any

from . import structs
from .host import Host, VirtualMachine
from .vcpu import Vcpu

REAL, SEGMENTED, FLAT = "real mode", "16-bit protected mode", "32-bit protected mode"
PAGED, PHYSICAL_EXTENSION, LONG = "32-bit paging", "PAE paging", "64-bit mode"

MEMORY = 64 << 10
CODE, STACK, PAGES = 0x8000, 0x7000, 0x1000
DESCRIPTORS, GATES, LONG_GATES = 0x600, 0x800, 0xA00  # real mode's vectors are at 0
VECTOR, PORT, SIGN = 0x20, 0xE9, 0x4F
PROGRAM = bytes((0xCD, VECTOR, 0xF4, 0xB0, SIGN, 0xE6, PORT))  # INT VECTOR; HLT; and there: MOV AL, SIGN; OUT PORT, AL
HANDLER = CODE + 3
PATIENCE = 2  # seconds for a program of three instructions

PE, NE_ET, PG = 1, 0x30, 1 << 31
PSE, PAE = 1 << 4, 1 << 5
LME_LMA, LME = 0x500, 1 << 8
MOV_TO_CR = b"\x0f\x22"
PRESENT_LARGE, PRESENT, WRITABLE = 0x83, 1, 2
CODE_TYPE, DATA_TYPE, BUSY_TSS = 11, 3, 11
CODE_16, CODE_32, CODE_64, DATA = 8, 16, 24, 32  # selectors
INTERRUPT_GATE = 0x8E00


def _segments(system: Any, *, big: bool = True, long: bool = False) -> None:
    """Flat ones, of 64 KiB if they are not big."""
    for name in ("cs", "ds", "es", "fs", "gs", "ss"):
        segment = getattr(system, name)
        code = name == "cs"
        segment.base, segment.limit = 0, 0xFFFFFFFF if big else 0xFFFF
        segment.selector = DATA if not code else CODE_64 if long else CODE_32 if big else CODE_16
        segment.type, segment.s, segment.present, segment.dpl = CODE_TYPE if code else DATA_TYPE, 1, 1, 0
        segment.db, segment.g, segment.l = big and not (long and code), big, long and code
        segment.unusable = 0
    system.gdt.base, system.gdt.limit = DESCRIPTORS, DATA + 7
    system.idt.base, system.idt.limit = LONG_GATES if long else GATES, (VECTOR + 1) * (16 if long else 8) - 1
    system.cr0 = PE | NE_ET


def _real(system: Any) -> None:
    system.cs.base = system.cs.selector = 0


def _paged(system: Any) -> None:
    _segments(system)
    system.cr3, system.cr4 = PAGES, PSE
    system.cr0 |= PG


def _extended(system: Any) -> None:
    _segments(system)
    system.cr3, system.cr4 = PAGES + 0x1000, PAE
    system.cr0 |= PG


def _long(system: Any) -> None:
    _segments(system, long=True)
    system.cr3, system.cr4, system.efer = PAGES + 0x3000, PAE, LME_LMA
    system.cr0 |= PG
    system.tr.type, system.tr.present = BUSY_TSS, 1


MODES: dict[str, Callable[[Any], None]] = {
    REAL: _real,
    SEGMENTED: lambda system: _segments(system, big=False),
    FLAT: _segments,
    PAGED: _paged,
    PHYSICAL_EXTENSION: _extended,
    LONG: _long,
}


def _memory() -> bytearray:
    """The program, its gates for each size of code, and page tables that map the first 2 or 4 MiB to themselves."""
    memory = bytearray(MEMORY)
    pieces = {
        CODE: PROGRAM,
        VECTOR * 4: pack("<HH", HANDLER, 0),
        DESCRIPTORS: pack("<5Q", 0, 0x9B000000FFFF, 0xCF9B000000FFFF, 0xAF9B000000FFFF, 0xCF93000000FFFF),
        GATES + VECTOR * 8: pack("<HHHH", HANDLER, CODE_32, INTERRUPT_GATE, 0),
        LONG_GATES + VECTOR * 16: pack("<HHHHQ", HANDLER, CODE_64, INTERRUPT_GATE, 0, 0),
        PAGES: pack("<I", PRESENT_LARGE),
        PAGES + 0x1000: pack("<Q", PAGES + 0x2000 | PRESENT),
        PAGES + 0x2000: pack("<Q", PRESENT_LARGE),
        PAGES + 0x3000: pack("<Q", PAGES + 0x4000 | PRESENT | WRITABLE),
        PAGES + 0x4000: pack("<Q", PAGES + 0x2000 | PRESENT | WRITABLE),
    }
    for place, data in pieces.items():
        memory[place : place + len(data)] = data
    return memory


def missing_modes(host: Host) -> list[str]:
    """The modes that it cannot run, as in MODES. KvmError if there is no virtual machine to be had."""
    memory = mmap.mmap(-1, MEMORY)
    memory[:] = bytes(_memory())
    with ExitStack() as stack:
        machine = VirtualMachine(host)
        stack.callback(machine.close)
        machine.set_memory(0, 0, MEMORY, addressof(c_char.from_buffer(memory)))
        supported = host.supported_cpuid()
        missing = []
        for number, (name, set_up) in enumerate(MODES.items()):
            vcpu = Vcpu(machine, number)
            stack.callback(vcpu.close)
            vcpu.set_cpuid(supported)
            if not _runs(vcpu, set_up):
                missing.append(name)
    return missing


def _runs(vcpu: Vcpu, set_up: Callable[[Any], None]) -> bool:
    """Whether the program gets to its OUT."""
    general, system = vcpu.registers(), vcpu.system_registers()
    set_up(system)
    general.rip, general.rsp, general.rflags = CODE, STACK, 2
    too_long = threading.Timer(PATIENCE, vcpu.kick)
    too_long.start()
    try:
        vcpu.set_system_registers(system)
        vcpu.set_registers(general)
        with vcpu.ready():
            if not vcpu.enter():
                return False
    except OSError:
        return False
    finally:
        too_long.cancel()
        too_long.join()
    exit = vcpu.state.exit.io
    return vcpu.state.exit_reason == structs.IO and exit.port == PORT and vcpu.page[exit.data_offset] == SIGN


def turned_on(cpu: Any, instruction: bytes) -> str | None:
    """The mode with paging that a program is in, or is about to enter by MOV to CR0; None if there is no such."""
    moves = len(instruction) == 3 and instruction[:2] == MOV_TO_CR and not instruction[2] >> 3 & 7
    if not cpu.cr0 & PG and not (moves and cpu.registers[instruction[2] & 7] & PG):
        return None
    return LONG if cpu.efer & LME else PHYSICAL_EXTENSION if cpu.cr4 & PAE else PAGED
