"""What CPUID says to a guest: the host's answers as far as KVM supports them, and as far as this machine has what they
promise (api.rst, 4.46 and 4.20).

The machine has one processor and our own interrupt controllers, whose local APIC counts nanoseconds. KVM knows nothing
of that one, so there is no x2APIC and no deadline in units of the time stamp counter. Of KVM's own interface
(Documentation/virt/kvm/x86/cpuid.rst) it has what the kernel does without interrupt controllers: the clock, by which
systems know the rate of the time stamp counter, and that ports are not written to in order to wait.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from emulator.x86.cpuid import CRYSTAL, HYPERVISOR_VENDOR

from .structs import Cpuid, CpuidEntry

BASIC_FEATURES, EXTENDED_FEATURES = 1, 0x80000001
LOCAL_APIC = 1 << 9  # EDX of both
HYPERVISOR = 1 << 31
MONITOR, VMX, X2APIC, TSC_DEADLINE = 1 << 3, 1 << 5, 1 << 21, 1 << 24  # ECX of leaf 1
THREADS = 1 << 28  # EDX of leaf 1: more than one logical processor
SVM, SKINIT, MONITORX = 1 << 2, 1 << 12, 1 << 29
CMP_LEGACY, TOPOLOGY = 1 << 1, 1 << 22
CLFLUSH_BITS = 0xFF00
CORES = 0xFFF  # in ECX of leaf 80000008h
SHARING = 0xFFFFC000  # in EAX of the cache leaves: who shares it
CACHES = (4, 0x8000001D)
# Monitor, topology, performance counters, enclaves, tracing, frequencies, virtualization, memory encryption
ABSENT = {5, 0xA, 0xB, 0x12, 0x14, 0x16, 0x1F, 0x8000000A, 0x8000001E, 0x8000001F}
PARAVIRTUAL_LEAF = 0x40000001
PARAVIRTUAL = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 24  # CLOCKSOURCE, NOP_IO_DELAY, CLOCKSOURCE2, CLOCKSOURCE_STABLE_BIT
HYPERVISOR_LEAVES, TIMING_LEAF, LAST_HYPERVISOR = 0x40000000, 0x40000010, 0x4000FFFF
CRYSTAL_LEAF = 0x15


def guest_cpuid(supported: Any, features: Collection[str], kilohertz: int) -> Any:
    """The entries for a guest, a `Cpuid`. `features` are the machine's, `kilohertz` the time stamp counter's or 0."""
    entries = [CpuidEntry.from_buffer_copy(entry) for entry in supported.entries[: supported.nent]]
    offered = sum(entry.eax for entry in entries if entry.function == PARAVIRTUAL_LEAF)
    entries = [entry for entry in entries if not HYPERVISOR_LEAVES <= entry.function <= LAST_HYPERVISOR]
    for entry in entries:
        _trim(entry, "APIC" in features, kilohertz)
    name = [int.from_bytes(HYPERVISOR_VENDOR[place : place + 4], "little") for place in (0, 4, 8)]
    entries.append(_leaf(HYPERVISOR_LEAVES, TIMING_LEAF, *name))
    entries.append(_leaf(PARAVIRTUAL_LEAF, offered & PARAVIRTUAL))
    entries.append(_leaf(TIMING_LEAF, kilohertz, CRYSTAL // 1000))
    answer = Cpuid(nent=len(entries))
    answer.entries[: len(entries)] = entries
    return answer


def _leaf(function: int, eax: int = 0, ebx: int = 0, ecx: int = 0, edx: int = 0) -> Any:
    return CpuidEntry(function=function, eax=eax, ebx=ebx, ecx=ecx, edx=edx)


def _trim(entry: Any, apic: bool, kilohertz: int) -> None:
    """Make an entry say no more than there is."""
    if entry.function in ABSENT:
        entry.eax = entry.ebx = entry.ecx = entry.edx = 0
    elif entry.function in CACHES:
        entry.eax &= ~SHARING
    elif entry.function == BASIC_FEATURES:
        entry.ebx = entry.ebx & CLFLUSH_BITS | 1 << 16
        entry.ecx = entry.ecx & ~(MONITOR | VMX | X2APIC | TSC_DEADLINE) | HYPERVISOR
        entry.edx &= ~THREADS
    elif entry.function == EXTENDED_FEATURES:
        entry.ecx &= ~(CMP_LEGACY | SVM | SKINIT | TOPOLOGY | MONITORX)
    elif entry.function == CRYSTAL_LEAF and kilohertz:
        entry.eax, entry.ebx, entry.ecx, entry.edx = CRYSTAL // 1000, kilohertz, CRYSTAL, 0
    elif entry.function == 0x80000008:
        entry.ecx &= ~CORES
    if entry.function in (BASIC_FEATURES, EXTENDED_FEATURES) and not apic:
        entry.edx &= ~LOCAL_APIC
