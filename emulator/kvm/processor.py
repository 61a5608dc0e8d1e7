"""The host's processor as an `Engine`: it executes until something is to be done that is not in memory (api.rst, 5).

Invariants, between two calls of KVM:

- `cpu` is read from KVM when somebody asks for it, and what was changed is written back before the guest goes on.
- An instruction that left is over only when KVM runs again, so `cpu` completes a write to a port first: RIP is behind.
- Interrupts come from our controllers: they are delivered when KVM says that it takes one, else it is asked to leave
  as soon as it does. HLT leaves, too, and the processor does not run before there is an interrupt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from emulator.hw import lapic
from emulator.softmmu.space import AddressSpace
from emulator.softmmu.structs import PAGE_SIZE
from emulator.tcg.core import HALTED, REQUESTED, STUCK, TRIPLE_FAULT
from emulator.tcg.platform import Platform
from emulator.x86.flags import FLAG_BITS
from emulator.x86.instruction import CS, SS
from emulator.x86.state import BIG, LONG, Cpu, reset

from . import structs
from .cpuid import guest_cpuid
from .host import Host, KvmError, VirtualMachine
from .memory import GuestMemory
from .modes import missing_modes, turned_on
from .registers import GENERAL, SYSTEM, general_from_cpu, general_to_cpu, system_from_cpu, system_to_cpu
from .structs import SystemRegisters
from .vcpu import Vcpu

IF, CARRY, VM = FLAG_BITS["I"], 1, FLAG_BITS["V"]
PE, LMA = 1, 1 << 10
IA32_APIC_BASE = 0x1B
APIC_BASE = lapic.ADDRESS | lapic.ENABLED | lapic.BOOTSTRAP


class KvmProcessor:
    """A processor over an address space. KvmError says what the host lacks."""

    def __init__(self, space: AddressSpace, platform: Platform) -> None:
        self.space, self.platform = space, platform
        self.memory = GuestMemory(space)
        self.interrupt_asked = False
        self._cpu = Cpu()
        self._host = Host()
        self._missing: list[str] | None = None  # modes, once it matters
        self._exits: dict[int, Callable[[], int | None]] = {
            structs.IO: self._io,
            structs.MMIO: self._mmio,
            structs.HLT: self._halt,
            structs.IRQ_WINDOW_OPEN: lambda: None,
            structs.SET_TPR: lambda: None,
            structs.INTR: lambda: None,
            structs.SHUTDOWN: self._shutdown,
            structs.FAIL_ENTRY: self._not_entered,
            structs.INTERNAL_ERROR: self._internal_error,
        }
        self._vm: VirtualMachine | None = None
        self.reset()

    def reset(self) -> None:
        """A new virtual machine: its processor is in the state after RESET, of which KVM tells only a part."""
        if self._vm is not None:
            self._vcpu.close()
            self._vm.close()
        self._vm = VirtualMachine(self._host)
        self.memory.connect(self._vm)
        supported = self._host.supported_cpuid()
        self._vcpu = Vcpu(self._vm)
        self._vcpu.set_cpuid(guest_cpuid(supported, self.platform.features, self._vcpu.kilohertz()))
        self._system = SystemRegisters()  # those that `cpu` has
        self._fetched: bytes | None = None  # what `cpu` was when it was asked for
        self._left = False  # with an exit that has not been seen yet
        self._writes = False  # to a port
        self._nmi = False
        reset(self._cpu)
        self._trouble = ""
        self._priority = 0
        self._set_apic_base()
        self._requested = True  # whoever asked meanwhile

    def _set_apic_base(self) -> None:
        registers = self._vcpu.system_registers()
        if "APIC" in self.platform.features and registers.apic_base != APIC_BASE:
            registers.apic_base = APIC_BASE
            self._vcpu.set_system_registers(registers)
        self._apic_base = registers.apic_base

    def close(self) -> None:
        if self._vm is not None:
            self._vcpu.close()
            self._vm.close()
            self._vm = None
            self._host.close()

    # -- registers ------------------------------------------------------------------------------------------

    @property
    def cpu(self) -> Any:
        if self._fetched is None:
            if self._writes:
                self._writes = False
                self._left = self._vcpu.finish()
            self._fetch()
        return self._cpu

    def _fetch(self) -> None:
        system = self._vcpu.system_registers()
        if bytes(system) != bytes(self._system):  # they rarely change, and are many
            system_to_cpu(system, self._cpu)
            self._system = system
        general_to_cpu(self._vcpu.registers(), self._cpu)
        self._fetched = bytes(self._cpu)

    def state_changed(self) -> None:
        """All changes are found when the processor goes on."""

    def _write_back(self) -> None:
        """Let KVM have what was changed in `cpu`."""
        if self._fetched is None:
            return
        before, after = self._fetched, bytes(self._cpu)
        self._fetched = None
        if before[SYSTEM] != after[SYSTEM]:
            system_from_cpu(self._cpu, self._system)
            self._vcpu.set_system_registers(self._system)
            self._vcpu.state.ready_for_interrupt_injection = 0
        if before[GENERAL] != after[GENERAL]:
            self._vcpu.set_registers(general_from_cpu(self._cpu))
            self._vcpu.state.ready_for_interrupt_injection = 0  # IF may be another

    @property
    def rflags(self) -> int:
        return int(self.cpu.rflags)

    @rflags.setter
    def rflags(self, value: int) -> None:
        self.cpu.rflags = value | 2

    def set_carry(self, on: bool) -> None:
        self.cpu.rflags = self.cpu.rflags & ~CARRY | on

    @property
    def code_bits(self) -> int:
        attributes = self.cpu.segments[CS].attributes
        if self.cpu.efer & LMA and attributes & LONG:
            return 64
        return 32 if attributes & BIG else 16

    @property
    def cpl(self) -> int:
        if self.cpu.rflags & VM:
            return 3
        return self.cpu.segments[SS].attributes >> 5 & 3 if self.cpu.cr0 & PE else 0

    def linear_rip(self) -> int:
        rip = int(self.cpu.rip)
        return rip if self.code_bits == 64 else self.cpu.segments[CS].base + rip & 0xFFFFFFFF

    def read_linear(self, address: int, size: int) -> bytes | None:
        self._write_back()
        data = b""
        while len(data) < size:
            place = address + len(data)
            physical = self._vcpu.translate(place)
            if physical is None:
                return data or None
            data += self.space.read(physical, min(size - len(data), PAGE_SIZE - place % PAGE_SIZE))
        return data

    # -- what others want of it -----------------------------------------------------------------------------

    def request_exit(self) -> None:
        self._requested = True
        self._vcpu.kick()

    def forget_request(self) -> None:
        self._requested = False

    def set_interrupt(self, asserted: bool) -> None:
        self.interrupt_asked = asserted

    def interrupt_unmaskable(self) -> None:
        self._nmi = True

    def set_priority(self, priority: int) -> None:
        self._vcpu.state.cr8 = self._priority = priority

    def set_a20(self, enabled: bool) -> None:
        self.memory.set_a20(enabled)

    def trouble(self) -> str:
        return self._trouble

    # -- running --------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Until something stops it."""
        with self._vcpu.ready():
            while True:
                if self._requested:
                    self._requested = False
                    return REQUESTED
                reason = self._step()
                if reason is not None:
                    return reason

    def _step(self) -> int | None:
        """To the next exit, and what it wants."""
        try:
            self.memory.update()
        except KvmError as error:
            return self._stuck(str(error))
        self._write_back()
        if self._cpu.halted and not self._wakes():
            return HALTED
        self._cpu.halted = 0
        if not self._left:
            self._interrupt()
            self._writes, self._fetched = False, None
            try:
                left = self._vcpu.enter()
            except OSError as error:
                return self._stuck(f"KVM_RUN: {error.strerror}")
            self._look()
            if not left:
                return None
        self._left = False
        reason = self._vcpu.state.exit_reason
        leave = self._exits.get(reason)
        return leave() if leave is not None else self._stuck(f"KVM left with reason {reason}")

    def _wakes(self) -> bool:
        """Whether there is something that ends HLT."""
        return self._nmi or (self.interrupt_asked and bool(self._vcpu.state.if_flag))

    def _interrupt(self) -> None:
        """Deliver what is due, or ask to leave when it can be."""
        state = self._vcpu.state
        if self._nmi:
            self._nmi = False
            self._vcpu.interrupt_unmaskable()
        if self.interrupt_asked and state.ready_for_interrupt_injection and state.if_flag:
            self._vcpu.interrupt(self.platform.acknowledge())
            state.ready_for_interrupt_injection = 0
        state.request_interrupt_window = self.interrupt_asked

    def _look(self) -> None:
        """What the guest did without leaving."""
        state = self._vcpu.state
        if state.cr8 != self._priority:
            self._priority = state.cr8
            self.platform.priority_changed(self._priority)
        if state.apic_base != self._apic_base:
            self._apic_base = state.apic_base
            self.platform.write_msr(IA32_APIC_BASE, self._apic_base)

    # -- exits ----------------------------------------------------------------------------------------------

    def _io(self) -> None:
        """KVM_EXIT_IO: an element, or those of a string instruction."""
        exit = self._vcpu.state.exit.io
        port, size, count, place = exit.port, exit.size, exit.count, exit.data_offset
        data = self._vcpu.page
        end = place + size * count
        if exit.direction == structs.IO_OUT:
            self._writes = count == 1
            if count > 1:
                place += self.platform.write_ports(port, size, data[place:end])
            for start in range(place, end, size):
                self.platform.write_port(port, size, int.from_bytes(data[start : start + size], "little"))
            return
        if count > 1:
            read = self.platform.read_ports(port, size, count)
            data[place : place + len(read)] = read
            place += len(read)
        mask = (1 << 8 * size) - 1
        for start in range(place, end, size):
            value = self.platform.read_port(port, size) & mask
            data[start : start + size] = value.to_bytes(size, "little")

    def _mmio(self) -> None:
        """KVM_EXIT_MMIO: an access where there is no slot, or a write to a read-only one."""
        exit = self._vcpu.state.exit.mmio
        if exit.is_write:
            self.memory.write(exit.phys_addr, bytes(exit.data[: exit.len]))
        else:
            exit.data[: exit.len] = list(self.memory.read(exit.phys_addr, exit.len))
        self.space.check()

    def _halt(self) -> None:
        self._cpu.halted = 1

    def _shutdown(self) -> int:
        """KVM_EXIT_SHUTDOWN: a triple fault, or a mode that this host does not have."""
        if self._missing is None:
            self._missing = missing_modes(self._host)
        mode = turned_on(self.cpu, self.read_linear(self.linear_rip(), 3) or b"") if self._missing else None
        if mode in self._missing:
            return self._stuck(f"the program turns on {mode}, which the KVM of this host cannot run; --accel tcg can")
        self._trouble = "an exception could not be delivered"
        return TRIPLE_FAULT

    def _not_entered(self) -> int:
        reason = self._vcpu.state.exit.fail_entry.hardware_entry_failure_reason
        return self._stuck(f"KVM cannot enter the guest: the processor's reason is {reason:#x}")

    def _internal_error(self) -> int:
        error = self._vcpu.state.exit.internal
        if error.suberror != structs.EMULATION:
            return self._stuck(f"KVM failed: internal error {error.suberror}")
        return self._stuck("KVM cannot emulate the instruction at RIP; --accel tcg can")

    def _stuck(self, trouble: str) -> int:
        self._trouble = trouble
        return STUCK
