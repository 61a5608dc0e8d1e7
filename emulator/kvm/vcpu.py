"""One virtual processor, as KVM has it (api.rst, 4.7, 4.10 to 4.22 and section 5).

Any thread may `kick` the one that is in `enter`: a signal makes the kernel return, and `immediate_exit` makes it if the
signal comes before. The thread blocks that signal but for the time in the kernel, so that no handler ever runs; its
default is to be ignored.
"""

from __future__ import annotations

import mmap
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from typing import Any

from . import structs
from .host import KvmError, VirtualMachine, plain_ioctl
from .structs import Registers, Run, SignalMask, SystemRegisters, Translation

KICK = signal.SIGURG


class Vcpu:
    """A processor of a virtual machine. `state` is what it shares with the kernel."""

    def __init__(self, machine: VirtualMachine, number: int = 0) -> None:
        try:
            self.fd = ioctl(machine.fd, structs.CREATE_VCPU, number)
        except OSError as error:
            raise KvmError(f"KVM makes no virtual processor: {error.strerror}") from error
        self.page = mmap.mmap(self.fd, machine.host.run_size)
        self.state = Run.from_buffer(self.page)
        self._lock = threading.RLock()  # handlers of signals kick, too
        self._thread: int | None = None  # within `ready`
        self._mask: int | None = None

    def close(self) -> None:
        os.close(self.fd)

    # -- running --------------------------------------------------------------------------------------------

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Within it the calling thread may `enter`."""
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {KICK})
        try:
            self._set_mask(sum(1 << number - 1 for number in blocked - {KICK}))
            with self._lock:
                self._thread = threading.get_ident()
            yield
        finally:
            with self._lock:
                self._thread = None
            self._drain()
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def _set_mask(self, mask: int) -> None:
        """The signals that do not end `enter`."""
        if mask != self._mask:
            ioctl(self.fd, structs.SET_SIGNAL_MASK, SignalMask(8, mask))
            self._mask = mask

    def _drain(self) -> None:
        while signal.sigtimedwait({KICK}, 0) is not None:
            pass

    def enter(self) -> bool:
        """Execute until `state.exit_reason` tells of something; False if it was kicked, or a signal came."""
        try:
            plain_ioctl(self.fd, structs.RUN, 0)
        except InterruptedError:
            self.state.immediate_exit = 0
            self._drain()
            return False
        return True

    def finish(self) -> bool:
        """Complete the instruction that it left with (section 5, KVM_EXIT_IO); True if it leaves once more."""
        self.state.immediate_exit = 1
        return self.enter()

    def kick(self) -> None:
        """From any thread: make `enter` return, or the next one at once."""
        with self._lock:
            self.state.immediate_exit = 1
            if self._thread not in (None, threading.get_ident()):
                signal.pthread_kill(self._thread, KICK)

    # -- state ----------------------------------------------------------------------------------------------

    def set_cpuid(self, entries: Any) -> None:
        """Before it first runs: what CPUID says, a `Cpuid`."""
        ioctl(self.fd, structs.SET_CPUID2, entries)

    def registers(self) -> Any:
        registers = Registers()
        ioctl(self.fd, structs.GET_REGS, registers)
        return registers

    def set_registers(self, registers: Any) -> None:
        ioctl(self.fd, structs.SET_REGS, registers)

    def system_registers(self) -> Any:
        registers = SystemRegisters()
        ioctl(self.fd, structs.GET_SREGS, registers)
        return registers

    def set_system_registers(self, registers: Any) -> None:
        ioctl(self.fd, structs.SET_SREGS, registers)

    def interrupt(self, vector: int) -> None:
        """Deliver an interrupt when it goes on; only while `state.ready_for_interrupt_injection`."""
        ioctl(self.fd, structs.INTERRUPT, vector.to_bytes(4, "little"))

    def interrupt_unmaskable(self) -> None:
        ioctl(self.fd, structs.NMI, 0)

    def translate(self, address: int) -> int | None:
        """The physical address of a linear one, None if it is not mapped."""
        translation = Translation(linear_address=address)
        ioctl(self.fd, structs.TRANSLATE, translation)
        return translation.physical_address if translation.valid else None

    def kilohertz(self) -> int:
        """Of the time stamp counter; 0 if the host's is not steady."""
        try:
            return ioctl(self.fd, structs.GET_TSC_KHZ, 0)
        except OSError:
            return 0
