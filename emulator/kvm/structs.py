"""What KVM and we exchange: structures and numbers of <linux/kvm.h> and <asm/kvm.h>, as far as they are used.

Sections of api.rst: 4.35 (memory), 4.11 to 4.14 (registers), 4.20 (CPUID), 4.21 (signals), 5 (`kvm_run`).
"""

from __future__ import annotations

from ctypes import Structure, Union, c_uint8, c_uint16, c_uint32, c_uint64, sizeof

WRITE, READ = 1, 2  # directions of an ioctl, as the kernel sees user memory
KVMIO = 0xAE


def request(number: int, direction: int = 0, size: int = 0) -> int:
    """The code of an ioctl (<asm-generic/ioctl.h>)."""
    return direction << 30 | size << 16 | KVMIO << 8 | number


class Registers(Structure):
    """kvm_regs."""

    NAMES = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp", *(f"r{number}" for number in range(8, 16)))
    _fields_ = [(name, c_uint64) for name in (*NAMES, "rip", "rflags")]


class Segment(Structure):
    """kvm_segment; `limit` counts bytes."""

    FLAGS = ("type", "present", "dpl", "db", "s", "l", "g", "avl", "unusable", "padding")
    _fields_ = [("base", c_uint64), ("limit", c_uint32), ("selector", c_uint16), *((name, c_uint8) for name in FLAGS)]


class Table(Structure):
    """kvm_dtable."""

    _fields_ = [("base", c_uint64), ("limit", c_uint16), ("padding", c_uint16 * 3)]


class SystemRegisters(Structure):
    """kvm_sregs."""

    CONTROLS = ("cr0", "cr2", "cr3", "cr4", "cr8", "efer", "apic_base")
    _fields_ = [
        *((name, Segment) for name in ("cs", "ds", "es", "fs", "gs", "ss", "tr", "ldt")),
        *((name, Table) for name in ("gdt", "idt")),
        *((name, c_uint64) for name in CONTROLS),
        ("interrupt_bitmap", c_uint64 * 4),
    ]


class MemoryRegion(Structure):
    """kvm_userspace_memory_region."""

    _fields_ = [
        ("slot", c_uint32),
        ("flags", c_uint32),
        ("guest_phys_addr", c_uint64),
        ("memory_size", c_uint64),
        ("userspace_addr", c_uint64),
    ]


class CpuidEntry(Structure):
    """kvm_cpuid_entry2."""

    WORDS = ("function", "index", "flags", "eax", "ebx", "ecx", "edx")
    _fields_ = [*((name, c_uint32) for name in WORDS), ("padding", c_uint32 * 3)]


MAX_CPUID_ENTRIES = 256


class Cpuid(Structure):
    """kvm_cpuid2 with room for all entries."""

    _fields_ = [("nent", c_uint32), ("padding", c_uint32), ("entries", CpuidEntry * MAX_CPUID_ENTRIES)]


class SignalMask(Structure):
    """kvm_signal_mask with the kernel's set of 64 signals."""

    _pack_ = 4
    _fields_ = [("len", c_uint32), ("sigset", c_uint64)]


class Translation(Structure):
    """kvm_translation."""

    FLAGS = ("valid", "writeable", "usermode", "padding0")
    _fields_ = [
        ("linear_address", c_uint64),
        ("physical_address", c_uint64),
        *((name, c_uint8) for name in FLAGS),
        ("padding", c_uint8 * 4),
    ]


# -- kvm_run: what a run of the processor ended with ----------------------------------------------------------


class IoExit(Structure):
    _fields_ = [
        ("direction", c_uint8),
        ("size", c_uint8),
        ("port", c_uint16),
        ("count", c_uint32),
        ("data_offset", c_uint64),
    ]


class MmioExit(Structure):
    _fields_ = [("phys_addr", c_uint64), ("data", c_uint8 * 8), ("len", c_uint32), ("is_write", c_uint8)]


class EntryFailure(Structure):
    _fields_ = [("hardware_entry_failure_reason", c_uint64), ("cpu", c_uint32)]


class InternalError(Structure):
    _fields_ = [("suberror", c_uint32), ("ndata", c_uint32), ("data", c_uint64 * 16)]


class Exit(Union):
    _fields_ = [
        ("io", IoExit),
        ("mmio", MmioExit),
        ("fail_entry", EntryFailure),
        ("internal", InternalError),
        ("padding", c_uint8 * 256),
    ]


class Run(Structure):
    """kvm_run, in memory that the kernel shares; without the registers at its end."""

    _fields_ = [
        ("request_interrupt_window", c_uint8),
        ("immediate_exit", c_uint8),
        ("padding1", c_uint8 * 6),
        ("exit_reason", c_uint32),
        ("ready_for_interrupt_injection", c_uint8),
        ("if_flag", c_uint8),
        ("flags", c_uint16),
        ("cr8", c_uint64),
        ("apic_base", c_uint64),
        ("exit", Exit),
    ]


# exit_reason
UNKNOWN, EXCEPTION, IO, HYPERCALL, DEBUG, HLT, MMIO, IRQ_WINDOW_OPEN, SHUTDOWN, FAIL_ENTRY, INTR, SET_TPR = range(12)
INTERNAL_ERROR = 17
IO_OUT = 1
EMULATION = 1  # suberror

API_VERSION = 12
GET_API_VERSION = request(0x00)
CREATE_VM = request(0x01)
CHECK_EXTENSION = request(0x03)
GET_VCPU_MMAP_SIZE = request(0x04)
GET_SUPPORTED_CPUID = request(0x05, READ | WRITE, 8)
CREATE_VCPU = request(0x41)
SET_USER_MEMORY_REGION = request(0x46, WRITE, sizeof(MemoryRegion))
SET_TSS_ADDR = request(0x47)
SET_IDENTITY_MAP_ADDR = request(0x48, WRITE, 8)
RUN = request(0x80)
GET_REGS = request(0x81, READ, sizeof(Registers))
SET_REGS = request(0x82, WRITE, sizeof(Registers))
GET_SREGS = request(0x83, READ, sizeof(SystemRegisters))
SET_SREGS = request(0x84, WRITE, sizeof(SystemRegisters))
TRANSLATE = request(0x85, READ | WRITE, sizeof(Translation))
INTERRUPT = request(0x86, WRITE, 4)
SET_SIGNAL_MASK = request(0x8B, WRITE, 4)
SET_CPUID2 = request(0x90, WRITE, 8)
NMI = request(0x9A)
GET_TSC_KHZ = request(0xA3)

READ_ONLY = 1 << 1  # a flag of a memory region
SIGNIFICANT_INDEX = 1  # a flag of a CPUID entry

# Capabilities (KVM_CHECK_EXTENSION)
CAP_USER_MEMORY, CAP_USER_NMI, CAP_GET_TSC_KHZ, CAP_READONLY_MEM, CAP_IMMEDIATE_EXIT = 3, 22, 61, 81, 136
