"""CPUID: what the processor says of itself (Intel SDM Vol. 2, CPUID).

It announces every feature that the opcode table has, no other instructions, and what the machine says that it adds:
paging and interrupts are not instructions. The vendor is Intel, as whose processors the table decodes where AMD's
differ.

    >>> hex(cpuid(7, 0, set(SYSTEM_FEATURES)).ebx)
    '0x1c25cb'
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

from emulator.x86.features import BASE, FEATURES, FeatureBit
from emulator.x86.state import SIGNATURE
from emulator.x86.table import FORMS

VENDOR = b"GenuineIntel"
BRAND = b"imgtools virtual CPU"
PHYSICAL_BITS, LINEAR_BITS = 40, 48
XSAVE_SIZE = 576  # the legacy region and the header: x87 and SSE
XCR0_BITS = 0b11
CLFLUSH_LINE = 64
X87_POINTERS = 1 << 6 | 1 << 13  # set by exceptions only; their selectors are 0

# What is announced and is no instruction. The machine adds those that it implements.
SYSTEM_FEATURES: dict[str, FeatureBit] = {
    "VME": FeatureBit(1, 0, "edx", 1),
    "DE": FeatureBit(1, 0, "edx", 2),
    "PSE": FeatureBit(1, 0, "edx", 3),
    "PAE": FeatureBit(1, 0, "edx", 6),
    "PGE": FeatureBit(1, 0, "edx", 13),
    "PAT": FeatureBit(1, 0, "edx", 16),
    "PSE36": FeatureBit(1, 0, "edx", 17),
    "PCID": FeatureBit(1, 0, "ecx", 17),
    "TSC_ADJUST": FeatureBit(7, 0, "ebx", 1),
    "SMEP": FeatureBit(7, 0, "ebx", 7),
    "NX": FeatureBit(0x80000001, 0, "edx", 20),
    "PDPE1GB": FeatureBit(0x80000001, 0, "edx", 26),
}
MACHINE_FEATURES: dict[str, FeatureBit] = {
    "MCE": FeatureBit(1, 0, "edx", 7),
    "APIC": FeatureBit(1, 0, "edx", 9),
    "MTRR": FeatureBit(1, 0, "edx", 12),
    "MCA": FeatureBit(1, 0, "edx", 14),
    "X2APIC": FeatureBit(1, 0, "ecx", 21),
    "TSC_DEADLINE": FeatureBit(1, 0, "ecx", 24),
    "HYPERVISOR": FeatureBit(1, 0, "ecx", 31),
    "SPEC_CTRL": FeatureBit(7, 0, "edx", 26),
    "ARCH_CAPABILITIES": FeatureBit(7, 0, "edx", 29),
    "BHI_CTRL": FeatureBit(7, 2, "edx", 4),
    "ARAT": FeatureBit(6, 0, "eax", 2),
    "INVARIANT_TSC": FeatureBit(0x80000007, 0, "edx", 8),
}
OSXSAVE = 1 << 27
CRYSTAL = 1_000_000_000  # Hz: the clock of the time stamp counter and of the local APIC's timer
MEGAHERTZ = 1_000_000
HYPERVISOR_LEAF, TIMING_LEAF = 0x40000000, 0x40000010
# The interface of KVM without any of its features: systems then trust timers, whose interrupts may be late.
HYPERVISOR_VENDOR = b"KVMKVMKVM\0\0\0"

INSTRUCTION_FEATURES = frozenset(form.feature for form in FORMS) - {BASE}
LEAVES_WITH_SUBLEAVES = {4, 7, 0xB, 0xD}  # all others ignore ECX
MAX_BASIC, MAX_EXTENDED = 0x16, 0x80000008


class Leaf(NamedTuple):
    eax: int = 0
    ebx: int = 0
    ecx: int = 0
    edx: int = 0


def cpuid(leaf: int, subleaf: int, features: Collection[str], *, osxsave: bool = False, apic_id: int = 0) -> Leaf:
    """The answer to CPUID with EAX = `leaf` and ECX = `subleaf`.

    `features` are names of SYSTEM_FEATURES and MACHINE_FEATURES, `osxsave` is the bit of CR4.
    """
    virtual = "HYPERVISOR" in features and HYPERVISOR_LEAF <= leaf <= TIMING_LEAF
    if not (leaf <= MAX_BASIC or virtual or 0x80000000 <= leaf <= MAX_EXTENDED):
        leaf = MAX_BASIC  # beyond the last leaf the processor answers as for the last basic one
    if leaf not in LEAVES_WITH_SUBLEAVES:
        subleaf = 0
    bits = _feature_bits(leaf, subleaf, frozenset(features))
    fixed = _fixed(leaf, subleaf, apic_id)
    answer = Leaf(*(one | other for one, other in zip(bits, fixed, strict=True)))
    if leaf == 1 and osxsave:
        return answer._replace(ecx=answer.ecx | OSXSAVE)
    return answer


@lru_cache
def _feature_bits(leaf: int, subleaf: int, features: frozenset[str]) -> Leaf:
    known = FEATURES | SYSTEM_FEATURES | MACHINE_FEATURES
    registers = dict.fromkeys(Leaf._fields, 0)
    for name in INSTRUCTION_FEATURES | features:
        place = known[name]
        if (place.leaf, place.subleaf) == (leaf, subleaf):
            registers[place.register] |= 1 << place.bit
    return Leaf(**registers)


def _fixed(leaf: int, subleaf: int, apic_id: int) -> Leaf:
    """What is not a feature."""
    match leaf, subleaf:
        case 0, _:
            return Leaf(MAX_BASIC, *_words(VENDOR, 0, 2, 1))
        case 1, _:
            return Leaf(SIGNATURE, CLFLUSH_LINE // 8 << 8 | 1 << 16 | apic_id << 24)
        case 7, 0:
            return Leaf(2, X87_POINTERS)
        case 0xD, 0:
            return Leaf(XCR0_BITS, XSAVE_SIZE, XSAVE_SIZE)
        case 0xD, 1:
            return Leaf(0, XSAVE_SIZE)
        case 0x15, _:
            return Leaf(1, 1, CRYSTAL)
        case 0x16, _:
            return Leaf(CRYSTAL // MEGAHERTZ, CRYSTAL // MEGAHERTZ, 100)
        case 0x40000000, _:
            return Leaf(TIMING_LEAF, *_words(HYPERVISOR_VENDOR, 0, 1, 2))
        case 0x40000010, _:
            return Leaf(CRYSTAL // 1000, CRYSTAL // 1000)
        case 0x80000000, _:
            return Leaf(MAX_EXTENDED)
        case ((0x80000002 | 0x80000003 | 0x80000004), _):
            start = (leaf - 0x80000002) * 4
            return Leaf(*_words(BRAND.ljust(48, b"\0"), start, start + 1, start + 2, start + 3))
        case 0x80000008, _:
            return Leaf(PHYSICAL_BITS | LINEAR_BITS << 8)
    return Leaf()


def _words(text: bytes, *indexes: int) -> list[int]:
    return [int.from_bytes(text[4 * index : 4 * index + 4], "little") for index in indexes]
