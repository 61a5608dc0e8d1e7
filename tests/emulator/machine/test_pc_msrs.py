"""The machine's MSRs, and what CPUID says that goes with them."""

from __future__ import annotations

import random

from emulator.machine.config import PcConfig
from emulator.machine.pc import Pc
from emulator.x86.cpuid import cpuid

APIC = 0xFEE00000


def test_registers() -> None:
    with Pc(PcConfig(memory=1 << 20)) as machine:
        assert machine.read_msr(0x1B) == 0xFEE00900
        assert machine.read_msr(0xFE) == 0x508 and not machine.write_msr(0xFE, 0)
        assert machine.write_msr(0x2FF, 0xC06) and machine.read_msr(0x2FF) == 0xC06
        assert not machine.write_msr(0x2FF, 7) and not machine.write_msr(0x250, 2)
        assert machine.write_msr(0x200, 0xE0000000) and not machine.write_msr(0x201, 1 << 40)
        assert machine.read_msr(0x12345) is None and not machine.write_msr(0x12345, 0)


def test_weaknesses() -> None:
    """CPUID announces the registers by which systems learn that they need not work around anything."""
    edx = cpuid(7, 0, Pc.features).edx
    with Pc(PcConfig(memory=1 << 20)) as machine:
        assert edx >> 29 & 1 and machine.read_msr(0x10A) & 0x3B == 0x3B and not machine.write_msr(0x10A, 0)
        assert edx >> 26 & 1 and machine.write_msr(0x48, 1) and machine.read_msr(0x48) == 1
        assert cpuid(7, 2, Pc.features).edx >> 4 & 1 and machine.write_msr(0x48, 0x401)
    assert not cpuid(7, 0, ()).edx >> 29 & 1


def test_apic_moves() -> None:
    """Its registers are where IA32_APIC_BASE says, or nowhere."""
    with Pc(PcConfig(memory=1 << 20)) as machine:
        read = machine.processor.mmu.code.physical_read
        memory = machine.processor.mmu.address
        assert read(memory, APIC + 0x30, 4) == 0x50014
        assert machine.write_msr(0x1B, 0xFED00900)
        assert read(memory, APIC + 0x30, 4) == 0xFFFFFFFF and read(memory, 0xFED00030, 4) == 0x50014
        assert machine.write_msr(0x1B, 0xFED00100)
        assert read(memory, 0xFED00030, 4) != 0x50014
        assert machine.write_msr(0x1B, 0xFEE00900) and read(memory, APIC + 0x30, 4) == 0x50014


def test_any_register() -> None:
    choose = random.Random(1)
    with Pc(PcConfig(memory=1 << 20)) as machine:
        for _ in range(3000):
            number = choose.choice((0x1B, 0x6E0, 0x8B, choose.randrange(0x180, 0x300), choose.getrandbits(32)))
            machine.write_msr(number, choose.getrandbits(choose.randrange(65)))
            machine.read_msr(number)


def test_clock() -> None:
    """Systems need not measure: the time stamp counter and the APIC's timer count nanoseconds."""
    assert cpuid(0x15, 0, Pc.features) == (1, 1, 1_000_000_000, 0) and cpuid(0, 0, Pc.features).eax >= 0x16
    assert cpuid(0x40000000, 0, Pc.features).eax == 0x40000010
    assert cpuid(0x40000010, 0, Pc.features)[:2] == (1_000_000, 1_000_000)
    assert cpuid(0x40000000, 0, set()) == cpuid(0x16, 0, set())
