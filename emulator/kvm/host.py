"""/dev/kvm, and the virtual machines that it makes (api.rst, 4.1 to 4.7, 4.35 and 4.46)."""

from __future__ import annotations

import ctypes
import os
import platform
from fcntl import ioctl
from typing import Any

from emulator.machine.errors import GuestError

from . import structs
from .structs import Cpuid, MemoryRegion

DEVICE = "/dev/kvm"
NEEDED = {
    structs.CAP_USER_MEMORY: "memory of the caller's",
    structs.CAP_USER_NMI: "NMIs",
    structs.CAP_READONLY_MEM: "read-only memory",
    structs.CAP_IMMEDIATE_EXIT: "kvm_run.immediate_exit",
}
# Where processors that cannot run real mode keep a page table and a TSS: four pages where no PC has anything
IDENTITY_MAP, TASK_STATE = 0xFEFFC000, 0xFEFFD000


_ioctl = ctypes.CDLL(None, use_errno=True).ioctl
_ioctl.argtypes = ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong


def plain_ioctl(fd: int, request: int, argument: int) -> None:
    """The system's: fcntl's takes no numbers above 2 GiB, and calls again when interrupted in later Pythons."""
    if _ioctl(fd, request, argument) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))  # with EINTR an InterruptedError


class KvmError(GuestError):
    """The host's KVM cannot do what is wanted of it; one line."""


class Host:
    """The opened device. KvmError says why it cannot be used, and what to do."""

    def __init__(self) -> None:
        if platform.machine() not in ("x86_64", "AMD64", "i686"):
            raise KvmError(f"KVM runs guests of the host's architecture, which is {platform.machine()} here")
        try:
            self.fd = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            raise KvmError(
                f"there is no {DEVICE}: load the module kvm_intel or kvm_amd, and allow virtualization in the firmware"
            ) from None
        except PermissionError:
            raise KvmError(f"{DEVICE} may not be opened: join its group (usermod -a -G kvm USER)") from None
        except OSError as error:
            raise KvmError(f"{DEVICE} cannot be opened: {error.strerror}") from error
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def _check(self) -> None:
        version = self._ask(structs.GET_API_VERSION)
        if version != structs.API_VERSION:
            raise KvmError(f"{DEVICE} has version {version} of its interface; {structs.API_VERSION} is needed")
        for capability, what in NEEDED.items():
            if self._ask(structs.CHECK_EXTENSION, capability) <= 0:
                raise KvmError(f"this kernel's KVM is too old: it lacks {what}")

    def _ask(self, request: int, argument: int = 0) -> int:
        try:
            return ioctl(self.fd, request, argument)
        except OSError as error:
            raise KvmError(f"{DEVICE} is no KVM: {error.strerror}") from error

    def close(self) -> None:
        os.close(self.fd)

    @property
    def run_size(self) -> int:
        """Bytes of the memory that is shared with a virtual processor."""
        return self._ask(structs.GET_VCPU_MMAP_SIZE)

    def supported_cpuid(self) -> Any:
        """What CPUID may say to a guest, a `Cpuid`."""
        answer = Cpuid(nent=structs.MAX_CPUID_ENTRIES)
        ioctl(self.fd, structs.GET_SUPPORTED_CPUID, answer)
        return answer


class VirtualMachine:
    """Memory and processors, which its end closes."""

    def __init__(self, host: Host) -> None:
        self.host = host
        try:
            self.fd = ioctl(host.fd, structs.CREATE_VM, 0)
        except OSError as error:
            raise KvmError(f"{DEVICE} makes no virtual machine: {error.strerror}") from error
        ioctl(self.fd, structs.SET_IDENTITY_MAP_ADDR, IDENTITY_MAP.to_bytes(8, "little"))
        plain_ioctl(self.fd, structs.SET_TSS_ADDR, TASK_STATE)

    def close(self) -> None:
        os.close(self.fd)

    def set_memory(self, slot: int, first: int, size: int, host: int, *, read_only: bool = False) -> None:
        """Show `size` bytes at the address `host` of this process to the guest; with size 0 no more."""
        flags = structs.READ_ONLY if read_only else 0
        try:
            ioctl(self.fd, structs.SET_USER_MEMORY_REGION, MemoryRegion(slot, flags, first, size, host))
        except OSError as error:
            raise KvmError(f"KVM takes no {size >> 10} KiB of memory at {first:#x}: {error.strerror}") from error
