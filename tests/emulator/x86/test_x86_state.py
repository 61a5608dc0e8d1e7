"""The state's layout, the state after RESET, CPUID, and the examples in the modules' docstrings."""

from __future__ import annotations

import ctypes
import doctest
import importlib

import pytest

from emulator.x86 import cpuid, state
from emulator.x86.features import BASE, FEATURES
from emulator.x86.instruction import CS, SS
from emulator.x86.table import FORMS


@pytest.mark.parametrize("name", ["table", "decode", "disasm", "flat", "state", "cpuid"])
def test_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"emulator.x86.{name}"))
    assert result.attempted > 0
    assert result.failed == 0


def test_layout() -> None:
    assert state.Cpu.offset("registers") == 0
    assert state.Cpu.offset("rip") == 128
    assert state.Segment.size == 16
    cpu = state.Cpu()
    cpu.segments[SS].base = 0x1122334455667788
    place = state.Cpu.offset("segments") + SS * state.Segment.size + state.Segment.offset("base")
    assert ctypes.string_at(ctypes.addressof(cpu) + place, 8) == bytes.fromhex("8877665544332211")
    assert state.Cpu.offset("xmm") % 8 == 0


def test_every_msr_is_a_field() -> None:
    cpu = state.Cpu()
    for name in state.MSR_FIELDS.values():
        assert isinstance(getattr(cpu, name), int)


def test_reset() -> None:
    """SDM Vol. 3, table 10-1; a reset leaves nothing of what was there."""
    cpu = state.Cpu()
    ctypes.memset(ctypes.addressof(cpu), 0xFF, ctypes.sizeof(cpu))
    state.reset(cpu)
    assert (cpu.rip, cpu.rflags, cpu.cr0, cpu.cr3, cpu.cr4) == (0xFFF0, 2, 0x60000010, 0, 0)
    assert list(cpu.registers) == [0, 0, state.SIGNATURE, *[0] * 13]
    code = cpu.segments[CS]
    assert (code.selector, code.base, code.limit, code.attributes) == (0xF000, 0xFFFF0000, 0xFFFF, 0x9B)
    stack = cpu.segments[SS]
    assert (stack.selector, stack.base, stack.limit, stack.attributes) == (0, 0, 0xFFFF, 0x93)
    assert (cpu.ldtr.attributes, cpu.tr.attributes) == (0x82, 0x8B)
    assert (cpu.gdtr.base, cpu.idtr.limit) == (0, 0xFFFF)
    assert (cpu.debug[0], cpu.debug[6], cpu.debug[7]) == (0, 0xFFFF0FF0, 0x400)
    assert (cpu.x87_control, cpu.x87_status, cpu.x87_tags, cpu.mxcsr) == (0x40, 0, 0x5555, 0x1F80)
    assert (cpu.efer, cpu.halted, cpu.x87[3].exponent, cpu.xmm[15].high) == (0, 0, 0, 0)


def announced(features: set[str]) -> set[str]:
    known = FEATURES | cpuid.SYSTEM_FEATURES | cpuid.MACHINE_FEATURES
    found = set()
    for name, place in known.items():
        answer = cpuid.cpuid(place.leaf, place.subleaf, features)
        if getattr(answer, place.register) >> place.bit & 1:
            found.add(name)
    return found


def test_cpuid_announces_the_table_and_what_the_machine_adds() -> None:
    instructions = {form.feature for form in FORMS} - {BASE}
    assert announced(set()) == instructions
    assert announced({"APIC", "NX"}) == instructions | {"APIC", "NX"}


def test_cpuid_has_subleaves_in_few_leaves() -> None:
    """ECX holds anything when a program asks for the others."""
    assert cpuid.cpuid(1, 0x1A0, []) == cpuid.cpuid(1, 0, [])
    assert cpuid.cpuid(7, 1, []) != cpuid.cpuid(7, 0, [])


def test_cpuid_announces_nothing_else() -> None:
    """AVX, FMA, F16C, AVX2, TSX, SHA, MPX and the rest stay 0."""
    every = {*FEATURES, *cpuid.SYSTEM_FEATURES, *cpuid.MACHINE_FEATURES}
    one = cpuid.cpuid(1, 0, every, osxsave=True)
    assert not one.ecx & (1 << 12 | 1 << 28 | 1 << 29 | 1 << 3 | 1 << 5 | 1 << 6)
    seven = cpuid.cpuid(7, 0, every)
    assert not seven.ebx & (1 << 5 | 1 << 4 | 1 << 11 | 1 << 14 | 1 << 16 | 1 << 29)
    assert seven[2:] == (0, 1 << 26 | 1 << 29)  # SPEC_CTRL, ARCH_CAPABILITIES


def test_cpuid_leaves() -> None:
    zero = cpuid.cpuid(0, 0, ())
    assert b"".join(word.to_bytes(4, "little") for word in (zero.ebx, zero.edx, zero.ecx)) == b"GenuineIntel"
    assert cpuid.cpuid(1, 0, ()).eax == state.SIGNATURE
    assert cpuid.cpuid(1, 0, (), apic_id=3).ebx >> 24 == 3
    plain, enabled = (cpuid.cpuid(1, 0, (), osxsave=value).ecx for value in (False, True))
    assert plain ^ enabled == 1 << 27
    brand = [cpuid.cpuid(0x80000002 + leaf, 0, ()) for leaf in range(3)]
    words = b"".join(word.to_bytes(4, "little") for leaf in brand for word in leaf)
    assert words.rstrip(b"\0") == b"imgtools virtual CPU"
    assert cpuid.cpuid(0x80000008, 0, ()).eax == 0x3028
    assert cpuid.cpuid(0x4000_0000, 0, ()) == cpuid.cpuid(cpuid.MAX_BASIC, 0, ())
    assert cpuid.cpuid(0xD, 0, ()).ebx == 576
