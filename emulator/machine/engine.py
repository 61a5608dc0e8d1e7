"""What executes a machine's instructions: what machines ask of it, and which of the two that there are one has.

`tcg` is the processor of emulator.tcg, which runs everywhere; `kvm` the host's own processor by emulator.kvm. Both
find the machine around them as a `Platform`, and memory in an `AddressSpace`. Each is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from .errors import GuestError

if TYPE_CHECKING:
    from .machine import Machine

TCG, KVM, KVM_OR_TCG = "tcg", "kvm", "kvm:tcg"
CHOICES = KVM, TCG, KVM_OR_TCG


class Engine(Protocol):
    """One processor. `run`, and what the chips call in the machine's thread; `request_exit` is for every thread."""

    @property
    def cpu(self) -> Any:
        """Its registers, a `Cpu` (emulator.x86.state), to be asked for each time: true between runs, and all but RIP
        while a function of the platform is called. Who changes more than general registers then calls `state_changed`.
        """

    rflags: int
    """All of the flags, which `cpu.rflags` need not have."""

    @property
    def code_bits(self) -> int:
        """16, 32 or 64: what the code at CS is."""

    @property
    def cpl(self) -> int:
        """The privilege level, 0 to 3."""

    @property
    def interrupt_asked(self) -> bool:
        """Whether the interrupt controller asks for an interrupt."""

    def reset(self) -> None:
        """The state after RESET."""

    def state_changed(self) -> None: ...

    def run(self) -> int:
        """Execute until something stops it: REQUESTED, HALTED, TRIPLE_FAULT or STUCK of emulator.tcg.core."""

    def request_exit(self) -> None:
        """Make `run` return soon, or the next one at once."""

    def forget_request(self) -> None:
        """What `request_exit` was called for has been attended to."""

    def set_interrupt(self, asserted: bool) -> None:
        """The line of the interrupt controller."""

    def interrupt_unmaskable(self) -> None:
        """An NMI."""

    def set_priority(self, priority: int) -> None:
        """CR8, by the interrupt controller's register."""

    def set_a20(self, enabled: bool) -> None:
        """The A20 gate: while it is closed, bit 20 of physical addresses is zero."""

    def set_carry(self, on: bool) -> None:
        """CF, while a function of the platform is called."""

    def trouble(self) -> str:
        """In words, why it stopped with TRIPLE_FAULT or STUCK."""

    def linear_rip(self) -> int:
        """The linear address of the next instruction."""

    def read_linear(self, address: int, size: int) -> bytes | None:
        """Memory as a debugger sees it, by linear address; short at a page that is not mapped, None at the first."""

    def close(self) -> None:
        """Release what it holds of the host."""


def choose(wanted: str | None, *, icount: bool, warn: Callable[[str], None]) -> str:
    """Who executes: what is one of CHOICES, or nothing in particular, which is KVM_OR_TCG without a word.

    KVM alone is taken with modes missing, which `warn` tells; KVM_OR_TCG only where it has all of them. GuestError says
    why KVM alone cannot be had.
    """
    if wanted == TCG:
        return TCG
    trouble, usable = _trouble_with_kvm(icount)
    if not trouble:
        return KVM
    if wanted == KVM:
        if not usable:
            raise GuestError(trouble)
        warn(trouble)
        return KVM
    if wanted is not None:
        warn(f"{trouble}; {TCG} executes")
    return TCG


def _trouble_with_kvm(icount: bool) -> tuple[str, bool]:
    """What is wrong with the host's KVM, empty if nothing is; and whether a machine can start with it nevertheless."""
    from emulator.kvm.host import Host, KvmError
    from emulator.kvm.modes import REAL, missing_modes

    if icount:
        return "--icount counts instructions, which KVM does not do", False
    try:
        host = Host()
        try:
            missing = missing_modes(host)
        finally:
            host.close()
    except KvmError as error:
        return str(error), False
    return f"the KVM of this host cannot run {', '.join(missing)}" if missing else "", REAL not in missing


def engine(machine: Machine, name: str, *, native: bool, counting: bool) -> Engine:
    """The processor of a machine; `native` and `counting` are for TCG."""
    if name == KVM:
        from emulator.kvm.processor import KvmProcessor

        return KvmProcessor(machine.space, machine)
    from emulator.tcg.processor import Processor

    return Processor(machine.space, machine, native=native, counting=counting)
